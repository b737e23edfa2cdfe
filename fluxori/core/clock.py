"""The only module that reads the system clock."""

from datetime import UTC, datetime


def now() -> datetime:
    """Return the current time in UTC. Entry points call this once and pass the result on as ``at``."""
    return datetime.now(UTC)  # noqa: TID251 - the clock itself
