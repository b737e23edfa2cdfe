"""The worker as a process of its own: it starts on the schedule, and a job outlives the process that ran it."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from django.db import connection
from procrastinate.contrib.django.models import ProcrastinateJob

from fluxori.db.jobs import defer
from fluxori.jobs.schedule import PERIODIC
from tests.support.threads import wait_until

MANAGE = Path(__file__).parents[3] / "manage.py"


def url_of_the_tests() -> str:
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()


@contextmanager
def worker() -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker, as the documentation starts it. The end of the block stops it as an operator does."""
    process = subprocess.Popen(
        [sys.executable, MANAGE, "procrastinate", "worker"],
        env={**os.environ, "DATABASE_URL": url_of_the_tests(), "LOCK_TIMEOUT_MS": "60000", "LOG_LEVEL": "WARNING"},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def status_of(task: str) -> set[str]:
    return set(ProcrastinateJob.objects.filter(task_name=task).values_list("status", flat=True))


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
class TestWorkerProcess:
    def test_runs_the_schedule_and_takes_up_the_job_of_a_killed_worker(self):
        with psycopg.connect(url_of_the_tests()) as blocker:
            # The job waits for this lock when its worker is killed.
            blocker.execute("LOCK TABLE django_session IN ACCESS EXCLUSIVE MODE")
            with worker() as killed:
                wait_until(lambda: status_of("clearsessions") == {"doing"}, 30)
                killed.send_signal(signal.SIGKILL)
                assert killed.wait(30) == -signal.SIGKILL
            blocker.rollback()
        assert status_of("clearsessions") == {"doing"}
        with connection.cursor() as cursor:
            # As if half a minute had passed.
            cursor.execute("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '31 seconds'")
        defer("recover_stalled_jobs", queueing_lock="now", arguments={"timestamp": 0})

        with worker() as later:
            wait_until(lambda: status_of("clearsessions") == {"succeeded"}, 30)
            wait_until(lambda: not ProcrastinateJob.objects.filter(status__in=["todo", "doing"]).exists(), 30)

        assert later.returncode == 0
        jobs = ProcrastinateJob.objects.exclude(queueing_lock="now")
        assert set(jobs.values_list("status", flat=True)) == {"succeeded"}
        assert set(jobs.values_list("task_name", flat=True)) == PERIODIC.keys()
        turns = Counter((job.task_name, job.args["timestamp"]) for job in jobs)
        assert max(turns.values()) == 1
        assert ProcrastinateJob.objects.get(task_name="clearsessions").attempts == 2
