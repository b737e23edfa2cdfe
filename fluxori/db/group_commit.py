"""Requests that come together, for one balance or for several, answered in one transaction.

Whoever finds nobody at work leads: all who have come to wait meanwhile ride along, so that one lock, one read, one
write and one commit serve all of them. Alone it waits for nobody. When its transaction has ended, whoever has waited
longest leads the next one, each on its own thread and connection: nobody works for others for ever, and there is no
thread of our own.

In this line nobody waits for a lock. Whose balance somebody else has locked leaves it for a line of that balance alone,
where whoever leads waits for the lock, and only then takes along those who have come for the same balance meanwhile.

What a rider is told is its own: its outcome once the commit has returned, never before; a refusal is decided in memory
and touches nobody else; a fault in one of them breaks the group up, and each goes alone.
"""

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from datetime import datetime, timedelta
from threading import Event, Lock
from typing import Generic, TypeVar

import psycopg
from django.conf import settings
from django.db import Error as DatabaseFault
from django.db import OperationalError, connection

from credits.domain import errors
from fluxori.db.transactions import whole

K = TypeVar("K", bound=Hashable)
A = TypeVar("A")
R = TypeVar("R")
Gather = Callable[[], tuple[Sequence[tuple[K, A]], datetime]]

MAX_BATCH_SIZE = 64
# A transaction has one instant. Who asks for another one, like a back-fill, is not moved, and moves nobody.
APART = timedelta(seconds=1)

# Time-outs, and conflicts that outlived their retries. To let each try again alone would make it worse.
_BUSY = {"55P03", "57014", "40001", "40P01"}
# A connection that was lost, a server that goes down, or a disk that is full: nobody can say how far a commit had come.
_LOST = ("08", "53", "57P", "58", "XX")


class _Rider(Generic[K, A, R]):
    """One request on its way: waiting in line, leading it, or taken along by the leader, who says what came of it."""

    __slots__ = ("alone", "asked", "at", "fault", "key", "outcome", "woken")

    woken: Event  # of those who wait: it is their turn to lead, or it is over

    def __init__(self, key: K, asked: A, at: datetime) -> None:
        self.key = key
        self.asked = asked
        self.at = at
        self.outcome: R | None = None
        self.fault: DatabaseFault | None = None
        self.alone = True  # until somebody has answered it, nobody has


class _Line(Generic[K, A, R]):
    """Who is at work, and who waits, oldest first."""

    __slots__ = ("leader", "waiting")

    def __init__(self, leader: _Rider[K, A, R]) -> None:
        self.leader = leader
        self.waiting: deque[_Rider[K, A, R]] = deque()


class _Group(Generic[K, A, R]):
    """Those whom one transaction serves, the leader first, and whether it has come to its commit."""

    __slots__ = ("committing", "riders")

    def __init__(self, leader: _Rider[K, A, R]) -> None:
        self.riders = [leader]
        self.committing = False


class GroupCommitQueue(Generic[K, A, R]):
    """Answers requests by an operation, those that come together in one transaction; ``key`` names a request's balance.

    The operation is given a function to call for what is asked, as (key, request) pairs, with the latest instant, and
    returns an outcome for each. Given a key, too, it waits for the lock of that balance before it calls the function.
    Without one it calls it first, waits for no lock, and returns None for whoever's balance is locked. It may be run
    again, and be given more. Threads of one process ride together; between processes the lock decides.
    """

    def __init__(self, operation: "Callable[[K | None, Gather[K, A]], Sequence[R | None]]") -> None:
        self._operation = operation
        # Everybody's line, under None, and those of balances that are waited for.
        self._lines: dict[K | None, _Line[K, A, R]] = {}
        self._waiting = 0
        self._mutex = Lock()

    def answer(self, key: K, asked: A, at: datetime) -> R:
        """Return the outcome of one request.

        Inside a transaction of the caller's it goes alone: others must not stand or fall with that.

        :raises BusyError: if too many wait already, or it has waited for a lock's time and nobody has taken it along
        """
        if connection.in_atomic_block:
            return self._alone(key, asked, at)
        outcome = None if key in self._lines else self._ride(None, _Rider(key, asked, at))
        if outcome is None:
            outcome = self._ride(key, _Rider(key, asked, at))
        assert outcome is not None
        return outcome

    def _ride(self, key: K | None, rider: _Rider[K, A, R]) -> R | None:
        """Return the rider's outcome, or None where its balance is locked by somebody else."""
        try:
            if self._joined_as_leader(key, rider) or self._waited_to_lead(key, rider):
                self._lead(key, rider)
        finally:
            self._leave(key, rider)
        if rider.fault is not None:
            raise rider.fault
        return self._alone(rider.key, rider.asked, rider.at) if rider.alone else rider.outcome

    @whole
    def _alone(self, key: K, asked: A, at: datetime) -> R:
        [outcome] = self._operation(key, lambda: ([(key, asked)], at))
        assert outcome is not None
        return outcome

    def _joined_as_leader(self, key: K | None, rider: _Rider[K, A, R]) -> bool:
        with self._mutex:
            line = self._lines.get(key)
            if line is None:
                self._lines[key] = _Line(rider)
                return True
            if self._waiting >= settings.DEDUCTION_QUEUE_LIMIT:
                raise errors.BusyError()
            rider.woken = Event()
            line.waiting.append(rider)
            self._waiting += 1
            return False

    def _waited_to_lead(self, key: K | None, rider: _Rider[K, A, R]) -> bool:
        """Wait, and return if it is this one's turn to lead; otherwise its outcome is there."""
        if not rider.woken.wait(settings.LOCK_TIMEOUT_MS / 1000):
            with self._mutex:
                line = self._lines.get(key)
                if line is not None and rider in line.waiting:
                    # Out of the line before anybody else may look: once refused, it must not be taken along.
                    line.waiting.remove(rider)
                    self._waiting -= 1
                    raise errors.BusyError()
            # Taken along: what becomes of the group becomes of it, and the group's statements are bounded.
            if not rider.woken.wait(settings.STATEMENT_TIMEOUT_MS / 1000):
                raise _unknown()
        with self._mutex:
            line = self._lines.get(key)
            return line is not None and line.leader is rider

    def _lead(self, key: K | None, leader: _Rider[K, A, R]) -> None:
        group: _Group[K, A, R] = _Group(leader)
        try:
            outcomes = self._serve(key, group)
        except BaseException as fault:
            others = group.riders[1:]
            shared = (group.committing and _is_unknown(fault)) or _state(fault) in _BUSY
            for rider in others:
                rider.fault = _own(fault) if shared else None
                rider.woken.set()
            if shared or not others or not isinstance(fault, Exception):
                raise
            return
        for rider, outcome in zip(group.riders, outcomes, strict=True):
            rider.outcome = outcome
            rider.alone = False
            if rider is not leader:
                rider.woken.set()

    @whole
    def _serve(self, key: K | None, group: _Group[K, A, R]) -> Sequence[R | None]:
        group.committing = False
        outcomes = self._operation(key, lambda: self._board(key, group))
        # From here on PostgreSQL must say that it has not happened; otherwise it may have.
        group.committing = True
        return outcomes

    def _board(self, key: K | None, group: _Group[K, A, R]) -> tuple[Sequence[tuple[K, A]], datetime]:
        at = group.riders[0].at
        with self._mutex:
            line = self._lines[key]
            near = [rider for rider in line.waiting if abs(rider.at - at) <= APART]
            for rider in near[: MAX_BATCH_SIZE - len(group.riders)]:
                line.waiting.remove(rider)
                self._waiting -= 1
                group.riders.append(rider)
        return [(rider.key, rider.asked) for rider in group.riders], max(rider.at for rider in group.riders)

    def _leave(self, key: K | None, rider: _Rider[K, A, R]) -> None:
        """Step out of the line, whatever happened; who led lets the next one lead."""
        with self._mutex:
            line = self._lines.get(key)
            if line is None:
                return
            if line.leader is not rider:
                if rider in line.waiting:
                    line.waiting.remove(rider)
                    self._waiting -= 1
            elif line.waiting:
                line.leader = line.waiting.popleft()
                self._waiting -= 1
                line.leader.woken.set()
            else:
                del self._lines[key]


def _state(fault: BaseException) -> str | None:
    return getattr(fault.__cause__, "sqlstate", None)


def _is_unknown(fault: BaseException) -> bool:
    """Return whether PostgreSQL has not said that it did nothing."""
    cause = fault.__cause__
    if not isinstance(cause, psycopg.Error) or cause.sqlstate is None:
        return True
    return cause.sqlstate.startswith(_LOST) or cause.diag.severity_nonlocalized in ("FATAL", "PANIC")


def _own(fault: BaseException) -> DatabaseFault:
    """Return the leader's fault for a rider to raise: being raised changes an exception, so each needs its own."""
    if not isinstance(fault, DatabaseFault):
        return _unknown()
    told = type(fault)(*fault.args)
    told.__cause__ = fault.__cause__
    return told


def _unknown() -> OperationalError:
    return OperationalError("The transaction this rode on was broken off; its outcome is unknown.")
