from collections import Counter
from typing import Any
from uuid import UUID

import pytest

from credits import queries as ledger_queries
from tests.support.factories.credits import deduct, hold, make_balance
from tests.support.factories.tiers import (
    make_expiring_tier,
    make_subscribed_balance,
    make_subscribed_balances,
    month,
    periods_of,
    run_allocation,
    subscription_of,
)
from tests.support.operations import captured_statements
from tests.support.tier_tables import assert_nothing_written, check_ledger
from tests.support.times import DAY, NOON, SECOND
from tiers import operations, queries
from tiers.models import Tier
from tiers.operations import update_subscription_tier

pytestmark = pytest.mark.django_db

HALF_OF_APRIL = month(1) + 15 * DAY


def due_ids(**arguments: Any) -> list[UUID]:
    return [subscription.pk for subscription in queries.due(**arguments)]


class TestDue:
    def test_period_is_due_from_its_first_instant(self):
        balance = make_subscribed_balance()

        assert due_ids(at=month(1) - SECOND) == []
        assert due_ids(at=month(1)) == [balance.pk]

    def test_returns_balances_by_id_after_the_given_id(self):
        ids = sorted(balance.pk for balance in make_subscribed_balances(5))

        assert due_ids(at=month(1)) == ids
        assert due_ids(at=month(1), after=ids[2]) == ids[3:]
        assert due_ids(at=month(1), after=ids[4]) == []

    def test_excludes_ended_subscriptions_and_other_tiers(self):
        small, large, gone = make_subscribed_balance(), make_subscribed_balance(tier="pro"), make_subscribed_balance()
        operations.end_subscription(owner=gone.owner, at=NOON)

        assert due_ids(at=month(1), tier="explorer") == [small.pk]
        assert due_ids(at=month(1), tier="pro") == [large.pk]
        assert queries.due_by_tier(at=month(1)) == {"explorer": 1, "pro": 1}


class TestAllocateDue:
    def test_allocates_the_credits_of_each_tier(self):
        small, large, early = (
            make_subscribed_balance(),
            make_subscribed_balance(tier="pro"),
            make_subscribed_balance(at=NOON + DAY),
        )

        result = run_allocation([small, large, early], at=month(1))

        assert (result.subscriptions, result.allocated, result.skipped) == (2, {"explorer": 1, "pro": 1}, {})
        assert (result.credits, result.rejected) == ({"explorer": 400, "pro": 7000}, [])
        assert [periods_of(balance) for balance in (small, large, early)] == [[(1, 400)], [(1, 7000)], []]
        check_ledger()

    def test_transaction_is_dated_and_describes_the_period(self):
        balance = make_subscribed_balance()

        run_allocation([balance], at=month(1) + DAY)

        given = balance.allocations.get()
        recorded = balance.transactions.get(type="allocation", sequence=2)
        assert (given.starts_at, given.ends_at, given.allocated_at) == (
            month(1),
            month(2),
            month(1) + DAY,
        )
        assert given.transaction_id == recorded.pk
        assert (recorded.timestamp, recorded.type, recorded.actor_id) == (month(1) + DAY, "allocation", None)
        assert recorded.description == "Explorer: 3 April 2025 to 3 May 2025"

    def test_repetition_allocates_nothing(self):
        balance = make_subscribed_balance()
        run_allocation([balance], at=month(1))

        with assert_nothing_written():
            repeated = run_allocation([balance], at=month(2) - SECOND)

        assert (repeated.subscriptions, repeated.allocated, repeated.rejected) == (0, {}, [])

    def test_allocates_missed_periods_oldest_first(self):
        balance = make_subscribed_balance()

        result = run_allocation([balance], at=month(3))

        assert periods_of(balance) == [(1, 400), (2, 400), (3, 400)]
        assert (result.subscriptions, result.allocated, result.credits) == (1, {"explorer": 3}, {"explorer": 1200})
        assert list(balance.allocations.order_by("period").values_list("transaction__sequence", flat=True)) == [2, 3, 4]
        kept = subscription_of(balance)
        assert (kept.next_period, kept.next_allocation_at) == (4, month(4))
        check_ledger()

    def test_skips_periods_allocated_on_request(self):
        balance = make_subscribed_balance()
        operations.add_monthly_allocation(owner=balance.owner, at=month(2))

        result = run_allocation([balance], at=month(3))

        assert result.allocated == {"explorer": 2}
        assert periods_of(balance) == [(1, 400), (2, 400), (3, 400)]

    def test_advances_past_a_period_allocated_on_request(self):
        balance = make_subscribed_balance()
        operations.add_monthly_allocation(owner=balance.owner, at=month(2))
        run_allocation([balance], at=month(1))

        result = run_allocation([balance], at=month(2))

        assert (result.subscriptions, result.allocated) == (1, {})
        assert (periods_of(balance), subscription_of(balance).next_period) == ([(1, 400), (2, 400)], 3)

    def test_missed_period_that_is_over_is_skipped_under_none(self):
        make_expiring_tier()
        balance = make_subscribed_balance(tier="fleeting")

        result = run_allocation([balance], at=month(3))

        assert (result.allocated, result.skipped, result.credits) == (
            {"fleeting": 1},
            {"fleeting": 2},
            {"fleeting": 100},
        )
        assert periods_of(balance) == [(1, 0), (2, 0), (3, 100)]
        assert balance.grants.latest("effective_at").expires_at == month(4)
        assert ledger_queries.get_balance(owner=balance.owner, at=month(3)).balance == 100
        check_ledger()

    def test_period_is_allocated_until_its_last_instant(self):
        make_expiring_tier()
        balance = make_subscribed_balance(tier="fleeting")

        run_allocation([balance], at=month(2) - SECOND)

        assert periods_of(balance) == [(1, 100)]
        assert ledger_queries.get_balance(owner=balance.owner, at=month(2)).balance == 0

    def test_period_that_ended_before_the_last_change_is_skipped(self):
        make_expiring_tier()
        balance = make_subscribed_balance(tier="fleeting")
        make_balance(balance.owner, grants=[(5, None)], at=month(2))

        run_allocation([balance], at=month(2) - SECOND)

        assert periods_of(balance) == [(1, 0)]
        assert ledger_queries.get_balance(owner=balance.owner).balance == 5

    def test_stores_due_events_first(self):
        balance = make_subscribed_balance()
        make_balance(balance.owner, grants=[(30, DAY)])
        hold(balance, 10)

        run_allocation([balance], at=month(1))

        assert list(balance.transactions.order_by("sequence").values_list("type", "amount")) == [
            ("allocation", 400),
            ("promotion", 30),
            ("expiry", -30),
            ("allocation", 400),
        ]
        check_ledger()

    def test_subtracts_the_prorations_of_the_period(self):
        balance, sated = make_subscribed_balance(), make_subscribed_balance()
        update_subscription_tier(owner=balance.owner, tier="growth", proration="difference", at=HALF_OF_APRIL)
        for tier in ("pro", "explorer"):
            update_subscription_tier(owner=sated.owner, tier=tier, proration="difference", at=HALF_OF_APRIL)

        result = run_allocation([balance, sated], at=month(2) - SECOND)

        assert (periods_of(balance), periods_of(sated)) == ([(1, 2000 - 800)], [(1, 0)])
        assert (result.allocated, result.skipped) == ({"growth": 1, "explorer": 1}, {})
        check_ledger()

    def test_runs_the_same_number_of_statements_for_one_and_for_many(self):
        alone, *others = make_subscribed_balances(30)

        with captured_statements() as for_one:
            run_allocation([alone], at=month(1))
        with captured_statements() as for_many:
            run_allocation(others, at=month(1))

        assert len(for_many) == len(for_one) <= 10

    def test_count_due_predicts_the_run(self):
        make_expiring_tier()
        balances = [
            make_subscribed_balance(),
            make_subscribed_balance(tier="fleeting"),
            make_subscribed_balance(tier="pro", at=NOON + DAY),
        ]
        deduct(balances[0], 50)
        operations.add_monthly_allocation(owner=balances[0].owner, at=month(2))
        due = list(queries.due(at=month(3)))

        with assert_nothing_written():
            ahead = operations.count_due(subscriptions=due, at=month(3))

        assert ahead == run_allocation(balances, at=month(3))
        assert ahead.skipped == Counter(fleeting=2)


class TestChangeOfPolicy:
    def test_applies_to_later_grants_only(self):
        balance = make_subscribed_balance()
        Tier.objects.filter(pk="explorer").update(rollover="none", monthly_credits=500)

        run_allocation([balance], at=month(1))

        grants = balance.grants.order_by("effective_at").values_list("amount", "expires_at")
        assert list(grants) == [(400, None), (500, month(2))]
