"""Dates at the end of the calendar: grants of billing systems that never expire, and filters up to the last day."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib import admin
from django.urls import reverse

from credits import operations
from credits.models import CreditTransaction, FeaturePrice
from fluxori.adminkit.changelist import DateRangeFilter, ListAdmin
from tests.support.admin import superuser_client, text_of
from tests.support.factories.credits import deduct, make_user
from tests.support.staff import action_url, fill_form

pytestmark = pytest.mark.django_db

END = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
# The zone that is most ahead of UTC, and one behind it.
ZONES = ["Pacific/Kiritimati", "America/Los_Angeles"]
DATE_FILTERS = [
    (model_admin, spec[0])
    for model_admin in admin.site._registry.values()
    if isinstance(model_admin, ListAdmin)
    for spec in model_admin.list_filter
    if isinstance(spec, tuple) and issubclass(spec[1], DateRangeFilter)
]


@pytest.fixture(params=ZONES)
def client(request):
    """A superuser whose browser is in a time zone."""
    client = superuser_client()
    client.cookies["console_zone"] = request.param.replace("/", "%2F")
    return client


@pytest.fixture
def grant():
    """The grant of a purchase that expires with the calendar."""
    user = make_user()
    added = operations.add_credits(owner=user, amount=500, type="purchase", expires_at=END)
    return CreditTransaction.objects.get(pk=added.transaction.id).opened_grants.get()


class TestGrantAtTheEndOfTheCalendar:
    def test_every_page_that_shows_the_grant_says_that_it_never_expires(self, client, grant):
        owner = grant.balance.user
        deduct(grant.balance, 20, at=grant.effective_at + timedelta(seconds=1))

        pages = {
            "account": reverse("admin:credits_creditbalance_change", args=[owner.pk]),
            "grants": reverse("admin:credits_creditgrant_changelist"),
            "grant": reverse("admin:credits_creditgrant_change", args=[grant.pk]),
            "transaction": reverse("admin:credits_credittransaction_change", args=[grant.transaction_id]),
            "extend": action_url("extend", owner, grant=grant.pk),
            "void": action_url("void", owner, grant=grant.pk),
        }
        for name, url in pages.items():
            response = client.get(url)
            assert response.status_code == 200, name
            assert "never" in text_of(response).lower().split("<main")[-1], name

    def test_the_search_finds_the_grant(self, client, grant):
        for term in (grant.pk, grant.transaction_id, grant.balance.user.email):
            assert client.get(reverse("console_search"), {"q": term}, follow=True).status_code == 200

    def test_the_account_names_no_next_expiry_and_offers_no_extension(self, client, grant):
        page = text_of(client.get(reverse("admin:credits_creditbalance_change", args=[grant.balance_id])))

        assert "None" in page.split("<dt>Next expiry</dt>")[1].split("</div>")[0]
        assert action_url("extend", grant.balance.user, grant=grant.pk) not in page

    def test_the_export_says_never(self, client, grant):
        text = b"".join(client.get(reverse("admin:credits_creditgrant_export")).streaming_content).decode()

        assert ",Never," in text

    def test_staff_can_void_the_grant(self, client, grant):
        url = action_url("void", grant.balance.user, grant=grant.pk)
        form = fill_form(client, url)

        assert client.post(url, form).status_code == 200
        assert client.post(url, {**form, "confirmed": "1"}).status_code == 302
        grant.refresh_from_db()
        assert grant.voided_at is not None


class TestDatesInForms:
    def test_staff_can_add_credits_until_a_time_that_exists_in_utc_and_no_later(self, client):
        url = action_url("add", make_user())
        form = fill_form(client, url, amount="5", type="promotion", expires_at="9999-12-31T23:59")

        response = client.post(url, form)

        assert response.status_code == 200
        west = client.cookies["console_zone"].value.startswith("America")
        assert ("expires_at" in response.context["form"].errors) is west
        assert west or "Never" in text_of(response)

    def test_a_price_starts_before_the_year_9000(self, client):
        form = {"feature": "simple-ai-insight", "credits": "5", "change_reason": "Test"}
        url = reverse("admin:credits_featureprice_add")

        for text in ("9999-12-31T23:59", "9000-01-02T00:00"):
            response = client.post(url, {**form, "effective_from": text})
            assert list(response.context["adminform"].form.errors) == ["effective_from"]

        assert not FeaturePrice.objects.filter(effective_from__year__gt=8000).exists()


class TestDateFilters:
    @pytest.mark.parametrize(
        ("model_admin", "field"),
        DATE_FILTERS,
        ids=lambda value: getattr(getattr(value, "opts", 0), "model_name", value),
    )
    def test_a_date_filter_accepts_the_first_and_the_last_day_of_the_calendar(self, client, model_admin, field):
        url = reverse(f"admin:{model_admin.opts.label_lower.replace('.', '_')}_changelist")

        for first, last in (("0001-01-01", "9999-12-31"), ("9999-12-31", "9999-12-31"), ("0001-01-01", "0001-01-01")):
            assert client.get(url, {f"{field}_from": first, f"{field}_to": last}).status_code == 200

    def test_a_filter_up_to_the_last_day_of_the_calendar_finds_every_row(self, client, grant):
        url = reverse("admin:credits_creditgrant_changelist")

        response = client.get(url, {"effective_at_from": "0001-01-01", "effective_at_to": "9999-12-31"})

        assert list(response.context["cl"].result_list) == [grant]
