from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from credits import operations as ledger
from credits import queries
from fluxori.core.errors import DomainError
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.factories.tiers import (
    APRIL,
    MID_APRIL,
    change_tier,
    make_expiring_tier,
    make_subscribed_balance,
    month,
    periods_of,
    run_allocation,
    subscription_of,
)
from tests.support.tier_tables import assert_nothing_written, check_ledger
from tests.support.times import DAY, NOON, SECOND
from tiers import operations
from tiers.models import MonthlyAllocation, Subscription
from tiers.operations import add_monthly_allocation

MICROSECOND = timedelta(microseconds=1)

pytestmark = pytest.mark.django_db


def allocate(balance, at=NOON + DAY, **arguments):
    return add_monthly_allocation(owner=balance.owner, at=at, **arguments)


class TestAddMonthlyAllocation:
    def test_grants_the_credits_of_the_tier_with_reason_and_actor(self):
        balance = make_subscribed_balance(initial_balance=0)

        result = allocate(balance, reason="Welcome back", actor=(staff := make_user()))

        assert result.allocated
        assert (result.balance.balance, result.transaction.amount, result.transaction.type) == (400, 400, "allocation")
        assert (result.transaction.details.reason, result.transaction.details.actor_id) == ("Welcome back", staff.pk)
        assert result.transaction.details.description == "Explorer: 3 March 2025 to 3 April 2025"
        assert periods_of(balance) == [(0, 400)]
        assert subscription_of(balance).next_period == 1
        check_ledger()

    @pytest.mark.parametrize("at", [NOON, NOON + DAY, month(1) - MICROSECOND])
    def test_initial_allocation_is_that_of_period_0(self, at):
        balance = make_subscribed_balance()

        with assert_nothing_written():
            result = allocate(balance, at=at)

        assert (result.allocated, result.transaction, result.balance.balance) == (False, None, 400)
        assert allocate(balance, at=month(1)).balance.balance == 800

    @pytest.mark.parametrize(("initial", "added"), [(0, 400), (100, 300), (399, 1), (400, 0), (1000, 0)])
    def test_period_0_pays_what_the_initial_allocation_did_not_give(self, initial, added):
        balance = make_subscribed_balance(initial_balance=initial)

        results = [allocate(balance, at=NOON + DAY) for _ in range(2)]

        assert [result.balance.balance for result in results] == [initial + added] * 2
        assert [result.allocated for result in results] == [added > 0, False]
        check_ledger()

    def test_period_0_subtracts_the_initial_allocation_and_prorations(self):
        balance = make_subscribed_balance(at=APRIL)
        change_tier(balance, "growth", at=MID_APRIL, proration="difference")

        result = allocate(balance, at=MID_APRIL)

        # 2000 of the larger tier, less 400 at the start and 800 for half of the period.
        assert (result.transaction.amount, result.balance.balance) == (800, 2000)
        check_ledger()

    def test_period_0_pays_the_difference_after_a_change_to_a_larger_tier(self):
        balance = make_subscribed_balance()
        allocate(balance)
        change_tier(balance, "growth", at=NOON + DAY)

        assert allocate(balance, at=NOON + DAY).balance.balance == 2000
        check_ledger()

    def test_replays_that_the_initial_allocation_gave_everything(self):
        balance = make_subscribed_balance()
        first = allocate(balance, idempotency_key="k")
        change_tier(balance, "growth", at=NOON + DAY)

        repeated = allocate(balance, idempotency_key="k")

        assert (repeated.replayed, repeated.allocated, repeated.balance) == (True, False, first.balance)

    @pytest.mark.parametrize(("at", "period"), [(month(1) - SECOND, 0), (month(1), 1), (month(2) - SECOND, 1)])
    def test_allocates_the_period_that_contains_the_instant(self, at, period):
        balance = make_subscribed_balance(initial_balance=0)

        allocate(balance, at=at)

        given = balance.allocations.get()
        assert (given.period, given.starts_at, given.ends_at) == (
            period,
            month(period),
            month(period + 1),
        )
        assert (given.allocated_at, given.run_id) == (at, None)

    def test_allocation_of_the_next_period_advances_next_allocation_at(self):
        balance = make_subscribed_balance()

        result = allocate(balance, at=month(1))

        assert subscription_of(balance).next_period == 2
        assert result.tier_facts.to_json() == {
            "tier": "explorer",
            "pending_tier": None,
            "next_allocation_at": month(2).isoformat(),
            "paused_at": None,
        }
        assert result.allocated

    def test_missed_periods_are_left_to_the_monthly_run(self):
        balance = make_subscribed_balance()

        allocate(balance, at=month(3))
        assert subscription_of(balance).next_period == 1
        run_allocation([balance], at=month(3))

        assert periods_of(balance) == [(1, 400), (2, 400), (3, 400)]

    def test_credits_of_a_none_policy_expire_with_the_period(self):
        make_expiring_tier()
        balance = make_subscribed_balance(tier="fleeting")

        result = allocate(balance, at=month(2) - SECOND)

        assert result.balance.next_expiry == (100, month(2))
        assert queries.get_balance(owner=balance.owner, at=month(2)).available == 0

    def test_instant_is_at_least_the_last_change_of_the_balance(self):
        balance = make_subscribed_balance()
        make_balance(balance.owner, at=month(1))

        allocate(balance, at=month(1) - SECOND)

        assert periods_of(balance) == [(1, 400)]


class TestAddMonthlyAllocationRepeated:
    def test_returns_the_first_transaction_and_writes_nothing(self):
        balance = make_subscribed_balance(initial_balance=0)
        first = allocate(balance)
        deduct(balance, 100, at=NOON + DAY)

        with assert_nothing_written():
            repeated = allocate(balance, at=month(1) - SECOND)

        assert (repeated.allocated, repeated.replayed) == (False, False)
        assert (repeated.transaction, repeated.balance.balance) == (first.transaction, 300)
        assert [(part.amount, part.position) for part in repeated.transaction.entries] == [(400, 0)]

    def test_allocates_each_period_once(self):
        balance = make_subscribed_balance(initial_balance=0)

        given = [allocate(balance, at=month(k) + DAY).allocated for k in (0, 0, 1, 1, 1, 2, 2)]

        assert given == [True, False, True, False, False, True, False]
        assert periods_of(balance) == [(0, 400), (1, 400), (2, 400)]

    def test_returns_the_transaction_of_the_monthly_run(self):
        balance = make_subscribed_balance()
        run_allocation([balance], at=month(1))

        repeated = allocate(balance, at=month(1) + DAY)

        assert not repeated.allocated
        assert repeated.transaction.id == balance.allocations.get().transaction_id

    def test_replays_its_result_for_the_same_key(self):
        balance = make_subscribed_balance(initial_balance=0)
        first = allocate(balance, idempotency_key="march")
        deduct(balance, 100, at=NOON + DAY)

        with assert_nothing_written():
            repeated = allocate(balance, at=month(1), idempotency_key="march")

        assert (repeated.replayed, repeated.allocated) == (True, True)
        assert (repeated.balance, repeated.tier_facts, repeated.transaction) == (
            first.balance,
            first.tier_facts,
            first.transaction,
        )

    def test_repetition_with_a_new_key_is_stored_under_that_key(self):
        balance = make_subscribed_balance(initial_balance=0)
        first = allocate(balance)

        rejected = allocate(balance, idempotency_key="late")
        later = allocate(balance, at=month(1), idempotency_key="late")

        assert (rejected.allocated, rejected.replayed, rejected.transaction) == (False, False, first.transaction)
        assert (later.allocated, later.replayed, later.transaction) == (False, True, first.transaction)
        assert periods_of(balance) == [(0, 400)]


class TestAddMonthlyAllocationRejects:
    def test_a_balance_without_a_tier(self):
        balance = make_balance()

        with assert_nothing_written(), pytest.raises(operations.NoSubscriptionError) as error:
            allocate(balance)

        assert error.value.code == "no_subscription"

    def test_an_ended_subscription(self):
        balance = make_subscribed_balance()
        operations.end_subscription(owner=balance.owner, at=NOON)

        with assert_nothing_written(), pytest.raises(operations.SubscriptionEndedError):
            allocate(balance)

    def test_errors_in_the_documented_order(self):
        nobody, balance = make_user(), make_balance(idempotency_key="taken")
        call: dict[str, Any] = {"owner": nobody, "reason": "x" * 501, "idempotency_key": "taken", "at": NOON}
        corrections: list[tuple[dict[str, Any], type[DomainError]]] = [
            ({}, ledger.InvalidArgumentError),
            ({"reason": ""}, ledger.BalanceNotFoundError),
            ({"owner": balance.owner}, ledger.IdempotencyKeyReusedError),
            ({"idempotency_key": "new"}, operations.NoSubscriptionError),
        ]

        for correction, expected in corrections:
            call |= correction
            with assert_nothing_written(), pytest.raises(expected):
                add_monthly_allocation(**call)


class TestMonthlyAllocation:
    def test_period_is_unique_per_balance(self):
        balance = make_subscribed_balance(initial_balance=0)
        allocate(balance)
        given = balance.allocations.get()

        with pytest.raises(IntegrityError, match="tiers_allocation_unique_period"), transaction.atomic():
            MonthlyAllocation.objects.create(
                balance=balance,
                period=0,
                tier_id="pro",
                credits=0,
                starts_at=NOON,
                ends_at=month(1),
                allocated_at=NOON,
            )

        assert balance.allocations.get() == given

    @pytest.mark.parametrize("change", [lambda rows: rows.update(credits=1), lambda rows: rows.delete()])
    def test_row_is_immutable(self, change):
        balance = make_subscribed_balance(initial_balance=0)
        allocate(balance)

        with assert_nothing_written(), pytest.raises(DatabaseError), transaction.atomic():
            change(MonthlyAllocation.objects.all())

    def test_anchor_is_immutable(self):
        balance = make_subscribed_balance()

        with assert_nothing_written(), pytest.raises(DatabaseError), transaction.atomic():
            Subscription.objects.filter(pk=balance.pk).update(anchor=NOON - DAY)
