"""The monthly allocation of very many subscriptions, its second run, and the sweep of what expires; and in bare SQL."""

import os
import subprocess
import sys
import time
from datetime import datetime, timedelta
from typing import IO, Self

from django.conf import settings

from fluxori.core import clock
from fluxori.devtools.bench import set_based_allocation
from fluxori.devtools.bench.session import Stage, WrongAnswer
from tiers.models import AllocationRun, Tier

SECTION = "allocation"
BARE = "{:,} subscriptions, bare set-wise SQL"
FIRST = "{:,} subscriptions, allocate_monthly_credits"
SECOND = "{:,} subscriptions, the same again"
SWEEP = "{:,} balances, expire_credits"
MEMORY = "{:,} subscriptions, peak memory"
TIER = "bench"

# Subscribed so long ago: one month has begun since, the next has not.
_DAYS = 40


def measure(stage: Stage) -> None:
    for many in stage.sizes.subscriptions:
        subscribe(many, name=f"bare-{many}")
        stage.figures.add(SECTION, BARE.format(many), "s", [_bare(clock.now())])
        subscribe(many, name=f"command-{many}")
        first = run("allocate_monthly_credits")
        stage.figures.add(SECTION, FIRST.format(many), "s", [first.seconds])
        stage.figures.add(SECTION, MEMORY.format(many), "MB", [first.megabytes])
        stage.figures.add(SECTION, SECOND.format(many), "s", [run("allocate_monthly_credits").seconds])
        sweep = run("expire_credits", "--at", (clock.now() + timedelta(days=_DAYS)).isoformat())
        # Those of the bare SQL expire with them.
        stage.figures.add(SECTION, SWEEP.format(2 * many), "s", [sweep.seconds])


def subscribe(many: int, *, name: str) -> None:
    """Open so many balances with a subscription of which one month is due; they have no transactions yet."""
    tier, _ = Tier.objects.get_or_create(
        code=TIER,
        defaults={
            "name": "Bench",
            "monthly_credits": 400,
            "price_min": 32,
            "price_max": 52,
            "rollover": Tier.Rollover.NONE,
            "is_public": False,
        },
    )
    anchor = clock.now() - timedelta(days=_DAYS)
    set_based_allocation.subscribe(many, name=name, tier=tier, anchor=anchor)


def _bare(at: datetime) -> float:
    began = time.perf_counter()
    set_based_allocation.allocate(at=at)
    return time.perf_counter() - began


class Allocating:
    """A management command under way in a process of its own; ``allocate_monthly_credits`` unless told another."""

    def __init__(self, *words: str) -> None:
        self._words = words or ("allocate_monthly_credits",)
        self.seconds = 0.0
        self.megabytes = 0.0

    def __enter__(self) -> Self:
        self._began = time.perf_counter()
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, str(settings.BASE_DIR / "manage.py"), *self._words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        return self

    def wait(self) -> None:
        """Return once the allocation has begun, or is over already."""
        while self.running() and not AllocationRun.objects.filter(status=AllocationRun.Status.RUNNING).exists():
            time.sleep(0.05)

    def running(self) -> bool:
        # Only looked at, not waited for: what it used is told once, to whoever waits.
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def __exit__(self, fault: type[BaseException] | None, *_: object) -> None:
        """Wait until it has ended. :raises WrongAnswer: if it did not end well"""
        if fault is not None:
            self._process.terminate()
        said = _read(self._process.stderr)
        ended = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(ended[1])
        self.seconds = time.perf_counter() - self._began
        self.megabytes = ended[2].ru_maxrss / (1024 if sys.platform == "linux" else 1024 * 1024)
        if self._process.returncode and fault is None:
            raise WrongAnswer(f"{self._words[0]}: exit status {self._process.returncode}: {said[-1000:]}")


def run(*words: str) -> Allocating:
    """Run a management command to its end, and return how long it took and how much memory."""
    with Allocating(*words) as done:
        pass
    return done


def _read(stream: IO[bytes] | None) -> str:
    assert stream is not None
    return stream.read().decode(errors="replace")
