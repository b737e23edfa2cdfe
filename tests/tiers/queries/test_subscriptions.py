import pytest

from tests.support.factories.credits import make_balance
from tests.support.factories.tiers import capped, fleeting, month, run_over, subscribed
from tests.support.times import DAY, NOON
from tiers import queries
from tiers.models import Subscription
from tiers.operations import add_monthly_allocation, update_subscription_tier

pytestmark = pytest.mark.django_db


def coming(balance, until, at=NOON):
    return [ahead[:3] for ahead in queries.upcoming_allocations(owner=balance.owner, at=at, until=until)]


class TestComingAllocations:
    def test_are_those_of_the_periods_that_begin_before_the_end(self):
        balance = subscribed()

        assert coming(balance, month(3)) == [(month(1), 400, None), (month(2), 400, None)]

    def test_begin_after_what_was_given(self):
        balance = subscribed()
        run_over([balance], at=month(1))

        assert [at for at, *_ in coming(balance, month(4))] == [month(2), month(3)]

    def test_begin_in_the_past_while_the_monthly_run_is_due(self):
        balance = subscribed()

        assert [at for at, *_ in coming(balance, month(2) + DAY, at=month(2))] == [month(1), month(2)]

    def test_expire_with_their_period_where_the_tier_says_so(self):
        fleeting(monthly_credits=100)
        balance = subscribed(tier="fleeting")

        assert coming(balance, month(2)) == [(month(1), 100, month(2))]

    def test_are_what_proration_has_not_given(self):
        balance = subscribed()
        half = month(1) + 15 * DAY
        update_subscription_tier(owner=balance.owner, tier="growth", proration="difference", at=half)

        assert [amount for _, amount, _ in coming(balance, month(3), at=half)] == [1200, 2000]

    def test_follow_the_tier_that_will_be_in_force(self):
        balance = subscribed(tier="growth")
        update_subscription_tier(owner=balance.owner, tier="explorer", effective="nextPeriod", at=month(1))

        assert [amount for _, amount, _ in coming(balance, month(4))] == [2000, 400, 400]

    def test_roll_over_where_the_tier_says_so(self):
        capped(cap=30, months=2)
        balance = subscribed(tier="capped")

        [ahead] = queries.upcoming_allocations(owner=balance.owner, at=NOON, until=month(2))

        assert ahead == (month(1), 100, month(2), 30, month(4))

    def test_that_were_missed_bring_what_would_have_rolled_over(self):
        capped(cap=30, months=2)
        fleeting()
        rolling, gone = subscribed(tier="capped"), subscribed(tier="fleeting")

        found = [coming(balance, month(2) + DAY, at=month(2)) for balance in (rolling, gone)]

        assert found == [[(month(1), 30, month(4)), (month(2), 100, month(3))], [(month(2), 100, month(3))]]

    def test_pass_over_what_was_given_on_request(self):
        balance = subscribed()
        add_monthly_allocation(owner=balance.owner, at=month(2))

        assert [at for at, *_ in coming(balance, month(4), at=month(2))] == [month(1), month(3)]

    def test_are_none_without_a_subscription_or_after_its_end(self):
        gone = subscribed()
        Subscription.objects.filter(balance=gone).update(status="cancelled")

        assert coming(gone, month(4)) == coming(make_balance(at=NOON), month(4)) == []
