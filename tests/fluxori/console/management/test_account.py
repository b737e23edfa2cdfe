"""``manage.py account``: one account from the shell, recorded as a staff action."""

import json

import pytest
from django.core.management import CommandError, call_command

from credits import queries
from fluxori.console.models import StaffAction
from tests.support.factories.credits import make_balance
from tests.support.factories.identity import OrganizationFactory
from tests.support.factories.tiers import make_subscribed_balance, subscription_of
from tests.support.ledger import table_digests
from tests.support.staff import make_staff
from tests.support.times import DAY, NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


@pytest.fixture
def lead():
    return make_staff("support lead")


@pytest.fixture
def balance():
    return make_balance()


def run(verb, owner, staff, *options):
    named = ["--email", owner.email] if hasattr(owner, "email") else ["--organization", owner.external_id]
    call_command("account", verb, *named, "--staff", staff.email, "--reason", "goodwill", *options)


def available(balance):
    return queries.get_balance(owner=balance.owner).available


class TestAdd:
    def test_adds_credits_and_records_a_staff_action(self, balance, lead, capsys):
        expiry = (NOON + DAY).isoformat()

        run("add", balance.user, lead, "--amount", "30", "--expires-at", expiry, "--note", "By phone")

        assert capsys.readouterr().out == f"Added 30 credits to {balance.user}. Balance 100 → 130.\n"
        row = StaffAction.objects.get()
        assert (row.actor, row.action, row.reason, row.note, row.credits) == (lead, "add", "goodwill", "By phone", 30)
        assert balance.grants.order_by("id").last().expires_at == NOON + DAY

    def test_the_same_key_adds_once(self, balance, lead, capsys):
        for _ in range(2):
            run("add", balance.user, lead, "--amount", "30", "--key", "SUP-1")

        assert capsys.readouterr().out.splitlines()[1].startswith("Done before: Added 30 credits")
        assert available(balance) == 130

    def test_the_ceiling_of_the_member_of_staff_applies(self, balance, lead):
        with pytest.raises(CommandError, match="ceiling") as caught:
            run("add", balance.user, lead, "--amount", "5001")

        assert (caught.value.returncode, available(balance)) == (2, 100)


class TestDeduct:
    def test_deducts_from_the_account_of_an_organization(self, lead, capsys):
        balance = make_balance(OrganizationFactory.create(external_id="acme"))

        run("deduct", balance.organization, lead, "--amount", "30")

        assert "down by 30 credits. Balance 100 → 70." in capsys.readouterr().out
        assert available(balance) == 70

    def test_more_than_is_available_is_rejected(self, balance, lead):
        with pytest.raises(CommandError, match="insufficient_credits") as caught:
            run("deduct", balance.user, lead, "--amount", "101")

        assert caught.value.returncode == 2
        assert not StaffAction.objects.exists()


class TestSetTier:
    def test_changes_the_tier_in_the_next_period(self, lead):
        balance = make_subscribed_balance()

        run("set-tier", balance.user, lead, "--tier", "growth", "--effective", "nextPeriod")

        assert subscription_of(balance).scheduled_tier_id == "growth"

    def test_an_unknown_tier_is_rejected(self, lead):
        with pytest.raises(CommandError, match="tier_not_found"):
            run("set-tier", make_subscribed_balance().user, lead, "--tier", "unknown")


class TestEveryVerb:
    def test_a_dry_run_shows_the_facts_and_writes_nothing(self, balance, lead, capsys):
        before = table_digests()

        run("deduct", balance.user, lead, "--amount", "30", "--dry-run", "--json")

        report = json.loads(capsys.readouterr().out)
        assert (report["dryRun"], report["facts"]["Balance"]) == (True, "100 → 70")
        assert {"runId", "seconds"} <= report.keys()
        assert table_digests() == before
        assert not StaffAction.objects.exists()

    def test_a_dry_run_reports_an_exceeded_ceiling(self, balance, lead):
        with pytest.raises(CommandError, match="ceiling"):
            run("add", balance.user, lead, "--amount", "5001", "--dry-run")

    def test_staff_without_the_permission_are_rejected(self, balance):
        with pytest.raises(CommandError, match="may not") as caught:
            run("deduct", balance.user, make_staff("support"), "--amount", "30")

        assert caught.value.returncode == 2

    def test_an_unknown_account_is_rejected(self, balance, lead):
        balance.user.email = "unknown@example.test"

        with pytest.raises(CommandError, match=r"There is no user 'unknown@example\.test'") as caught:
            run("deduct", balance.user, lead, "--amount", "30")

        assert caught.value.returncode == 2
