"""Simulate how long credits last. A pure function of grants, a constant burn rate and future arrivals.

The burn rate is ``spent`` whole credits per ``window``. From one event (an expiry or an arrival) to the next, credits
are burned at that rate in burn order. Amounts are integers in a fraction of a credit that is small enough for every
microsecond to burn a whole number of fractions, so the simulation never rounds.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Protocol
from uuid import UUID

from credits.domain import burn_order, constants

_MICROSECOND = timedelta(microseconds=1)


class ExistingGrant(burn_order.Burnable, Protocol):
    """The attributes of an existing grant that the simulation reads; ``remaining`` is in whole credits."""

    roll_cap: int | None
    roll_until: datetime | None


class Arrival(Protocol):
    """A future allocation of ``amount`` whole credits at ``at``."""

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
    """Credits of an existing grant that expire before they are burned, before or after they roll over."""

    grant_id: UUID
    amount: Fraction
    at: datetime


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """The state when the credits run out or, if they do not, at the end of the simulated time.

    ``burned``, ``lost`` (expired) and ``left`` add up to the initial credits and the arrivals. ``unused`` is the part
    of ``lost`` that belongs to existing grants.
    """

    runs_out_at: datetime | None
    unused: tuple[Unused, ...]
    burned: Fraction
    lost: Fraction
    left: Fraction


@dataclass(slots=True)
class _Bucket:
    """Credits with one expiry, in fractions. ``grant_id`` is the existing grant they come from, None for arrivals."""

    id: UUID
    grant_id: UUID | None
    source: str
    remaining: int
    priority: int
    effective_at: datetime
    expires_at: datetime | None
    roll_cap: int | None = None
    roll_until: datetime | None = None


def simulate_burn(
    grants: Iterable[ExistingGrant],
    *,
    at: datetime,
    until: datetime,
    spent: int,
    window: timedelta,
    arrivals: Iterable[Arrival] = (),
) -> SimulationResult:
    """Return when ``grants`` run out from ``at`` on, burned at ``spent`` credits per ``window``, and what expires.

    Credits run out at the first instant at which nothing is left, unless credits arrive at that same instant. An
    arrival dated before ``at`` arrives at ``at``, unless it has expired by then. The simulated time is half-open:
    events at ``until`` or later are ignored, and running out at ``until`` does not count. ``spent`` is at least 0.

    >>> from datetime import UTC
    >>> noon = datetime(2025, 3, 3, 12, tzinfo=UTC)
    >>> day = timedelta(days=1)
    >>> simulate_burn([], at=noon, until=noon + 9 * day, spent=30, window=30 * day).runs_out_at == noon
    True
    """
    simulation = _Simulation(at, fractions=window // _MICROSECOND, rate=spent)
    simulation.add_grants(grants)
    pending = sorted(arrivals, key=lambda arrival: arrival.at, reverse=True)
    while True:
        simulation.expire()
        while pending and pending[-1].at <= simulation.now:
            simulation.arrive(pending.pop(), len(pending))
        if simulation.left == 0:
            return simulation.result(simulation.now)
        next_event = min([until, *simulation.expiries(), *(arrival.at for arrival in pending[-1:])])
        runs_out_at = simulation.burn(next_event)
        if runs_out_at is not None:
            return simulation.result(runs_out_at)
        if next_event >= until:
            return simulation.result(None)


def next_loss(grants: Iterable[ExistingGrant]) -> tuple[int, datetime] | None:
    """Return how many credits of ``grants`` are lost first, and when, if nothing is spent and nothing arrives.

    Credits that roll over are not lost; those beyond the cap of a rollover are. None if no credits will be lost.

    >>> next_loss([]) is None
    True
    """
    # Credits that never end and do not come from a rollover neither expire nor count toward a cap.
    ending = [grant for grant in grants if grant.expires_at is not None or grant.source == "rollover"]
    simulation = _Simulation(burn_order.NEVER, fractions=1, rate=0)
    simulation.add_grants(ending)
    while instants := simulation.expiries():
        simulation.now = min(instants)
        simulation.expire()
        if simulation.lost:
            return simulation.lost, simulation.now
    return None


class _Simulation:
    """The buckets between two events; all amounts are in fractions of a credit."""

    def __init__(self, now: datetime, *, fractions: int, rate: int) -> None:
        self.now = now
        self.fractions = fractions  # of one credit
        self.rate = rate  # fractions burned per microsecond
        self.left = 0
        self._buckets: list[_Bucket] = []
        self._burned = 0
        self.lost = 0
        self._unused: list[Unused] = []

    def add_grants(self, grants: Iterable[ExistingGrant]) -> None:
        self.add(
            _Bucket(
                id=grant.id,
                grant_id=grant.id,
                source=grant.source,
                remaining=grant.remaining * self.fractions,
                priority=grant.priority,
                effective_at=grant.effective_at,
                expires_at=grant.expires_at,
                roll_cap=grant.roll_cap,
                roll_until=grant.roll_until,
            )
            for grant in grants
        )

    def add(self, buckets: Iterable[_Bucket]) -> None:
        new = [bucket for bucket in buckets if bucket.remaining > 0]
        self.left += sum(bucket.remaining for bucket in new)
        self._buckets = burn_order.in_burn_order([*self._buckets, *new])

    def arrive(self, arrival: Arrival, number: int) -> None:
        if arrival.expires_at is not None and arrival.expires_at <= self.now:
            return
        bucket = _Bucket(
            id=UUID(int=number),  # distinguishes arrivals from each other
            grant_id=None,
            source="allocation",
            remaining=arrival.amount * self.fractions,
            priority=constants.DEFAULT_PRIORITY,
            effective_at=arrival.at,
            expires_at=arrival.expires_at,
            roll_cap=arrival.roll_cap,
            roll_until=arrival.roll_until,
        )
        self.add([bucket])

    def expiries(self) -> list[datetime]:
        return [bucket.expires_at for bucket in self._buckets if bucket.expires_at is not None]

    def burn(self, until: datetime) -> datetime | None:
        """Burn credits until ``until``; return the instant at which the credits run out, if that is earlier."""
        due = self.rate * ((until - self.now) // _MICROSECOND)
        if due > self.left:
            microseconds = -(-self.left // self.rate)  # rounded up
            self._take(self.left)
            return self.now + microseconds * _MICROSECOND
        self._take(due)
        self.now = until
        return None

    def _take(self, due: int) -> None:
        for bucket, taken in burn_order.plan_payments(due, self._buckets):
            bucket.remaining -= taken
        self._burned += due
        self.left -= due
        self._buckets = [bucket for bucket in self._buckets if bucket.remaining > 0]

    def expire(self) -> None:
        """Expire the due buckets and roll credits over up to their cap, as ``due_events`` does for real grants."""
        expired = [
            bucket for bucket in self._buckets if bucket.expires_at is not None and bucket.expires_at <= self.now
        ]
        caps = []
        for bucket in expired:
            rolled = (
                min(bucket.remaining, (bucket.roll_cap or 0) * self.fractions) if bucket.expires_at == self.now else 0
            )
            self._record_loss(bucket, bucket.remaining - rolled)
            self.left -= bucket.remaining
            bucket.remaining = 0
            if rolled:
                self._roll_over(bucket, rolled)
                caps.append(bucket.roll_cap or 0)
        if caps:
            self._enforce_cap(max(caps))
        self._buckets = [bucket for bucket in self._buckets if bucket.remaining > 0]

    def _roll_over(self, bucket: _Bucket, rolled: int) -> None:
        self.add(
            [
                _Bucket(
                    id=bucket.id,
                    grant_id=bucket.grant_id,
                    source="rollover",
                    remaining=rolled,
                    priority=constants.ROLLOVER_PRIORITY,
                    effective_at=self.now,
                    expires_at=bucket.roll_until,
                )
            ]
        )

    def _enforce_cap(self, cap: int) -> None:
        pool = [bucket for bucket in self._buckets if bucket.source == "rollover"]
        excess = sum(bucket.remaining for bucket in pool) - cap * self.fractions
        for bucket in sorted(pool, key=lambda bucket: (bucket.effective_at, bucket.id)):
            trimmed = min(max(excess, 0), bucket.remaining)
            self._record_loss(bucket, trimmed)
            self.left -= trimmed
            bucket.remaining -= trimmed
            excess -= trimmed

    def _record_loss(self, bucket: _Bucket, amount: int) -> None:
        self.lost += amount
        if amount and bucket.grant_id is not None:
            self._unused.append(Unused(bucket.grant_id, Fraction(amount, self.fractions), self.now))

    def result(self, runs_out_at: datetime | None) -> SimulationResult:
        return SimulationResult(
            runs_out_at,
            tuple(self._unused),
            Fraction(self._burned, self.fractions),
            Fraction(self.lost, self.fractions),
            Fraction(self.left, self.fractions),
        )
