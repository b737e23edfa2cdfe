"""The schedule of the worker: the periodic jobs, and when each of them runs. All times are UTC."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Schedule:
    """A cron expression, and the time between two runs."""

    cron: str
    interval: timedelta


EVERY_MINUTE = Schedule("* * * * *", timedelta(minutes=1))
EVERY_FIVE_MINUTES = Schedule("*/5 * * * *", timedelta(minutes=5))


def _nightly(hour: int, minute: int) -> Schedule:
    return Schedule(f"{minute} {hour} * * *", timedelta(days=1))


# Each of these jobs runs the management command of its name.
COMMANDS = {
    "allocate_monthly_credits": EVERY_FIVE_MINUTES,
    "expire_credits": EVERY_FIVE_MINUTES,
    "aggregate_usage": EVERY_FIVE_MINUTES,
    "refresh_dashboard": EVERY_FIVE_MINUTES,
    "verify_ledger": _nightly(2, 30),
    "flushexpiredtokens": _nightly(3, 30),
    "clearsessions": _nightly(3, 40),
}
# These jobs maintain the queue itself.
RECOVER_STALLED_JOBS = "recover_stalled_jobs"
REMOVE_OLD_JOBS = "remove_old_jobs"

PERIODIC = COMMANDS | {RECOVER_STALLED_JOBS: EVERY_MINUTE, REMOVE_OLD_JOBS: _nightly(3, 50)}
