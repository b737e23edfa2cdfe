import pytest

from tests.support.factories.credits import make_balance
from tests.support.factories.tiers import (
    make_capped_tier,
    make_expiring_tier,
    make_subscribed_balance,
    month,
    run_allocation,
)
from tests.support.times import DAY, NOON
from tiers import operations, queries
from tiers.operations import add_monthly_allocation, update_subscription_tier

pytestmark = pytest.mark.django_db


def coming(balance, until, at=NOON):
    return [ahead[:3] for ahead in queries.upcoming_allocations(owner=balance.owner, at=at, until=until)]


class TestUpcomingAllocations:
    def test_include_the_periods_that_begin_before_the_end(self):
        balance = make_subscribed_balance()

        assert coming(balance, month(3)) == [(month(1), 400, None), (month(2), 400, None)]

    def test_start_after_the_last_allocation(self):
        balance = make_subscribed_balance()
        run_allocation([balance], at=month(1))

        assert [at for at, *_ in coming(balance, month(4))] == [month(2), month(3)]

    def test_include_a_past_period_while_the_run_is_due(self):
        balance = make_subscribed_balance()

        assert [at for at, *_ in coming(balance, month(2) + DAY, at=month(2))] == [
            month(1),
            month(2),
        ]

    def test_expire_with_the_period_under_none(self):
        make_expiring_tier(monthly_credits=100)
        balance = make_subscribed_balance(tier="fleeting")

        assert coming(balance, month(2)) == [(month(1), 100, month(2))]

    def test_subtract_prorations(self):
        balance = make_subscribed_balance()
        half = month(1) + 15 * DAY
        update_subscription_tier(owner=balance.owner, tier="growth", proration="difference", at=half)

        assert [amount for _, amount, _ in coming(balance, month(3), at=half)] == [1200, 2000]

    def test_follow_the_scheduled_tier(self):
        balance = make_subscribed_balance(tier="growth")
        update_subscription_tier(owner=balance.owner, tier="explorer", effective="nextPeriod", at=month(1))

        assert [amount for _, amount, _ in coming(balance, month(4))] == [2000, 400, 400]

    def test_roll_over_under_capped(self):
        make_capped_tier(cap=30, months=2)
        balance = make_subscribed_balance(tier="capped")

        [ahead] = queries.upcoming_allocations(owner=balance.owner, at=NOON, until=month(2))

        assert ahead == (month(1), 100, month(2), 30, month(4))

    def test_of_missed_periods_are_what_would_have_rolled_over(self):
        make_capped_tier(cap=30, months=2)
        make_expiring_tier()
        rolling, gone = make_subscribed_balance(tier="capped"), make_subscribed_balance(tier="fleeting")

        found = [coming(balance, month(2) + DAY, at=month(2)) for balance in (rolling, gone)]

        assert found == [
            [(month(1), 30, month(4)), (month(2), 100, month(3))],
            [(month(2), 100, month(3))],
        ]

    def test_skip_periods_allocated_on_request(self):
        balance = make_subscribed_balance()
        add_monthly_allocation(owner=balance.owner, at=month(2))

        assert [at for at, *_ in coming(balance, month(4), at=month(2))] == [
            month(1),
            month(3),
        ]

    def test_are_empty_without_an_active_subscription(self):
        gone = make_subscribed_balance()
        operations.end_subscription(owner=gone.owner)

        assert coming(gone, month(4)) == coming(make_balance(at=NOON), month(4)) == []


class TestTierFactsOf:
    def test_has_the_balances_with_a_subscription(self):
        subscribed, other = make_subscribed_balance(tier="growth"), make_balance()

        facts = queries.tier_facts_of([subscribed.pk, other.pk], at=NOON)

        assert {pk: each.tier for pk, each in facts.items()} == {subscribed.pk: "growth"}
