"""What a command waits for, as lines for the person who watches it.

A statement that has run for two seconds is looked up in ``pg_stat_activity``, on a connection of its own: whether it
waits for a lock, and which session holds it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic

from django.db import Error

from fluxori.db.deadlines import watchdog
from fluxori.db.side_connection import new_connection

# A statement that takes less is not reported.
PATIENCE_SECONDS = 2.0
# How often a wait is reported that goes on unchanged.
REPEAT_SECONDS = 10.0
_STATEMENT_TIMEOUT_MS = 2_000

# The role of a command may not see the state of a session of another role.
_WAITS = """
SELECT waiting.pid,
       pg_blocking_pids(waiting.pid)::text,
       (SELECT string_agg(concat_ws(', ', 'session ' || id, 'role ' || blocking.usename,
                                    nullif(blocking.application_name, ''), blocking.state), '; ')
          FROM unnest(pg_blocking_pids(waiting.pid)) AS id LEFT JOIN pg_stat_activity blocking ON blocking.pid = id)
  FROM pg_stat_activity waiting
 WHERE waiting.pid = ANY(%s) AND coalesce(waiting.state, 'active') = 'active'
 ORDER BY waiting.pid
"""


@contextmanager
def waits_reported(write: Callable[[str], object]) -> Iterator[None]:
    """Write a line about every statement of this process that takes longer than two seconds, during the block."""
    ended = Event()
    thread = Thread(target=_report, args=(write, ended), name="waits", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        # A line after the result of the command would be confusing.
        thread.join(_STATEMENT_TIMEOUT_MS / 1000)


def _report(write: Callable[[str], object], ended: Event) -> None:
    written: dict[str, float] = {}
    while not ended.wait(PATIENCE_SECONDS / 2):
        sessions = watchdog.waiting(PATIENCE_SECONDS)
        if not sessions:
            continue
        lines = _describe(sessions)
        if not lines and sessions.keys() & watchdog.waiting(PATIENCE_SECONDS).keys():
            lines = [("response", "Waiting for a response that the database has sent and that does not arrive ...")]
        now = monotonic()
        for subject, line in lines:
            if not ended.is_set() and now - written.get(subject, -REPEAT_SECONDS) >= REPEAT_SECONDS:
                written[subject] = now
                write(line)


def _describe(sessions: dict[int, float]) -> list[tuple[str, str]]:
    """Return for each wait what it is about, to recognize it, and the line."""
    connection = new_connection(statement_timeout_ms=_STATEMENT_TIMEOUT_MS)
    try:
        with connection.cursor() as cursor:
            cursor.execute(_WAITS, [list(sessions)])
            rows = cursor.fetchall()
    except Error:
        return [("database", "Waiting for the database, which does not respond ...")]
    finally:
        connection.close()
    lines = []
    for pid, blocking_ids, blocking in rows:
        seconds = round(sessions[pid])
        if blocking:
            lines.append((blocking_ids, f"Waiting for a lock for {seconds} s; it is held by {blocking} ..."))
        else:
            lines.append((str(pid), f"Waiting for a statement that has run for {seconds} s ..."))
    return lines
