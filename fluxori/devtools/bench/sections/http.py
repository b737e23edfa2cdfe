"""Deductions over HTTP, on many balances and on one, compared with an endpoint that does nothing."""

from collections import defaultdict

from fluxori.devtools.bench.session import DEDUCTION, BenchSession

SECTION = "http"
NOOP = "no-op endpoint, {} connections"
MANY = "deduct, many balances, {} connections"
HOT = "deduct, one hot balance, {} connections"


def measure(session: BenchSession) -> None:
    values: dict[str, list[float]] = defaultdict(list)
    p99: dict[str, list[float]] = defaultdict(list)
    server = session.server()
    for _ in range(session.sizes.repeats):
        for connections in session.sizes.connections:
            measurements = {
                NOOP: server.run_load(session.many, "/api/bench/noop", connections, body=DEDUCTION, keys=True),
                MANY: server.deduct(session.many, connections),
                HOT: server.deduct([session.hot], connections),
            }
            for name, measured in measurements.items():
                values[name.format(connections)].append(measured.rate)
                p99[name.format(connections)].append(measured.percentile(0.99))
    for name, rates in values.items():
        session.figures.add(SECTION, name, "/s", rates)
        session.figures.add(SECTION, f"{name}, p99", "ms", p99[name])
