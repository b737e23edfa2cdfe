"""PostgreSQL alone, under pgbench: what a deduction costs where there is no Django."""

from collections import defaultdict

from fluxori.devtools.bench import reference
from fluxori.devtools.bench.session import Stage

SECTION = "sql"
ONE_TRIP_MANY = "one-trip function, many balances, {} clients"
ONE_TRIP_HOT = "one-trip function, one hot balance, {} clients"
STATEMENTS_MANY = "statement by statement, many balances, {} clients"
STATEMENTS_HOT = "statement by statement, one hot balance, {} clients"


def measure(stage: Stage) -> None:
    last = len(stage.people)
    many, hot = (1, last - 1), (last, last)
    scripts = {
        ONE_TRIP_MANY: (reference.ONE_TRIP, many),
        ONE_TRIP_HOT: (reference.ONE_TRIP, hot),
        STATEMENTS_MANY: (reference.STATEMENTS, many),
        STATEMENTS_HOT: (reference.STATEMENTS, hot),
    }
    found: dict[str, list[float]] = defaultdict(list)
    try:
        for _ in range(stage.sizes.repeats):
            for clients in stage.sizes.connections:
                for name, (script, purses) in scripts.items():
                    measured = reference.run(script, purses=purses, clients=clients, seconds=stage.sizes.seconds)
                    found[name.format(clients)].append(measured)
    except reference.NoPgbench as fault:
        stage.figures.note(f"sql: not measured. {fault}")
        return
    for name, rates in found.items():
        stage.figures.add(SECTION, name, "/s", rates)
