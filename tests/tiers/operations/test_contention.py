"""Real threads, real commits. Take the lock of the balance away and these fail."""

from functools import partial

import pytest
from django.core.management import call_command

from credits.models import CreditBalance
from tests.factories.credits import deduct, funded, somebody
from tests.factories.tiers import many_subscribed, month, periods_of, run_over, subscribed, subscription_of
from tests.tiers.tables import check_ledger
from tests.tiers.threads import at_once
from tests.times import NOON
from tiers import operations
from tiers.models import AllocationRun

pytestmark = pytest.mark.django_db(transaction=True)


def run_command(at):
    call_command("allocate_monthly_credits", at=at, chunk=3, verbosity=0)


class TestAllocationUnderContention:
    def test_of_two_runs_gives_every_period_once(self):
        balances = many_subscribed(30)

        at_once([lambda: run_command(month(2))] * 2)

        assert [periods_of(balance) for balance in balances] == [[(1, 400), (2, 400)]] * 30
        assert sum(run.allocated for run in AllocationRun.objects.all()) == 60
        check_ledger()

    def test_of_one_chunk_by_many_gives_every_period_once(self):
        balances = many_subscribed(5)

        done = at_once([lambda: run_over(balances, at=month(1))] * 6)

        assert sorted(totals.subscriptions for totals in done) == [0, 0, 0, 0, 0, 5]
        assert [periods_of(balance) for balance in balances] == [[(1, 400)]] * 5

    def test_beside_deductions_loses_neither(self):
        balances = many_subscribed(4)

        def spend(balance):
            for _ in range(10):
                deduct(balance, 9, at=month(1))

        at_once([partial(run_over, balances, at=month(1)), *(partial(spend, balance) for balance in balances)])

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

        run, asked = at_once([lambda: run_over(balances, at=month(1)), ask_for_each])

        assert run.allocated.total() + asked.count(True) == 10
        assert [periods_of(balance) for balance in balances] == [[(1, 400)]] * 10
        assert {subscription_of(balance).next_period for balance in balances} == {2}
        check_ledger()

    def test_on_request_by_many_gives_the_period_once(self):
        balance = subscribed()

        done = at_once([lambda: operations.add_monthly_allocation(owner=balance.owner, at=month(1))] * 6)

        assert [result.allocated for result in done].count(True) == 1
        assert len({result.transaction.pk for result in done}) == 1
        assert periods_of(balance) == [(1, 400)]


class TestInitializeBalanceUnderContention:
    # The first opening of a balance keeps them apart by itself; on one that is there already only its lock does.
    @pytest.mark.parametrize("earlier", [[], [50]])
    def test_lets_one_win(self, earlier):
        owner = somebody()
        for amount in earlier:
            funded(owner, grants=[(amount, None)])

        def initialize(tier):
            return operations.initialize_balance(owner=owner, tier=tier, at=NOON)

        outcomes = at_once([partial(initialize, tier) for tier in ("pro", "growth") * 3])

        assert outcomes.count("balance_exists") == 5
        [won] = [outcome for outcome in outcomes if outcome != "balance_exists"]
        balance = CreditBalance.objects.get(pk=owner.pk)
        assert (balance.balance, balance.sequence) == (sum(earlier) + won.transaction.amount, len(earlier) + 1)
        assert subscription_of(balance).tier_id == won.alongside["tier"]

    def test_answers_all_alike_under_one_key(self):
        owner = somebody()

        done = at_once(
            [lambda: operations.initialize_balance(owner=owner, tier="pro", idempotency_key="k", at=NOON)] * 6
        )

        assert [result.replayed for result in done].count(False) == 1
        assert len({(result.transaction.pk, result.after) for result in done}) == 1
