"""Requests over HTTP, on many balances and on one, compared with a plain Django view and with a naive application.

All of them run under the same server, in interleaved rounds.
"""

from collections import defaultdict
from collections.abc import Callable

from fluxori.devtools.bench import wrk
from fluxori.devtools.bench.load import Measured
from fluxori.devtools.bench.session import DEDUCTION, BenchSession

SECTION = "http"
PLAIN = "plain Django view, {} connections"
NAIVE_NOOP = "naive no-op, {} connections"
NAIVE_MANY = "naive deduct, many balances, {} connections"
NAIVE_HOT = "naive deduct, one balance, {} connections"
NOOP = "no-op endpoint, {} connections"
MANY = "deduct, many balances, {} connections"
HOT = "deduct, one hot balance, {} connections"
BALANCE = "read a balance, {} connections"
HOLD = "hold and capture, many balances, 16 connections"
DEDUCT_OWN_CLIENT = "deduct, many balances, 16 connections, the client of holds"
P50, P99 = "{}, p50", "{}, p99"


def measure(session: BenchSession) -> None:
    values: dict[str, list[Measured]] = defaultdict(list)
    server = session.server()
    for _ in range(session.sizes.repeats):
        for connections in session.sizes.connections:
            for name, send in _requests(session, connections).items():
                values[name.format(connections)].append(send())
        values[HOLD].append(
            server.run_load(
                session.many,
                "/api/credits/holds",
                16,
                body=DEDUCTION,
                expect=201,
                follow_up="/api/credits/holds/HOLD/capture",
            )
        )
        values[DEDUCT_OWN_CLIENT].append(server.deduct(session.many, 16, own_client=True))
    for name, measurements in values.items():
        session.figures.add(SECTION, name, "/s", [each.rate for each in measurements])
        for label, share in ((P50, 0.5), (P99, 0.99)):
            times = [each.percentile(share) for each in measurements]
            session.figures.add(SECTION, label.format(name), "ms", times)
    client = wrk.NAME if wrk.is_installed() else "the client of the benchmarks"
    session.figures.note(f"http: load by {client}, server {session.server_name}.")


def _requests(session: BenchSession, connections: int) -> dict[str, Callable[[], Measured]]:
    server, naive = session.server(), session.naive_server()
    issued = list(naive.issued.values())
    return {
        PLAIN: lambda: naive.send(issued, "/plain", connections, body=DEDUCTION),
        NAIVE_NOOP: lambda: naive.send(issued, "/noop", connections, body=DEDUCTION, keys=True),
        NOOP: lambda: server.run_load(session.many, "/api/bench/noop", connections, body=DEDUCTION, keys=True),
        NAIVE_MANY: lambda: naive.send(issued[:-1], "/deduct", connections, body=DEDUCTION, keys=True),
        MANY: lambda: server.deduct(session.many, connections),
        NAIVE_HOT: lambda: naive.send(issued[-1:], "/deduct", connections, body=DEDUCTION, keys=True),
        HOT: lambda: server.deduct([session.hot], connections),
        BALANCE: lambda: server.run_load(session.many, "/api/credits/balance", connections, method="GET"),
    }
