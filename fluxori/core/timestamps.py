"""Instants as text."""

import re
from datetime import UTC, datetime

_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})", re.IGNORECASE
)


def from_rfc3339(text: str) -> datetime:
    """Return the instant that ``text`` names, in UTC; digits beyond the microsecond are cut off.

    >>> from_rfc3339("2026-03-01T12:00:00+02:00").isoformat()
    '2026-03-01T10:00:00+00:00'

    :raises ValueError: if it is not an RFC 3339 time with its offset, or there is no such day or hour
    :raises OverflowError: if it lies beyond the calendar
    """
    if not _RFC_3339.fullmatch(text):
        raise ValueError(text)
    return datetime.fromisoformat(text.upper()).astimezone(UTC)
