"""Parsing of timestamps."""

import re
from datetime import UTC, datetime

_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})", re.IGNORECASE
)


def from_rfc3339(text: str) -> datetime:
    """Return the time that ``text`` denotes, in UTC. Digits beyond the microsecond are cut off.

    >>> from_rfc3339("2026-03-01T12:00:00+02:00").isoformat()
    '2026-03-01T10:00:00+00:00'

    :raises ValueError: the text is not an RFC 3339 time with an offset, or the day or hour does not exist
    :raises OverflowError: in UTC the time is outside the years 1 to 9999
    """
    if not _RFC_3339.fullmatch(text):
        raise ValueError(text)
    return datetime.fromisoformat(text.upper()).astimezone(UTC)
