import pytest

from tests.factories.credits import funded
from tests.factories.tiers import fleeting, month, run_over, subscribed
from tests.times import DAY, NOON
from tiers import queries
from tiers.models import Subscription

pytestmark = pytest.mark.django_db


def coming(balance, until):
    return [tuple(ahead) for ahead in queries.coming_allocations(owner=balance.owner, until=until)]


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

        assert [at for at, *_ in coming(balance, month(2) + DAY)] == [month(1), month(2)]

    def test_expire_with_their_period_where_the_tier_says_so(self):
        fleeting(monthly_credits=100)
        balance = subscribed(tier="fleeting")

        assert coming(balance, month(2)) == [(month(1), 100, month(2))]

    def test_are_what_proration_has_not_given(self):
        balance = subscribed()
        Subscription.objects.filter(balance=balance).update(high_period=1, prorated_credits=150)

        assert [amount for _, amount, _ in coming(balance, month(3))] == [250, 400]

    def test_are_none_without_a_subscription_or_after_its_end(self):
        gone = subscribed()
        Subscription.objects.filter(balance=gone).update(status="cancelled")

        assert coming(gone, month(4)) == coming(funded(at=NOON), month(4)) == []
