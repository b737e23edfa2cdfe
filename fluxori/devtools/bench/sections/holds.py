"""Everything else that stands before or beside an AI call: holds, refusals, replays, reads."""

import json
from collections import defaultdict

from fluxori.devtools.bench.session import DEDUCTION, PLENTY, Stage

SECTION = "holds"
CONNECTIONS = 16


def measure(stage: Stage) -> None:
    beyond = json.dumps({"amount": 10 * PLENTY, "description": "More than there is"})
    found: dict[str, list[float]] = defaultdict(list)
    server = stage.server()
    # The key that is replayed has taken effect before.
    server.put(stage.many, "/api/credits/deduct", CONNECTIONS, body=DEDUCTION, key="again")
    for _ in range(stage.sizes.repeats):
        asked = {
            "place and capture a hold, both requests": server.put(
                stage.many,
                "/api/credits/holds",
                CONNECTIONS,
                body=DEDUCTION,
                expect=201,
                then="/api/credits/holds/HOLD/capture",
            ),
            "refusal (402)": server.put(
                stage.many, "/api/credits/deduct", CONNECTIONS, body=beyond, keys=True, expect=402
            ),
            "idempotent replay": server.put(
                stage.many, "/api/credits/deduct", CONNECTIONS, body=DEDUCTION, key="again"
            ),
            "balance": server.put(stage.many, "/api/credits/balance", CONNECTIONS, method="GET"),
            "check": server.put(stage.many, "/api/credits/check?feature=simple-ai-insight", CONNECTIONS, method="GET"),
        }
        for name, measured in asked.items():
            found[f"{name}, {CONNECTIONS} connections"].append(measured.rate)
    for name, rates in found.items():
        stage.figures.add(SECTION, name, "/s", rates)
