"""Spending limits: caps on the credits used in a UTC day or month. Pure arithmetic.

Used credits are usage and open holds less refunds, each counted in the window in which the usage happened or the hold
was placed. Credits are whole numbers; windows are half-open. The counter of a limit is stored in its row and changes
under the lock of the balance; ``verify_ledger`` compares it with the history.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

PERIODS = ("day", "month")


def window_start(period: str, at: datetime) -> datetime:
    """Return the start of the window that contains ``at``: midnight, or midnight of the first of the month, in UTC.

    >>> window_start("month", datetime(2025, 3, 31, 23, 59, tzinfo=UTC)).isoformat()
    '2025-03-01T00:00:00+00:00'
    """
    midnight = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight if period == "day" else midnight.replace(day=1)


def window_end(period: str, start: datetime) -> datetime:
    """Return the first instant after the window that began at ``start``.

    >>> window_end("month", datetime(2025, 12, 1, tzinfo=UTC)).isoformat()
    '2026-01-01T00:00:00+00:00'
    """
    # 31 days after the first of a month is always in the next one.
    return start + timedelta(days=1) if period == "day" else window_start("month", start + timedelta(days=31))


@dataclass(slots=True)
class Limit:
    """A cap on the credits used in each window, by one member or, without a member, from the whole balance.

    ``used`` counts the window that began at ``window_starts_at``. Timestamps of a balance never decrease, so no older
    window is needed again, and one counter is enough.
    """

    id: UUID
    member_id: UUID | None
    period: str
    amount: int
    window_starts_at: datetime
    used: int
    set_by_id: UUID | None
    set_at: datetime
    removed_at: datetime | None = None

    def window(self, at: datetime) -> datetime:
        """Return the start of the window of ``at``, or of the window counted last if that is later."""
        return max(self.window_starts_at, window_start(self.period, at))

    def used_at(self, at: datetime) -> int:
        """Return the credits used in the window of ``at``. A window later than the counted one starts at 0."""
        return self.used if self.window(at) == self.window_starts_at else 0

    def resets_at(self, at: datetime) -> datetime:
        """Return the end of the window of ``at``, when the full amount is usable again."""
        return window_end(self.period, self.window(at))

    def counts(self, member_id: UUID | None) -> bool:
        """Return whether usage by this member counts. Usage without a member counts for the whole balance only."""
        return self.member_id is None or self.member_id == member_id

    def count(self, amount: int, at: datetime) -> bool:
        """Count ``amount`` credits used at ``at``, or a negative amount given back, and return whether the counter
        changed.

        Credits given back to a window that is over change nothing.
        """
        window = window_start(self.period, at)
        if window < self.window_starts_at:
            return False
        if window > self.window_starts_at:
            self.window_starts_at, self.used = window, 0
        self.used += amount
        assert self.used >= 0
        return True

    def status(self, at: datetime) -> "LimitStatus":
        """Return the status of the limit at ``at``."""
        return LimitStatus(self.id, self.member_id, self.period, self.amount, self.used_at(at), self.resets_at(at))


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """A limit at one instant: the whole credits used in the window, and when the window ends."""

    id: UUID
    member_id: UUID | None
    period: str
    amount: int
    used: int
    resets_at: datetime


def first_exceeded_limit(
    limits: Iterable[Limit],
    amount: int,
    *,
    member_id: UUID | None,
    at: datetime,
    released_hold: tuple[int, datetime] | None = None,
) -> LimitStatus | None:
    """Return the limit that ``amount`` more credits for ``member_id`` at ``at`` would exceed, or None.

    ``released_hold`` is the (amount, placed at) of a hold that the same operation closes; its credits do not count
    twice. Of several exceeded limits the result is the one that resets last; then the one exceeded most; then the one
    with the smaller amount. So the same limits always give the same error.
    """
    exceeded = []
    for limit in limits:
        if not limit.counts(member_id):
            continue
        status = limit.status(at)
        released = 0
        if released_hold and window_start(limit.period, released_hold[1]) == limit.window(at):
            released = released_hold[0]
        if status.used - released + amount > limit.amount:
            exceeded.append(status)
    return max(exceeded, key=lambda each: (each.resets_at, each.used - each.amount, -each.amount), default=None)
