import pytest

from credits import queries
from tests.credits.operations.limits import MIDNIGHT, make_pool
from tests.credits.operations.verbs import make_rich_balance, place_hold, set_limit, suspend_spending
from tests.support.factories.credits import deduct, make_balance
from tests.support.operations import unchanged
from tests.support.times import MINUTE, NOON

pytestmark = pytest.mark.django_db


def check_spending(balance, amount, **arguments):
    return queries.check_spending(owner=balance.owner, amount=amount, **{"at": NOON, **arguments})


class TestCheckSpending:
    def test_returns_the_limit_that_a_deduction_would_exceed(self):
        balance, ann, ben = make_pool()
        set_limit(balance, member=ann)
        deduct(balance, 60, member=ann)

        check = check_spending(balance, 41, member=ann.pk)

        assert (check.allowed, check.reason) == (False, "spending_limit_reached")
        assert check.limit is not None
        assert (check.limit.amount, check.limit.used, check.limit.resets_at) == (100, 60, MIDNIGHT)
        for allowed in (
            check_spending(balance, 40, member=ann.pk),
            check_spending(balance, 41, member=ben.pk),
            check_spending(balance, 41),
            check_spending(balance, 41, member=ann.pk, at=MIDNIGHT),
        ):
            assert (allowed.allowed, allowed.reason, allowed.limit) == (True, None, None)

    def test_returns_the_reason_that_a_deduction_would_raise_first(self):
        balance = make_balance()
        set_limit(balance, 10)

        assert check_spending(balance, 1000).reason == "spending_limit_reached"
        assert check_spending(balance, 1000, permitted=False).reason == "permission_denied"
        suspend_spending(balance)
        suspended = check_spending(balance, 1000)
        assert (suspended.reason, suspended.limit) == ("spending_suspended", None)

    def test_does_not_count_a_lapsed_hold_whose_lapse_is_not_written(self):
        balance = make_rich_balance()
        set_limit(balance)
        place_hold(balance, 100, expires_in_seconds=60)

        assert not check_spending(balance, 1).allowed
        with unchanged():
            assert check_spending(balance, 100, at=NOON + MINUTE).allowed
