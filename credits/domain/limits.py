"""How much may be used in a day or a month of the calendar, UTC. Pure arithmetic.

Used is what was spent and what open holds set aside, less what was refunded, each in the window in which it was spent
or set aside. Credits are whole; windows are half-open.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

PERIODS = ("day", "month")


def window_start(period: str, at: datetime) -> datetime:
    """Return when the window of ``at`` began: midnight, or midnight of the first of the month, in UTC.

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
    """A cap on what may be used in each window: by one member or, without one, from the whole balance.

    ``used`` is what was counted in the window that began at ``window_starts_at``. The instants of a balance never run
    back, so an older window cannot be asked about again, and one counter is enough.
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
        """Return when the window began that ``at`` falls in, or the one that was counted in last if that is later."""
        return max(self.window_starts_at, window_start(self.period, at))

    def used_at(self, at: datetime) -> int:
        """Return what is used of it at ``at``: a window that has begun since starts at 0."""
        return self.used if self.window(at) == self.window_starts_at else 0

    def resets_at(self, at: datetime) -> datetime:
        """Return when the window of ``at`` ends and all of it may be used again."""
        return window_end(self.period, self.window(at))

    def counts(self, member_id: UUID | None) -> bool:
        """Whether what is used for this member counts; for nobody in particular, only for the whole balance."""
        return self.member_id is None or self.member_id == member_id

    def count(self, amount: int, at: datetime) -> bool:
        """Count what was used at ``at``, or came back of what was used then, and return whether that changed anything.

        What comes back of a window that is over changes nothing any more.
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
        """Return how it stands at ``at``."""
        return LimitStatus(self.id, self.member_id, self.period, self.amount, self.used_at(at), self.resets_at(at))


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """How a limit stands at one instant: what is used of it, in whole credits, and when that begins anew."""

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
    """Return the limit that does not let ``member_id`` use ``amount`` more at ``at``, or None if all do.

    ``released_hold`` is what a hold that would end has counted, and when. Of several limits it is the one that resets last and,
    of those, the one with the least room: before it lets the member go on, no other has to be waited for. Where two
    have the same room, it is the smaller one, so that the same limits always refuse in the same words.
    """
    broken = []
    for limit in limits:
        if not limit.counts(member_id):
            continue
        status = limit.status(at)
        back = (
            released_hold[0]
            if released_hold and window_start(limit.period, released_hold[1]) == limit.window(at)
            else 0
        )
        if status.used - back + amount > limit.amount:
            broken.append(status)
    return max(broken, key=lambda each: (each.resets_at, each.used - each.amount, -each.amount), default=None)
