"""Faults that tests inject: database errors, lost connections, and an exception that ends a thread."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
from django.db import OperationalError, connection

from tests.support.database import as_owner
from tests.support.threads import in_other_thread


class ThreadEnded(BaseException):
    """Ends a thread. It is not an ``Exception``, like ``KeyboardInterrupt`` and ``SystemExit``."""


def end_thread(*_: Any) -> None:
    """Raise ``ThreadEnded``."""
    raise ThreadEnded


def fail_with(kind: type[psycopg.Error]) -> None:
    """Raise Django's error for an error that PostgreSQL reported."""
    raise OperationalError("Injected by a test") from kind()


def once(call: Callable[[], Any]) -> Callable[..., Any]:
    """Return a function that runs ``call`` the first time and does nothing later. It ignores its arguments."""
    remaining = [call]
    return lambda *_: remaining.pop()() if remaining else None


def lose_connection() -> None:
    """End the current thread's session on the server, as a restart of PostgreSQL does."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [pid] = cursor.fetchone()

    def terminate() -> None:
        with as_owner(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

    with ThreadPoolExecutor(1) as pool:
        pool.submit(in_other_thread, terminate).result(timeout=20)
