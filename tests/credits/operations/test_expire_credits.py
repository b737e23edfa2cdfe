import pytest

from credits import queries
from tests.credits.operations.verbs import expire_credits
from tests.support.factories.credits import deduct, hold, make_balance, owe
from tests.support.operations import captured_statements, check_sums, statement_kinds, unchanged
from tests.support.times import DAY, HOUR, NOON

pytestmark = pytest.mark.django_db


def transactions(balance):
    return list(balance.transactions.order_by("sequence").values_list("type", "amount", "timestamp"))


class TestExpireCredits:
    def test_writes_one_transaction_for_an_expired_grant(self):
        balance = make_balance(grants=[(20, DAY), (30, 2 * DAY), (50, None)])

        totals = expire_credits(balance, at=NOON + DAY)

        assert totals == {"balances": 1, "transactions": 1, "credits": 20}
        assert transactions(balance)[3:] == [("expiry", -20, NOON + DAY)]
        check_sums(balance)

    def test_dates_each_expiry_at_the_expiry_of_its_grant(self):
        balance = make_balance(grants=[(20, DAY), (30, 2 * DAY)])

        expire_credits(balance, at=NOON + 9 * DAY)

        assert transactions(balance)[2:] == [("expiry", -20, NOON + DAY), ("expiry", -30, NOON + 2 * DAY)]

    def test_closes_lapsed_holds(self):
        balance = make_balance()
        placed = hold(balance, 60, expires_in=HOUR)

        totals = expire_credits(balance, at=NOON + HOUR)

        placed.refresh_from_db()
        assert totals == {"balances": 1, "transactions": 0, "credits": 0}
        assert (placed.status, placed.closed_at) == ("lapsed", NOON + HOUR)
        check_sums(balance)

    def test_repays_debt_with_the_credits_of_a_lapsed_hold(self):
        balance = make_balance()
        hold(balance, 60, expires_in=HOUR)
        owe(balance, 100)

        expire_credits(balance, at=NOON + HOUR)

        balance.refresh_from_db()
        assert transactions(balance)[2:] == [("reversal", 0, NOON + HOUR)]
        assert (balance.balance, balance.held, balance.debt) == (0, 0, 0)
        check_sums(balance)

    def test_changes_nothing_if_nothing_is_due(self):
        balance = make_balance(grants=[(20, DAY)])

        with unchanged():
            totals = expire_credits(balance, at=NOON + HOUR)

        assert totals == {"balances": 0, "transactions": 0, "credits": 0}

    def test_changes_nothing_if_it_is_repeated(self):
        balance = make_balance(grants=[(20, DAY)])
        expire_credits(balance, at=NOON + DAY)

        with unchanged():
            expire_credits(balance, at=NOON + DAY)

    def test_counts_but_writes_nothing_in_a_dry_run(self):
        balance = make_balance(grants=[(20, DAY)])

        with unchanged():
            totals = expire_credits(balance, at=NOON + DAY, dry_run=True)

        assert totals == {"balances": 1, "transactions": 1, "credits": 20}

    def test_does_not_change_what_a_read_shows(self):
        balance = make_balance(grants=[(20, DAY), (50, None)])
        at = NOON + 2 * DAY
        before = queries.get_balance(owner=balance.owner, at=at)

        expire_credits(balance, at=at)

        after = queries.get_balance(owner=balance.owner, at=at)
        assert (after.balance, after.available, after.held) == (before.balance, before.available, before.held)

    @pytest.mark.parametrize("count", [1, 10])
    def test_runs_three_statements_lock_load_write_for_any_number_of_balances(self, count):
        balances = [make_balance(grants=[(20, DAY)]) for _ in range(count)]

        with captured_statements() as run:
            totals = expire_credits(*balances, at=NOON + DAY)

        assert totals["balances"] == count
        assert statement_kinds(run) == ["lock", "load", "write"]

    def test_leaves_credits_that_have_not_expired(self):
        balance = make_balance(grants=[(20, DAY), (50, None)])
        expire_credits(balance, at=NOON + DAY)

        assert deduct(balance, 50, at=NOON + DAY).transaction.balance_after == 0
