"""Gauges that are read from the database at each scrape of the metrics.

Each app registers a reader for its own tables. All readers run in one thread of their own, on a connection of its own
with short time-outs. A database that hangs delays a scrape by ``DEADLINE_SECONDS`` at most, and later scrapes not at
all: while one thread still waits, no other is started.
"""

from collections.abc import Callable, Iterable
from threading import Lock, Thread

import structlog
from django.db.backends.utils import CursorWrapper

from fluxori.core import metrics
from fluxori.core.metrics import Gauge
from fluxori.db.side_connection import new_connection

DEADLINE_SECONDS = 3.0
_STATEMENT_TIMEOUT_MS = 2_000

Sample = tuple[Gauge, tuple[str, ...], float]
Reader = Callable[[CursorWrapper], Iterable[Sample]]

logger = structlog.get_logger("fluxori.metrics")

_readers: list[Reader] = []
_running: Thread | None = None
_running_lock = Lock()


def register(reader: Reader) -> None:
    """Add a reader; called once for each app, when it is ready."""
    if reader not in _readers:
        _readers.append(reader)


def read() -> list[Sample]:
    """Return the samples of all readers, or only ``gauges_up`` with 0 if the database does not return them in time."""
    global _running  # noqa: PLW0603 - one thread for each process
    samples: list[Sample] = []
    with _running_lock:
        if _running is not None and _running.is_alive():
            return [(metrics.gauges_up, (), 0)]
        thread = _running = Thread(target=_read_into, args=(samples,), name="gauges", daemon=True)
        thread.start()
    thread.join(DEADLINE_SECONDS)
    # The thread adds all samples at once, when it has them.
    return list(samples) or [(metrics.gauges_up, (), 0)]


def _read_into(samples: list[Sample]) -> None:
    connection = new_connection(statement_timeout_ms=_STATEMENT_TIMEOUT_MS)
    try:
        with connection.cursor() as cursor:
            found = [sample for reader in _readers for sample in reader(cursor)]
        samples += [*found, (metrics.gauges_up, (), 1)]
    except Exception as error:  # noqa: BLE001 - whatever the cause, the gauges are missing, and the metrics report it
        logger.warning("gauges_not_read", cause=repr(error))
    finally:
        connection.close()


_CONNECTIONS = """
SELECT CASE WHEN state IN ('active', 'idle') THEN state
            WHEN state LIKE 'idle in transaction%' THEN 'idle_in_transaction'
            ELSE 'other' END,
       count(*)
FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user
GROUP BY 1
"""
_SERVER_CONNECTIONS = """
SELECT (SELECT sum(numbackends) FROM pg_stat_database),
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
           - coalesce(current_setting('reserved_connections', true)::int, 0)
"""


def _read_connections(cursor: CursorWrapper) -> Iterable[Sample]:
    cursor.execute(_CONNECTIONS)
    counts = dict(cursor.fetchall())
    for state in ("active", "idle", "idle_in_transaction", "other"):
        yield metrics.database_connections, (state,), counts.get(state, 0)
    cursor.execute(_SERVER_CONNECTIONS)
    [(used, limit)] = cursor.fetchall()
    yield metrics.server_connections, (), used
    yield metrics.server_connections_limit, (), limit


register(_read_connections)
