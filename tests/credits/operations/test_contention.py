"""Many callers at once, each with a connection of its own. Take the lock of the balance away and these fail."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connection

from credits import operations
from credits.models import CreditBalance
from credits.verification import verify_balance
from fluxori.core.errors import DomainError
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.factories.identity import MembershipFactory, OrganizationFactory
from tests.support.operations import check_sums
from tests.support.times import DAY, NOON

CALLERS = 8

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(acts: Iterable[Callable[[], Any]]) -> list[Any]:
    """Run the acts side by side, in waves that start together, and return what each gave or refused with."""
    acts = list(acts)
    start = Barrier(CALLERS)
    assert len(acts) % CALLERS == 0

    def run(act):
        try:
            start.wait(timeout=30)
            return act()
        except DomainError as refusal:
            return refusal.code
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=CALLERS) as pool:
        return list(pool.map(run, acts))


def sound(balance):
    check_sums(balance)
    assert verify_balance(balance.pk).differences == ()


class TestDeductCreditsUnderContention:
    def test_never_spends_a_credit_twice(self):
        balance = make_balance(grants=[(3, DAY), (7, None)])

        outcomes = at_once([lambda: deduct(balance, 1) and "paid"] * (3 * CALLERS))

        assert (outcomes.count("paid"), outcomes.count("insufficient_credits")) == (10, 14)
        check_sums(balance)
        assert (balance.balance, balance.sequence) == (0, 12)

    def test_moves_credits_once_for_one_key(self):
        balance = make_balance()

        recorded = at_once([lambda: deduct(balance, 10, idempotency_key="k")] * (2 * CALLERS))

        assert len({said.pk for said in recorded}) == 1
        assert [said.replayed for said in recorded].count(False) == 1
        assert {said.after.balance for said in recorded} == {90}
        check_sums(balance)
        assert balance.balance == 90

    def test_refuses_all_but_one_of_different_requests_with_one_key(self):
        balance = make_balance()

        def one(amount):
            return lambda: deduct(balance, amount, idempotency_key="k") and "paid"

        outcomes = at_once([one(amount) for amount in range(1, CALLERS + 1)])

        assert (outcomes.count("paid"), outcomes.count("idempotency_key_reused")) == (1, CALLERS - 1)
        check_sums(balance)

    def test_answers_batches_and_single_requests_of_one_balance_in_turn(self):
        balance = make_balance(grants=[(200, None)])
        batch = [operations.Deduction(amount=2, description="Spent in a test")] * 5

        at_once(
            [
                lambda: operations.deduct_many(owner=balance.owner, deductions=batch, at=NOON),
                lambda: deduct(balance, 1),
            ]
            * CALLERS
        )

        check_sums(balance)
        assert (balance.balance, balance.sequence) == (200 - 8 * 10 - 8, 1 + 8 * 5 + 8)


class TestAddCreditsUnderContention:
    def test_opens_a_balance_once(self):
        owner = make_user()

        def add():
            return operations.add_credits(owner=owner, amount=5, type="purchase", at=NOON)

        recorded = at_once([add] * CALLERS)

        balance = CreditBalance.objects.get()
        assert sorted(said.balance_after for said in recorded) == [5 * n for n in range(1, CALLERS + 1)]
        check_sums(balance)
        assert balance.balance == 5 * CALLERS

    def test_adds_once_for_one_key_though_the_balance_is_new(self):
        owner = make_user()

        def add():
            return operations.add_credits(owner=owner, amount=5, type="purchase", at=NOON, idempotency_key="k")

        recorded = at_once([add] * CALLERS)

        assert len({said.pk for said in recorded}) == 1
        check_sums(CreditBalance.objects.get())


class TestExpireCreditsUnderContention:
    def test_expires_what_was_not_spent_and_nothing_twice(self):
        balance = make_balance(grants=[(40, DAY), (40, None)])

        def sweep():
            return operations.expire_credits(balance_ids=[balance.pk], at=NOON + DAY)["credits"]

        outcomes = at_once([sweep, lambda: deduct(balance, 3, at=NOON)] * CALLERS)

        check_sums(balance)
        expired = [number for number in outcomes if isinstance(number, int) and number > 0]
        spent = -sum(said.amount for said in balance.transactions.filter(type="usage"))
        assert len(expired) == 1
        assert balance.transactions.filter(type="expiry").count() == 1
        assert balance.balance == 80 - spent - expired[0]
        assert balance.grants.get(expires_at=NOON + DAY).remaining == 0

    def test_of_many_balances_does_not_deadlock(self):
        balances = [make_balance(grants=[(1, DAY)]) for _ in range(6)]
        ids = [balance.pk for balance in balances]

        def sweep(order):
            return operations.expire_credits(balance_ids=ids[::order], at=NOON + DAY)["balances"]

        outcomes = at_once([lambda: sweep(1), lambda: sweep(-1)] * CALLERS)

        assert sum(outcomes) == 6
        for balance in balances:
            check_sums(balance)


class TestLimitsUnderContention:
    """Many spend at once within a limit: what it allows goes through, and not a credit more."""

    def test_let_exactly_the_amount_through(self):
        balance = make_balance(grants=[(1000, None)])
        operations.set_limit(owner=balance.owner, amount=100, period="day", at=NOON)

        outcomes = at_once([lambda: deduct(balance, 5) and "paid"] * (5 * CALLERS))

        assert (outcomes.count("paid"), outcomes.count("spending_limit_reached")) == (20, 20)
        assert balance.limits.get().used == 100
        sound(balance)

    def test_count_holds_and_deductions_together(self):
        balance = make_balance(grants=[(1000, None)])
        operations.set_limit(owner=balance.owner, amount=100, period="month", at=NOON)

        def place():
            return operations.place_hold(owner=balance.owner, amount=5, description="Work", at=NOON) and "held"

        def capture():
            placed = operations.place_hold(owner=balance.owner, amount=5, description="Work", at=NOON)
            return operations.capture_hold(hold_id=placed.hold.id, at=NOON) and "captured"

        outcomes = at_once([place, capture, lambda: deduct(balance, 5) and "paid", capture] * (2 * CALLERS))

        assert outcomes.count("spending_limit_reached") == 8 * CALLERS - 20
        assert balance.limits.get().used == 100
        sound(balance)

    def test_share_a_pool_between_its_members(self):
        organization = OrganizationFactory.create()
        members = [MembershipFactory.create(organization=organization).user for _ in range(2)]
        balance = make_balance(organization, grants=[(1000, None)])
        operations.set_limit(owner=organization, amount=100, period="day", at=NOON)
        for member in members:
            operations.set_limit(owner=organization, amount=60, period="day", member=member, at=NOON)

        acts = [lambda who=who: deduct(balance, 5, member=who) and who.pk for who in members]
        outcomes = at_once(acts * (3 * CALLERS))

        assert sum(outcomes.count(member.pk) for member in members) == 20
        assert all(8 <= outcomes.count(member.pk) <= 12 for member in members)
        assert [balance.limits.get(member=member).used for member in members] == [
            5 * outcomes.count(member.pk) for member in members
        ]
        sound(balance)

    def test_set_at_once_are_one_with_the_amount_of_one_of_them(self):
        balance = make_balance()
        deduct(balance, 7)

        def cap(amount):
            return lambda: operations.set_limit(owner=balance.owner, amount=amount, period="day", at=NOON).limit

        outcomes = at_once([cap(10 + n) for n in range(2 * CALLERS)])

        assert len({limit.id for limit in outcomes}) == 1
        assert {limit.used for limit in outcomes} == {7}
        assert balance.limits.get().amount in {limit.amount for limit in outcomes}

    def test_set_while_others_spend_miss_nothing(self):
        balance = make_balance(grants=[(1000, None)])

        def cap():
            return operations.set_limit(owner=balance.owner, amount=10**6, period="day", at=NOON) and "set"

        spend = [lambda: deduct(balance, 1) and "paid"] * (CALLERS - 1)
        outcomes = at_once([cap, *spend] * 4)

        assert outcomes.count("paid") == balance.limits.get().used == 4 * (CALLERS - 1)
        sound(balance)

    def test_removed_at_once_are_removed_once(self):
        balance = make_balance()
        limit = operations.set_limit(owner=balance.owner, amount=10, period="day", at=NOON).limit

        outcomes = at_once([lambda: operations.remove_limit(limit_id=limit.id, at=NOON) and "removed"] * CALLERS)

        assert (outcomes.count("removed"), outcomes.count("limit_not_found")) == (1, CALLERS - 1)
