"""All reads take ``at`` in the same way: optional, by default the clock, and not in the future."""

import pytest

from credits import operations, queries
from credits.models import CreditBalance
from credits.queries import usage
from fluxori.core import clock
from tests.credits.operations.verbs import place_hold, set_limit
from tests.support.factories.credits import deduct, make_balance
from tests.support.operations import field_errors
from tests.support.times import DAY, HOUR, MINUTE, NOON, SECOND

pytestmark = pytest.mark.django_db

READS = {
    "get_balance": lambda balance, **at: queries.get_balance(owner=balance.owner, **at),
    "get_snapshots": lambda balance, **at: queries.get_snapshots([balance.pk], **at),
    "filter_by_available": lambda balance, **at: list(
        queries.filter_by_available(CreditBalance.objects.all(), 5, **at)
    ),
    "get_grants": lambda balance, **at: list(queries.get_grants(owner=balance.owner, **at)),
    "get_holds": lambda balance, **at: list(queries.get_holds(**at)),
    "get_hold": lambda balance, **at: queries.get_hold(hold_id=balance.holds.get().pk, **at),
    "limit_statuses": lambda balance, **at: queries.limit_statuses(queries.get_limits(owner=balance.owner), **at),
    "get_features": lambda balance, **at: list(queries.get_features(**at)),
    "check_spending": lambda balance, **at: queries.check_spending(owner=balance.owner, amount=1, **at),
    "get_usage": lambda balance, **at: usage.get_usage(owner=balance.owner, **at).results,
    "forecast": lambda balance, **at: usage.forecast(owner=balance.owner, **at),
}


@pytest.fixture
def balance():
    balance = make_balance(grants=[(100, 9 * DAY)])
    deduct(balance, 10)
    place_hold(balance, 10)
    set_limit(balance)
    return balance


@pytest.mark.parametrize("read", READS)
class TestInstantOfARead:
    def test_is_the_clock_by_default(self, balance, read):
        with clock.fixed(NOON + HOUR):
            assert READS[read](balance) == READS[read](balance, at=NOON + HOUR) or read == "get_balance"

    def test_in_the_future_is_rejected(self, balance, read):
        with clock.fixed(NOON), pytest.raises(operations.InvalidArgumentError) as error:
            READS[read](balance, at=NOON + 5 * MINUTE + SECOND)

        assert field_errors(error) == [("at", "in_future")]

    def test_needs_a_time_zone(self, balance, read):
        with pytest.raises(operations.InvalidArgumentError) as error:
            READS[read](balance, at=NOON.replace(tzinfo=None))

        assert field_errors(error) == [("at", "wrong_type")]


class TestBySource:
    def test_is_what_is_available_from_each_source(self):
        balance = make_balance(grants=[(100, None), (50, DAY)])
        make_balance(balance.owner, [(30, None)], type="purchase")
        deduct(balance, 60)
        place_hold(balance, 20)

        now = queries.get_balance(owner=balance.owner, at=NOON)
        later = queries.get_balance(owner=balance.owner, at=NOON + 2 * DAY)

        assert (now.by_source, now.available) == ({"promotion": 70, "purchase": 30}, 100)
        assert later.by_source == {"promotion": 90, "purchase": 30}
