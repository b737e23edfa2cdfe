"""A deduction over HTTP, on many balances and on one, beside the door that does nothing."""

from collections import defaultdict

from fluxori.devtools.bench.session import DEDUCTION, Stage

SECTION = "http"
NOTHING = "no-op endpoint, {} connections"
MANY = "deduct, many balances, {} connections"
HOT = "deduct, one hot balance, {} connections"


def measure(stage: Stage) -> None:
    found: dict[str, list[float]] = defaultdict(list)
    slow: dict[str, list[float]] = defaultdict(list)
    server = stage.server()
    for _ in range(stage.sizes.repeats):
        for connections in stage.sizes.connections:
            asked = {
                NOTHING: server.put(stage.many, "/api/bench/nothing", connections, body=DEDUCTION, keys=True),
                MANY: server.deduct(stage.many, connections),
                HOT: server.deduct([stage.hot], connections),
            }
            for name, measured in asked.items():
                found[name.format(connections)].append(measured.rate)
                slow[name.format(connections)].append(measured.percentile(0.99))
    for name, rates in found.items():
        stage.figures.add(SECTION, name, "/s", rates)
        stage.figures.add(SECTION, f"{name}, p99", "ms", slow[name])
