"""Lists, pages, filters and exports show the state at the time of the request, like the API, without any job."""

import csv
import io
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse

from credits import queries
from credits.models import CreditBalance, CreditGrant, CreditHold
from fluxori.core import clock
from tests.credits.operations.verbs import first_transaction, reverse_purchase
from tests.support.admin import superuser_client, text_of
from tests.support.factories.credits import deduct, hold, make_balance, make_user
from tests.support.staff import action_url
from tests.support.times import DAY, HOUR, NOON
from tiers import operations as tiers
from tiers.models import AllocationRun, Subscription

MICROSECOND = timedelta(microseconds=1)

pytestmark = pytest.mark.django_db


@pytest.fixture
def client():
    return superuser_client()


def list_url(model) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def page_url(row) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def shown(client, model, **filters):
    return [row.pk for row in client.get(list_url(model), filters).context["cl"].result_list]


def exported(client, model):
    content = b"".join(client.get(f"{list_url(model)}export/").streaming_content).decode("utf-8-sig")
    return {row["id"]: row for row in csv.DictReader(io.StringIO(content))}


class TestLapsedHold:
    """A hold that has lapsed and whose lapse is not written yet."""

    @pytest.fixture
    def lapsed(self, clock_at):
        balance = make_balance(grants=[(100, None)])
        row = hold(balance, 10, expires_in=HOUR)
        clock_at(NOON + 2 * HOUR)
        return row

    def test_the_status_is_lapsed_in_list_page_search_and_export(self, client, lapsed):
        lapsed.refresh_from_db()
        assert lapsed.status == "open"  # stored

        row = client.get(list_url(CreditHold)).context["cl"].result_list[0]
        assert (row.status, row.closed_at) == ("lapsed", lapsed.expires_at)
        page = text_of(client.get(page_url(lapsed)))
        assert "Lapsed" in page
        assert "Open" not in page.split("Status")[1].split("</div>")[0]
        assert ", lapsed" in text_of(client.get(reverse("console_search"), {"q": lapsed.pk, "suggest": "1"}))
        row = exported(client, CreditHold)[str(lapsed.pk)]
        assert (row["status"], row["closed_at"]) == ("lapsed", lapsed.expires_at.isoformat())

    def test_the_filters_use_the_same_status(self, client, lapsed):
        other = hold(make_balance(at=NOON), 5, at=NOON + 2 * HOUR)

        assert shown(client, CreditHold, status__exact="open") == [other.pk]
        assert shown(client, CreditHold, status__exact="lapsed") == [lapsed.pk]
        assert shown(client, CreditHold, status__exact="captured") == []

    def test_the_page_offers_no_release(self, client, lapsed):
        assert action_url("release", lapsed.balance, hold=lapsed.pk) not in text_of(client.get(page_url(lapsed)))

    def test_the_list_has_the_status_of_the_api(self, client, lapsed, api):
        response = api(lapsed.balance.user).get(f"/api/credits/holds/{lapsed.pk}")

        assert response.json()["status"] == client.get(list_url(CreditHold)).context["cl"].result_list[0].status


class TestExpiredGrant:
    """A grant that has expired with credits, while a hold of 10 that has lapsed is not written yet either."""

    @pytest.fixture
    def grant(self, clock_at):
        balance = make_balance(grants=[(77, DAY)])
        hold(balance, 10, expires_in=HOUR)
        clock_at(NOON + 2 * DAY)
        return balance.grants.get()

    def test_nothing_remains_in_list_page_and_export(self, client, grant):
        assert (grant.remaining, grant.held) == (67, 10)  # stored

        row = client.get(list_url(CreditGrant)).context["cl"].result_list[0]
        assert (row.remaining, row.held, row.status) == (0, 0, "expired")
        page = text_of(client.get(page_url(grant)))
        assert "67" not in page.split("Remaining")[1].split("Status")[0]
        assert "Expired" in page
        row = exported(client, CreditGrant)[str(grant.pk)]
        assert (row["remaining"], row["held"], row["live"], row["status"]) == ("0", "0", "False", "expired")

    def test_it_does_not_hold_credits_any_more(self, client, grant):
        other = make_balance(at=NOON + 2 * DAY).grants.get()

        assert shown(client, CreditGrant, live__exact="1") == [other.pk]
        assert shown(client, CreditGrant, live__exact="0") == [grant.pk]

    def test_a_pinned_part_stays_held_until_its_hold_ends(self, client, clock_at):
        balance = make_balance(grants=[(77, HOUR)])
        hold(balance, 10, expires_in=DAY)
        clock_at(NOON + 2 * HOUR)

        row = client.get(list_url(CreditGrant)).context["cl"].result_list[0]

        assert (row.remaining, row.held, row.status) == (0, 10, "expired")
        assert shown(client, CreditGrant, live__exact="1") == [balance.grants.get().pk]

    def test_the_balance_is_settled_in_list_search_and_export(self, client, grant):
        balance = grant.balance

        row = client.get(list_url(CreditBalance)).context["cl"].result_list[0]
        assert (row.balance, row.held) == (0, 0)
        assert "balance 0" in text_of(client.get(reverse("console_search"), {"q": balance.user.email, "suggest": "1"}))
        assert "balance 0" in text_of(client.get(reverse("admin:console_find_owner"), {"q": balance.user.email}))
        assert exported(client, CreditBalance)[str(balance.pk)]["balance"] == "0"

    def test_the_form_of_an_action_names_what_remains(self, client, grant):
        page = text_of(client.get(action_url("void", grant.balance.user, grant=grant.pk)))

        assert "0 left, expires" in page

    def test_the_list_has_the_values_of_the_list_of_one_owner(self, client, clock_at):
        for grants in ([(50, None), (20, HOUR)], [(30, DAY)], [(5, HOUR), (7, 3 * DAY)]):
            balance = make_balance(grants=grants)
            hold(balance, 4, expires_in=2 * HOUR)
        at = NOON + 2 * HOUR
        clock_at(at)

        rows = client.get(list_url(CreditGrant)).context["cl"].result_list

        assert len(rows) == 5
        for row in rows:
            expected: Any = queries.get_grants(owner=row.balance.owner, at=at).get(pk=row.pk)
            assert (row.remaining, row.held, row.status) == (expected.free, expected.pinned, expected.status)


class TestBalanceInDebt:
    """A purchase of 100 was reversed while a hold pinned 60 of it: the debt is repaid when the hold ends."""

    def test_the_filter_lists_it_until_the_hold_lapses(self, client, clock_at):
        balance = make_balance(grants=[(100, None)], type="purchase")
        hold(balance, 60, expires_in=HOUR)
        other = make_balance(grants=[(100, None)], type="purchase")
        deduct(other, 100)
        for row in (balance, other):
            reverse_purchase(first_transaction(row))
        clock_at(NOON + HOUR - MICROSECOND)
        assert shown(client, CreditBalance, state="debt") == [other.pk, balance.pk]

        clock_at(NOON + HOUR)

        balance.refresh_from_db()
        assert balance.debt == 60  # stored
        assert shown(client, CreditBalance, state="debt") == [other.pk]


class TestSubscriptions:
    def test_a_scheduled_change_is_in_effect_from_its_time_on(self, client, clock_at):
        user = make_user()
        tiers.initialize_balance(owner=user, tier="explorer", at=NOON)
        tiers.update_subscription_tier(owner=user, tier="growth", effective="nextPeriod", at=NOON + HOUR)
        clock_at(NOON + 2 * HOUR)
        assert shown(client, Subscription, tier__code__exact="explorer") == [user.pk]
        clock_at(NOON + 40 * DAY)

        row = client.get(list_url(Subscription)).context["cl"].result_list[0]

        assert (row.tier_id, row.scheduled_tier_id) == ("growth", None)
        assert shown(client, Subscription, tier__code__exact="growth") == [user.pk]
        assert shown(client, Subscription, tier__code__exact="explorer") == []


class TestAllocationRuns:
    def test_a_silent_run_is_interrupted_in_filter_and_export(self, client):
        at = clock.now()
        running = tiers.start_run(at=at, started_at=at, started_by="a test")
        silent = tiers.start_run(at=at, started_at=at - DAY, started_by="a test")
        AllocationRun.objects.filter(pk=silent.pk).update(seen_at=at - DAY)

        assert shown(client, AllocationRun, status__exact="interrupted") == [silent.pk]
        assert shown(client, AllocationRun, status__exact="running") == [running.pk]
        assert exported(client, AllocationRun)[str(silent.pk)]["status"] == "interrupted"
