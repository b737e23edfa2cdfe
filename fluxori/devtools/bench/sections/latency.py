"""Response times of deductions, with and without a concurrent monthly allocation."""

from collections import defaultdict

from fluxori.devtools.bench.sections.allocation import RunningCommand, subscribe
from fluxori.devtools.bench.session import BenchSession

SECTION = "latency"
CONNECTIONS = 16
P99 = f"deduct, {CONNECTIONS} connections, p99"
P99_ALLOCATING = f"deduct while allocating, {CONNECTIONS} connections, p99"
_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def measure(session: BenchSession) -> None:
    values: dict[str, list[float]] = defaultdict(list)
    server = session.server()
    for turn in range(session.sizes.repeats):
        alone = server.deduct(session.many, CONNECTIONS)
        subscribe(session.sizes.subscriptions[0], name=f"latency-{turn}")
        with RunningCommand() as command:
            command.wait_for_start()
            concurrent = server.deduct(session.many, CONNECTIONS)
            if not command.is_running():
                session.figures.note("latency: the allocation ended before the load; use more subscriptions.")
        for name, share in _SHARES.items():
            values[f"deduct, {CONNECTIONS} connections, {name}"].append(alone.percentile(share))
            values[f"deduct while allocating, {CONNECTIONS} connections, {name}"].append(concurrent.percentile(share))
    for name, times in values.items():
        session.figures.add(SECTION, name, "ms", times)
