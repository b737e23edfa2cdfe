"""How long ``verify_ledger`` takes for a million transactions; it also shows that all that was measured is true."""

import time

from credits.verification import run
from fluxori.devtools.bench import seeding
from fluxori.devtools.bench.session import Stage, WrongAnswer

SECTION = "verify"


def measure(stage: Stage) -> None:
    seeding.fill(stage.sizes.verified, number=11)
    began, transactions = time.perf_counter(), 0
    for findings in run.verify_all(chunk=2000):
        transactions += findings.transactions
        if findings.differences:
            raise WrongAnswer(f"verify_ledger: {findings.differences[0]}")
    seconds = time.perf_counter() - began
    stage.figures.add(SECTION, "verify_ledger, a million transactions", "s", [seconds * 1e6 / transactions])
    stage.figures.note(f"verify: {transactions:,} transactions were checked, no difference.")
