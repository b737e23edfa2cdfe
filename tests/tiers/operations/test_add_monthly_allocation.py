from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from credits import operations as ledger
from credits import queries
from fluxori.core.errors import DomainError
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.factories.tiers import fleeting, month, periods_of, run_over, subscribed, subscription_of
from tests.support.tier_tables import check_ledger, unwritten
from tests.support.times import DAY, NOON, SECOND
from tiers import operations
from tiers.models import MonthlyAllocation, Subscription
from tiers.operations import add_monthly_allocation

pytestmark = pytest.mark.django_db


def allocate(balance, at=NOON + DAY, **asked):
    return add_monthly_allocation(owner=balance.owner, at=at, **asked)


class TestAddMonthlyAllocation:
    def test_gives_the_first_period_beside_the_initial_allocation(self):
        balance = subscribed()

        done = allocate(balance, reason="Welcome back", actor=(staff := make_user()))

        assert done.allocated
        assert (done.after.balance, done.transaction.amount, done.transaction.type) == (800, 400, "allocation")
        assert (done.transaction.reason, done.transaction.actor_id) == ("Welcome back", staff.pk)
        assert done.transaction.description == "Explorer: 3 March 2025 to 3 April 2025"
        assert periods_of(balance) == [(0, 400)]
        assert subscription_of(balance).next_period == 1
        check_ledger()

    @pytest.mark.parametrize(("at", "period"), [(month(1) - SECOND, 0), (month(1), 1), (month(2) - SECOND, 1)])
    def test_gives_the_period_that_contains_the_instant(self, at, period):
        balance = subscribed()

        allocate(balance, at=at)

        given = balance.allocations.get()
        assert (given.period, given.starts_at, given.ends_at) == (period, month(period), month(period + 1))
        assert (given.allocated_at, given.run_id) == (at, None)

    def test_moves_the_next_allocation_on_when_it_was_the_next(self):
        balance = subscribed()

        done = allocate(balance, at=month(1))

        assert subscription_of(balance).next_period == 2
        assert done.alongside == {
            "tier": "explorer",
            "pending_tier": None,
            "next_allocation_at": month(2).isoformat(),
            "allocated": True,
        }

    def test_leaves_missed_periods_to_the_run(self):
        balance = subscribed()

        allocate(balance, at=month(3))
        assert subscription_of(balance).next_period == 1
        run_over([balance], at=month(3))

        assert periods_of(balance) == [(1, 400), (2, 400), (3, 400)]

    def test_gives_credits_that_expire_with_the_period_where_the_tier_says_so(self):
        fleeting()
        balance = subscribed(tier="fleeting")

        done = allocate(balance, at=month(2) - SECOND)

        assert done.after.next_expiry == (100, month(2))
        assert queries.get_balance(owner=balance.owner, at=month(2)).available == 0

    def test_follows_a_balance_that_is_ahead_of_the_clock(self):
        balance = subscribed()
        make_balance(balance.owner, at=month(1))

        allocate(balance, at=month(1) - SECOND)

        assert periods_of(balance) == [(1, 400)]


class TestAddMonthlyAllocationAgain:
    def test_answers_with_the_first_transaction_and_writes_nothing(self):
        balance = subscribed()
        first = allocate(balance)
        deduct(balance, 100, at=NOON + DAY)

        with unwritten():
            again = allocate(balance, at=month(1) - SECOND)

        assert (again.allocated, again.replayed) == (False, False)
        assert (again.transaction, again.after.balance) == (first.transaction, 700)
        assert [(part.amount, part.position) for part in again.transaction.entries.all()] == [(400, 0)]

    def test_keeps_to_one_for_every_period_however_often_it_is_asked(self):
        balance = subscribed()

        given = [allocate(balance, at=month(k) + DAY).allocated for k in (0, 0, 1, 1, 1, 2, 2)]

        assert given == [True, False, True, False, False, True, False]
        assert periods_of(balance) == [(0, 400), (1, 400), (2, 400)]

    def test_finds_what_the_run_has_given(self):
        balance = subscribed()
        run_over([balance], at=month(1))

        again = allocate(balance, at=month(1) + DAY)

        assert not again.allocated
        assert again.transaction.pk == balance.allocations.get().transaction_id

    def test_replays_its_own_answer_under_its_key(self):
        balance = subscribed()
        first = allocate(balance, idempotency_key="march")
        deduct(balance, 100, at=NOON + DAY)

        with unwritten():
            again = allocate(balance, at=month(1), idempotency_key="march")

        assert (again.replayed, again.allocated) == (True, True)
        assert (again.after, again.alongside, again.transaction) == (first.after, first.alongside, first.transaction)

    def test_remembers_under_a_new_key_that_nothing_was_given(self):
        balance = subscribed()
        first = allocate(balance)

        refused = allocate(balance, idempotency_key="late")
        later = allocate(balance, at=month(1), idempotency_key="late")

        assert (refused.allocated, refused.replayed, refused.transaction) == (False, False, first.transaction)
        assert (later.allocated, later.replayed, later.transaction) == (False, True, first.transaction)
        assert periods_of(balance) == [(0, 400)]


class TestAddMonthlyAllocationRefuses:
    def test_a_balance_without_a_tier(self):
        balance = make_balance()

        with unwritten(), pytest.raises(operations.NoSubscriptionError) as refusal:
            allocate(balance)

        assert refusal.value.code == "no_subscription"

    def test_a_cancelled_subscription(self):
        balance = subscribed()
        Subscription.objects.update(status="cancelled")

        with unwritten(), pytest.raises(operations.NoSubscriptionError):
            allocate(balance)

    def test_in_the_documented_order(self):
        nobody, balance = make_user(), make_balance(idempotency_key="taken")
        wrong: dict[str, Any] = {"owner": nobody, "reason": "x" * 501, "idempotency_key": "taken", "at": NOON}
        mended: list[tuple[dict[str, Any], type[DomainError]]] = [
            ({}, ledger.InvalidArgumentError),
            ({"reason": ""}, ledger.BalanceNotFoundError),
            ({"owner": balance.owner}, ledger.IdempotencyKeyReusedError),
            ({"idempotency_key": "new"}, operations.NoSubscriptionError),
        ]

        for mending, expected in mended:
            wrong |= mending
            with unwritten(), pytest.raises(expected):
                add_monthly_allocation(**wrong)


class TestMonthlyAllocation:
    def test_cannot_be_written_twice_for_one_period(self):
        balance = subscribed()
        allocate(balance)
        given = balance.allocations.get()

        with pytest.raises(IntegrityError, match="tiers_allocation_once"), transaction.atomic():
            MonthlyAllocation.objects.create(
                balance=balance, period=0, tier_id="pro", credits=0, starts_at=NOON, ends_at=month(1), allocated_at=NOON
            )

        assert balance.allocations.get() == given

    @pytest.mark.parametrize("change", [lambda rows: rows.update(credits=1), lambda rows: rows.delete()])
    def test_never_changes(self, change):
        balance = subscribed()
        allocate(balance)

        with unwritten(), pytest.raises(DatabaseError), transaction.atomic():
            change(MonthlyAllocation.objects.all())

    def test_is_counted_from_an_anchor_that_cannot_move(self):
        balance = subscribed()

        with unwritten(), pytest.raises(DatabaseError), transaction.atomic():
            Subscription.objects.filter(pk=balance.pk).update(anchor=NOON - DAY)
