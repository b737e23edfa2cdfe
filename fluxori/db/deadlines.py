"""Deadlines on the client's side: no wait for the database lasts without end.

PostgreSQL ends a statement after ``statement_timeout``, but a server that hangs, or a network that drops packets
silently, ends nothing. One watchdog thread per process therefore looks at every connection of Django several times a
second. If one has waited for its server longer than its deadline, the watchdog shuts down the socket. The thread that
waits then receives the same ``OperationalError`` as after a lost connection, whatever it was doing: a statement of the
ORM, a prepared statement or COMMIT.

The deadline is ``STATEMENT_TIMEOUT_MS`` plus ``MARGIN_SECONDS``; ``limit_waits`` sets another one, and
``long_statements`` gives commands an hour on both sides. See
``docs/explanation/group-commit.md`` for what happens to the requests of a shared transaction.
"""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
import structlog
from django.conf import settings
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.pq import TransactionStatus

# How much longer than PostgreSQL the client waits: the error of the server, if it comes, says more.
MARGIN_SECONDS = 5.0
LONG_SECONDS = 3600
# How often the watchdog looks. It reads one integer for each connection.
INTERVAL_SECONDS = 0.1

_limit: ContextVar[float | None] = ContextVar("limit", default=None)
_log = structlog.get_logger(__name__)


@contextmanager
def limit_waits(seconds: float) -> Iterator[None]:
    """Give every statement that begins in the block, and the COMMIT after it, this deadline."""
    token = _limit.set(seconds)
    try:
        yield
    finally:
        _limit.reset(token)


@contextmanager
def limit_connecting(seconds: int) -> Iterator[None]:
    """Let the connection of this thread, if it is opened in the block, be open within this time. At least 2 s."""
    settings_dict = connection.settings_dict
    options = {**settings_dict["OPTIONS"], "connect_timeout": seconds}
    # The dictionary belongs to all threads, so this thread gets another one.
    connection.settings_dict = {**settings_dict, "OPTIONS": options}
    try:
        yield
    finally:
        connection.settings_dict = settings_dict


@contextmanager
def long_statements() -> Iterator[None]:
    """Let each statement of the current transaction take up to an hour, for commands that read the whole ledger."""
    with limit_waits(LONG_SECONDS + MARGIN_SECONDS):
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = '{LONG_SECONDS}s'")
        yield


class _Progress:
    """What the watchdog knows of one connection. A new statement is progress; so is any moment without a wait."""

    __slots__ = ("deadline", "seen", "since", "statements")

    def __init__(self) -> None:
        self.statements = 0  # begun so far; counted by the thread that uses the connection
        self.deadline = _default_deadline()
        self.seen = -1  # ``statements`` when the current wait was first seen, or -1
        self.since = 0.0


class Watchdog:
    """Watches connections in one thread, which starts with the first connection and ends with the process."""

    def __init__(self) -> None:
        self._connections: WeakKeyDictionary[psycopg.Connection[Any], _Progress] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self._process_id = 0

    def watch(self, wrapper: BaseDatabaseWrapper) -> None:
        """Watch the connection that ``wrapper`` has just opened."""
        with self._lock:
            self._connections[wrapper.connection] = _Progress()
            # A forked process inherits the object but not the thread.
            if self._process_id != os.getpid():
                self._process_id = os.getpid()
                threading.Thread(target=self._run, name="database-watchdog", daemon=True).start()
        # Django documents ``connection.execute_wrapper()`` for one thread and block; this list is what it appends to.
        if self._count_statement not in wrapper.execute_wrappers:
            wrapper.execute_wrappers.append(self._count_statement)

    def _count_statement(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        opened = context["connection"].connection  # None if it was closed under an open cursor
        if opened is not None and (progress := self._connections.get(opened)) is not None:
            progress.statements += 1
            progress.deadline = _limit.get() or _default_deadline()
        return execute(sql, params, many, context)

    def waiting(self, seconds: float) -> dict[int, float]:
        """Return the sessions whose statement has run longer than this: process id on the server, and seconds."""
        with self._lock:
            watched = list(self._connections.items())
        now = monotonic()
        return {
            opened.info.backend_pid: now - progress.since
            for opened, progress in watched
            if progress.seen != -1 and now - progress.since > seconds and not opened.closed
        }

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(INTERVAL_SECONDS):
            self.check(monotonic())

    def check(self, now: float) -> None:
        """Shut down the sockets of the connections that have waited beyond their deadlines."""
        with self._lock:
            watched = list(self._connections.items())
        for opened, progress in watched:
            if opened.closed or opened.info.transaction_status != TransactionStatus.ACTIVE:
                progress.seen = -1
            elif progress.seen != progress.statements:
                progress.seen, progress.since = progress.statements, now
            elif now - progress.since > progress.deadline:
                _shut_down(opened)
                _log.error("database_wait_ended", seconds=round(now - progress.since, 1))
                progress.seen = -1  # once for each wait


def _shut_down(opened: psycopg.Connection[Any]) -> None:
    """End the connection under the thread that waits on it, which libpq then finds closed by the peer."""
    try:
        descriptor = opened.fileno()
        with socket.socket(fileno=os.dup(descriptor)) as copy:
            # If the connection was closed meanwhile, the descriptor may already belong to another socket.
            if not opened.closed and opened.fileno() == descriptor:
                copy.shutdown(socket.SHUT_RDWR)
    except (OSError, psycopg.Error):
        # The connection was lost or closed in the meantime, and with it the wait.
        return


def _default_deadline() -> float:
    return settings.STATEMENT_TIMEOUT_MS / 1000 + MARGIN_SECONDS


watchdog = Watchdog()
