"""Fixed timestamps and durations, so that no test depends on the current time."""

from datetime import UTC, datetime, timedelta

NOON = datetime(2025, 3, 3, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
