"""The pages of allocation runs: the result of a run, a dry run and a retry of rejected subscriptions."""

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.urls import reverse

from fluxori.console.allocation import pages
from fluxori.core import clock
from tests.support.admin import messages_of, staff_client, superuser_client, text_of
from tests.support.factories.tiers import make_subscribed_balance, make_subscribed_balances, month, periods_of
from tests.support.ledger import table_digests
from tests.support.threads import hold_lock, run_concurrently
from tests.support.times import DAY, MINUTE
from tiers import operations
from tiers.models import AllocationRun

NOW = clock.now()
ONE_PERIOD_AGO = NOW - 40 * DAY  # one period has begun since
DRY_RUN = "admin:tiers_allocationrun_dry_run"


def run_url(run):
    return reverse("admin:tiers_allocationrun_change", args=[run.pk])


def retry_url(run):
    return reverse("admin:tiers_allocationrun_retry", args=[run.pk])


@pytest.mark.django_db
class TestDryRun:
    def test_a_dry_run_counts_by_tier_and_writes_nothing(self):
        make_subscribed_balances(2, at=ONE_PERIOD_AGO)
        make_subscribed_balances(1, tier="growth", at=ONE_PERIOD_AGO)
        before = table_digests()

        result = superuser_client().get(reverse(DRY_RUN)).context["result"]

        assert [(row.name, row.subscriptions, row.months, row.credits) for row in result.tiers] == [
            ("Explorer", 2, 2, 800),
            ("Growth", 1, 1, 2000),
        ]
        assert table_digests() == before

    def test_a_dry_run_computes_a_limited_number_of_subscriptions(self, monkeypatch):
        monkeypatch.setattr(pages, "MAX_COUNTED", 2)
        make_subscribed_balances(3, at=ONE_PERIOD_AGO)

        response = superuser_client().get(reverse(DRY_RUN))

        result = response.context["result"]
        assert (result.due, result.counted, result.tiers[0].credits) == (3, 2, 800)
        assert "for the first 2 of 3 subscriptions" in " ".join(text_of(response).split())

    def test_a_dry_run_says_when_nothing_is_due(self):
        assert "Nothing is due" in text_of(superuser_client().get(reverse(DRY_RUN)))

    def test_a_dry_run_needs_the_permission_to_view_runs(self):
        assert staff_client().get(reverse(DRY_RUN)).status_code == 403


@pytest.mark.django_db
class TestRunPage:
    def test_a_finished_run_shows_what_it_allocated(self):
        make_subscribed_balances(3, at=ONE_PERIOD_AGO)
        call_command("allocate_monthly_credits", verbosity=0)

        run = AllocationRun.objects.get()
        page = " ".join(text_of(superuser_client().get(run_url(run))).split())

        assert (run.due, run.subscriptions, run.allocated, run.credits) == (3, 3, 3, 1200)
        for text in ("allocate_monthly_credits", "1,200 credits", "Done"):
            assert text in page

    @pytest.mark.parametrize(("silence", "status"), [(3 * MINUTE, "Interrupted"), (0 * MINUTE, "Running")])
    def test_a_run_without_recent_progress_is_interrupted(self, silence, status):
        run = operations.start_run(at=NOW, started_at=NOW - 5 * MINUTE, started_by="cron", due=10)
        operations.record_progress(run=run, totals=operations.Totals(subscriptions=4), seen_at=clock.now() - silence)

        response = superuser_client().get(run_url(run))

        assert response.context["status"] == status
        assert ("This run was interrupted" in text_of(response)) == (status == "Interrupted")

    def test_the_list_shows_interrupted_runs(self):
        operations.start_run(at=NOW, started_at=NOW - 5 * MINUTE, started_by="cron", due=10)

        assert "Interrupted" in text_of(superuser_client().get(reverse("admin:tiers_allocationrun_changelist")))


@pytest.mark.django_db(transaction=True)
class TestRetry:
    def rejected_run(self):
        """Return a run that rejected one of two subscriptions, and the balance of the rejected one."""
        balances = sorted(make_subscribed_balances(2, at=ONE_PERIOD_AGO), key=lambda balance: balance.pk)

        def allocate_with_short_lock_timeout():
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = 50")
            with pytest.raises(CommandError):
                call_command("allocate_monthly_credits", jobs=1, verbosity=0)

        with hold_lock(balances[0]):
            run_concurrently([allocate_with_short_lock_timeout])
        return AllocationRun.objects.get(), balances[0]

    def test_a_retry_allocates_the_rejected_subscriptions_as_a_new_run(self):
        run, rejected = self.rejected_run()
        client = superuser_client()
        page = text_of(client.get(run_url(run)))
        assert str(rejected.user) in page
        assert "Retry the 1 rejected" in page

        response = client.post(retry_url(run), follow=True)

        assert messages_of(response) == ["Retried 1: 1 months allocated, 0 rejected."]
        assert periods_of(rejected) == [(1, 400)]
        newest = AllocationRun.objects.latest("pk")
        assert (newest.due, newest.allocated, newest.started_by) == (1, 1, "staff@example.test")

    def test_a_retry_allocates_what_is_due_at_the_instant_of_the_run(self):
        balance = make_subscribed_balance()
        run = operations.start_run(at=month(1), started_at=month(1), started_by="a test")
        busy = operations.Totals(subscriptions=1, rejected=[(balance.pk, "busy")])
        operations.finish_run(run=run, totals=busy, status="done", finished_at=month(1))

        superuser_client().post(retry_url(run))

        assert periods_of(balance) == [(1, 400)]
        assert AllocationRun.objects.latest("pk").at == month(1)

    def test_a_repeated_retry_allocates_nothing_twice(self):
        run, rejected = self.rejected_run()
        client = superuser_client()

        client.post(retry_url(run))
        client.post(retry_url(run))

        assert periods_of(rejected) == [(1, 400)]

    def test_a_retry_rejects_a_balance_that_is_still_locked(self):
        run, rejected = self.rejected_run()

        client = superuser_client()
        with hold_lock(rejected):
            [response] = run_concurrently([lambda: client.post(retry_url(run), follow=True)])

        assert messages_of(response) == ["Retried 1: 0 months allocated, 1 rejected."]
        assert periods_of(rejected) == []

    def test_a_retry_needs_the_permission_to_allocate(self):
        run, _ = self.rejected_run()
        client = staff_client("tiers.view_allocationrun")

        assert "Retry the" not in text_of(client.get(run_url(run)))
        assert client.post(retry_url(run)).status_code == 403

    def test_a_retry_needs_a_post_request(self):
        run, _ = self.rejected_run()

        assert superuser_client().get(retry_url(run)).status_code == 403
