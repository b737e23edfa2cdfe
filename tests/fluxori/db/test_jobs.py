from datetime import timedelta

import pytest
from django.db import transaction
from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateJob
from procrastinate.exceptions import AlreadyEnqueued, TaskNotFound

from fluxori.core import clock
from fluxori.db.jobs import defer
from fluxori.identity.models import Organization
from tests.support.jobs import run_worker, statuses, waiting_jobs


@app.task(name="test:found")
def found(*, name: str) -> None:
    """Found an organization, so that a test sees that the job ran."""
    if not name:
        raise ValueError("The name is empty.")
    Organization.objects.create(name=name)


@pytest.mark.django_db
class TestDefer:
    def test_adds_a_job_with_its_arguments(self):
        job = defer("test:found", arguments={"name": "Thandi"})

        assert waiting_jobs() == [("test:found", {"name": "Thandi"})]
        assert ProcrastinateJob.objects.get().pk == job

    def test_keeps_lock_and_time(self):
        at = clock.now() + timedelta(hours=1)

        defer("test:found", lock="one after the other", at=at)

        row = ProcrastinateJob.objects.get()
        assert (row.lock, row.scheduled_at) == ("one after the other", at)

    def test_rolls_back_with_the_transaction_of_the_caller(self):
        with transaction.atomic():
            Organization.objects.create(name="gone")
            defer("test:found")
            transaction.set_rollback(True)

        assert waiting_jobs() == []
        assert not Organization.objects.filter(name="gone").exists()

    def test_rejects_a_task_that_no_app_has(self):
        with pytest.raises(TaskNotFound):
            defer("renam")

        assert waiting_jobs() == []

    def test_rejects_a_second_waiting_job_with_the_same_queueing_lock_and_the_transaction_goes_on(self):
        defer("test:found", queueing_lock="once", arguments={"name": "first"})

        with pytest.raises(AlreadyEnqueued):
            defer("test:found", queueing_lock="once", arguments={"name": "second"})

        assert [arguments["name"] for _, arguments in waiting_jobs()] == ["first"]


@pytest.mark.django_db(transaction=True)
class TestWorker:
    def test_runs_committed_jobs_and_records_which_of_them_failed(self):
        with transaction.atomic():
            first = defer("test:found", arguments={"name": "Thandi"})
            second = defer("test:found", arguments={"name": ""})

        run_worker()

        assert dict(ProcrastinateJob.objects.values_list("pk", "status")) == {first: "succeeded", second: "failed"}
        assert Organization.objects.filter(name="Thandi").exists()
        assert statuses() == {"test:found": "failed"}
