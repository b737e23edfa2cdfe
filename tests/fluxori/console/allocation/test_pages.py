"""Runs of the monthly allocation, as staff see them and start them again."""

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.urls import reverse

from fluxori.console.allocation import pages
from fluxori.core import clock
from tests.support.admin import messages_of, staff_client, superuser_client, text_of
from tests.support.factories.tiers import make_subscribed_balances, periods_of
from tests.support.ledger import table_digests
from tests.support.threads import hold_lock, run_concurrently
from tests.support.times import DAY, MINUTE
from tiers import operations
from tiers.models import AllocationRun

NOW = clock.now()
AGO = NOW - 40 * DAY  # one period has begun since


def page(run):
    return reverse("admin:tiers_allocationrun_change", args=[run.pk])


def again(run):
    return reverse("admin:tiers_allocationrun_retry", args=[run.pk])


@pytest.mark.django_db
class TestTheDryRun:
    def test_counts_and_gives_nothing(self):
        make_subscribed_balances(2, at=AGO)
        make_subscribed_balances(1, tier="growth", at=AGO)
        before = table_digests()

        found = superuser_client().get(reverse("admin:tiers_allocationrun_dry_run")).context["found"]

        assert [(row.name, row.subscriptions, row.months, row.credits) for row in found.tiers] == [
            ("Explorer", 2, 2, 800),
            ("Growth", 1, 1, 2000),
        ]
        assert table_digests() == before

    def test_looks_at_no_more_than_it_may(self, monkeypatch):
        monkeypatch.setattr(pages, "COUNTED", 2)
        make_subscribed_balances(3, at=AGO)

        response = superuser_client().get(reverse("admin:tiers_allocationrun_dry_run"))

        found = response.context["found"]
        assert (found.due, found.counted, found.tiers[0].credits) == (3, 2, 800)
        assert "of the first 2 of 3 subscriptions" in " ".join(text_of(response).split())

    def test_says_so_where_nothing_is_due(self):
        assert "Nothing is due" in text_of(superuser_client().get(reverse("admin:tiers_allocationrun_dry_run")))

    def test_is_for_those_who_see_runs(self):
        assert staff_client().get(reverse("admin:tiers_allocationrun_dry_run")).status_code == 403


@pytest.mark.django_db
class TestARun:
    def test_says_what_was_due_and_what_came_of_it(self):
        make_subscribed_balances(3, at=AGO)
        call_command("allocate_monthly_credits", verbosity=0)

        run = AllocationRun.objects.get()
        shown = " ".join(text_of(superuser_client().get(page(run))).split())

        assert (run.due, run.subscriptions, run.allocated, run.credits) == (3, 3, 3, 1200)
        for told in ("allocate_monthly_credits", "1,200 credits", "Done"):
            assert told in shown

    @pytest.mark.parametrize(("ago", "standing"), [(3 * MINUTE, "Interrupted"), (0 * MINUTE, "Running")])
    def test_that_was_killed_shows_as_interrupted(self, ago, standing):
        run = operations.start_run(at=NOW, started_at=NOW - 5 * MINUTE, started_by="cron", due=10)
        operations.record_progress(run=run, totals=operations.Totals(subscriptions=4), seen_at=clock.now() - ago)

        response = superuser_client().get(page(run))

        assert response.context["standing"] == standing
        assert ("This run was interrupted" in text_of(response)) == (standing == "Interrupted")

    def test_shows_in_the_list_how_it_stands(self):
        operations.start_run(at=NOW, started_at=NOW - 5 * MINUTE, started_by="cron", due=10)

        assert "Interrupted" in text_of(superuser_client().get(reverse("admin:tiers_allocationrun_changelist")))


@pytest.mark.django_db(transaction=True)
class TestTheRefused:
    def refused(self):
        """Return a run that refused one of two subscriptions, and the one it refused."""
        balances = sorted(make_subscribed_balances(2, at=AGO), key=lambda balance: balance.pk)

        def hurried():
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = 50")
            with pytest.raises(CommandError):
                call_command("allocate_monthly_credits", jobs=1, verbosity=0)

        with hold_lock(balances[0]):
            run_concurrently([hurried])
        return AllocationRun.objects.get(), balances[0]

    def test_are_named_and_given_their_month_when_tried_again(self):
        run, missed = self.refused()
        client = superuser_client()
        shown = text_of(client.get(page(run)))
        assert str(missed.user) in shown
        assert "Try the 1 refused again" in shown

        response = client.post(again(run), follow=True)

        assert messages_of(response) == ["Tried 1 again: 1 months allocated, 0 refused."]
        assert periods_of(missed) == [(1, 400)]
        newest = AllocationRun.objects.latest("pk")
        assert (newest.due, newest.allocated, newest.started_by) == (1, 1, "staff@example.test")

    def test_are_given_nothing_twice(self):
        run, missed = self.refused()
        client = superuser_client()

        client.post(again(run))
        client.post(again(run))

        assert periods_of(missed) == [(1, 400)]

    def test_are_refused_again_while_they_are_busy(self):
        run, missed = self.refused()

        client = superuser_client()
        with hold_lock(missed):
            [response] = run_concurrently([lambda: client.post(again(run), follow=True)])

        assert messages_of(response) == ["Tried 1 again: 0 months allocated, 1 refused."]
        assert periods_of(missed) == []

    def test_are_tried_by_those_who_may_allocate(self):
        run, _ = self.refused()
        onlooker = staff_client("tiers.view_allocationrun")

        assert "refused again" not in text_of(onlooker.get(page(run)))
        assert onlooker.post(again(run)).status_code == 403

    def test_are_not_tried_by_a_link(self):
        run, _ = self.refused()

        assert superuser_client().get(again(run)).status_code == 403
