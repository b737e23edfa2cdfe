"""Spending limits and holds: open holds count, and what a capture, a release or a lapse changes."""

from datetime import timedelta

import pytest

from credits import operations
from tests.credits.operations.limits import MIDNIGHT, limit_facts, make_pool, stored_counters, used_of_limits
from tests.credits.operations.verbs import (
    capture_hold,
    expire_credits,
    make_rich_balance,
    place_hold,
    release_hold,
    resume_spending,
    set_limit,
    suspend_spending,
)
from tests.support.factories.credits import deduct, make_balance
from tests.support.operations import check_balance, unchanged
from tests.support.times import DAY, HOUR, MINUTE, NOON

MAXIMUM = 10**12
MICROSECOND = timedelta(microseconds=1)

pytestmark = pytest.mark.django_db


class TestOpenHoldsWithinALimit:
    def test_count_until_they_are_released(self):
        balance = make_rich_balance()
        set_limit(balance)
        placed = place_hold(balance, 70).hold

        with unchanged(), pytest.raises(operations.SpendingLimitReachedError) as error:
            deduct(balance, 31)
        with unchanged(), pytest.raises(operations.SpendingLimitReachedError):
            place_hold(balance, 31)
        assert limit_facts(error) == (100, 70, MIDNIGHT)
        release_hold(placed)

        assert used_of_limits(balance) == [0]
        deduct(balance, 100)
        check_balance(balance)

    def test_are_rejected_for_suspension_then_limit_then_funds(self):
        balance = make_balance()
        set_limit(balance, 10)
        suspend_spending(balance)

        with unchanged(), pytest.raises(operations.SpendingSuspendedError):
            place_hold(balance, 1000)
        resume_spending(balance)
        with unchanged(), pytest.raises(operations.SpendingLimitReachedError):
            place_hold(balance, 1000)


class TestLapsedHoldsWithinALimit:
    def test_do_not_count_from_the_instant_they_lapse_written_or_not(self):
        balance, ann, _ = make_pool()
        set_limit(balance)
        set_limit(balance, member=ann)
        place_hold(balance, 70, member=ann, expires_in_seconds=60)

        with unchanged():
            assert used_of_limits(balance, at=NOON + MINUTE - MICROSECOND) == [70, 70]
            assert used_of_limits(balance, at=NOON + MINUTE) == [0, 0]
        deduct(balance, 100, at=NOON + MINUTE)
        assert stored_counters(balance) == [(100, MIDNIGHT - DAY), (0, MIDNIGHT - DAY)]
        check_balance(balance)

    def test_are_removed_from_the_counter_by_the_expiry_job(self):
        balance, ann, _ = make_pool()
        set_limit(balance, member=ann)
        place_hold(balance, 70, member=ann, expires_in_seconds=60)

        expire_credits(balance, at=NOON + HOUR)

        assert stored_counters(balance) == [(0, MIDNIGHT - DAY)]
        check_balance(balance)

    def test_are_removed_from_the_counter_by_any_later_operation(self):
        balance, ann, _ = make_pool()
        set_limit(balance, member=ann)
        place_hold(balance, 70, member=ann, expires_in_seconds=60)

        make_rich_balance(balance.owner)  # at NOON: nothing is due
        assert stored_counters(balance) == [(70, MIDNIGHT - DAY)]
        make_balance(balance.owner, at=NOON + HOUR)

        assert stored_counters(balance) == [(0, MIDNIGHT - DAY)]
        check_balance(balance)


class TestCaptureHoldWithinALimit:
    def test_counts_only_the_captured_credits(self):
        balance, ann, _ = make_pool()
        set_limit(balance)
        set_limit(balance, member=ann)

        capture_hold(place_hold(balance, 70, member=ann).hold, 25)

        assert used_of_limits(balance) == [25, 25]
        check_balance(balance)

    def test_is_possible_up_to_the_hold_if_a_limit_was_set_later(self):
        balance = make_rich_balance()
        placed = place_hold(balance, 70).hold
        set_limit(balance, 0)

        capture_hold(placed)

        assert used_of_limits(balance) == [70]
        check_balance(balance)

    def test_keeps_the_hold_open_if_an_excess_would_exceed_a_limit(self):
        balance, ann, _ = make_pool()
        set_limit(balance, 100, member=ann)
        placed = place_hold(balance, 70, member=ann).hold
        deduct(balance, 20, member=ann)

        with unchanged(), pytest.raises(operations.SpendingLimitReachedError) as error:
            capture_hold(placed, 81)
        assert limit_facts(error) == (100, 90, MIDNIGHT)
        capture_hold(placed, 80)

        assert used_of_limits(balance) == [100]
        check_balance(balance)

    def test_checks_an_excess_for_suspension_then_limit_then_funds(self):
        balance = make_balance()
        placed = place_hold(balance, 70).hold
        set_limit(balance, 80)
        suspend_spending(balance)

        with unchanged(), pytest.raises(operations.SpendingSuspendedError):
            capture_hold(placed, 1000)
        resume_spending(balance)
        with unchanged(), pytest.raises(operations.SpendingLimitReachedError):
            capture_hold(placed, 1000)
        set_limit(balance, MAXIMUM)
        with unchanged(), pytest.raises(operations.InsufficientCreditsError) as error:
            capture_hold(placed, 1000)
        assert error.value.facts == {"required": 930, "available": 30, "held": 70, "shortfall": 900}

    def test_counts_in_the_window_of_the_capture(self):
        balance = make_rich_balance()
        set_limit(balance)
        set_limit(balance, 1000, "month")
        placed = place_hold(balance, 70, at=MIDNIGHT - MINUTE).hold

        with unchanged():
            assert used_of_limits(balance, at=MIDNIGHT) == [0, 70]
        capture_hold(placed, 60, at=MIDNIGHT)

        assert used_of_limits(balance, at=MIDNIGHT) == [60, 60]
        check_balance(balance)

    def test_checks_an_excess_against_the_window_of_the_capture(self):
        balance = make_rich_balance()
        set_limit(balance)
        placed = place_hold(balance, 90, at=MIDNIGHT - MINUTE).hold
        deduct(balance, 10, at=MIDNIGHT)

        with unchanged(), pytest.raises(operations.SpendingLimitReachedError) as error:
            capture_hold(placed, 91, at=MIDNIGHT)
        assert limit_facts(error) == (100, 10, MIDNIGHT + DAY)
        capture_hold(placed, 90, at=MIDNIGHT)

        assert used_of_limits(balance, at=MIDNIGHT) == [100]
        check_balance(balance)

    @pytest.mark.parametrize("amount", [1, 35, 99])
    def test_counts_like_a_deduction_of_the_same_amount(self, amount):
        direct, by_hold = make_rich_balance(), make_rich_balance()
        for balance in (direct, by_hold):
            set_limit(balance)
            set_limit(balance, 500, "month")

        deduct(direct, amount)
        capture_hold(place_hold(by_hold, amount).hold)

        assert stored_counters(direct) == stored_counters(by_hold)
        assert used_of_limits(direct) == [amount, amount]
        release_hold(place_hold(direct, 100 - amount).hold)
        assert stored_counters(direct) == stored_counters(by_hold)


class TestReleaseHoldWithinALimit:
    def test_makes_no_room_in_a_later_window(self):
        balance = make_rich_balance()
        set_limit(balance)
        placed = place_hold(balance, 70, at=MIDNIGHT - MINUTE).hold
        deduct(balance, 40, at=MIDNIGHT)

        release_hold(placed, at=MIDNIGHT)

        assert used_of_limits(balance, at=MIDNIGHT) == [40]
        check_balance(balance)

    def test_corrects_the_last_counted_window_after_its_end(self):
        balance = make_rich_balance()
        set_limit(balance)
        placed = place_hold(balance, 70, at=MIDNIGHT - MINUTE).hold

        release_hold(placed, at=MIDNIGHT)

        assert stored_counters(balance) == [(0, MIDNIGHT - DAY)]
        check_balance(balance)
