import doctest
from calendar import monthrange
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiers.domain import periods
from tiers.domain.periods import period_at, period_start

MICROSECOND = timedelta(microseconds=1)

offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
EARLIEST, LATEST = datetime(1990, 1, 1), datetime(2090, 12, 31)  # noqa: DTZ001 - the time zone is drawn separately
anchors = st.datetimes(EARLIEST, LATEST, timezones=offsets)
# Twenty-five years contain every length of February.
counts = st.integers(0, 300)


def days(anchor, count):
    return [period_start(anchor, k).strftime("%d %b %Y") for k in range(count)]


def test_examples_in_the_docstrings_hold():
    assert doctest.testmod(periods) == (0, 2)


class TestPeriodStart:
    @pytest.mark.parametrize(
        ("anchor", "expected"),
        [
            (datetime(2025, 1, 31, tzinfo=UTC), ["31 Jan 2025", "28 Feb 2025", "31 Mar 2025", "30 Apr 2025"]),
            (datetime(2024, 1, 31, tzinfo=UTC), ["31 Jan 2024", "29 Feb 2024", "31 Mar 2024", "30 Apr 2024"]),
            (datetime(2025, 11, 30, tzinfo=UTC), ["30 Nov 2025", "30 Dec 2025", "30 Jan 2026", "28 Feb 2026"]),
            (datetime(2100, 1, 29, tzinfo=UTC), ["29 Jan 2100", "28 Feb 2100", "29 Mar 2100", "29 Apr 2100"]),
        ],
    )
    def test_uses_the_last_day_of_a_short_month_only(self, anchor, expected):
        assert days(anchor, 4) == expected

    def test_returns_to_the_leap_day_after_four_years(self):
        leap = datetime(2024, 2, 29, tzinfo=UTC)

        assert [period_start(leap, 12 * year).day for year in range(5)] == [29, 28, 28, 28, 29]

    def test_counts_in_utc_for_an_anchor_in_another_time_zone(self):
        in_johannesburg = datetime(2025, 2, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))

        assert period_start(in_johannesburg, 1) == datetime(2025, 2, 28, 23, 30, tzinfo=UTC)

    @given(anchors, counts)
    def test_keeps_the_day_and_the_time_of_the_anchor(self, anchor, k):
        start, anchor = period_start(anchor, k), anchor.astimezone(UTC)

        assert start.timetz() == anchor.timetz()
        assert start.day == min(anchor.day, monthrange(start.year, start.month)[1])
        assert (start.year - anchor.year) * 12 + start.month - anchor.month == k

    @given(anchors)
    def test_periods_are_adjacent(self, anchor):
        starts = [period_start(anchor, k) for k in range(49)]

        assert starts[0] == anchor
        assert all(timedelta(28) <= later - earlier <= timedelta(31) for earlier, later in pairwise(starts))


class TestPeriodAt:
    @given(anchors, counts)
    def test_period_is_half_open(self, anchor, k):
        first, after = period_start(anchor, k), period_start(anchor, k + 1)

        assert period_at(anchor, first) == k
        assert period_at(anchor, after - MICROSECOND) == k
        assert period_at(anchor, after) == k + 1

    @given(anchors, st.integers(0, 25 * 365 * 86_400 * 10**6), offsets)
    def test_period_contains_the_instant(self, anchor, microseconds, offset):
        at = (anchor + microseconds * MICROSECOND).astimezone(offset)

        k = period_at(anchor, at)

        assert period_start(anchor, k) <= at < period_start(anchor, k + 1)

    @given(anchors, st.integers(1, 10**15))
    def test_is_0_before_the_anchor(self, anchor, microseconds):
        assert period_at(anchor, anchor - microseconds * MICROSECOND) == 0


class TestEndOfTheCalendar:
    ANCHOR = datetime(2025, 1, 31, 9, tzinfo=UTC)
    LAST = datetime.max.replace(tzinfo=UTC)

    def test_the_last_period_ends_with_the_calendar(self):
        last = period_at(self.ANCHOR, self.LAST)

        assert period_start(self.ANCHOR, last) == datetime(9999, 12, 31, 9, tzinfo=UTC)
        assert period_start(self.ANCHOR, last + 1) == self.LAST

    @pytest.mark.parametrize("months", [1, 2, 120, 10**6])
    def test_later_periods_begin_at_its_last_instant(self, months):
        assert period_start(datetime(9999, 12, 31, tzinfo=UTC), months) == self.LAST
