"""Group commit: requests that arrive together share one transaction, for one key or for several.

A key is what a request locks: for deductions the owner of a balance. It is not an idempotency key.

Group commit is the database term for flushing the log once for several transactions; here the requests share the whole
transaction: one lock statement, one load, one write and one COMMIT. The first caller becomes the leader and works on
its own thread and connection; requests that arrive during its work wait, and the oldest of them leads the next group.
It starts no thread, and a single caller does not wait.

Two kinds of queues: the first queue takes requests for any key and never waits for a lock (``SKIP LOCKED``); a request
whose key is locked elsewhere moves to the queue of that key alone, whose leader waits for the lock. Each request gets
its own result, after the COMMIT. See ``docs/explanation/group-commit.md``.
"""

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from threading import Event, Lock
from time import monotonic
from typing import Generic, TypeVar

import psycopg
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import OperationalError, connection

from fluxori.core import metrics
from fluxori.db.deadlines import MARGIN_SECONDS, limit_waits
from fluxori.db.sqlstates import BUSY, UNAVAILABLE_PREFIXES, sqlstate_of
from fluxori.db.transactions import transaction_with_retry

K = TypeVar("K", bound=Hashable)
P = TypeVar("P")
R = TypeVar("R")
TakeGroup = Callable[[], Sequence[tuple[K, P]]]
ProcessGroup = Callable[[K | None, TakeGroup[K, P]], Sequence[R | None]]

MAX_GROUP_SIZE = 64
# The leader of the first queue never waits for a lock. One that works for so long waits for a database that does not
# respond, and must not hold up the requests of other connections.
OVERDUE_SECONDS = 2.0


class _Submission(Generic[K, P, R]):
    """One request from submission to its outcome: an error, a result, or the need to run alone."""

    __slots__ = ("error", "key", "must_run_alone", "payload", "ready", "result")

    ready: Event  # set when the request becomes the leader, or has its outcome; only requests that wait have one

    def __init__(self, key: K, payload: P) -> None:
        self.key = key
        self.payload = payload
        self.result: R | None = None  # None: its key is locked elsewhere
        self.error: DatabaseError | None = None
        self.must_run_alone = False  # its group failed, perhaps because of another request


class _Queue(Generic[K, P, R]):
    """The leader at work, and the requests that wait, oldest first."""

    __slots__ = ("leader", "led_since", "waiting")

    def __init__(self, leader: _Submission[K, P, R]) -> None:
        self.set_leader(leader)
        self.waiting: deque[_Submission[K, P, R]] = deque()

    def set_leader(self, leader: _Submission[K, P, R]) -> None:
        """Make this request the leader, in place of one that has finished or is overdue."""
        self.leader = leader
        self.led_since = monotonic()

    def is_overdue(self) -> bool:
        return monotonic() - self.led_since > OVERDUE_SECONDS


class _Group(Generic[K, P, R]):
    """The requests of one transaction, the leader first, and whether the transaction has reached its COMMIT."""

    __slots__ = ("is_committing", "requests")

    def __init__(self, leader: _Submission[K, P, R]) -> None:
        self.requests = [leader]
        self.is_committing = False


class GroupCommitQueue(Generic[K, P, R]):
    """Runs requests through ``process_group``, several in one transaction.

    ``process_group(wait_for, take_group)`` runs in a transaction and returns one result for each request of the group.
    It calls ``take_group`` for the (key, payload) pairs. With ``wait_for`` None it must not wait for locks, and
    returns None for each request whose key is locked elsewhere. With a key it waits for the lock of that key before it
    takes the group; a request that runs alone passes its key too. It may run again after a deadlock, and may then take
    more requests.

    ``busy_error`` makes the exception for a request that cannot be served in time; ``queue_limit`` returns how many
    requests of this process may wait. Threads of one process share groups; between processes the row locks decide.
    """

    def __init__(
        self,
        process_group: ProcessGroup[K, P, R],
        *,
        busy_error: Callable[[], Exception],
        queue_limit: Callable[[], int],
    ) -> None:
        self._process = process_group
        self._busy_error = busy_error
        self._queue_limit = queue_limit
        # The first queue has the key None; the others belong to contended keys.
        self._queues: dict[K | None, _Queue[K, P, R]] = {}
        self._waiting_count = 0
        self._mutex = Lock()

    def run(self, key: K, payload: P) -> R:
        """Return the result of one request, after its COMMIT.

        Inside a transaction of the caller the request runs alone: other requests must not depend on that transaction.

        :raises Exception: ``busy_error``: too many requests wait, or this one waited for the lock time-out
        :raises django.db.Error: the error of the group, or of this request alone
        """
        # The longest regular wait of a statement is that for a lock. Afterwards a silent connection is given up.
        with limit_waits(settings.LOCK_TIMEOUT_MS / 1000 + MARGIN_SECONDS):
            if connection.in_atomic_block:
                return self._run_single(key, payload)
            result = None
            if key not in self._queues:
                result = self._submit(None, _Submission(key, payload))
            if result is None:
                result = self._submit(key, _Submission(key, payload))
        assert result is not None
        return result

    def _submit(self, queue_key: K | None, request: _Submission[K, P, R]) -> R | None:
        """Return the result of the request, or None if its key is locked elsewhere."""
        try:
            is_leader = self._enqueue(queue_key, request)
            if not is_leader:
                with metrics.group_commit_wait_seconds.time():
                    is_leader = self._wait_for_turn(queue_key, request)
            if is_leader:
                self._lead(queue_key, request)
        finally:
            self._leave(queue_key, request)
        if request.error is not None:
            raise request.error
        if request.must_run_alone:
            return self._run_single(request.key, request.payload)
        return request.result

    @transaction_with_retry
    def _run_single(self, key: K, payload: P) -> R:
        [result] = self._process(key, lambda: [(key, payload)])
        assert result is not None
        return result

    def _enqueue(self, queue_key: K | None, request: _Submission[K, P, R]) -> bool:
        """Join the queue, and return whether the request is the leader at once."""
        with self._mutex:
            queue = self._queues.get(queue_key)
            if queue is None:
                self._queues[queue_key] = _Queue(request)
                return True
            if queue_key is None and queue.is_overdue():
                queue.set_leader(request)
                return True
            if self._waiting_count >= self._queue_limit():
                metrics.group_commit_rejections.labels("queue_full").inc()
                raise self._busy_error()
            request.ready = Event()
            queue.waiting.append(request)
            self._waiting_count += 1
            return False

    def _wait_for_turn(self, queue_key: K | None, request: _Submission[K, P, R]) -> bool:
        """Wait, and return whether it is the request's turn to lead; otherwise it has its outcome."""
        patience = settings.LOCK_TIMEOUT_MS / 1000
        if queue_key is None and patience > OVERDUE_SECONDS:
            patience -= OVERDUE_SECONDS
            if not request.ready.wait(OVERDUE_SECONDS) and self._replace_leader(request):
                return True
        if not request.ready.wait(patience):
            with self._mutex:
                queue = self._queues.get(queue_key)
                if queue is not None and request in queue.waiting:
                    # Removed under the mutex: a request that is rejected as busy must not join a group.
                    queue.waiting.remove(request)
                    self._waiting_count -= 1
                    metrics.group_commit_rejections.labels("wait_timeout").inc()
                    raise self._busy_error()
            # It is in a group, or has just become the leader. The statements of a group have time-outs.
            if not request.ready.wait(settings.STATEMENT_TIMEOUT_MS / 1000):
                raise _outcome_unknown()
        with self._mutex:
            queue = self._queues.get(queue_key)
            return queue is not None and queue.leader is request

    def _replace_leader(self, request: _Submission[K, P, R]) -> bool:
        """Lead the first queue if its leader is overdue. That one keeps its group, and finishes or fails with it."""
        with self._mutex:
            queue = self._queues.get(None)
            if queue is None or request not in queue.waiting or not queue.is_overdue():
                return False
            queue.waiting.remove(request)
            self._waiting_count -= 1
            queue.set_leader(request)
            return True

    def _lead(self, queue_key: K | None, leader: _Submission[K, P, R]) -> None:
        """Commit one group and give each of its requests an outcome.

        An error of one request does not become the error of the others: each of them must run alone. A time-out, a
        conflict, and an unknown outcome of the COMMIT are the error of all.
        """
        group: _Group[K, P, R] = _Group(leader)
        try:
            results = self._commit_group(queue_key, group)
        except BaseException as error:
            others = group.requests[1:]
            # A time-out or a conflict that outlived its retries is shared: running each request alone would make it
            # worse.
            is_shared = (group.is_committing and _is_outcome_unknown(error)) or sqlstate_of(error) in BUSY
            for request in others:
                if is_shared:
                    request.error = _copy_for_waiter(error)
                else:
                    request.must_run_alone = True
                request.ready.set()
            if is_shared or not others or not isinstance(error, Exception):
                raise
            leader.must_run_alone = True
            return
        metrics.group_commit_requests.observe(len(group.requests))
        for request, result in zip(group.requests, results, strict=True):
            request.result = result
            if request is not leader:
                request.ready.set()

    @transaction_with_retry
    def _commit_group(self, queue_key: K | None, group: _Group[K, P, R]) -> Sequence[R | None]:
        group.is_committing = False
        results = self._process(queue_key, lambda: self._take_group(queue_key, group))
        # What follows is the COMMIT: from here on only an error from PostgreSQL proves that nothing was written.
        group.is_committing = True
        return results

    def _take_group(self, queue_key: K | None, group: _Group[K, P, R]) -> Sequence[tuple[K, P]]:
        """Move waiting requests into the group, up to ``MAX_GROUP_SIZE``, and return its (key, payload) pairs."""
        with self._mutex:
            queue = self._queues.get(queue_key)
            # An overdue leader may find that its queue has been served to the end meanwhile.
            waiting = queue.waiting if queue else deque()
            while waiting and len(group.requests) < MAX_GROUP_SIZE:
                group.requests.append(waiting.popleft())
                self._waiting_count -= 1
        return [(request.key, request.payload) for request in group.requests]

    def _leave(self, queue_key: K | None, request: _Submission[K, P, R]) -> None:
        """Leave the queue, whatever happened; after a leader the oldest waiting request leads."""
        with self._mutex:
            queue = self._queues.get(queue_key)
            if queue is None:
                return
            if queue.leader is not request:
                if request in queue.waiting:
                    queue.waiting.remove(request)
                    self._waiting_count -= 1
            elif queue.waiting:
                queue.set_leader(queue.waiting.popleft())
                self._waiting_count -= 1
                queue.leader.ready.set()
            else:
                del self._queues[queue_key]


def _is_outcome_unknown(error: BaseException) -> bool:
    """Return whether PostgreSQL has not confirmed that nothing was written."""
    cause = error.__cause__
    if not isinstance(cause, psycopg.Error) or cause.sqlstate is None:
        return True
    return cause.sqlstate.startswith(UNAVAILABLE_PREFIXES) or cause.diag.severity_nonlocalized in ("FATAL", "PANIC")


def _copy_for_waiter(error: BaseException) -> DatabaseError:
    """Return the leader's error for another request: raising an exception changes it, so each request needs its own."""
    if not isinstance(error, DatabaseError):
        return _outcome_unknown()
    copy = type(error)(*error.args)
    copy.__cause__ = error.__cause__
    return copy


def _outcome_unknown() -> OperationalError:
    return OperationalError("The shared transaction was interrupted; whether it was committed is unknown.")
