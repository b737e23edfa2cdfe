"""``manage.py subscription``: one subscription from the shell, recorded as a staff action."""

import json

import pytest
from django.core.management import CommandError, call_command

from fluxori.console.models import StaffAction
from tests.support.factories.identity import OrganizationFactory
from tests.support.factories.tiers import make_subscribed_balance, subscription_of
from tests.support.staff import make_staff
from tests.support.tier_tables import assert_nothing_written
from tests.support.times import NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


@pytest.fixture
def lead():
    return make_staff("support lead")


@pytest.fixture
def balance():
    return make_subscribed_balance()


def run(verb, owner, staff, *options, **arguments):
    who = {"email": owner.email} if hasattr(owner, "email") else {"organization": str(owner.pk)}
    call_command("subscription", verb, *options, **who, staff=staff.email, reason="goodwill", **arguments)


class TestSubscription:
    def test_ends_it_in_the_next_period_by_default(self, balance, lead, capsys):
        run("end", balance.user, lead)

        assert capsys.readouterr().out.startswith(f"Ended the subscription of {balance.user} on ")
        assert (subscription_of(balance).status, StaffAction.objects.get().actor) == ("active", lead)

    def test_ends_it_now(self, balance, lead):
        run("end", balance.user, lead, effective="now")

        assert subscription_of(balance).ended_at == NOON

    def test_pauses_and_resumes_that_of_an_organization(self, lead):
        balance = make_subscribed_balance(OrganizationFactory.create())

        run("pause", balance.organization, lead)
        paused_at = subscription_of(balance).paused_at
        run("resume", balance.organization, lead)

        assert (paused_at, subscription_of(balance).paused_at) == (NOON, None)
        assert StaffAction.objects.count() == 2

    def test_cancels_what_is_scheduled(self, balance, lead):
        run("end", balance.user, lead)

        run("cancel", balance.user, lead)

        assert subscription_of(balance).scheduled_at is None

    def test_dry_run_prints_the_effect_and_changes_nothing(self, balance, lead, capsys):
        with assert_nothing_written():
            run("end", balance.user, lead, "--dry-run", "--json", effective="now")

        report = json.loads(capsys.readouterr().out)
        assert (report["action"], report["dryRun"]) == ("end_subscription", True)
        assert report["facts"]["Tier"] == "explorer → none"
        assert not StaffAction.objects.exists()


class TestRejections:
    def test_what_the_operation_rejects_has_exit_status_2(self, balance, lead):
        with assert_nothing_written(), pytest.raises(CommandError, match="not_paused") as error:
            run("resume", balance.user, lead)

        assert error.value.returncode == 2

    def test_a_member_of_staff_without_the_permission(self, balance):
        with assert_nothing_written(), pytest.raises(CommandError) as error:
            run("pause", balance.user, make_staff("auditor"))

        assert error.value.returncode == 2

    def test_unknown_people(self, balance, lead):
        for wrong in ({"email": "nobody@example.com"}, {"organization": "no-such"}):
            with pytest.raises(CommandError, match="There is no"):
                call_command("subscription", "end", **wrong, staff=lead.email, reason="goodwill")

    def test_effective_without_an_end(self, balance, lead):
        with pytest.raises(CommandError, match="option of end only"):
            run("pause", balance.user, lead, effective="now")
