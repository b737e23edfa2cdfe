"""Concurrent calls, each with its own connection. These tests fail without the lock of the balance.

Group commit serializes the deductions of one process even without the lock. Deductions therefore run in both ways:
through the group commit, and in a transaction of the caller, which goes past it as another process does. The insert of
a new balance also serializes calls, so requests with one key run on a new and on an existing balance.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from threading import Barrier
from typing import Any

import pytest
from django.db import connection, transaction

from credits import operations
from credits.models import CreditBalance
from fluxori.core.errors import DomainError
from tests.credits.operations.verbs import (
    add_credits,
    capture_hold,
    expire_credits,
    make_rich_balance,
    place_hold,
    remove_limit,
    set_limit,
)
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.factories.identity import MembershipFactory, OrganizationFactory
from tests.support.operations import check_balance, check_sums
from tests.support.times import DAY, NOON

CALLERS = 8

pytestmark = pytest.mark.django_db(transaction=True)

IN_BOTH_WAYS = pytest.mark.parametrize(
    "context", [nullcontext, transaction.atomic], ids=["group commit", "own transaction"]
)


def run_in_waves(calls: Iterable[Callable[[], Any]]) -> list[Any]:
    """Run the calls in waves of ``CALLERS`` that start together.

    Return, in their order, the result of each or the code of its ``DomainError``.
    """
    calls = list(calls)
    start = Barrier(CALLERS)
    assert len(calls) % CALLERS == 0

    def run(call: Callable[[], Any]) -> Any:
        try:
            start.wait(timeout=30)
            return call()
        except DomainError as error:
            return error.code
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=CALLERS) as pool:
        return list(pool.map(run, calls))


def paying(balance, amount, context=transaction.atomic, **arguments):
    def pay():
        with context():
            return deduct(balance, amount, **arguments) and "paid"

    return pay


class TestDeductCreditsUnderContention:
    @IN_BOTH_WAYS
    def test_never_spends_a_credit_twice(self, context):
        balance = make_balance(grants=[(3, DAY), (7, None)])

        outcomes = run_in_waves([paying(balance, 1, context)] * (3 * CALLERS))

        assert (outcomes.count("paid"), outcomes.count("insufficient_credits")) == (10, 14)
        check_balance(balance)
        assert (balance.balance, balance.sequence) == (0, 12)

    @IN_BOTH_WAYS
    def test_deducts_once_for_concurrent_requests_with_one_key(self, context):
        balance = make_balance()

        def pay():
            with context():
                return deduct(balance, 10, idempotency_key="k")

        results = run_in_waves([pay] * (2 * CALLERS))

        assert len({result.transaction.id for result in results}) == 1
        assert [result.replayed for result in results].count(False) == 1
        assert {result.balance.balance for result in results} == {90}
        check_balance(balance)
        assert balance.balance == 90

    @IN_BOTH_WAYS
    def test_accepts_one_of_several_different_requests_with_one_key(self, context):
        balance = make_balance()

        outcomes = run_in_waves(
            [paying(balance, amount, context, idempotency_key="k") for amount in range(1, CALLERS + 1)]
        )

        assert (outcomes.count("paid"), outcomes.count("idempotency_key_reused")) == (1, CALLERS - 1)
        check_balance(balance)


class TestDeductManyUnderContention:
    def test_loses_no_deduction_next_to_single_deductions(self):
        balance = make_balance(grants=[(200, None)])
        deductions = [operations.Deduction(amount=2, description="Spent in a test")] * 5

        run_in_waves(
            [
                lambda: operations.deduct_many(owner=balance.owner, deductions=deductions, at=NOON),
                paying(balance, 1),
            ]
            * CALLERS
        )

        check_balance(balance)
        assert (balance.balance, balance.sequence) == (200 - 8 * 10 - 8, 1 + 8 * 5 + 8)


class TestAddCreditsUnderContention:
    def test_opens_a_balance_once_and_loses_no_credits(self):
        user = make_user()

        results = run_in_waves([lambda: add_credits(user, 5)] * CALLERS)

        balance = CreditBalance.objects.get()
        assert sorted(result.transaction.balance_after for result in results) == [5 * n for n in range(1, CALLERS + 1)]
        check_balance(balance)
        assert balance.balance == 5 * CALLERS

    @pytest.mark.parametrize("existing", [0, 100], ids=["new balance", "existing balance"])
    def test_adds_once_for_concurrent_requests_with_one_key(self, existing):
        user = make_user()
        if existing:
            add_credits(user, existing)

        results = run_in_waves([lambda: add_credits(user, 5, idempotency_key="k")] * CALLERS)

        assert len({result.transaction.id for result in results}) == 1
        balance = CreditBalance.objects.get()
        check_balance(balance)
        assert balance.balance == existing + 5


class TestExpireCreditsUnderContention:
    def test_expires_once_what_concurrent_deductions_have_not_spent(self):
        balance = make_balance(grants=[(40, DAY), (40, None)])

        def expire():
            return expire_credits(balance, at=NOON + DAY)["credits"]

        outcomes = run_in_waves([expire, lambda: deduct(balance, 3, at=NOON)] * CALLERS)

        check_sums(balance)
        expired = [outcome for outcome in outcomes if isinstance(outcome, int) and outcome > 0]
        spent = -sum(usage.amount for usage in balance.transactions.filter(type="usage"))
        assert len(expired) == 1
        assert balance.transactions.filter(type="expiry").count() == 1
        assert balance.balance == 80 - spent - expired[0]
        assert balance.grants.get(expires_at=NOON + DAY).remaining == 0

    def test_does_not_deadlock_if_two_jobs_name_the_balances_in_opposite_order(self):
        balances = [make_balance(grants=[(1, DAY)]) for _ in range(6)]

        def expire(*ordered):
            return lambda: expire_credits(*ordered, at=NOON + DAY)["balances"]

        outcomes = run_in_waves([expire(*balances), expire(*reversed(balances))] * CALLERS)

        assert sum(outcomes) == 6
        for balance in balances:
            check_sums(balance)


class TestLimitsUnderContention:
    @IN_BOTH_WAYS
    def test_allow_exactly_the_amount_of_the_limit(self, context):
        balance = make_rich_balance()
        set_limit(balance, 100)

        outcomes = run_in_waves([paying(balance, 5, context)] * (5 * CALLERS))

        assert (outcomes.count("paid"), outcomes.count("spending_limit_reached")) == (20, 20)
        assert balance.limits.get().used == 100
        check_balance(balance)

    def test_count_holds_captures_and_deductions_together(self):
        balance = make_rich_balance()
        set_limit(balance, 100, "month")

        def place():
            return place_hold(balance, 5) and "held"

        def place_and_capture():
            return capture_hold(place_hold(balance, 5).hold) and "captured"

        outcomes = run_in_waves([place, place_and_capture, paying(balance, 5), place_and_capture] * (2 * CALLERS))

        assert outcomes.count("spending_limit_reached") == 8 * CALLERS - 20
        assert balance.limits.get().used == 100
        check_balance(balance)

    @IN_BOTH_WAYS
    def test_of_a_pool_and_of_its_members_both_hold(self, context):
        organization = OrganizationFactory.create()
        members = [MembershipFactory.create(organization=organization).user for _ in range(2)]
        balance = make_rich_balance(organization)
        set_limit(balance, 100)
        for member in members:
            set_limit(balance, 60, member=member)

        def pay_for(member):
            with context():
                return deduct(balance, 5, member=member) and member.pk

        calls = [partial(pay_for, member) for member in members]
        outcomes = run_in_waves(calls * (3 * CALLERS))

        assert sum(outcomes.count(member.pk) for member in members) == 20
        assert all(8 <= outcomes.count(member.pk) <= 12 for member in members)
        assert [balance.limits.get(member=member).used for member in members] == [
            5 * outcomes.count(member.pk) for member in members
        ]
        check_balance(balance)


class TestSetLimitUnderContention:
    def test_creates_one_limit_for_concurrent_calls(self):
        balance = make_balance()
        deduct(balance, 7)

        def setting(amount):
            return lambda: set_limit(balance, amount).limit

        limits = run_in_waves([setting(10 + n) for n in range(2 * CALLERS)])

        assert len({limit.id for limit in limits}) == 1
        assert {limit.used for limit in limits} == {7}
        assert balance.limits.get().amount in {limit.amount for limit in limits}

    def test_counts_every_concurrent_deduction(self):
        balance = make_rich_balance()

        spending = [paying(balance, 1)] * (CALLERS - 1)
        outcomes = run_in_waves([lambda: set_limit(balance, 10**6) and "set", *spending] * 4)

        assert outcomes.count("paid") == balance.limits.get().used == 4 * (CALLERS - 1)
        check_balance(balance)


class TestRemoveLimitUnderContention:
    def test_removes_a_limit_once(self):
        balance = make_balance()
        limit = set_limit(balance, 10).limit

        outcomes = run_in_waves([lambda: remove_limit(limit) and "removed"] * CALLERS)

        assert (outcomes.count("removed"), outcomes.count("limit_not_found")) == (1, CALLERS - 1)
