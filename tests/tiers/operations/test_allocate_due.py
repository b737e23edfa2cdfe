from collections import Counter
from typing import Any
from uuid import UUID

import pytest

from credits import queries as ledger_queries
from tests.support.factories.credits import deduct, hold, make_balance
from tests.support.factories.tiers import (
    fleeting,
    many_subscribed,
    month,
    periods_of,
    run_over,
    subscribed,
    subscription_of,
)
from tests.support.operations import captured_statements
from tests.support.tier_tables import check_ledger, unwritten
from tests.support.times import DAY, NOON, SECOND
from tiers import operations, queries
from tiers.models import Subscription, Tier
from tiers.operations import update_subscription_tier

pytestmark = pytest.mark.django_db

HALF_OF_APRIL = month(1) + 15 * DAY


def due_ids(**asked: Any) -> list[UUID]:
    return [subscription.pk for subscription in queries.due(**asked)]


class TestDue:
    def test_begins_at_the_first_instant_of_a_period(self):
        balance = subscribed()

        assert due_ids(at=month(1) - SECOND) == []
        assert due_ids(at=month(1)) == [balance.pk]

    def test_walks_in_order_of_the_key_from_beyond_the_last(self):
        ids = sorted(balance.pk for balance in many_subscribed(5))

        assert due_ids(at=month(1)) == ids
        assert due_ids(at=month(1), after=ids[2]) == ids[3:]
        assert due_ids(at=month(1), after=ids[4]) == []

    def test_leaves_out_what_is_cancelled_and_other_tiers(self):
        small, large, gone = subscribed(), subscribed(tier="pro"), subscribed()
        Subscription.objects.filter(balance=gone).update(status="cancelled")

        assert due_ids(at=month(1), tier="explorer") == [small.pk]
        assert due_ids(at=month(1), tier="pro") == [large.pk]
        assert queries.due_by_tier(at=month(1)) == {"explorer": 1, "pro": 1}


class TestAllocateDue:
    def test_gives_a_chunk_what_its_tiers_promise(self):
        small, large, early = subscribed(), subscribed(tier="pro"), subscribed(at=NOON + DAY)

        done = run_over([small, large, early], at=month(1))

        assert (done.subscriptions, done.allocated, done.skipped) == (2, {"explorer": 1, "pro": 1}, {})
        assert (done.credits, done.refused) == ({"explorer": 400, "pro": 7000}, [])
        assert [periods_of(balance) for balance in (small, large, early)] == [[(1, 400)], [(1, 7000)], []]
        check_ledger()

    def test_dates_the_grant_and_says_what_it_is_for(self):
        balance = subscribed()

        run_over([balance], at=month(1) + DAY)

        given = balance.allocations.get()
        recorded = balance.transactions.get(type="allocation", sequence=2)
        assert (given.starts_at, given.ends_at, given.allocated_at) == (month(1), month(2), month(1) + DAY)
        assert given.transaction_id == recorded.pk
        assert (recorded.timestamp, recorded.type, recorded.actor_id) == (month(1) + DAY, "allocation", None)
        assert recorded.description == "Explorer: 3 April 2025 to 3 May 2025"

    def test_gives_nothing_the_second_time(self):
        balance = subscribed()
        run_over([balance], at=month(1))

        with unwritten():
            again = run_over([balance], at=month(2) - SECOND)

        assert (again.subscriptions, again.allocated, again.refused) == (0, {}, [])

    def test_catches_up_with_missed_months_oldest_first(self):
        balance = subscribed()

        done = run_over([balance], at=month(3))

        assert periods_of(balance) == [(1, 400), (2, 400), (3, 400)]
        assert (done.subscriptions, done.allocated, done.credits) == (1, {"explorer": 3}, {"explorer": 1200})
        assert list(balance.allocations.order_by("period").values_list("transaction__sequence", flat=True)) == [2, 3, 4]
        kept = subscription_of(balance)
        assert (kept.next_period, kept.next_allocation_at) == (4, month(4))
        check_ledger()

    def test_leaves_what_was_given_on_request(self):
        balance = subscribed()
        operations.add_monthly_allocation(owner=balance.owner, at=month(2))

        done = run_over([balance], at=month(3))

        assert done.allocated == {"explorer": 2}
        assert periods_of(balance) == [(1, 400), (2, 400), (3, 400)]

    def test_moves_past_a_period_that_was_given_on_request(self):
        balance = subscribed()
        operations.add_monthly_allocation(owner=balance.owner, at=month(2))
        run_over([balance], at=month(1))

        done = run_over([balance], at=month(2))

        assert (done.subscriptions, done.allocated) == (1, {})
        assert (periods_of(balance), subscription_of(balance).next_period) == ([(1, 400), (2, 400)], 3)

    def test_skips_a_missed_month_that_is_over_where_credits_expire_with_it(self):
        fleeting()
        balance = subscribed(tier="fleeting")

        done = run_over([balance], at=month(3))

        assert (done.allocated, done.skipped, done.credits) == ({"fleeting": 1}, {"fleeting": 2}, {"fleeting": 100})
        assert periods_of(balance) == [(1, 0), (2, 0), (3, 100)]
        assert balance.grants.latest("effective_at").expires_at == month(4)
        assert ledger_queries.get_balance(owner=balance.owner, at=month(3)).balance == 100
        check_ledger()

    def test_gives_a_month_until_its_last_instant(self):
        fleeting()
        balance = subscribed(tier="fleeting")

        run_over([balance], at=month(2) - SECOND)

        assert periods_of(balance) == [(1, 100)]
        assert ledger_queries.get_balance(owner=balance.owner, at=month(2)).balance == 0

    def test_skips_what_would_have_expired_before_the_last_movement(self):
        fleeting()
        balance = subscribed(tier="fleeting")
        make_balance(balance.owner, grants=[(5, None)], at=month(2))

        run_over([balance], at=month(2) - SECOND)

        assert periods_of(balance) == [(1, 0)]
        assert ledger_queries.get_balance(owner=balance.owner).balance == 5

    def test_writes_what_has_fallen_due_before_it(self):
        balance = subscribed()
        make_balance(balance.owner, grants=[(30, DAY)])
        hold(balance, 10)

        run_over([balance], at=month(1))

        assert list(balance.transactions.order_by("sequence").values_list("type", "amount")) == [
            ("allocation", 400),
            ("promotion", 30),
            ("expiry", -30),
            ("allocation", 400),
        ]
        check_ledger()

    def test_subtracts_what_proration_has_given_in_the_period(self):
        balance, sated = subscribed(), subscribed()
        update_subscription_tier(owner=balance.owner, tier="growth", proration="difference", at=HALF_OF_APRIL)
        for tier in ("pro", "explorer"):
            update_subscription_tier(owner=sated.owner, tier=tier, proration="difference", at=HALF_OF_APRIL)

        done = run_over([balance, sated], at=month(2) - SECOND)

        assert (periods_of(balance), periods_of(sated)) == ([(1, 2000 - 800)], [(1, 0)])
        assert (done.allocated, done.skipped) == ({"growth": 1, "explorer": 1}, {})
        check_ledger()

    def test_asks_no_more_of_the_database_for_a_hundred_than_for_one(self):
        alone, *others = many_subscribed(30)

        with captured_statements() as for_one:
            run_over([alone], at=month(1))
        with captured_statements() as for_many:
            run_over(others, at=month(1))

        assert len(for_many) == len(for_one) <= 9

    def test_is_counted_beforehand_as_it_then_happens(self):
        fleeting()
        balances = [subscribed(), subscribed(tier="fleeting"), subscribed(tier="pro", at=NOON + DAY)]
        deduct(balances[0], 50)
        operations.add_monthly_allocation(owner=balances[0].owner, at=month(2))
        due = list(queries.due(at=month(3)))

        with unwritten():
            ahead = operations.count_due(subscriptions=due, at=month(3))

        assert ahead == run_over(balances, at=month(3))
        assert ahead.skipped == Counter(fleeting=2)


class TestAChangeOfPolicy:
    def test_touches_later_grants_only(self):
        balance = subscribed()
        Tier.objects.filter(pk="explorer").update(rollover="none", monthly_credits=500)

        run_over([balance], at=month(1))

        grants = balance.grants.order_by("effective_at").values_list("amount", "expires_at")
        assert list(grants) == [(400, None), (500, month(2))]
