"""The periodic jobs. ``procrastinate.contrib.django`` imports the module ``tasks`` of each app when it is ready.

A lock keeps two jobs of one name from running at once, and a queueing lock keeps two from waiting at once. A command
that fails is not repeated before its next turn: every command may be killed and run again at any time.
"""

from io import StringIO
from time import monotonic

import structlog
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command
from procrastinate import JobContext, builtin_tasks, exceptions
from procrastinate.contrib.django import app
from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager

from fluxori.core.command_line import EXIT_REJECTED
from fluxori.jobs.models import success_recorded
from fluxori.jobs.schedule import COMMANDS, PERIODIC, RECOVER_STALLED_JOBS, REMOVE_OLD_JOBS

QUEUE = "periodic"
# A worker reports every 10 s that it is alive.
STALLED_AFTER_SECONDS = 30
KEPT_HOURS = 3 * 24
FAILED_KEPT_HOURS = 30 * 24
# A command may list thousands of balances.
_OUTPUT_LIMIT = 2_000

logger = structlog.get_logger("fluxori.jobs")


def run_command(name: str) -> None:
    """Run a management command and log what it prints. Balances that it leaves for its next run are not a failure.

    :raises CommandError: the command failed
    """
    output = StringIO()
    status = 0
    began = monotonic()
    try:
        call_command(name, stdout=output, stderr=output)
    except CommandError as error:
        status = error.returncode
        output.write(str(error))
        if status != EXIT_REJECTED:
            raise
    finally:
        logger.info(
            "command",
            command=name,
            status=status,
            duration_ms=round((monotonic() - began) * 1000),
            output=output.getvalue().strip()[-_OUTPUT_LIMIT:],
        )


def _register(name: str) -> None:
    @app.periodic(cron=PERIODIC[name].cron)
    @app.task(name=name, queue=QUEUE, lock=name, queueing_lock=name)
    def run(timestamp: int) -> None:  # noqa: ARG001 - the second of its turn
        with success_recorded(name):
            run_command(name)


for _name in COMMANDS:
    _register(_name)


# Without a lock: if the worker is killed during this job, the next one must start nevertheless.
@app.periodic(cron=PERIODIC[RECOVER_STALLED_JOBS].cron)
@app.task(name=RECOVER_STALLED_JOBS, queue=QUEUE, queueing_lock=RECOVER_STALLED_JOBS, pass_context=True)
async def recover_stalled_jobs(context: JobContext, timestamp: int) -> None:  # noqa: ARG001
    """Let the jobs of workers that no longer report run again. A job can therefore run twice, but none is lost."""
    manager = context.app.job_manager
    for job in await manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_AFTER_SECONDS):
        await _recover(manager, job)
    await _record_success(RECOVER_STALLED_JOBS)


async def _recover(manager: JobManager, job: Job) -> None:
    try:
        await manager.retry_job(job)
        logger.warning("job_recovered", job=job.id, task=job.task_name)
    except exceptions.UniqueViolation:
        # Another job with the same queueing lock already waits, and does the same.
        await manager.finish_job(job, Status.FAILED, delete_job=False)
        logger.warning("job_superseded", job=job.id, task=job.task_name)
    except exceptions.ConnectorException as error:
        # Another worker recovered the job, or it ended after all. Otherwise the next turn finds it again.
        logger.info("job_not_recovered", job=job.id, task=job.task_name, cause=repr(error))


@app.periodic(cron=PERIODIC[REMOVE_OLD_JOBS].cron)
@app.task(name=REMOVE_OLD_JOBS, queue=QUEUE, lock=REMOVE_OLD_JOBS, queueing_lock=REMOVE_OLD_JOBS, pass_context=True)
async def remove_old_jobs(context: JobContext, timestamp: int) -> None:  # noqa: ARG001
    """Delete jobs that succeeded three days ago, and all others that ended a month ago."""
    await builtin_tasks.remove_old_jobs(context, max_hours=KEPT_HOURS)
    await builtin_tasks.remove_old_jobs(
        context, max_hours=FAILED_KEPT_HOURS, remove_failed=True, remove_cancelled=True, remove_aborted=True
    )
    await _record_success(REMOVE_OLD_JOBS)


@sync_to_async
def _record_success(name: str) -> None:
    with success_recorded(name):
        pass
