"""How long callers wait for a deduction, and how long while the monthly allocation runs."""

from collections import defaultdict

from fluxori.devtools.bench.sections.allocation import Allocating, subscribe
from fluxori.devtools.bench.session import Stage

SECTION = "latency"
CONNECTIONS = 16
P99 = f"deduct, {CONNECTIONS} connections, p99"
P99_ALLOCATING = f"deduct while allocating, {CONNECTIONS} connections, p99"
_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def measure(stage: Stage) -> None:
    found: dict[str, list[float]] = defaultdict(list)
    server = stage.server()
    for turn in range(stage.sizes.repeats):
        alone = server.deduct(stage.many, CONNECTIONS)
        subscribe(stage.sizes.subscriptions[0], name=f"latency-{turn}")
        with Allocating() as allocating:
            allocating.wait()
            beside = server.deduct(stage.many, CONNECTIONS)
            if not allocating.running():
                stage.figures.note("latency: the allocation was over before the load: take more subscriptions.")
        for name, share in _SHARES.items():
            found[f"deduct, {CONNECTIONS} connections, {name}"].append(alone.percentile(share))
            found[f"deduct while allocating, {CONNECTIONS} connections, {name}"].append(beside.percentile(share))
    for name, times in found.items():
        stage.figures.add(SECTION, name, "ms", times)
