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
    def test_a_day_begins_at_midnight_and_ends_before_the_next(self):
        assert window_start("day", MIDNIGHT) == MIDNIGHT
        assert window_start("day", MIDNIGHT - MICROSECOND) == MIDNIGHT - DAY
        assert window_end("day", MIDNIGHT) == MIDNIGHT + DAY

    def test_a_month_begins_at_its_first_and_ends_before_the_next(self):
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
    def test_a_month_is_as_long_as_it_is(self, first, next_first):
        assert window_end("month", datetime.fromisoformat(first)) == datetime.fromisoformat(next_first)

    def test_are_those_of_utc_wherever_it_is_asked(self):
        johannesburg = timezone(timedelta(hours=2))

        assert window_start("day", datetime(2025, 3, 4, 1, 30, tzinfo=johannesburg)) == MIDNIGHT - DAY
        assert window_start("month", datetime(2025, 4, 1, 1, 30, tzinfo=johannesburg)) == datetime(
            2025, 3, 1, tzinfo=UTC
        )


class TestLimit:
    def test_counts_what_is_used_and_what_comes_back(self):
        capped = limit()

        assert capped.count(40, NOON)
        assert capped.count(-15, NOON + HOUR)

        assert (capped.used, capped.used_at(NOON + HOUR)) == (25, 25)

    def test_begins_anew_with_its_window(self):
        capped = limit(used=40)

        assert capped.used_at(MIDNIGHT - MICROSECOND) == 40
        assert (capped.used_at(MIDNIGHT), capped.resets_at(MIDNIGHT)) == (0, MIDNIGHT + DAY)
        assert capped.used == 40

        assert capped.count(7, MIDNIGHT)
        assert (capped.used, capped.window_starts_at) == (7, MIDNIGHT)

    def test_takes_nothing_back_of_a_window_that_is_over(self):
        capped = limit(used=40)
        capped.count(7, MIDNIGHT)

        assert not capped.count(-40, NOON)

        assert capped.used_at(MIDNIGHT) == 7

    def test_is_asked_by_a_clock_that_lags_about_the_window_counted_last(self):
        capped = limit(used=40)

        assert (capped.used_at(NOON - DAY), capped.resets_at(NOON - DAY)) == (40, MIDNIGHT)

    def test_counts_everybody_without_a_member_and_with_one_only_that_one(self):
        ann, ben = uuid4(), uuid4()

        assert [limit().counts(who) for who in (ann, ben, None)] == [True, True, True]
        assert [limit(member=ann).counts(who) for who in (ann, ben, None)] == [True, False, False]


def refused(limits, amount, at=NOON, **asked):
    return first_exceeded_limit(limits, amount, **{"member_id": None, "at": at, **asked})


class TestRefusing:
    def test_lets_everything_up_to_the_amount_through(self):
        assert refused([limit(used=60)], 40) is None
        assert refused([limit(used=60)], 41).used == 60

    def test_of_an_amount_of_0_refuses_everything(self):
        assert refused([limit(0)], 1).amount == 0

    def test_looks_only_at_the_limits_of_who_is_asking(self):
        ann, ben = uuid4(), uuid4()

        assert refused([limit(0, member=ann)], 1, member_id=ben) is None
        assert refused([limit(0, member=ann)], 1) is None
        assert refused([limit(0, member=ann)], 1, member_id=ann) is not None

    def test_names_the_one_that_resets_last(self):
        daily, monthly = limit(10), limit(90, "month", used=85)

        assert refused([monthly, daily], 20).id == monthly.id
        assert refused([daily, monthly], 20).id == monthly.id
        assert refused([monthly, daily], 20).resets_at == APRIL

    def test_of_those_that_reset_together_names_the_one_with_the_least_room(self):
        roomy, tight = limit(100, used=90), limit(50, used=48)

        assert refused([roomy, tight], 20).id == refused([tight, roomy], 20).id == tight.id

    def test_of_those_with_the_same_room_names_the_smallest(self):
        wide, narrow = limit(100, used=90), limit(50, used=40)

        assert refused([wide, narrow], 20).id == refused([narrow, wide], 20).id == narrow.id

    def test_leaves_the_counters_as_they_are(self):
        capped = limit(used=99)

        refused([capped], 2, at=MIDNIGHT)

        assert (capped.used, capped.window_starts_at) == (99, MIDNIGHT - DAY)

    def test_lets_a_hold_give_way_to_what_it_becomes(self):
        capped = limit(used=80)

        assert refused([capped], 100, released_hold=(80, NOON), at=NOON + MINUTE) is None
        assert refused([capped], 101, released_hold=(80, NOON), at=NOON + MINUTE).used == 80

    def test_lets_a_hold_give_way_only_in_its_own_window(self):
        capped = limit(used=80)

        assert refused([capped], 101, released_hold=(80, NOON), at=MIDNIGHT).used == 0
        assert refused([capped], 100, released_hold=(80, NOON), at=MIDNIGHT) is None
        assert refused([limit(used=10, at=MIDNIGHT)], 91, released_hold=(80, MIDNIGHT - SECOND), at=MIDNIGHT).used == 10
