import pytest

from credits import operations, queries
from tests.support.factories.credits import deduct, hold, make_balance
from tests.support.operations import captured_statements, check_sums, owe, unchanged
from tests.support.times import DAY, HOUR, NOON

pytestmark = pytest.mark.django_db


def expire(*balances, at, **options):
    return operations.expire_credits(balance_ids=[balance.pk for balance in balances], at=at, **options)


def said(balance):
    return list(balance.transactions.order_by("sequence").values_list("type", "amount", "timestamp"))


class TestExpireCredits:
    def test_writes_what_has_expired(self):
        balance = make_balance(grants=[(20, DAY), (30, 2 * DAY), (50, None)])

        counted = expire(balance, at=NOON + DAY)

        assert counted == {"balances": 1, "transactions": 1, "credits": 20}
        assert said(balance)[3:] == [("expiry", -20, NOON + DAY)]
        check_sums(balance)

    def test_dates_each_at_its_own_instant(self):
        balance = make_balance(grants=[(20, DAY), (30, 2 * DAY)])

        expire(balance, at=NOON + 9 * DAY)

        assert said(balance)[2:] == [("expiry", -20, NOON + DAY), ("expiry", -30, NOON + 2 * DAY)]

    def test_lapses_holds(self):
        balance = make_balance()
        placed = hold(balance, 60, expires_in=HOUR)

        counted = expire(balance, at=NOON + HOUR)

        placed.refresh_from_db()
        assert counted == {"balances": 1, "transactions": 0, "credits": 0}
        assert (placed.status, placed.closed_at) == ("lapsed", NOON + HOUR)
        check_sums(balance)

    def test_repays_debt_with_what_a_lapse_sets_free(self):
        balance = make_balance()
        hold(balance, 60, expires_in=HOUR)
        owe(balance, 100)

        expire(balance, at=NOON + HOUR)

        balance.refresh_from_db()
        assert said(balance)[2:] == [("reversal", 0, NOON + HOUR)]
        assert (balance.balance, balance.held, balance.debt) == (0, 0, 0)
        check_sums(balance)

    def test_leaves_a_balance_alone_that_has_nothing_due(self):
        balance = make_balance(grants=[(20, DAY)])

        with unchanged():
            counted = expire(balance, at=NOON + HOUR)

        assert counted == {"balances": 0, "transactions": 0, "credits": 0}

    def test_does_nothing_the_second_time(self):
        balance = make_balance(grants=[(20, DAY)])
        expire(balance, at=NOON + DAY)

        with unchanged():
            expire(balance, at=NOON + DAY)

    def test_only_counts_in_a_dry_run(self):
        balance = make_balance(grants=[(20, DAY)])

        with unchanged():
            counted = expire(balance, at=NOON + DAY, dry_run=True)

        assert counted == {"balances": 1, "transactions": 1, "credits": 20}

    def test_changes_nothing_that_a_read_would_say(self):
        balance = make_balance(grants=[(20, DAY), (50, None)])
        at = NOON + 2 * DAY
        before = queries.get_balance(owner=balance.owner, at=at)

        expire(balance, at=at)

        after = queries.get_balance(owner=balance.owner, at=at)
        assert (after.balance, after.available, after.held) == (before.balance, before.available, before.held)

    def test_asks_the_database_no_more_for_many_than_for_one(self):
        balances = [make_balance(grants=[(20, DAY)]) for _ in range(10)]

        with captured_statements() as run:
            counted = expire(*balances, at=NOON + DAY)

        assert counted["balances"] == 10
        assert len(run) <= 3

    def test_leaves_the_rest_to_be_spent(self):
        balance = make_balance(grants=[(20, DAY), (50, None)])
        expire(balance, at=NOON + DAY)

        assert deduct(balance, 50, at=NOON + DAY).transaction.balance_after == 0
