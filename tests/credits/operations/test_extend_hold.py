import pytest

from credits import operations
from credits.models import CreditRequest
from fluxori.core.ids import uuid7
from tests.credits.operations.verbs import (
    capture_hold,
    change_tier,
    extend_hold,
    place_hold,
    release_hold,
    subscribe,
)
from tests.support.factories.credits import make_balance
from tests.support.operations import check_balance, check_replay, field_errors, unchanged
from tests.support.times import DAY, HOUR, MINUTE, NOON, SECOND

pytestmark = pytest.mark.django_db


class TestExtendHold:
    def test_counts_the_seconds_from_now(self):
        balance = make_balance()
        placed = place_hold(balance).hold

        extended = extend_hold(placed, 24 * 3600, at=NOON + MINUTE).hold

        assert (extended.status, extended.expires_at) == ("open", NOON + MINUTE + DAY)
        assert extended.pins == placed.pins
        assert capture_hold(placed, at=NOON + DAY).hold.status == "captured"
        check_balance(balance)

    def test_never_shortens_the_hold(self):
        placed = place_hold(make_balance()).hold

        assert extend_hold(placed, 1).hold.expires_at == NOON + 15 * MINUTE

    @pytest.fixture
    def long_hold(self):
        """Return a hold that was placed at noon and is still open after six days."""
        placed = place_hold(make_balance()).hold
        for hours in range(0, 144, 23):
            extend_hold(placed, 24 * 3600, at=NOON + hours * HOUR)
        return placed

    def test_a_hold_may_last_seven_days_in_all(self, long_hold):
        assert extend_hold(long_hold, 24 * 3600, at=NOON + 6 * DAY).hold.expires_at == NOON + 7 * DAY

    def test_rejects_an_extension_beyond_seven_days_in_all(self, long_hold):
        with unchanged(), pytest.raises(operations.InvalidArgumentError) as error:
            extend_hold(long_hold, 24 * 3600, at=NOON + 6 * DAY + SECOND)

        assert [field for field, _ in field_errors(error)] == ["expires_in_seconds"]

    def test_can_extend_a_hold_any_number_of_times(self):
        placed = place_hold(make_balance()).hold
        for hours in range(29):
            extended = extend_hold(placed, 3601, at=NOON + hours * HOUR).hold

        assert extended.expires_at == NOON + 29 * HOUR + SECOND

    @pytest.mark.parametrize("seconds", [0, -1, 24 * 3600 + 1, 1.5, None, True])
    def test_rejects_an_invalid_number_of_seconds(self, seconds):
        placed = place_hold(make_balance()).hold

        with unchanged(), pytest.raises(operations.InvalidArgumentError) as error:
            extend_hold(placed, seconds)

        assert [field for field, _ in field_errors(error)] == ["expires_in_seconds"]

    def test_rejects_a_lapsed_hold_whose_lapse_is_not_written(self):
        placed = place_hold(make_balance()).hold

        with unchanged(), pytest.raises(operations.HoldClosedError):
            extend_hold(placed, at=NOON + 15 * MINUTE)

    def test_raises_the_documented_errors_in_order(self):
        placed = place_hold(make_balance()).hold
        extend_hold(placed, idempotency_key="k")
        release_hold(placed)

        with unchanged():
            with pytest.raises(operations.InvalidArgumentError):
                operations.extend_hold(hold_id=uuid7(), expires_in_seconds=0, at=NOON)
            with pytest.raises(operations.HoldNotFoundError):
                operations.extend_hold(hold_id=uuid7(), expires_in_seconds=1, idempotency_key="k", at=NOON)
            with pytest.raises(operations.IdempotencyKeyReusedError):
                extend_hold(placed, 3601, idempotency_key="k")
            with pytest.raises(operations.HoldClosedError):
                extend_hold(placed)

    def test_returns_the_first_result_for_the_same_key_after_the_hold_and_the_tier_changed(self):
        balance = make_balance()
        subscribe(balance, "growth")
        placed = place_hold(balance).hold
        first = extend_hold(placed, idempotency_key="k")
        extend_hold(placed, 7200)
        capture_hold(placed)
        change_tier(balance, "pro")

        with unchanged():
            repeated = extend_hold(placed, idempotency_key="k", at=NOON + DAY)

        check_replay(first, repeated)
        assert (repeated.hold.status, repeated.hold.expires_at) == ("open", NOON + HOUR)
        assert repeated.tier_facts.tier == "growth"
        assert CreditRequest.objects.get().operation == "extend_hold"
