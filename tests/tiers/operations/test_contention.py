"""Real threads, real commits. Take the lock of the balance away and these fail."""

from functools import partial

import pytest
from django.core.management import call_command

from credits.models import CreditBalance
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.factories.tiers import (
    changes_of,
    many_subscribed,
    month,
    periods_of,
    run_over,
    subscribed,
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


class TestAllocationUnderContention:
    def test_of_two_runs_gives_every_period_once(self):
        balances = many_subscribed(30)

        run_concurrently([lambda: run_command(month(2))] * 2)

        assert [periods_of(balance) for balance in balances] == [[(1, 400), (2, 400)]] * 30
        assert sum(run.allocated for run in AllocationRun.objects.all()) == 60
        check_ledger()

    def test_of_one_chunk_by_many_gives_every_period_once(self):
        balances = many_subscribed(5)

        done = run_concurrently([lambda: run_over(balances, at=month(1))] * 6)

        assert sorted(totals.subscriptions for totals in done) == [0, 0, 0, 0, 0, 5]
        assert [periods_of(balance) for balance in balances] == [[(1, 400)]] * 5

    def test_beside_deductions_loses_neither(self):
        balances = many_subscribed(4)

        def spend(balance):
            for _ in range(10):
                deduct(balance, 9, at=month(1))

        run_concurrently([partial(run_over, balances, at=month(1)), *(partial(spend, balance) for balance in balances)])

        assert [CreditBalance.objects.get(pk=b.pk).balance for b in balances] == [800 - 90] * 4
        assert [periods_of(balance) for balance in balances] == [[(1, 400)]] * 4
        check_ledger()

    def test_on_request_beside_the_command_gives_the_period_once(self):
        balances = many_subscribed(10)

        def ask_for_each():
            return [
                operations.add_monthly_allocation(owner=balance.owner, at=month(1)).allocated
                for balance in sorted(balances, key=lambda balance: balance.pk)
            ]

        run, asked = run_concurrently([lambda: run_over(balances, at=month(1)), ask_for_each])

        assert run.allocated.total() + asked.count(True) == 10
        assert [periods_of(balance) for balance in balances] == [[(1, 400)]] * 10
        assert {subscription_of(balance).next_period for balance in balances} == {2}
        check_ledger()

    def test_on_request_by_many_gives_the_period_once(self):
        balance = subscribed()

        done = run_concurrently([lambda: operations.add_monthly_allocation(owner=balance.owner, at=month(1))] * 6)

        assert [result.allocated for result in done].count(True) == 1
        assert len({result.transaction.pk for result in done}) == 1
        assert periods_of(balance) == [(1, 400)]


class TestTierChangeUnderContention:
    """At the half of a period of thirty days: from Explorer to Growth the difference is 800."""

    HALF = month(1) + 15 * DAY

    def change(self, balance, tier="growth", **asked):
        return operations.update_subscription_tier(
            owner=balance.owner, tier=tier, at=self.HALF, **{"proration": "difference", **asked}
        )

    def test_by_many_gives_the_difference_once(self):
        balance = subscribed()

        done = run_concurrently([partial(self.change, balance)] * 6)

        assert sorted(result.transaction.amount for result in done if result.transaction) == [800]
        assert changes_of(balance) == [(1, "explorer", "growth", 800)]
        check_ledger()

    def test_to_several_tiers_gives_no_more_than_the_highest_brings(self):
        balance = subscribed()

        run_concurrently(
            [partial(self.change, balance, tier) for tier in ("pro", "growth", "explorer", "enterprise") * 2]
        )

        # However they fell, Enterprise was among them: half of 20,000 less 400, up to a credit of rounding for each.
        given = sum(given for *_, given in changes_of(balance))
        assert 9_800 - 8 <= given <= 9_800
        assert balance.tier_changes.count() == subscription_of(balance).changes
        check_ledger()

    @pytest.mark.parametrize("late", [month(1) + 15 * DAY, month(2) - DAY])
    def test_beside_an_allocation_keeps_to_the_highest_tier(self, late):
        balances = many_subscribed(8)

        def allocate(balance):
            return operations.add_monthly_allocation(owner=balance.owner, at=self.HALF)

        run_concurrently(
            [partial(self.change, balance) for balance in balances[:4]]
            + [partial(allocate, balance) for balance in balances[:4]]
            + [partial(self.change, balance) for balance in balances[4:]]
            + [partial(run_over, balances[4:], late)]
        )

        for balance in balances:
            [(period, allocated)] = periods_of(balance)
            [(*_, prorated)] = changes_of(balance)
            # The month came before the change, or after it.
            assert (period, allocated, prorated) in {(1, 400, 800), (1, 1200, 800), (1, 2000, 0), (1, 400, 53)}
            assert allocated + prorated <= 2000
        check_ledger()

    def test_beside_a_cancellation_lets_the_first_have_its_way(self):
        balances = many_subscribed(6)
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

    def test_is_cancelled_by_one_of_many(self):
        balance = subscribed()
        self.change(balance, "pro", effective="nextPeriod", proration="none")

        outcomes = run_concurrently(
            [partial(operations.cancel_scheduled_change, owner=balance.owner, at=self.HALF) for _ in range(6)]
        )

        assert outcomes.count("no_scheduled_change") == 5
        assert CreditBalance.objects.get(pk=balance.pk).version == 3

    def test_that_was_scheduled_is_written_once_by_whoever_meets_it(self):
        balances = many_subscribed(6)
        for balance in balances:
            self.change(balance, "pro", effective="nextPeriod", proration="none")

        def allocate(balance):
            return operations.add_monthly_allocation(owner=balance.owner, at=month(2))

        run_concurrently(
            [partial(run_over, balances, month(2))] * 2 + [partial(allocate, balance) for balance in balances]
        )

        for balance in balances:
            assert changes_of(balance) == [(2, "explorer", "pro", 0)]
            assert periods_of(balance) == [(1, 400), (2, 7000)]
        check_ledger()


class TestInitializeBalanceUnderContention:
    # The first opening of a balance keeps them apart by itself; on one that is there already only its lock does.
    @pytest.mark.parametrize("earlier", [[], [50]])
    def test_lets_one_win(self, earlier):
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
        assert subscription_of(balance).tier_id == won.alongside["tier"]

    def test_answers_all_alike_under_one_key(self):
        owner = make_user()

        done = run_concurrently(
            [lambda: operations.initialize_balance(owner=owner, tier="pro", idempotency_key="k", at=NOON)] * 6
        )

        assert [result.replayed for result in done].count(False) == 1
        assert len({(result.transaction.pk, result.after) for result in done}) == 1
