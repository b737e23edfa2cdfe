"""Deductions in the same process: one at a time, in batches, with the plain ORM, and with django-hordak."""

import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import count, cycle

from credits import operations
from fluxori.core import clock
from fluxori.devtools.bench import baselines
from fluxori.devtools.bench.session import BenchSession, deduct_batch

SECTION = "inprocess"
SINGLE = "deduct_credits, one at a time"
BATCH = "deduct_many of {} on one balance"
NAIVE = "naive ORM: get, save, create"
HORDAK = "django-hordak: one transaction, two legs"


def measure(session: BenchSession) -> None:
    keys = map("inprocess-{}".format, count())
    owners = cycle(session.many)

    def single() -> int:
        owner = next(owners)
        operations.deduct_credits(
            owner=owner,
            actor=owner,
            feature="simple-ai-insight",
            reference_id="bench",
            idempotency_key=next(keys),
            at=clock.now(),
        )
        return 1

    def naive() -> int:
        baselines.naive_deduct(owner_id=next(owners).pk, key=next(keys), at=clock.now())
        return 1

    calls: dict[str, Callable[[], int]] = {SINGLE: single, NAIVE: naive}
    for size in session.sizes.batches:
        calls[BATCH.format(size)] = lambda size=size: deduct_batch(session.hot, [next(keys) for _ in range(size)])  # type: ignore[misc]
    values: dict[str, list[float]] = defaultdict(list)
    for _ in range(session.sizes.repeats):
        for name, call in calls.items():
            values[name].append(rate(call, session.sizes.seconds))
    for name, rates in values.items():
        session.figures.add(SECTION, name, "/s", rates)
    _measure_hordak(session)


def rate(call: Callable[[], int], seconds: float) -> float:
    """Repeat ``call`` and return the operations per second. ``call`` returns the number of operations it did."""
    call()
    total, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        total += call()
    return total / elapsed


def _measure_hordak(session: BenchSession) -> None:
    if not baselines.HAS_HORDAK:
        session.figures.note("inprocess: django-hordak is not installed, so it is not measured.")
        return
    completed = subprocess.run(  # noqa: S603 (runs the current interpreter)
        [sys.executable, "-m", "fluxori.devtools.bench.hordak", str(session.sizes.repeats), str(session.sizes.seconds)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "fluxori.devtools.bench.hordak_settings"},
    )
    session.figures.add(SECTION, HORDAK, "/s", json.loads(completed.stdout))
