"""Batch work in chunks: each chunk in its own transaction, several chunks at a time, locked rows skipped and reported.

Commands over all balances use it. A chunk that meets a lock held by another transaction is split until only the locked
rows are left out; the next run processes them. Work is handed out one chunk at a time, so an interrupted run loses
nothing: it has committed some chunks and not begun the others.
"""

import gc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Event, Lock
from time import monotonic
from typing import Generic, TypeVar
from uuid import UUID

from django.db import OperationalError, connection

from fluxori.db.sqlstates import LOCK_NOT_AVAILABLE, sqlstate_of

# Two jobs: one plans in Python while PostgreSQL writes for the other. More would wait for the GIL.
JOBS = 2

_CHUNK_SECONDS = 1.0

R = TypeVar("R")


@dataclass(slots=True)
class ChunkResult(Generic[R]):
    """The result of one chunk of ``count`` ids: the results of its parts, and the ``busy`` ids that were skipped."""

    count: int
    results: list[R] = field(default_factory=list)
    busy: list[UUID] = field(default_factory=list)


class ChunkSize:
    """The size of the next chunk, so that a chunk takes about a second and the progress is visible.

    It begins small, grows or shrinks with the time that chunks took, and never exceeds ``most``.
    """

    def __init__(self, most: int, *, first: int = 250) -> None:
        self._most = most
        self.current = min(most, first)

    @contextmanager
    def measured(self, count: int) -> Iterator[None]:
        """Measure the block, which processes a chunk of ``count`` items."""
        began = monotonic()
        yield
        seconds = max(monotonic() - began, 0.001)
        # At most four times larger, because the first items may not be typical.
        wanted = int(count * min(_CHUNK_SECONDS / seconds, 4))
        # The last chunk is short and shows nothing about a larger size.
        if count >= self.current or seconds > _CHUNK_SECONDS:
            self.current = max(1, min(wanted, self._most))


def is_busy(error: OperationalError) -> bool:
    """Return whether a lock could not be taken within ``lock_timeout``."""
    return sqlstate_of(error) == LOCK_NOT_AVAILABLE


def process_in_chunks(
    chunks: Iterator[list[UUID]],
    work: Callable[[list[UUID]], R],
    on_chunk_done: Callable[[ChunkResult[R]], None],
    *,
    jobs: int = 1,
) -> None:
    """Run ``work`` on every chunk, ``jobs`` chunks at a time, and call ``on_chunk_done`` with each result.

    ``work`` commits its own transaction. Each job is a thread with its own database connection; the callback runs in
    the calling thread. If a job fails, or the caller is interrupted, the other jobs finish their current chunk and its
    result is still reported. Inside a transaction of the caller, which no other connection can see, the work runs in
    the calling thread, one chunk at a time.
    """
    with gc_frozen():
        if jobs == 1 or connection.in_atomic_block:
            for ids in chunks:
                on_chunk_done(_process(ids, work))
        else:
            _process_in_threads(chunks, work, on_chunk_done, jobs)


def _process_in_threads(
    chunks: Iterator[list[UUID]],
    work: Callable[[list[UUID]], R],
    on_chunk_done: Callable[[ChunkResult[R]], None],
    jobs: int,
) -> None:
    chunks_lock, stop = Lock(), Event()
    results: SimpleQueue[ChunkResult[R] | None] = SimpleQueue()  # None: a job has ended

    def next_chunk() -> list[UUID] | None:
        with chunks_lock:
            return None if stop.is_set() else next(chunks, None)

    def job() -> None:
        try:
            while (ids := next_chunk()) is not None:
                results.put(_process(ids, work))
        finally:
            stop.set()
            connection.close()
            results.put(None)

    with ThreadPoolExecutor(jobs) as pool:
        # A thread begins without the context of the caller, which has the id of the run.
        running = [pool.submit(copy_context().run, job) for _ in range(jobs)]
        try:
            for _ in running:
                for result in iter(results.get, None):
                    on_chunk_done(result)
        finally:
            stop.set()
            wait(running)
            while not results.empty():
                if (late := results.get()) is not None:
                    on_chunk_done(late)
    for ended in running:
        ended.result()  # raises the error of the job


def _process(ids: list[UUID], work: Callable[[list[UUID]], R]) -> ChunkResult[R]:
    """Run ``work``; if a row is locked, run it on each half, down to single ids, and skip those that are locked."""
    try:
        return ChunkResult(len(ids), [work(ids)])
    except OperationalError as error:
        if not is_busy(error):
            raise
        if len(ids) == 1:
            return ChunkResult(1, busy=ids)
    middle = len(ids) // 2
    first, second = (_process(half, work) for half in (ids[:middle], ids[middle:]))
    return ChunkResult(len(ids), first.results + second.results, first.busy + second.busy)


@contextmanager
def gc_frozen() -> Iterator[None]:
    """Exclude the objects that exist now from garbage collection during the block.

    A chunk allocates some hundred thousand objects and keeps none. Each full collection also traverses all modules of
    the process and finds nothing there; that took half of the time of a run.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
