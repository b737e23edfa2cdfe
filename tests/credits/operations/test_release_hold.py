import pytest

from credits import operations
from fluxori.core.ids import uuid7
from tests.credits.operations.verbs import (
    add_credits,
    capture_hold,
    change_tier,
    place_hold,
    release_hold,
    remaining_and_held_of_grants,
    reverse_purchase,
    subscribe,
)
from tests.support.factories.credits import deduct, make_balance
from tests.support.operations import captured_statements, check_balance, check_replay, statement_kinds, unchanged
from tests.support.times import DAY, MINUTE, NOON

pytestmark = pytest.mark.django_db


class TestReleaseHold:
    def test_returns_all_pinned_credits_to_their_grants(self):
        balance = make_balance(grants=[(50, None), (20, DAY)])
        placed = place_hold(balance, 30).hold

        result = release_hold(placed, at=NOON + MINUTE)

        assert (result.hold.status, result.hold.captured, result.hold.closed_at) == ("released", 0, NOON + MINUTE)
        assert result.hold.pins == placed.pins
        assert remaining_and_held_of_grants(balance) == [(50, 0), (20, 0)]
        assert (result.balance.held, result.balance.available, result.balance.sequence) == (0, 70, 2)
        check_balance(balance)

    def test_repays_debt_with_the_released_credits(self):
        balance = make_balance(grants=[(60, None)])
        placed = place_hold(balance).hold
        purchase = add_credits(balance.owner, 50, priority=0).transaction
        deduct(balance, 50)
        reverse_purchase(purchase)

        result = release_hold(placed)

        assert (result.balance.debt, result.balance.available, result.balance.balance) == (0, 10, 10)
        check_balance(balance)

    def test_rejects_a_lapsed_hold_whose_lapse_is_not_written(self):
        placed = place_hold(make_balance()).hold

        with unchanged(), pytest.raises(operations.HoldClosedError):
            release_hold(placed, at=NOON + 15 * MINUTE)

    def test_reads_the_owner_of_the_hold_before_lock_load_tier_facts_write(self):
        placed = place_hold(make_balance()).hold

        with captured_statements() as run:
            release_hold(placed, idempotency_key="k")

        assert statement_kinds(run) == ["read credits_credithold", "lock", "load", "tier facts", "write"]

    def test_raises_the_documented_errors_in_order(self):
        placed = place_hold(make_balance()).hold
        release_hold(placed, idempotency_key="k")

        with unchanged():
            with pytest.raises(operations.HoldNotFoundError):
                operations.release_hold(hold_id=uuid7(), idempotency_key="k", at=NOON)
            with pytest.raises(operations.IdempotencyKeyReusedError):
                capture_hold(placed, idempotency_key="k")
            with pytest.raises(operations.HoldClosedError):
                release_hold(placed)

    def test_returns_the_first_result_for_the_same_key_after_the_balance_and_the_tier_changed(self):
        balance = make_balance()
        subscribe(balance, "growth")
        placed = place_hold(balance).hold
        first = release_hold(placed, idempotency_key="k")
        deduct(balance, 100)
        change_tier(balance, "pro")

        with unchanged():
            repeated = release_hold(placed, idempotency_key="k", at=NOON + DAY)

        check_replay(first, repeated)
        assert (repeated.balance.available, repeated.tier_facts.tier) == (100, "growth")
