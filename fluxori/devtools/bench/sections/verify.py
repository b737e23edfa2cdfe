"""The duration of ``verify_ledger``. It also shows that the benchmarks have written a valid ledger."""

import os
import time

from credits.verification import run
from fluxori.devtools.bench import seeding
from fluxori.devtools.bench.session import BenchSession, UnexpectedResultError

SECTION = "verify"


def measure(session: BenchSession) -> None:
    seeding.fill(session.sizes.verified, number=11)
    began, transactions = time.perf_counter(), 0
    for findings in run.verify_all(chunk=500, jobs=os.cpu_count() or 1):
        transactions += findings.transactions
        if findings.differences:
            raise UnexpectedResultError(f"verify_ledger: {findings.differences[0]}")
    seconds = time.perf_counter() - began
    session.figures.add(SECTION, "verify_ledger, a million transactions", "s", [seconds * 1e6 / transactions])
    session.figures.note(f"verify: {transactions:,} transactions were checked, no difference.")
