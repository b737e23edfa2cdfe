"""Very many rows, a chunk in a transaction: several chunks at a time, and past those that somebody keeps locked."""

import gc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Event, Lock
from typing import Generic, TypeVar
from uuid import UUID

from django.db import OperationalError, connection

from fluxori.db.sqlstates import LOCK_NOT_AVAILABLE, sqlstate_of

# One is planned in Python while PostgreSQL writes another; Python itself plans only one at a time.
JOBS = 2

R = TypeVar("R")


@dataclass(slots=True)
class Done(Generic[R]):
    """What came of one chunk of ``count`` ids: the results of its parts, and those that were ``busy``, left out."""

    count: int
    results: list[R] = field(default_factory=list)
    busy: list[UUID] = field(default_factory=list)


def is_busy(fault: OperationalError) -> bool:
    """Whether a lock was not to be had within ``lock_timeout``."""
    return sqlstate_of(fault) == LOCK_NOT_AVAILABLE


def process_in_chunks(
    chunks: Iterator[list[UUID]], work: Callable[[list[UUID]], R], tell: Callable[[Done[R]], None], *, jobs: int = 1
) -> None:
    """Have ``work`` done on every chunk, ``jobs`` at a time, and ``tell`` what came of each as soon as it is done.

    ``work`` commits by itself. A chunk in which it finds somebody busy is halved until the others are through. Each job
    is a thread with a database connection of its own, and takes the next chunk when it has done one; what is told is
    told here. When one fails, or we are interrupted, the others end the chunk that they are at, and it is told too.
    Within a transaction of the caller's, which no other connection could see, there is one job: the caller's thread.
    """
    with gc_frozen():
        if jobs == 1 or connection.in_atomic_block:
            for ids in chunks:
                tell(_past_busy(ids, work))
        else:
            _side_by_side(chunks, work, tell, jobs)


def _side_by_side(
    chunks: Iterator[list[UUID]], work: Callable[[list[UUID]], R], tell: Callable[[Done[R]], None], jobs: int
) -> None:
    turn, stop = Lock(), Event()
    done: SimpleQueue[Done[R] | None] = SimpleQueue()

    def take() -> list[UUID] | None:
        with turn:
            return None if stop.is_set() else next(chunks, None)

    def job() -> None:
        try:
            while (ids := take()) is not None:
                done.put(_past_busy(ids, work))
        finally:
            stop.set()
            connection.close()
            done.put(None)

    with ThreadPoolExecutor(jobs) as pool:
        running = [pool.submit(job) for _ in range(jobs)]
        try:
            for _ in running:
                for each in iter(done.get, None):
                    tell(each)
        finally:
            stop.set()
            wait(running)
            while not done.empty():
                if (late := done.get()) is not None:
                    tell(late)
    for ended in running:
        ended.result()


def _past_busy(ids: list[UUID], work: Callable[[list[UUID]], R]) -> Done[R]:
    try:
        return Done(len(ids), [work(ids)])
    except OperationalError as fault:
        if not is_busy(fault):
            raise
        if len(ids) == 1:
            return Done(1, busy=ids)
    middle = len(ids) // 2
    first, second = (_past_busy(half, work) for half in (ids[:middle], ids[middle:]))
    return Done(len(ids), first.results + second.results, first.busy + second.busy)


@contextmanager
def gc_frozen() -> Iterator[None]:
    """Let the search for objects that refer to one another leave out those that are there already.

    A chunk makes some hundred thousand objects and leaves none of them. Each time the search goes through all modules
    of the process too it finds nothing, and that took half of the time.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
