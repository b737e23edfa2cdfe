"""The one place that asks what time it is."""

from datetime import UTC, datetime


def now() -> datetime:
    """Return the present instant, aware, in UTC. Doors read it once and pass it on as ``at``."""
    return datetime.now(UTC)  # noqa: TID251 - the clock itself
