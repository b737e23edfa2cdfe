"""A deduction from Python in the same process: one at a time, in batches, and how else it could be done."""

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
from fluxori.devtools.bench.session import Stage, spend

SECTION = "inprocess"
SINGLE = "deduct_credits, one at a time"
BATCH = "deduct_many of {} on one balance"
NAIVE = "naive ORM: get, save, create"
PEER = "django-hordak: one transaction, two legs"


def measure(stage: Stage) -> None:
    keys = map("inprocess-{}".format, count())
    around = cycle(stage.many)

    def single() -> int:
        owner = next(around)
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
        baselines.naive_deduct(owner_id=next(around).pk, key=next(keys), at=clock.now())
        return 1

    ways: dict[str, Callable[[], int]] = {SINGLE: single, NAIVE: naive}
    for size in stage.sizes.batches:
        ways[BATCH.format(size)] = lambda size=size: spend(stage.hot, [next(keys) for _ in range(size)])  # type: ignore[misc]
    found: dict[str, list[float]] = defaultdict(list)
    for _ in range(stage.sizes.repeats):
        for name, way in ways.items():
            found[name].append(rate(way, stage.sizes.seconds))
    for name, rates in found.items():
        stage.figures.add(SECTION, name, "/s", rates)
    _measure_peer(stage)


def rate(way: Callable[[], int], seconds: float) -> float:
    """Return how many a second were done by repeating ``way``, which says how many it did."""
    way()
    done, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        done += way()
    return done / passed


def _measure_peer(stage: Stage) -> None:
    if not baselines.HORDAK:
        stage.figures.note("inprocess: django-hordak is not installed, so it is not measured; see docs/performance.md.")
        return
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-m", "fluxori.devtools.bench.hordak", str(stage.sizes.repeats), str(stage.sizes.seconds)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "fluxori.devtools.bench.hordak_settings"},
    )
    stage.figures.add(SECTION, PEER, "/s", json.loads(done.stdout))
