"""Deductions for minutes: the memory of the server and its database connections must not grow.

The section runs only if it is named: ``bench soak --minutes 10``.
"""

from django.db import connection

from fluxori.devtools.bench.session import BenchSession

SECTION = "soak"
CONNECTIONS = 64
MEMORY_BEFORE, MEMORY_AFTER = "memory after the first minute", "memory at the end"
DATABASE_BEFORE, DATABASE_AFTER = "database connections after the first minute", "database connections at the end"


def measure(session: BenchSession) -> None:
    server, minutes = session.server(), session.sizes.minutes
    seconds = 60.0 if session.sizes.seconds >= 1 else session.sizes.seconds
    memory, connections, rates = [], [], []
    for _ in range(max(2, minutes)):
        rates.append(server.deduct(session.many, CONNECTIONS, seconds=seconds).rate)
        memory.append(server.memory())
        connections.append(float(_database_connections()))
    session.figures.add(SECTION, f"deduct, many balances, {CONNECTIONS} connections, each minute", "/s", rates)
    session.figures.add(SECTION, MEMORY_BEFORE, "MB", memory[:1])
    session.figures.add(SECTION, MEMORY_AFTER, "MB", memory[-1:])
    session.figures.add(SECTION, DATABASE_BEFORE, "", connections[:1])
    session.figures.add(SECTION, DATABASE_AFTER, "", connections[-1:])


def _database_connections() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        [number] = cursor.fetchone()
    return int(number)
