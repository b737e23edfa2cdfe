"""The monthly periods of a subscription, counted from its anchor.

Pure functions of instants. Every period is computed from the anchor itself, never from the period before it, so a short
month does not move the periods after it.
"""

import calendar
from datetime import MAXYEAR, UTC, datetime

_END_OF_CALENDAR = datetime.max.replace(tzinfo=UTC)


def period_start(anchor: datetime, period: int) -> datetime:
    """Return the instant at which ``period`` begins: that many months after ``anchor``, same time of day, in UTC.

    Where the month is too short, the period begins on the last day of the month. A period after the end of the calendar
    begins at its last instant.
    Period k is half-open: ``[period_start(k), period_start(k + 1))``.

    >>> anchor = datetime(2025, 1, 31, 9, tzinfo=UTC)
    >>> [period_start(anchor, k).strftime("%d %b") for k in range(4)]
    ['31 Jan', '28 Feb', '31 Mar', '30 Apr']
    """
    anchor = anchor.astimezone(UTC)
    year, month = divmod(anchor.year * 12 + anchor.month - 1 + period, 12)
    if year > MAXYEAR:
        return _END_OF_CALENDAR
    # Every month has 28 days.
    day = anchor.day if anchor.day <= 28 else min(anchor.day, calendar.monthrange(year, month + 1)[1])
    return anchor.replace(year=year, month=month + 1, day=day)


def period_at(anchor: datetime, at: datetime) -> int:
    """Return the number of the period that contains ``at``. Before the anchor there is no period; the result is 0."""
    anchor, at = anchor.astimezone(UTC), at.astimezone(UTC)
    period = (at.year - anchor.year) * 12 + at.month - anchor.month
    if period_start(anchor, period) > at:
        period -= 1
    return max(period, 0)
