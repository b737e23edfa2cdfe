"""How far the credits at hand will last. A pure function of grants, a pace and what is still to come.

The pace is constant: ``spent`` whole credits in ``window``. From event to event, an expiry or an arrival, credits are
burned at that pace in burn order. Counted in whole parts of a credit, so small that each microsecond burns a whole
number of them: there is no rounding, however long the way.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Protocol
from uuid import UUID

from credits.domain import burn_order, constants

_MICROSECOND = timedelta(microseconds=1)


class Lasting(burn_order.Burnable, Protocol):
    """What is looked at in a grant that is there already; ``remaining`` is in whole credits."""

    roll_cap: int | None
    roll_until: datetime | None


class Arrival(Protocol):
    """Credits that will be given: an allocation, ``amount`` whole credits at ``at``."""

    @property
    def at(self) -> datetime: ...
    @property
    def amount(self) -> int: ...
    @property
    def expires_at(self) -> datetime | None: ...
    @property
    def roll_cap(self) -> int | None: ...
    @property
    def roll_until(self) -> datetime | None: ...


@dataclass(frozen=True, slots=True)
class Unused:
    """Credits of a grant that will expire before they are burned; those that rolled over first are counted here too."""

    grant_id: UUID
    amount: Fraction
    at: datetime


@dataclass(frozen=True, slots=True)
class BurnForecast:
    """What will have become of the credits when they run out or, where they do not, by the end of the look ahead.

    ``burned``, ``lost`` and ``left`` add up to what there was and what arrived. ``unused`` is the part of ``lost`` that
    falls on the grants there are now.
    """

    runs_out_at: datetime | None
    unused: tuple[Unused, ...]
    burned: Fraction
    lost: Fraction
    left: Fraction


@dataclass(slots=True)
class _Lot:
    """Credits of one expiry, in parts; ``of`` is the grant at hand that they stem from, None for arrivals."""

    id: UUID
    of: UUID | None
    source: str
    remaining: int
    priority: int
    effective_at: datetime
    expires_at: datetime | None
    roll_cap: int | None = None
    roll_until: datetime | None = None


def simulate_burn(
    grants: Iterable[Lasting],
    *,
    at: datetime,
    until: datetime,
    spent: int,
    window: timedelta,
    arrivals: Iterable[Arrival] = (),
) -> BurnForecast:
    """Return when ``grants`` run out from ``at`` on at the pace of ``spent`` credits in ``window``, and what expires.

    They run out at the first instant at which nothing is left; not if credits arrive at that same instant. An arrival
    dated before ``at`` comes at ``at``, unless it has expired by then. Half-open: nothing that happens at ``until`` or
    later is looked at, and running out then is not running out. ``spent`` is 0 or more.

    >>> from datetime import UTC
    >>> noon = datetime(2025, 3, 3, 12, tzinfo=UTC)
    >>> day = timedelta(days=1)
    >>> look_ahead([], at=noon, until=noon + 9 * day, spent=30, window=30 * day).runs_out_at == noon
    True
    """
    way = _Way(at, part=window // _MICROSECOND, pace=spent)
    way.add(
        _Lot(
            id=grant.id,
            of=grant.id,
            source=grant.source,
            remaining=grant.remaining * way.part,
            priority=grant.priority,
            effective_at=grant.effective_at,
            expires_at=grant.expires_at,
            roll_cap=grant.roll_cap,
            roll_until=grant.roll_until,
        )
        for grant in grants
    )
    coming = sorted(arrivals, key=lambda arrival: arrival.at, reverse=True)
    while True:
        way.expire()
        while coming and coming[-1].at <= way.now:
            way.arrive(coming.pop(), len(coming))
        if way.left == 0:
            return way.outlook(way.now)
        following = min([until, *way.expiries(), *(arrival.at for arrival in coming[-1:])])
        gone = way.burn(following)
        if gone is not None:
            return way.outlook(gone)
        if following >= until:
            return way.outlook(None)


class _Way:
    """The lots on the way from one event to the next, all counts in parts of a credit."""

    def __init__(self, now: datetime, *, part: int, pace: int) -> None:
        self.now = now
        self.part = part
        self.pace = pace  # parts burned in a microsecond
        self.left = 0
        self._lots: list[_Lot] = []
        self._burned = 0
        self._lost = 0
        self._unused: list[Unused] = []

    def add(self, lots: Iterable[_Lot]) -> None:
        new = [lot for lot in lots if lot.remaining > 0]
        self.left += sum(lot.remaining for lot in new)
        self._lots = burn_order.in_burn_order([*self._lots, *new])

    def arrive(self, arrival: Arrival, number: int) -> None:
        if arrival.expires_at is not None and arrival.expires_at <= self.now:
            return
        lot = _Lot(
            id=UUID(int=number),  # only to tell arrivals apart
            of=None,
            source="allocation",
            remaining=arrival.amount * self.part,
            priority=constants.DEFAULT_PRIORITY,
            effective_at=arrival.at,
            expires_at=arrival.expires_at,
            roll_cap=arrival.roll_cap,
            roll_until=arrival.roll_until,
        )
        self.add([lot])

    def expiries(self) -> list[datetime]:
        return [lot.expires_at for lot in self._lots if lot.expires_at is not None]

    def burn(self, until: datetime) -> datetime | None:
        """Burn up to ``until``; return the instant at which everything is gone, if that is sooner."""
        due = self.pace * ((until - self.now) // _MICROSECOND)
        if due > self.left:
            after = -(-self.left // self.pace)
            gone = self.now + after * _MICROSECOND
            self._take(self.left)
            return gone
        self._take(due)
        self.now = until
        return None

    def _take(self, due: int) -> None:
        for lot, taken in burn_order.plan_deltas(due, self._lots):
            lot.remaining -= taken
        self._burned += due
        self.left -= due
        self._lots = [lot for lot in self._lots if lot.remaining > 0]

    def expire(self) -> None:
        """Let what expires by now go, or roll over up to its cap, as settling does."""
        gone = [lot for lot in self._lots if lot.expires_at is not None and lot.expires_at <= self.now]
        caps = []
        for lot in gone:
            rolled = min(lot.remaining, (lot.roll_cap or 0) * self.part) if lot.expires_at == self.now else 0
            self._lose(lot, lot.remaining - rolled)
            self.left -= lot.remaining
            lot.remaining = 0
            if rolled:
                self._roll(lot, rolled)
                caps.append(lot.roll_cap or 0)
        if caps:
            self._trim(max(caps))
        self._lots = [lot for lot in self._lots if lot.remaining > 0]

    def _roll(self, lot: _Lot, rolled: int) -> None:
        self.add(
            [
                _Lot(
                    id=lot.id,
                    of=lot.of,
                    source="rollover",
                    remaining=rolled,
                    priority=constants.ROLLOVER_PRIORITY,
                    effective_at=self.now,
                    expires_at=lot.roll_until,
                )
            ]
        )

    def _trim(self, cap: int) -> None:
        pool = [other for other in self._lots if other.source == "rollover"]
        excess = sum(other.remaining for other in pool) - cap * self.part
        for other in sorted(pool, key=lambda other: (other.effective_at, other.id)):
            trimmed = min(max(excess, 0), other.remaining)
            self._lose(other, trimmed)
            self.left -= trimmed
            other.remaining -= trimmed
            excess -= trimmed

    def _lose(self, lot: _Lot, parts: int) -> None:
        self._lost += parts
        if parts and lot.of is not None:
            self._unused.append(Unused(lot.of, Fraction(parts, self.part), self.now))

    def outlook(self, runs_out_at: datetime | None) -> BurnForecast:
        return BurnForecast(
            runs_out_at,
            tuple(self._unused),
            Fraction(self._burned, self.part),
            Fraction(self._lost, self.part),
            Fraction(self.left, self.part),
        )
