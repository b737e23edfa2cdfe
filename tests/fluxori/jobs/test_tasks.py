"""The periodic jobs: each runs its command once a period, is recorded, and is recovered if its worker vanishes."""

import asyncio
import time
from collections import Counter
from datetime import timedelta
from itertools import islice

import pytest
from django.contrib.sessions.models import Session
from django.core.management import CommandError, get_commands
from django.db import connection
from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateEvent, ProcrastinateJob
from procrastinate.periodic import PeriodicDeferrer

from credits.models import CreditTransaction
from fluxori.core import clock
from fluxori.db.jobs import defer
from fluxori.jobs import tasks
from fluxori.jobs.models import PeriodicJob, success_recorded
from fluxori.jobs.schedule import COMMANDS, PERIODIC
from tests.support.database import as_owner
from tests.support.factories.credits import make_balance
from tests.support.jobs import run_worker, statuses
from tests.support.times import DAY, NOON


def execute(statement, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def run_periodic(name):
    """Run one periodic job as the worker does, and return its status."""
    defer(name, arguments={"timestamp": 0})
    run_worker("periodic")
    return statuses()[name]


def defer_due(deferrers: int, *, at: float) -> None:
    """Let several workers add the jobs that are due, all at once."""

    async def run() -> None:
        async with app.open_async():
            each = [PeriodicDeferrer(registry=app.periodic_registry, **app.periodic_defaults) for _ in range(deferrers)]
            await asyncio.gather(*(one.defer_jobs(one.get_previous_tasks(at=at)) for one in each))

    with app.replace_connector(app.connector.get_worker_connector()):  # type: ignore[attr-defined]
        asyncio.run(run())


def abandon(name: str) -> int:
    """Add a job that a worker had begun when it was killed a minute ago."""
    job = defer(name, arguments={"timestamp": 0})
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 minute') RETURNING id"
        )
        [worker] = cursor.fetchone()
        cursor.execute("SELECT id FROM procrastinate_fetch_job_v2(NULL, %s)", [worker])
        assert cursor.fetchone() == (job,)
    return job


class TestSchedule:
    def test_contains_every_periodic_job_of_the_worker(self):
        scheduled = {task.task.name: task.cron for task in app.periodic_registry.periodic_tasks.values()}

        assert scheduled == {name: schedule.cron for name, schedule in PERIODIC.items()}

    def test_names_commands_that_exist(self):
        assert COMMANDS.keys() <= get_commands().keys()

    @pytest.mark.parametrize("schedule", dict.fromkeys(PERIODIC.values()), ids=lambda schedule: schedule.cron)
    def test_states_the_interval_of_its_cron_expression(self, schedule):
        periodic = next(each for each in app.periodic_registry.periodic_tasks.values() if each.cron == schedule.cron)

        turns = PeriodicDeferrer(registry=app.periodic_registry).get_timestamps(periodic, 86400, 3 * 86400)

        first, second = islice(turns, 2)
        assert timedelta(seconds=second - first) == schedule.interval


@pytest.mark.django_db(transaction=True)
class TestPeriodicJobs:
    def test_run_their_command_and_record_its_success(self):
        make_balance(grants=[(10, DAY)])

        assert run_periodic("expire_credits") == "succeeded"

        assert CreditTransaction.objects.filter(type="expiry").count() == 1
        record = PeriodicJob.objects.get(name="expire_credits")
        assert record.succeeded_at is not None
        assert record.first_run_at < record.succeeded_at <= clock.now()

    def test_are_all_added_once_and_succeed_though_three_workers_are_due(self):
        now = time.time()
        defer_due(3, at=now)

        assert Counter(ProcrastinateJob.objects.values_list("task_name", flat=True)) == dict.fromkeys(PERIODIC, 1)

        run_worker("periodic")

        assert statuses() == dict.fromkeys(PERIODIC, "succeeded")
        assert set(PeriodicJob.objects.exclude(succeeded_at=None).values_list("name", flat=True)) == PERIODIC.keys()
        defer_due(1, at=now)
        assert ProcrastinateJob.objects.filter(status="todo").count() == 0

    def test_that_fail_are_recorded_as_such_and_not_as_a_success(self):
        PeriodicJob.objects.create(name="clearsessions", first_run_at=clock.now())
        Session.objects.create(session_key="expired", session_data="", expire_date=NOON)
        with as_owner():
            execute("CREATE RULE refuse AS ON DELETE TO django_session DO INSTEAD SELECT 1 / 0")
        try:
            assert run_periodic("clearsessions") == "failed"
        finally:
            with as_owner():
                execute("DROP RULE refuse ON django_session")

        assert PeriodicJob.objects.get().succeeded_at is None

    def test_of_one_name_do_not_run_at_once(self):
        first = abandon("expire_credits")

        second = defer("expire_credits", arguments={"timestamp": 300})
        run_worker("periodic")

        assert dict(ProcrastinateJob.objects.values_list("pk", "status")) == {first: "doing", second: "todo"}


class TestRunCommand:
    def test_does_not_fail_if_a_command_leaves_balances_for_its_next_run(self, monkeypatch):
        def rejected(*_, **__):
            raise CommandError("2 balances were busy", returncode=2)

        monkeypatch.setattr(tasks, "call_command", rejected)

        tasks.run_command("expire_credits")

    def test_fails_if_the_command_fails(self, monkeypatch):
        def failed(*_, **__):
            raise CommandError("1 differences found", returncode=1)

        monkeypatch.setattr(tasks, "call_command", failed)

        with pytest.raises(CommandError, match="1 differences"):
            tasks.run_command("verify_ledger")


@pytest.mark.django_db(transaction=True)
class TestRecoverStalledJobs:
    def test_lets_the_job_of_a_vanished_worker_run_again(self):
        job = abandon("expire_credits")

        assert run_periodic("recover_stalled_jobs") == "succeeded"

        run_worker("periodic")
        row = ProcrastinateJob.objects.get(pk=job)
        assert (row.status, row.attempts) == ("succeeded", 2)

    def test_recovers_also_a_recovery_that_was_killed(self):
        job = abandon("recover_stalled_jobs")

        assert run_periodic("recover_stalled_jobs") == "succeeded"

        run_worker("periodic")
        assert ProcrastinateJob.objects.get(pk=job).status == "succeeded"

    def test_ends_a_job_in_whose_place_another_one_already_waits(self):
        job = abandon("expire_credits")
        later = defer("expire_credits", arguments={"timestamp": 300})

        assert run_periodic("recover_stalled_jobs") == "succeeded"

        run_worker("periodic")
        assert dict(ProcrastinateJob.objects.filter(pk__in=[job, later]).values_list("pk", "status")) == {
            job: "failed",
            later: "succeeded",
        }

    def test_leaves_the_jobs_of_a_worker_that_reports(self):
        job = abandon("expire_credits")
        execute("UPDATE procrastinate_workers SET last_heartbeat = now()")

        run_periodic("recover_stalled_jobs")

        assert ProcrastinateJob.objects.get(pk=job).status == "doing"


@pytest.mark.django_db(transaction=True)
class TestRemoveOldJobs:
    def test_removes_what_succeeded_three_days_ago_and_keeps_what_failed(self):
        old, failed = defer("clearsessions", arguments={"timestamp": 0}), defer("expire_credits", arguments={"at": 0})
        run_worker("periodic")
        recent = defer("clearsessions", arguments={"timestamp": 1})
        run_worker("periodic")
        for job in (old, failed):
            execute("UPDATE procrastinate_events SET at = at - interval '4 days' WHERE job_id = %s", job)

        assert run_periodic("remove_old_jobs") == "succeeded"

        kept = set(ProcrastinateJob.objects.exclude(task_name="remove_old_jobs").values_list("pk", flat=True))
        assert kept == {failed, recent}
        assert not ProcrastinateEvent.objects.filter(job_id=old).exists()


@pytest.mark.django_db
class TestSuccessRecorded:
    def test_keeps_the_first_run_and_the_last_success(self, clock_at):
        begin = clock.now()
        for hours in (0, 1):
            clock_at(begin + timedelta(hours=hours))
            with success_recorded("clearsessions"):
                pass
        clock_at(begin + timedelta(hours=2))
        with pytest.raises(ValueError, match="broken"), success_recorded("clearsessions"):
            raise ValueError("broken")

        record = PeriodicJob.objects.get()
        assert (record.first_run_at, record.succeeded_at) == (begin, begin + timedelta(hours=1))
