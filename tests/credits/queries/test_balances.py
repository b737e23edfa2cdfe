from datetime import datetime, timedelta

import pytest
from django.db.models import Q

from credits import operations, queries
from fluxori.core import clock
from tests.support.factories.credits import capture, deduct, hold, make_balance, make_user, owe
from tests.support.operations import unchanged
from tests.support.times import DAY, HOUR, NOON

MICROSECOND = timedelta(microseconds=1)

pytestmark = pytest.mark.django_db


def figures(read):
    return {"balance": read.balance, "held": read.held, "available": read.available, "debt": read.debt}


def balance_at(balance, at):
    return figures(queries.get_balance(owner=balance.owner, at=at))


class TestGetBalance:
    def test_returns_the_current_balance(self):
        balance = make_balance(grants=[(30, None)], at=NOON)

        read = queries.get_balance(owner=balance.owner)

        assert figures(read) == {"balance": 30, "held": 0, "available": 30, "debt": 0}
        assert (read.id, read.user_id, read.organization_id) == (balance.pk, balance.pk, None)
        assert (read.sequence, read.version, read.last_updated) == (1, 1, NOON)

    def test_excludes_expired_credits_before_the_expiry_job(self):
        balance = make_balance(grants=[(20, DAY), (50, None)])

        with unchanged():
            read = queries.get_balance(owner=balance.owner)

        assert (read.balance, read.available) == (50, 50)

    def test_returns_the_next_expiry(self):
        now = clock.now()
        balance = make_balance(grants=[(20, 2 * DAY), (30, DAY), (5, DAY), (50, None)], at=now)

        assert queries.get_balance(owner=balance.owner).next_expiry == (35, now + DAY)

    def test_debt_leaves_nothing_available(self):
        balance = make_balance(grants=[(30, None)])
        owe(balance, 50)

        assert figures(queries.get_balance(owner=balance.owner)) == {
            "balance": -20,
            "held": 0,
            "available": 0,
            "debt": 20,
        }

    def test_owner_without_a_balance_raises(self):
        with pytest.raises(operations.BalanceNotFoundError):
            queries.get_balance(owner=make_user())

    def test_user_id_does_not_find_an_organization(self):
        balance = make_balance()

        with pytest.raises(operations.BalanceNotFoundError):
            queries.get_balance(owner=operations.Owner.organization(balance.pk))

    def test_reader_with_a_late_clock_sees_the_last_change(self):
        ahead = clock.now() + DAY
        with clock.fixed(ahead):
            balance = make_balance(grants=[(20, HOUR), (50, None)], at=ahead - HOUR)
            deduct(balance, 1, at=ahead)

        assert queries.get_balance(owner=balance.owner).available == 49


class TestGetBalanceAt:
    def test_is_zero_before_the_balance_existed(self):
        balance = make_balance(at=NOON)

        read = queries.get_balance(owner=balance.owner, at=NOON - MICROSECOND)

        assert figures(read) == {"balance": 0, "held": 0, "available": 0, "debt": 0}
        assert (read.sequence, read.next_expiry) == (0, None)

    def test_rejects_a_future_instant(self):
        with pytest.raises(operations.InvalidArgumentError) as error:
            queries.get_balance(owner=make_balance().owner, at=clock.now() + HOUR)

        assert [(error.field, error.code) for error in error.value.errors] == [("at", "in_future")]

    def test_owner_without_a_balance_raises(self):
        with pytest.raises(operations.BalanceNotFoundError):
            queries.get_balance(owner=make_user(), at=NOON)

    def test_includes_a_change_from_its_own_instant(self):
        balance = make_balance(grants=[(100, None)])
        deduct(balance, 30, at=NOON + DAY)

        assert balance_at(balance, NOON + DAY - MICROSECOND)["balance"] == 100
        assert balance_at(balance, NOON + DAY)["balance"] == 70

    def test_expires_credits_at_their_own_instant(self):
        balance = make_balance(grants=[(20, DAY), (50, None)])

        assert balance_at(balance, NOON + DAY - MICROSECOND)["available"] == 70
        assert balance_at(balance, NOON + DAY)["available"] == 50

    def test_is_the_same_before_and_after_the_expiry_job(self):
        balance = make_balance(grants=[(20, DAY), (30, 2 * DAY)])
        hold(balance, 15, expires_in=DAY + HOUR)
        moments = [NOON + n * HOUR for n in range(60)]
        before = [balance_at(balance, at) for at in moments]

        operations.expire_credits(balance_ids=[balance.pk], at=NOON + 9 * DAY)

        assert [balance_at(balance, at) for at in moments] == before

    def test_includes_the_pins_of_holds_that_were_open_then(self):
        balance = make_balance(grants=[(100, None)])
        placed = hold(balance, 60, at=NOON + HOUR, expires_in=DAY)
        capture(placed, 25, at=NOON + 2 * HOUR)

        read = [balance_at(balance, NOON + n * HOUR) for n in (0, 1, 2)]

        assert [(then["held"], then["available"], then["balance"]) for then in read] == [
            (0, 100, 100),
            (60, 40, 100),
            (0, 75, 75),
        ]

    def test_equals_the_read_at_any_past_instant(self):
        balance = make_balance(grants=[(100, None), (40, 2 * DAY), (30, DAY + HOUR)])
        step, reads = 7 * HOUR, {}

        def read_at(at):
            reads[at] = figures(queries.load_settled_balance(balance.owner, at=at).snapshot())

        def pin(at):
            return hold(balance, 50, at=at, expires_in=30 * HOUR)

        acts = {
            1: lambda at: deduct(balance, 20, at=at),
            2: pin,
            4: lambda at: make_balance(balance.owner, grants=[(10, DAY)], at=at),
            5: lambda at: owe(balance, 200, at=at),
            6: lambda at: make_balance(balance.owner, grants=[(290, None)], at=at),
            8: lambda at: capture(pin(at), 20, at=at),
        }
        for turn in range(14):
            at = NOON + turn * step
            if turn in acts:
                read_at(at - MICROSECOND)
                acts[turn](at)
            read_at(at)

        assert len({tuple(read.values()) for read in reads.values()}) >= 8
        assert {at: balance_at(balance, at) for at in reads} == reads


class TestGetTransactionHistory:
    def test_history_is_newest_first(self):
        balance = make_balance()
        deduct(balance, 1)
        deduct(balance, 2)

        assert [each.amount for each in queries.get_transaction_history(owner=balance.owner)] == [-2, -1, 100]

    def test_history_is_empty_without_a_balance(self):
        assert list(queries.get_transaction_history(owner=make_user())) == []

    def test_history_contains_one_owner_only(self):
        balance, other = make_balance(), make_balance()
        deduct(other, 1)

        assert [each.balance_id for each in queries.get_transaction_history(owner=balance.owner)] == [balance.pk]


class TestGetTransaction:
    def test_returns_the_transaction_with_its_entries(self):
        balance = make_balance(grants=[(10, DAY), (10, None)])
        spent = deduct(balance, 15)

        found = queries.get_transaction(transaction_id=spent.transaction.id)

        assert [(part.amount, part.grant.expires_at) for part in found.entries.all()] == [
            (-10, NOON + DAY),
            (-5, None),
        ]

    def test_transaction_of_another_owner_is_not_found(self):
        spent, other = deduct(make_balance(), 15), make_balance()

        with pytest.raises(operations.TransactionNotFoundError):
            queries.get_transaction(transaction_id=spent.transaction.id, visible=Q(balance_id=other.pk))


class TestPrices:
    def test_returns_the_price_in_force_of_each_feature(self):
        found = queries.prices(["simple-ai-insight", "ai-generated-report", "nothing"], at=NOON)

        assert {code: price.credits for code, price in found.items()} == {
            "simple-ai-insight": 9,
            "ai-generated-report": 40,
        }

    def test_has_no_price_before_the_first_one(self):
        assert queries.prices(["simple-ai-insight"], at=datetime.fromisoformat("2019-12-31T23:59:59Z")) == {}


class TestDueBalances:
    def test_returns_balances_with_expired_credits_or_lapsed_holds_by_id(self):
        fleeting, lasting, pinned = make_balance(grants=[(1, DAY)]), make_balance(), make_balance()
        hold(pinned, 1, expires_in=DAY)

        due = queries.due_balances(at=NOON + DAY, after=None, limit=10)

        assert due == sorted([fleeting.pk, pinned.pk])
        assert queries.due_balances(at=NOON + DAY - MICROSECOND, after=None, limit=10) == []
        assert queries.due_balances(at=NOON + DAY, after=due[0], limit=10) == due[1:]
        assert queries.due_balances(at=NOON + DAY, after=None, limit=1) == due[:1]
        assert lasting.pk not in due
