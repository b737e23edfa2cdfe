from datetime import UTC, datetime, timedelta, timezone
from uuid import uuid4

import pytest

from credits.domain.limits import Limit, first_exceeded_limit, window_end, window_start
from tests.support.times import DAY, HOUR, MINUTE, NOON, SECOND

MICROSECOND = timedelta(microseconds=1)
MIDNIGHT = datetime(2025, 3, 4, tzinfo=UTC)
APRIL = datetime(2025, 4, 1, tzinfo=UTC)


def limit(amount=100, period="day", member=None, used=0, at=NOON):
    return Limit(
        id=uuid4(),
        member_id=member,
        period=period,
        amount=amount,
        window_starts_at=window_start(period, at),
        used=used,
        set_by_id=None,
        set_at=at,
    )


class TestWindows:
    def test_a_day_is_from_midnight_to_before_the_next_midnight(self):
        assert window_start("day", MIDNIGHT) == MIDNIGHT
        assert window_start("day", MIDNIGHT - MICROSECOND) == MIDNIGHT - DAY
        assert window_end("day", MIDNIGHT) == MIDNIGHT + DAY

    def test_a_month_is_from_its_first_day_to_before_the_next_first_day(self):
        assert window_start("month", APRIL) == APRIL
        assert window_start("month", APRIL - MICROSECOND) == datetime(2025, 3, 1, tzinfo=UTC)
        assert window_end("month", datetime(2025, 3, 1, tzinfo=UTC)) == APRIL

    @pytest.mark.parametrize(
        ("first", "next_first"),
        [
            ("2025-01-01T00Z", "2025-02-01T00Z"),
            ("2025-02-01T00Z", "2025-03-01T00Z"),
            ("2024-02-01T00Z", "2024-03-01T00Z"),
            ("2025-04-01T00Z", "2025-05-01T00Z"),
            ("2025-12-01T00Z", "2026-01-01T00Z"),
        ],
    )
    def test_a_month_ends_when_the_next_one_begins(self, first, next_first):
        assert window_end("month", datetime.fromisoformat(first)) == datetime.fromisoformat(next_first)

    def test_windows_are_in_utc_for_timestamps_of_any_time_zone(self):
        johannesburg = timezone(timedelta(hours=2))

        assert window_start("day", datetime(2025, 3, 4, 1, 30, tzinfo=johannesburg)) == MIDNIGHT - DAY
        assert window_start("month", datetime(2025, 4, 1, 1, 30, tzinfo=johannesburg)) == datetime(
            2025, 3, 1, tzinfo=UTC
        )


class TestLimit:
    def test_usage_adds_and_a_refund_subtracts(self):
        capped = limit()

        assert capped.count(40, NOON)
        assert capped.count(-15, NOON + HOUR)

        assert (capped.used, capped.used_at(NOON + HOUR)) == (25, 25)

    def test_a_new_window_begins_at_0(self):
        capped = limit(used=40)

        assert capped.used_at(MIDNIGHT - MICROSECOND) == 40
        assert (capped.used_at(MIDNIGHT), capped.resets_at(MIDNIGHT)) == (0, MIDNIGHT + DAY)
        assert capped.used == 40

        assert capped.count(7, MIDNIGHT)
        assert (capped.used, capped.window_starts_at) == (7, MIDNIGHT)

    def test_a_refund_of_an_earlier_window_is_not_counted(self):
        capped = limit(used=40)
        capped.count(7, MIDNIGHT)

        assert not capped.count(-40, NOON)

        assert capped.used_at(MIDNIGHT) == 7

    def test_an_instant_before_the_current_window_uses_the_current_window(self):
        capped = limit(used=40)

        assert (capped.used_at(NOON - DAY), capped.resets_at(NOON - DAY)) == (40, MIDNIGHT)

    def test_a_limit_of_the_balance_counts_every_member_and_a_limit_of_a_member_only_that_one(self):
        ann, ben = uuid4(), uuid4()

        assert [limit().counts(who) for who in (ann, ben, None)] == [True, True, True]
        assert [limit(member=ann).counts(who) for who in (ann, ben, None)] == [True, False, False]


def exceeded(limits, amount, at=NOON, **arguments):
    return first_exceeded_limit(limits, amount, **{"member_id": None, "at": at, **arguments})


class TestFirstExceededLimit:
    def test_usage_up_to_the_amount_is_within_the_limit(self):
        assert exceeded([limit(used=60)], 40) is None
        assert exceeded([limit(used=60)], 41).used == 60

    def test_a_limit_of_0_is_exceeded_by_any_usage(self):
        assert exceeded([limit(0)], 1).amount == 0

    def test_limits_of_other_members_are_ignored(self):
        ann, ben = uuid4(), uuid4()

        assert exceeded([limit(0, member=ann)], 1, member_id=ben) is None
        assert exceeded([limit(0, member=ann)], 1) is None
        assert exceeded([limit(0, member=ann)], 1, member_id=ann) is not None

    def test_of_several_the_one_that_resets_last_is_returned(self):
        daily, monthly = limit(10), limit(90, "month", used=85)

        assert exceeded([monthly, daily], 20).id == monthly.id
        assert exceeded([daily, monthly], 20).id == monthly.id
        assert exceeded([monthly, daily], 20).resets_at == APRIL

    def test_of_those_that_reset_together_the_one_with_the_least_left_is_returned(self):
        large, small = limit(100, used=90), limit(50, used=48)

        assert exceeded([large, small], 20).id == exceeded([small, large], 20).id == small.id

    def test_of_those_with_the_same_left_the_smallest_is_returned(self):
        large, small = limit(100, used=90), limit(50, used=40)

        assert exceeded([large, small], 20).id == exceeded([small, large], 20).id == small.id

    def test_the_counters_are_not_changed(self):
        capped = limit(used=99)

        exceeded([capped], 2, at=MIDNIGHT)

        assert (capped.used, capped.window_starts_at) == (99, MIDNIGHT - DAY)

    def test_a_released_hold_is_subtracted_from_the_usage(self):
        capped = limit(used=80)

        assert exceeded([capped], 100, released_hold=(80, NOON), at=NOON + MINUTE) is None
        assert exceeded([capped], 101, released_hold=(80, NOON), at=NOON + MINUTE).used == 80

    def test_a_released_hold_is_subtracted_in_its_own_window_only(self):
        capped = limit(used=80)

        assert exceeded([capped], 101, released_hold=(80, NOON), at=MIDNIGHT).used == 0
        assert exceeded([capped], 100, released_hold=(80, NOON), at=MIDNIGHT) is None
        assert (
            exceeded([limit(used=10, at=MIDNIGHT)], 91, released_hold=(80, MIDNIGHT - SECOND), at=MIDNIGHT).used == 10
        )
