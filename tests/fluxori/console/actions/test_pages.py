"""The pages of staff actions: form, preview, confirmation and record; and the page that finds an owner."""

import pytest
from django.urls import reverse

from credits.models import CreditBalance, CreditTransaction
from fluxori.console.models import StaffAction
from fluxori.identity.models import Organization
from tests.support.admin import STAFF, messages_of, staff_client, superuser_client, text_of
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.factories.identity import OrganizationFactory
from tests.support.staff import action_url, fill_form

ADDED = {"amount": "50", "type": "promotion", "description": "For the outage", "ticket": "SUP-7", "note": "An hour"}


@pytest.fixture
def balance(db):
    return make_balance(grants=[(120, None)])


@pytest.fixture
def add_url(balance):
    return action_url("add", balance)


class TestPreviewPage:
    def test_a_preview_shows_the_effect_and_writes_nothing(self, balance, add_url):
        client = superuser_client()

        response = client.post(add_url, fill_form(client, add_url, **ADDED))

        page = text_of(response)
        assert "120 → 170" in page
        assert f"Add 50 credits to {balance.user.email}" in page
        assert "SUP-7" in page
        assert CreditTransaction.objects.count() == 1
        assert not StaffAction.objects.exists()

    def test_a_preview_shows_the_expiry(self, add_url):
        client = superuser_client()

        page = text_of(client.post(add_url, fill_form(client, add_url, **ADDED, expires_at="2050-03-01T10:00")))

        assert "1 March 2050" in page or "2050" in page

    def test_the_change_button_returns_to_the_filled_in_form(self, add_url):
        client = superuser_client()

        response = client.post(add_url, {**fill_form(client, add_url, **ADDED), "change": "yes"})

        assert response.context["form"]["ticket"].value() == "SUP-7"
        assert 'name="amount" value="50"' in text_of(response)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("amount", "0"),
            ("amount", "-5"),
            ("amount", "9.5"),
            ("amount", "1000000000001"),
            ("type", "usage"),
            ("reason", ""),
            ("reason", "because"),
            ("note", "x" * 1001),
            ("ticket", "x" * 65),
            ("unit_price", "-1"),
            ("unit_price", "0.0000001"),
            ("expires_at", "tomorrow"),
        ],
    )
    def test_an_invalid_field_has_its_own_error(self, add_url, field, value):
        client = superuser_client()

        response = client.post(add_url, {**fill_form(client, add_url, **ADDED), field: value, "confirmed": "yes"})

        assert list(response.context["form"].errors) == [field]
        assert CreditTransaction.objects.count() == 1

    def test_the_reason_other_needs_a_note(self, add_url):
        client = superuser_client()

        response = client.post(add_url, fill_form(client, add_url, **{**ADDED, "note": ""}, reason="other"))

        assert list(response.context["form"].errors) == ["note"]

    def test_a_preview_shows_the_error_of_the_operation(self, add_url):
        client = superuser_client()

        response = client.post(add_url, fill_form(client, add_url, **ADDED, expires_at="2020-01-01T10:00"))

        assert list(response.context["form"].errors) == ["expires_at"]


class TestConfirmation:
    def test_a_confirmed_action_is_performed_and_recorded(self, balance, add_url):
        client = superuser_client()
        form = {**fill_form(client, add_url, **ADDED), "confirmed": "yes"}

        response = client.post(add_url, form, follow=True, headers={"X-Request-Id": "from-support"})

        added = CreditTransaction.objects.get(sequence=2)
        assert (added.amount, added.type, added.balance_after) == (50, "promotion", 170)
        assert (added.description, added.reason) == ("For the outage", "Goodwill")
        assert added.actor.email == STAFF
        done = StaffAction.objects.get()
        assert (
            messages_of(response) == [f"Added 50 credits to {balance.user.email}. Balance 120 → 170."] == [done.summary]
        )
        assert response.redirect_chain[0][0] == reverse("admin:credits_creditbalance_change", args=[balance.pk])
        assert (done.actor.email, done.action, done.balance_id, done.transaction) == (STAFF, "add", balance.pk, added)
        assert (done.reason, done.note, done.ticket, done.request_id) == (
            "goodwill",
            "An hour",
            "SUP-7",
            "from-support",
        )
        assert (done.before["balance"], done.after["balance"], done.credits) == (120, 170, 50)
        assert (done.authority, done.approver, done.idempotency_key) == (done.actor, None, form["idempotency_key"])

    def test_a_form_sent_twice_is_performed_once(self, balance, add_url):
        client = superuser_client()
        form = {**fill_form(client, add_url, **ADDED), "confirmed": "yes"}

        client.post(add_url, form)
        again = client.post(add_url, form, follow=True)

        balance.refresh_from_db()
        assert balance.balance == 170
        assert StaffAction.objects.count() == 1
        assert "It was not done a second time." in messages_of(again)[-1]

    def test_a_key_cannot_be_reused_with_different_contents(self, add_url):
        client = superuser_client()
        form = {**fill_form(client, add_url, **ADDED), "confirmed": "yes"}
        client.post(add_url, form)

        response = client.post(add_url, {**form, "amount": "51"})

        assert "Start again" in response.context["form"].non_field_errors()[0]
        assert CreditTransaction.objects.count() == 2

    @pytest.mark.parametrize("make", [make_user, OrganizationFactory])
    def test_adding_credits_opens_a_missing_balance(self, db, make):
        client, owner = superuser_client(), make()
        page = action_url("add", owner)
        form = fill_form(client, page, **ADDED)

        assert "no balance yet" in text_of(client.get(page))
        assert "0 → 50" in text_of(client.post(page, form))
        assert not CreditBalance.objects.exists()
        client.post(page, {**form, "confirmed": "yes"})

        assert CreditBalance.objects.get(pk=owner.pk).balance == 50

    def test_an_action_needs_its_permission(self, add_url):
        client = staff_client("credits.view_creditbalance", "console.refund_usage")

        assert client.get(add_url).status_code == 403
        assert client.post(add_url, {**ADDED, "confirmed": "yes"}).status_code == 403

    def test_an_unknown_owner_is_not_found(self, db):
        unknown = "00000000-0000-7000-8000-000000000000"

        assert superuser_client().get(reverse("admin:console_action", args=["add", unknown])).status_code == 404

    def test_an_unknown_action_is_not_found(self, balance):
        assert superuser_client().get(action_url("unknown", balance)).status_code == 404

    def test_the_subject_must_belong_to_the_balance(self, balance):
        others = deduct(make_balance(), 5)

        client = superuser_client()

        assert client.get(action_url("refund", balance, transaction=others.transaction.id)).status_code == 404
        assert client.get(action_url("refund", balance)).status_code == 404
        assert client.get(action_url("refund", balance, transaction="x")).status_code == 404


class TestFindOwnerPage:
    PAGE = "admin:console_find_owner"

    def test_the_list_of_balances_links_to_it(self, db):
        page = text_of(superuser_client().get(reverse("admin:credits_creditbalance_changelist")))

        assert reverse(self.PAGE) in page

    def test_it_finds_users_and_organizations_with_and_without_a_balance(self, db):
        make_balance(Organization.objects.create(name="Acme Traders"), grants=[(7, None)])
        newcomer = make_user()

        client = superuser_client()
        organizations = text_of(client.get(reverse(self.PAGE), {"q": "acme"}))
        users = text_of(client.get(reverse(self.PAGE), {"q": newcomer.email}))

        assert "Organization, balance 7" in organizations
        assert "User, no balance yet" in users
        assert action_url("add", newcomer) in users

    def test_it_says_when_there_is_no_match(self, db):
        assert "No user or organization matches" in text_of(superuser_client().get(reverse(self.PAGE), {"q": "zzz"}))

    def test_it_needs_the_permission_to_add_credits(self, db):
        assert staff_client("credits.view_creditbalance").get(reverse(self.PAGE)).status_code == 403
