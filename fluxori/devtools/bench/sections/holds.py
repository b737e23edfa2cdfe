"""The other requests around an AI call: holds, rejected deductions, replays and reads."""

import json
from collections import defaultdict

from fluxori.devtools.bench.session import DEDUCTION, INITIAL_CREDITS, BenchSession

SECTION = "holds"
CONNECTIONS = 16


def measure(session: BenchSession) -> None:
    too_much = json.dumps({"amount": 10 * INITIAL_CREDITS, "description": "More than the balance"})
    values: dict[str, list[float]] = defaultdict(list)
    server = session.server()
    # This request is the one that is replayed later.
    server.run_load(session.many, "/api/credits/deduct", CONNECTIONS, body=DEDUCTION, key="again")
    for _ in range(session.sizes.repeats):
        measurements = {
            "place and capture a hold, both requests": server.run_load(
                session.many,
                "/api/credits/holds",
                CONNECTIONS,
                body=DEDUCTION,
                expect=201,
                follow_up="/api/credits/holds/HOLD/capture",
            ),
            "rejection (402)": server.run_load(
                session.many, "/api/credits/deduct", CONNECTIONS, body=too_much, keys=True, expect=402
            ),
            "idempotent replay": server.run_load(
                session.many, "/api/credits/deduct", CONNECTIONS, body=DEDUCTION, key="again"
            ),
            "balance": server.run_load(session.many, "/api/credits/balance", CONNECTIONS, method="GET"),
            "check": server.run_load(
                session.many, "/api/credits/check?feature=simple-ai-insight", CONNECTIONS, method="GET"
            ),
        }
        for name, measured in measurements.items():
            values[f"{name}, {CONNECTIONS} connections"].append(measured.rate)
    for name, rates in values.items():
        session.figures.add(SECTION, name, "/s", rates)
