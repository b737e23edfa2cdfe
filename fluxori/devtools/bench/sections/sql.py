"""Deductions in PostgreSQL alone, run by pgbench: the cost without Django."""

from collections import defaultdict

from fluxori.devtools.bench import reference
from fluxori.devtools.bench.session import BenchSession

SECTION = "sql"
SINGLE_STATEMENT_MANY = "single statement, many balances, {} clients"
SINGLE_STATEMENT_HOT = "single statement, one hot balance, {} clients"
STATEMENTS_MANY = "statement by statement, many balances, {} clients"
STATEMENTS_HOT = "statement by statement, one hot balance, {} clients"


def measure(session: BenchSession) -> None:
    last = len(session.users)
    many, hot = (1, last - 1), (last, last)
    scripts = {
        SINGLE_STATEMENT_MANY: (reference.SINGLE_STATEMENT, many),
        SINGLE_STATEMENT_HOT: (reference.SINGLE_STATEMENT, hot),
        STATEMENTS_MANY: (reference.STATEMENTS, many),
        STATEMENTS_HOT: (reference.STATEMENTS, hot),
    }
    values: dict[str, list[float]] = defaultdict(list)
    try:
        for _ in range(session.sizes.repeats):
            for clients in session.sizes.connections:
                for name, (script, numbers) in scripts.items():
                    measured = reference.run(script, numbers=numbers, clients=clients, seconds=session.sizes.seconds)
                    values[name.format(clients)].append(measured)
    except reference.PgbenchError as error:
        session.figures.note(f"sql: not measured. {error}")
        return
    for name, rates in values.items():
        session.figures.add(SECTION, name, "/s", rates)
