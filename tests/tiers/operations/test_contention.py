"""Real threads, real commits. Take the lock of the balance away and these fail."""

from functools import partial

import pytest
from django.core.management import call_command

from credits.models import CreditBalance
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.factories.tiers import (
    changes_of,
    make_subscribed_balance,
    make_subscribed_balances,
    month,
    periods_of,
    run_allocation,
    subscription_of,
)
from tests.support.threads import run_concurrently
from tests.support.tier_tables import check_ledger
from tests.support.times import DAY, NOON
from tiers import operations
from tiers.models import AllocationRun

pytestmark = pytest.mark.django_db(transaction=True)


def run_command(at):
    call_command("allocate_monthly_credits", at=at, chunk=3, verbosity=0)


class TestConcurrentAllocation:
    def test_two_runs_allocate_each_period_once(self):
        balances = make_subscribed_balances(30)

        run_concurrently([lambda: run_command(month(2))] * 2)

        assert [periods_of(balance) for balance in balances] == [[(1, 400), (2, 400)]] * 30
        assert sum(run.allocated for run in AllocationRun.objects.all()) == 60
        check_ledger()

    def test_many_threads_on_one_chunk_allocate_each_period_once(self):
        balances = make_subscribed_balances(5)

        result = run_concurrently([lambda: run_allocation(balances, at=month(1))] * 6)

        assert sorted(totals.subscriptions for totals in result) == [0, 0, 0, 0, 0, 5]
        assert [periods_of(balance) for balance in balances] == [[(1, 400)]] * 5

    def test_concurrent_deductions_lose_nothing(self):
        balances = make_subscribed_balances(4)

        def spend(balance):
            for _ in range(10):
                deduct(balance, 9, at=month(1))

        run_concurrently(
            [
                partial(run_allocation, balances, at=month(1)),
                *(partial(spend, balance) for balance in balances),
            ]
        )

        assert [CreditBalance.objects.get(pk=b.pk).balance for b in balances] == [800 - 90] * 4
        assert [periods_of(balance) for balance in balances] == [[(1, 400)]] * 4
        check_ledger()

    def test_request_and_command_allocate_the_period_once(self):
        balances = make_subscribed_balances(10)

        def ask_for_each():
            return [
                operations.add_monthly_allocation(owner=balance.owner, at=month(1)).allocated
                for balance in sorted(balances, key=lambda balance: balance.pk)
            ]

        run, arguments = run_concurrently([lambda: run_allocation(balances, at=month(1)), ask_for_each])

        assert run.allocated.total() + arguments.count(True) == 10
        assert [periods_of(balance) for balance in balances] == [[(1, 400)]] * 10
        assert {subscription_of(balance).next_period for balance in balances} == {2}
        check_ledger()

    def test_many_requests_allocate_the_period_once(self):
        balance = make_subscribed_balance()

        result = run_concurrently([lambda: operations.add_monthly_allocation(owner=balance.owner, at=month(1))] * 6)

        assert [result.allocated for result in result].count(True) == 1
        assert len({result.transaction.id for result in result}) == 1
        assert periods_of(balance) == [(1, 400)]


class TestConcurrentTierChange:
    """At the half of a period of thirty days: from Explorer to Growth the difference is 800."""

    HALF = month(1) + 15 * DAY

    def change(self, balance, tier="growth", **arguments):
        return operations.update_subscription_tier(
            owner=balance.owner, tier=tier, at=self.HALF, **{"proration": "difference", **arguments}
        )

    def test_many_changes_grant_the_difference_once(self):
        balance = make_subscribed_balance()

        result = run_concurrently([partial(self.change, balance)] * 6)

        assert sorted(result.transaction.amount for result in result if result.transaction) == [800]
        assert changes_of(balance) == [(1, "explorer", "growth", 800)]
        check_ledger()

    def test_changes_to_several_tiers_stay_within_the_highest(self):
        balance = make_subscribed_balance()

        run_concurrently(
            [partial(self.change, balance, tier) for tier in ("pro", "growth", "explorer", "enterprise") * 2]
        )

        # However they fell, Enterprise was among them: half of 20,000 less 400, up to a credit of rounding for each.
        given = sum(given for *_, given in changes_of(balance))
        assert 9_800 - 8 <= given <= 9_800
        assert balance.tier_changes.count() == subscription_of(balance).changes
        check_ledger()

    @pytest.mark.parametrize("late", [month(1) + 15 * DAY, month(2) - DAY])
    def test_change_and_allocation_stay_within_the_highest_tier(self, late):
        balances = make_subscribed_balances(8)

        def allocate(balance):
            return operations.add_monthly_allocation(owner=balance.owner, at=self.HALF)

        run_concurrently(
            [partial(self.change, balance) for balance in balances[:4]]
            + [partial(allocate, balance) for balance in balances[:4]]
            + [partial(self.change, balance) for balance in balances[4:]]
            + [partial(run_allocation, balances[4:], late)]
        )

        for balance in balances:
            [(period, allocated)] = periods_of(balance)
            [(*_, prorated)] = changes_of(balance)
            # The month came before the change, or after it.
            assert (period, allocated, prorated) in {(1, 400, 800), (1, 1200, 800), (1, 2000, 0), (1, 400, 53)}
            assert allocated + prorated <= 2000
        check_ledger()

    def test_first_of_change_and_cancellation_wins(self):
        balances = make_subscribed_balances(6)
        for balance in balances:
            self.change(balance, "pro", effective="nextPeriod", proration="none")

        def cancel(balance):
            return operations.cancel_scheduled_change(owner=balance.owner, at=self.HALF)

        outcomes = run_concurrently(
            [partial(cancel, balance) for balance in balances] + [partial(self.change, balance) for balance in balances]
        )

        # A cancellation that came second found nothing left to cancel; the change happened all the same.
        assert {outcome if isinstance(outcome, str) else "cancelled" for outcome in outcomes[:6]} <= {
            "cancelled",
            "no_scheduled_change",
        }
        for balance in balances:
            kept = subscription_of(balance)
            assert (kept.tier_id, kept.scheduled_tier_id, kept.changes) == ("growth", None, 1)
        check_ledger()

    def test_one_of_many_cancellations_succeeds(self):
        balance = make_subscribed_balance()
        self.change(balance, "pro", effective="nextPeriod", proration="none")

        outcomes = run_concurrently(
            [partial(operations.cancel_scheduled_change, owner=balance.owner, at=self.HALF) for _ in range(6)]
        )

        assert outcomes.count("no_scheduled_change") == 5
        assert CreditBalance.objects.get(pk=balance.pk).version == 3

    def test_scheduled_change_is_stored_once(self):
        balances = make_subscribed_balances(6)
        for balance in balances:
            self.change(balance, "pro", effective="nextPeriod", proration="none")

        def allocate(balance):
            return operations.add_monthly_allocation(owner=balance.owner, at=month(2))

        run_concurrently(
            [partial(run_allocation, balances, month(2))] * 2 + [partial(allocate, balance) for balance in balances]
        )

        for balance in balances:
            assert changes_of(balance) == [(2, "explorer", "pro", 0)]
            assert periods_of(balance) == [(1, 400), (2, 7000)]
        check_ledger()


class TestConcurrentEnds:
    def test_one_of_many_ends_succeeds_and_missed_periods_are_allocated_once(self):
        balance = make_subscribed_balance()

        outcomes = run_concurrently(
            [partial(operations.end_subscription, owner=balance.owner, at=month(2) + DAY) for _ in range(4)]
            + [partial(run_allocation, [balance], month(2))] * 2
        )

        assert outcomes[:4].count("subscription_ended") == 3
        assert periods_of(balance) == [(1, 400), (2, 400)]
        check_ledger()

    def test_one_of_many_pauses_succeeds(self):
        balance = make_subscribed_balance()

        outcomes = run_concurrently(
            [partial(operations.pause_subscription, owner=balance.owner, at=month(1)) for _ in range(4)]
        )

        assert outcomes.count("already_paused") == 3
        assert balance.tier_changes.count() == 1


class TestConcurrentInitializeBalance:
    # The first opening of a balance keeps them apart by itself; on one that is there already only its lock does.
    @pytest.mark.parametrize("earlier", [[], [50]])
    def test_one_of_many_initializations_succeeds(self, earlier):
        owner = make_user()
        for amount in earlier:
            make_balance(owner, grants=[(amount, None)])

        def initialize(tier):
            return operations.initialize_balance(owner=owner, tier=tier, at=NOON)

        outcomes = run_concurrently([partial(initialize, tier) for tier in ("pro", "growth") * 3])

        assert outcomes.count("balance_exists") == 5
        [won] = [outcome for outcome in outcomes if outcome != "balance_exists"]
        balance = CreditBalance.objects.get(pk=owner.pk)
        assert (balance.balance, balance.sequence) == (sum(earlier) + won.transaction.amount, len(earlier) + 1)
        assert subscription_of(balance).tier_id == won.tier_facts.tier

    def test_same_key_returns_the_same_result_to_all(self):
        owner = make_user()

        result = run_concurrently(
            [lambda: operations.initialize_balance(owner=owner, tier="pro", idempotency_key="k", at=NOON)] * 6
        )

        assert [result.replayed for result in result].count(False) == 1
        assert len({(result.transaction.id, result.balance) for result in result}) == 1
