"""Grants that expire at the end of the calendar, as billing systems write "never"."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from credits import operations, queries
from credits.queries import usage
from tests.credits.operations.verbs import (
    add_credits,
    capture_hold,
    expire_credits,
    extend_grant,
    first_transaction,
    place_hold,
    refund_usage,
    release_hold,
    reverse_purchase,
    void_grant,
)
from tests.model.machine import allocate
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.operations import check_balance, field_errors
from tests.support.times import DAY, NOON

SECONDS = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
LAST = datetime.max.replace(tzinfo=UTC)
ENDS = [SECONDS, LAST]

pytestmark = pytest.mark.django_db


def make_calendar_balance(end):
    """Return a balance with a purchase of 100 credits that expires at ``end``."""
    return make_balance(grants=[(100, end - NOON)], type="purchase")


@pytest.mark.parametrize("end", ENDS)
class TestGrantThatEndsWithTheCalendar:
    def test_is_spent_before_one_that_never_expires(self, end):
        balance = make_balance(grants=[(50, None)])
        add_credits(balance.owner, 50, expires_at=end, type="promotion")

        deduct(balance, 60)

        assert dict(balance.grants.values_list("expires_at", "remaining")) == {None: 40, end: 0}
        check_balance(balance)

    def test_can_be_held_refunded_reversed_and_voided(self, end):
        balance = make_calendar_balance(end)
        purchase = first_transaction(balance)
        usage_ = capture_hold(place_hold(balance, 60).hold, 20).transaction
        release_hold(place_hold(balance, 10).hold)
        refund_usage(usage_, 5)
        reverse_purchase(purchase, 10)
        void_grant(balance.grants.get())

        assert queries.get_balance(owner=balance.owner).available == 0
        check_balance(balance)

    def test_is_in_every_read(self, end):
        balance = make_calendar_balance(end)
        deduct(balance, 10, at=NOON + 9 * DAY)

        grants: Any = queries.get_grants(owner=balance.owner)
        [grant] = grants
        assert (grant.until, grant.status) == (end, "active")
        assert queries.get_balance(owner=balance.owner).next_expiry == (90, end)
        assert queries.get_balance(owner=balance.owner, at=NOON + DAY).next_expiry == (100, end)
        assert usage.forecast(owner=balance.owner, at=NOON + 10 * DAY).expiring_unused == []
        assert expire_credits(balance, at=NOON + 99 * DAY)["balances"] == 0

    def test_rolls_over_until_the_end_of_the_calendar(self, end):
        owner = operations.Owner.of(make_user())
        allocate(
            owner=owner,
            type="allocation",
            amount=100,
            actor=None,
            idempotency_key=None,
            at=NOON,
            expires_at=NOON + DAY,
            roll_cap=80,
            roll_until=end,
        )

        assert queries.get_balance(owner=owner).next_expiry == (80, end)


class TestExtendToTheEndOfTheCalendar:
    def test_moves_the_credits_to_a_copy_and_refunds_follow_it(self):
        balance = make_balance(grants=[(100, DAY)], type="purchase")
        usage_ = deduct(balance, 40).transaction

        extend_grant(balance.grants.get(), SECONDS)
        extend_grant(balance.grants.get(live=True), LAST)
        result = refund_usage(usage_, at=NOON + 2 * DAY)

        assert result.balance.next_expiry == (100, LAST)
        assert reverse_purchase(first_transaction(balance), at=NOON + 2 * DAY).balance.balance == 0
        check_balance(balance)

    def test_cannot_go_beyond_it(self):
        balance = make_balance(grants=[(100, DAY)])
        extend_grant(balance.grants.get(), LAST)

        for not_later in (LAST, LAST - DAY):
            with pytest.raises(operations.InvalidArgumentError) as error:
                extend_grant(balance.grants.get(live=True), not_later)
            assert field_errors(error) == [("expires_at", "out_of_range")]

    def test_an_instant_that_does_not_exist_in_utc_is_rejected(self):
        west = timezone(timedelta(hours=-2))
        balance = make_balance(grants=[(100, DAY)])

        with pytest.raises(operations.InvalidArgumentError) as error:
            extend_grant(balance.grants.get(), datetime(9999, 12, 31, 23, 59, 59, tzinfo=west))

        assert field_errors(error) == [("expires_at", "out_of_range")]
