"""The monthly allocation of many subscriptions, its repetition and the expiry job, compared with set-based SQL.

The allocation runs in a process of its own, as under a scheduler, so its memory is measured as well. The expiry job
runs in this process, where the clock can be moved: it does not record what lies in the future.
"""

import os
import subprocess
import sys
import time
from datetime import datetime, timedelta
from io import StringIO
from typing import IO, Self

from django.conf import settings
from django.core.management import call_command

from fluxori.core import clock
from fluxori.devtools.bench import set_based_allocation
from fluxori.devtools.bench.session import BenchSession, UnexpectedResultError
from tiers.models import AllocationRun, Tier

SECTION = "allocation"
SET_BASED = "{:,} subscriptions, set-based SQL"
FIRST = "{:,} subscriptions, allocate_monthly_credits"
SECOND = "{:,} subscriptions, second run"
EXPIRY = "{:,} balances, expire_credits"
MEMORY = "{:,} subscriptions, peak memory"
TIER = "bench"

# The age of the subscriptions: their second month has begun, the third has not.
_DAYS = 40


def measure(session: BenchSession) -> None:
    for many in session.sizes.subscriptions:
        subscribe(many, name=f"bare-{many}")
        session.figures.add(SECTION, SET_BASED.format(many), "s", [_time_set_based(clock.now())])
        subscribe(many, name=f"command-{many}")
        first = run("allocate_monthly_credits")
        session.figures.add(SECTION, FIRST.format(many), "s", [first.seconds])
        session.figures.add(SECTION, MEMORY.format(many), "MB", [first.megabytes])
        session.figures.add(SECTION, SECOND.format(many), "s", [run("allocate_monthly_credits").seconds])
        # The grants that the set-based SQL wrote expire as well.
        session.figures.add(SECTION, EXPIRY.format(2 * many), "s", [_time_expiry(clock.now() + timedelta(days=_DAYS))])


def subscribe(many: int, *, name: str) -> None:
    """Create ``many`` balances without transactions, each with a subscription of which one month is due."""
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


def _time_expiry(at: datetime) -> float:
    """Return the duration of ``expire_credits`` in this process, with the clock at ``at``: nothing expires earlier."""
    began = time.perf_counter()
    with clock.fixed(at):
        call_command("expire_credits", stdout=StringIO(), stderr=StringIO())
    return time.perf_counter() - began


def _time_set_based(at: datetime) -> float:
    began = time.perf_counter()
    set_based_allocation.allocate(at=at)
    return time.perf_counter() - began


class RunningCommand:
    """A management command in a process of its own, by default ``allocate_monthly_credits``."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments or ("allocate_monthly_credits",)
        self.seconds = 0.0
        self.megabytes = 0.0

    def __enter__(self) -> Self:
        self._began = time.perf_counter()
        self._process = subprocess.Popen(  # noqa: S603 (runs the current interpreter)
            [sys.executable, str(settings.BASE_DIR / "manage.py"), *self._arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        return self

    def wait_for_start(self) -> None:
        """Return when the allocation has begun, or has already ended."""
        while self.is_running() and not AllocationRun.objects.filter(status=AllocationRun.Status.RUNNING).exists():
            time.sleep(0.05)

    def is_running(self) -> bool:
        # WNOWAIT leaves the process waitable: __exit__ reads its resource usage.
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def __exit__(self, error: type[BaseException] | None, *_exc: object) -> None:
        """Wait until the command has ended.

        :raises UnexpectedResultError: its exit status is not 0
        """
        if error is not None:
            self._process.terminate()
        errors = _read(self._process.stderr)
        _, wait_status, usage = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(wait_status)
        self.seconds = time.perf_counter() - self._began
        self.megabytes = usage.ru_maxrss / (1024 if sys.platform == "linux" else 1024 * 1024)
        if self._process.returncode and error is None:
            raise UnexpectedResultError(
                f"{self._arguments[0]}: exit status {self._process.returncode}: {errors[-1000:]}"
            )


def run(*arguments: str) -> RunningCommand:
    """Run a management command to its end. The result has its duration and its peak memory."""
    with RunningCommand(*arguments) as command:
        pass
    return command


def _read(stream: IO[bytes] | None) -> str:
    assert stream is not None
    return stream.read().decode(errors="replace")
