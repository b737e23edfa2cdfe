"""Group commit: requests that arrive together share one transaction, for one key (a balance) or for several.

Group commit is the database term for flushing the log once for several transactions; here the requests share the whole
transaction: one lock statement, one load, one write and one COMMIT. The first caller becomes the leader and works on
its own thread and connection; requests that arrive during its work wait, and the oldest of them leads the next batch.
It starts no thread, and a single caller does not wait.

Two kinds of queues: the first queue takes requests for any key and never waits for a lock (``SKIP LOCKED``); a request
whose key is locked elsewhere moves to the queue of that key alone, whose leader waits for the lock. Each request gets
its own result, after the COMMIT. See ``docs/explanation/group-commit.md``.
"""

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from threading import Event, Lock
from typing import Generic, TypeVar

import psycopg
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import OperationalError, connection

from fluxori.core import metrics
from fluxori.db.sqlstates import BUSY, UNAVAILABLE_PREFIXES, sqlstate_of
from fluxori.db.transactions import transaction_with_retry

K = TypeVar("K", bound=Hashable)
P = TypeVar("P")
R = TypeVar("R")
TakeBatch = Callable[[], Sequence[tuple[K, P]]]
ProcessBatch = Callable[[K | None, TakeBatch[K, P]], Sequence[R | None]]

MAX_BATCH_SIZE = 64


class _PendingRequest(Generic[K, P, R]):
    """One request from submission to its result."""

    __slots__ = ("error", "is_unserved", "key", "payload", "ready", "result")

    ready: Event  # set when the request becomes the leader, or has its result; only requests that wait have one

    def __init__(self, key: K, payload: P) -> None:
        self.key = key
        self.payload = payload
        self.result: R | None = None
        self.error: DatabaseError | None = None
        self.is_unserved = True


class _Queue(Generic[K, P, R]):
    """The leader at work, and the requests that wait, oldest first."""

    __slots__ = ("leader", "waiting")

    def __init__(self, leader: _PendingRequest[K, P, R]) -> None:
        self.leader = leader
        self.waiting: deque[_PendingRequest[K, P, R]] = deque()


class _Batch(Generic[K, P, R]):
    """The requests of one transaction, the leader first, and whether the transaction has reached its COMMIT."""

    __slots__ = ("is_committing", "requests")

    def __init__(self, leader: _PendingRequest[K, P, R]) -> None:
        self.requests = [leader]
        self.is_committing = False


class GroupCommitQueue(Generic[K, P, R]):
    """Runs requests through ``process_batch``, several in one transaction.

    ``process_batch(contended, take_batch)`` runs in a transaction and returns one result for each request of the batch.
    It calls ``take_batch`` for the (key, payload) pairs. With ``contended`` None it must not wait for locks, and
    returns None for each request whose key is locked elsewhere. With a key it waits for the lock of that key before it
    takes the batch; a request that runs alone passes its key too. It may run again after a deadlock, and may then take
    more requests.

    ``busy_error`` makes the exception for a request that cannot be served in time; ``queue_limit`` returns how many
    requests of this process may wait. Threads of one process share batches; between processes the row locks decide.
    """

    def __init__(
        self,
        process_batch: ProcessBatch[K, P, R],
        *,
        busy_error: Callable[[], Exception],
        queue_limit: Callable[[], int],
    ) -> None:
        self._process = process_batch
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
        :raises django.db.Error: the error of the batch, or of this request alone
        """
        if connection.in_atomic_block:
            return self._run_single(key, payload)
        result = None
        if key not in self._queues:
            result = self._submit(None, _PendingRequest(key, payload))
        if result is None:
            result = self._submit(key, _PendingRequest(key, payload))
        assert result is not None
        return result

    def _submit(self, queue_key: K | None, request: _PendingRequest[K, P, R]) -> R | None:
        """Return the result of the request, or None if its key is locked elsewhere."""
        try:
            is_leader = self._enqueue(queue_key, request)
            if not is_leader:
                with metrics.group_commit_wait_seconds.time():
                    is_leader = self._wait_for_turn(queue_key, request)
            if is_leader:
                self._lead(queue_key, request)
        finally:
            self._dequeue(queue_key, request)
        if request.error is not None:
            raise request.error
        return self._run_single(request.key, request.payload) if request.is_unserved else request.result

    @transaction_with_retry
    def _run_single(self, key: K, payload: P) -> R:
        [result] = self._process(key, lambda: [(key, payload)])
        assert result is not None
        return result

    def _enqueue(self, queue_key: K | None, request: _PendingRequest[K, P, R]) -> bool:
        """Join the queue, and return whether the request is the leader at once."""
        with self._mutex:
            queue = self._queues.get(queue_key)
            if queue is None:
                self._queues[queue_key] = _Queue(request)
                return True
            if self._waiting_count >= self._queue_limit():
                metrics.group_commit_rejections.labels("queue_full").inc()
                raise self._busy_error()
            request.ready = Event()
            queue.waiting.append(request)
            self._waiting_count += 1
            return False

    def _wait_for_turn(self, queue_key: K | None, request: _PendingRequest[K, P, R]) -> bool:
        """Wait, and return whether it is the request's turn to lead; otherwise it has its result."""
        if not request.ready.wait(settings.LOCK_TIMEOUT_MS / 1000):
            with self._mutex:
                queue = self._queues.get(queue_key)
                if queue is not None and request in queue.waiting:
                    # Removed under the mutex: a request that is refused as busy must not join a batch.
                    queue.waiting.remove(request)
                    self._waiting_count -= 1
                    metrics.group_commit_rejections.labels("wait_timeout").inc()
                    raise self._busy_error()
            # It is in a batch, or has just become the leader. The statements of a batch have time-outs.
            if not request.ready.wait(settings.STATEMENT_TIMEOUT_MS / 1000):
                raise _outcome_unknown()
        with self._mutex:
            queue = self._queues.get(queue_key)
            return queue is not None and queue.leader is request

    def _lead(self, queue_key: K | None, leader: _PendingRequest[K, P, R]) -> None:
        """Commit one batch and hand out the results.

        An error of one request does not become the error of the others, except a time-out, a conflict, and an unknown
        outcome of the COMMIT.
        """
        batch: _Batch[K, P, R] = _Batch(leader)
        try:
            results = self._commit_batch(queue_key, batch)
        except BaseException as error:
            others = batch.requests[1:]
            # A time-out or a conflict that outlived its retries is shared: running each request alone would make it
            # worse.
            is_shared = (batch.is_committing and _is_outcome_unknown(error)) or sqlstate_of(error) in BUSY
            for request in others:
                # Without an error of its own each of the others runs alone.
                request.error = _copy_for_waiter(error) if is_shared else None
                request.ready.set()
            if is_shared or not others or not isinstance(error, Exception):
                raise
            return
        metrics.group_commit_requests.observe(len(batch.requests))
        for request, result in zip(batch.requests, results, strict=True):
            request.result = result
            request.is_unserved = False
            if request is not leader:
                request.ready.set()

    @transaction_with_retry
    def _commit_batch(self, queue_key: K | None, batch: _Batch[K, P, R]) -> Sequence[R | None]:
        batch.is_committing = False
        results = self._process(queue_key, lambda: self._drain_queue(queue_key, batch))
        # What follows is the COMMIT: from here on only an error from PostgreSQL proves that nothing was written.
        batch.is_committing = True
        return results

    def _drain_queue(self, queue_key: K | None, batch: _Batch[K, P, R]) -> Sequence[tuple[K, P]]:
        """Move waiting requests into the batch, up to ``MAX_BATCH_SIZE``, and return its (key, payload) pairs."""
        with self._mutex:
            waiting = self._queues[queue_key].waiting
            while waiting and len(batch.requests) < MAX_BATCH_SIZE:
                batch.requests.append(waiting.popleft())
                self._waiting_count -= 1
        return [(request.key, request.payload) for request in batch.requests]

    def _dequeue(self, queue_key: K | None, request: _PendingRequest[K, P, R]) -> None:
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
                queue.leader = queue.waiting.popleft()
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
