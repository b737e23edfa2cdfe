"""The page of the queue: every member of staff sees it, and only superusers act on jobs."""

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.urls import reverse
from procrastinate.contrib.django.models import ProcrastinateJob

from fluxori.db.jobs import defer
from tests.support.admin import superuser_client, text_of
from tests.support.staff import client_of, make_staff

pytestmark = pytest.mark.django_db

LIST = reverse("admin:procrastinate_procrastinatejob_changelist")


def make_failed_job() -> int:
    job = defer("verify_ledger", arguments={"timestamp": 0})
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM procrastinate_fetch_job_v2(NULL, NULL)")
        cursor.execute("SELECT procrastinate_finish_job_v1(%s, 'failed', false)", [job])
    return job


def act(client, action, job):
    return client.post(LIST, {"action": action, "_selected_action": [job]}, follow=True)


def status_of(job):
    return ProcrastinateJob.objects.get(pk=job).status


class TestJobList:
    def test_shows_task_arguments_and_status(self):
        make_failed_job()

        page = text_of(client_of(make_staff("support")).get(LIST))

        assert "verify_ledger" in page
        assert "failed" in page.lower()

    def test_filters_by_status(self):
        make_failed_job()

        assert "verify_ledger" not in text_of(superuser_client().get(LIST, {"status": "todo"}))

    def test_a_job_shows_its_events(self):
        address = reverse("admin:procrastinate_procrastinatejob_change", args=[make_failed_job()])

        page = text_of(client_of(make_staff("auditor")).get(address))

        assert all(event in page for event in ("deferred", "started", "failed"))


class TestActions:
    def test_run_a_failed_job_again(self):
        job = make_failed_job()

        act(superuser_client(), "run_again", job)

        assert status_of(job) == "todo"
        assert LogEntry.objects.get().object_id == str(job)

    def test_cancel_a_waiting_job(self):
        job = defer("verify_ledger", arguments={"timestamp": 0})

        act(superuser_client(), "cancel", job)

        assert status_of(job) == "cancelled"

    def test_leave_a_job_in_whose_place_another_one_waits(self):
        job = make_failed_job()
        defer("verify_ledger", arguments={"timestamp": 300})

        page = text_of(act(superuser_client(), "run_again", job))

        assert f"Job {job} was left as it is" in page
        assert status_of(job) == "failed"

    def test_leave_jobs_in_another_state(self):
        job = make_failed_job()

        act(superuser_client(), "cancel", job)

        assert status_of(job) == "failed"

    @pytest.mark.parametrize("role", ["support lead", "auditor"])
    def test_are_not_offered_to_other_staff(self, role):
        job = make_failed_job()
        client = client_of(make_staff(role))

        assert "Run failed jobs again" not in client.get(LIST).content.decode()
        act(client, "run_again", job)
        assert status_of(job) == "failed"
