"""The only module that reads the system clock."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

_fixed: datetime | None = None


def now() -> datetime:
    """Return the current time in UTC. Entry points call this once and pass the result on as ``at``."""
    return _fixed or datetime.now(UTC)  # noqa: TID251 - the clock itself


@contextmanager
def fixed(instant: datetime) -> Iterator[None]:
    """Let the clock of this process show ``instant`` during the block, in all threads: for tests and measurements.

    Operations reject an ``at`` ahead of the clock. A test that lets time pass fixes the clock at the later instant.
    """
    global _fixed  # noqa: PLW0603 - one clock for each process
    previous, _fixed = _fixed, instant.astimezone(UTC)
    try:
        yield
    finally:
        _fixed = previous
