"""Forms of admin pages under concurrency: an outdated form is rejected, and a form that is sent twice adds one row.

The tests walk every admin class that is registered, so they cover a new one.
"""

from functools import partial
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from credits.models import Feature, FeaturePrice
from fluxori.adminkit.safe_forms import SafeFormsMixin
from fluxori.console.models import ManualCreditCeiling
from fluxori.identity import operations as identity
from fluxori.identity.models import Membership, Organization, User
from tests.support.admin import form_of, messages_of, superuser_client, text_of
from tests.support.factories.identity import MembershipFactory, OrganizationFactory, UserFactory
from tests.support.staff import client_of
from tests.support.threads import run_concurrently
from tiers.models import RecoveryCost, Tier

pytestmark = pytest.mark.django_db

# For each model that staff edit: a row, and a form field with a new value.
EDITABLE: dict[Any, tuple[Any, dict[str, str]]] = {
    User: (UserFactory.create, {"external_id": "other"}),
    Organization: (lambda: MembershipFactory.create(role="owner").organization, {"name": "Other"}),
    Group: (lambda: Group.objects.get(name="support"), {"name": "Other"}),
    Feature: (lambda: Feature.objects.get(pk="simple-ai-insight"), {"name": "Other", "change_reason": "Test"}),
    Tier: (lambda: Tier.objects.get(pk="explorer"), {"name": "Other", "change_reason": "Test"}),
    ManualCreditCeiling: (
        lambda: ManualCreditCeiling.objects.get(group__name="support"),
        {"per_day": "7", "change_reason": "Test"},
    ),
}
# For each model that staff add: the data of two forms that cannot both be saved.
OWNER = {"memberships-0-role": "owner", "memberships-TOTAL_FORMS": "1"}
ADDED: dict[Any, dict[str, str]] = {
    User: {"email": "new@example.test", "role": "user", "usable_password": "false"},
    Organization: {"name": "New", "external_id": "new", **OWNER},
    Group: {"name": "New"},
    Feature: {"code": "new", "name": "New", "unit": "page", "change_reason": "Test"},
    FeaturePrice: {
        "feature": "simple-ai-insight",
        "credits": "5",
        "effective_from": "2999-01-01T00:00",
        "change_reason": "Test",
    },
    Tier: {
        "code": "new",
        "name": "New",
        "monthly_credits": "5",
        "price_min": "1",
        "price_max": "2",
        "rollover": "none",
        "change_reason": "Test",
    },
    RecoveryCost: {"rand_per_credit": "0.05", "effective_from": "2999-01-01T00:00", "change_reason": "Test"},
    ManualCreditCeiling: {"per_action": "5", "per_day": "5", "change_reason": "Test"},
}
edited = pytest.mark.parametrize("model", list(EDITABLE), ids=lambda model: model.__name__)
added = pytest.mark.parametrize("model", list(ADDED), ids=lambda model: model.__name__)


def url_of(row: Any) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def add_url(model: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_add")


def fill_add_form(client: Client, model: Any, **changes: str) -> dict[str, Any]:
    data = {**ADDED[model], **changes}
    if model is Organization:
        data["memberships-0-user"] = str(User.objects.earliest("pk").pk)
    if model is ManualCreditCeiling:
        data["group"] = str(Group.objects.get(name="auditor").pk)
    return form_of(client, add_url(model), **data)


def errors_of(response: Any) -> str:
    return " ".join(response.context["adminform"].form.non_field_errors())


def send_at_once(clients: list[Client], url: str, forms: list[dict[str, Any]]) -> list[Any]:
    """Send a form from each client at once. The context of the responses is not usable: all threads share it."""
    calls = [partial(client.post, url, form) for client, form in zip(clients, forms, strict=True)]
    return run_concurrently(calls)


class TestRegistry:
    def test_the_tests_cover_every_admin_class_that_edits_or_adds(self, rf):
        request = rf.get("/")
        request.user = User.objects.create_superuser("root@example.test")
        registered = admin.site._registry.items()

        assert {model for model, found in registered if found.has_change_permission(request)} == set(EDITABLE)
        assert {model for model, found in registered if found.has_add_permission(request)} == set(ADDED)
        assert all(isinstance(found, SafeFormsMixin) for _, found in registered)


class TestOutdatedForms:
    @edited
    def test_a_form_is_saved_if_the_row_has_not_changed(self, model):
        make_row, changes = EDITABLE[model]
        row, client = make_row(), superuser_client()

        response = client.post(url_of(row), form_of(client, url_of(row), **changes))

        assert response.status_code == 302
        row.refresh_from_db()
        name, value = next(iter(changes.items()))
        assert str(getattr(row, name)) == value

    @edited
    def test_a_form_that_shows_an_older_version_is_rejected(self, model):
        make_row, changes = EDITABLE[model]
        row, client = make_row(), superuser_client()
        first, second = form_of(client, url_of(row), **changes), form_of(client, url_of(row))

        assert client.post(url_of(row), first).status_code == 302
        response = client.post(url_of(row), {**second, "change_reason": "Test"})

        assert response.status_code == 200
        assert "Changed meanwhile: " in errors_of(response)
        assert next(iter(changes.values())) in errors_of(response)

    def test_a_rejected_form_stays_rejected_until_the_page_is_opened_again(self):
        make_row, changes = EDITABLE[Organization]
        row, client = make_row(), superuser_client()
        second = form_of(client, url_of(row))
        client.post(url_of(row), form_of(client, url_of(row), **changes))

        rejected = client.post(url_of(row), {**second, "change_reason": "Test"})
        repeated = client.post(url_of(row), {**second, "_version": rejected.context["version"]})

        assert rejected.context["version"] == second["_version"]
        assert "Changed meanwhile: " in errors_of(repeated)

    def test_a_form_without_a_version_is_rejected(self):
        make_row, changes = EDITABLE[Tier]
        row, client = make_row(), superuser_client()
        form = form_of(client, url_of(row), **changes)

        for version in ("", "nonsense", form["_version"][:-1] + "?"):
            response = client.post(url_of(row), {**form, "_version": version})
            assert "The form has no version." in errors_of(response)

    def test_a_new_name_does_not_undo_a_change_of_the_monthly_credits(self):
        row, client = Tier.objects.get(pk="explorer"), superuser_client()
        name_only = form_of(client, url_of(row), name="Pioneer", change_reason="Test")
        client.post(url_of(row), form_of(client, url_of(row), monthly_credits="3000", change_reason="Test"))

        response = client.post(url_of(row), name_only)

        assert f"monthly credits from {row.monthly_credits} to 3000" in errors_of(response)
        row.refresh_from_db()
        assert (row.monthly_credits, row.name) == (3000, "Explorer")

    def test_a_user_whom_the_api_deactivated_stays_inactive(self):
        user, client = UserFactory.create(), superuser_client()
        form = form_of(client, url_of(user), external_id="other")
        identity.change_user(user_id=user.pk, is_active=False)

        response = client.post(url_of(user), form)

        assert "active from True to False" in errors_of(response)
        user.refresh_from_db()
        assert (user.is_active, user.external_id) == (False, None)

    def test_a_change_of_the_members_makes_the_form_of_the_organization_outdated(self):
        membership, client = MembershipFactory.create(role="owner"), superuser_client()
        organization = membership.organization
        form = form_of(client, url_of(organization), name="Other")
        identity.set_member(organization_id=organization.pk, user_id=UserFactory.create().pk, role="member")

        response = client.post(url_of(organization), form)

        assert "Changed meanwhile: memberships, now 2." in errors_of(response)

    def test_a_login_does_not_make_the_form_of_a_user_outdated(self):
        user, client = UserFactory.create(), superuser_client()
        form = form_of(client, url_of(user), external_id="other")
        Client().force_login(user)

        assert client.post(url_of(user), form).status_code == 302

    def test_only_the_changed_columns_are_written(self, django_assert_max_num_queries):
        user, client = UserFactory.create(), superuser_client()
        form = form_of(client, url_of(user), external_id="other")

        with django_assert_max_num_queries(60) as captured:
            client.post(url_of(user), form)

        # The form tries first, in a savepoint that it rolls back, whether another administrator would remain.
        *_, update = [query["sql"] for query in captured.captured_queries if 'UPDATE "identity_user"' in query["sql"]]
        assert update.split(" WHERE ")[0] == 'UPDATE "identity_user" SET "external_id" = \'other\''

    def test_a_new_password_writes_the_password_only(self, django_assert_max_num_queries):
        user, client = UserFactory.create(), superuser_client()
        form = {"usable_password": "true", "password1": "mine mine mine", "password2": "mine mine mine"}

        with django_assert_max_num_queries(60) as captured:
            client.post(f"/admin/identity/user/{user.pk}/password/", form)

        [update] = [query["sql"] for query in captured.captured_queries if 'UPDATE "identity_user"' in query["sql"]]
        assert update.split(" = ")[0] == 'UPDATE "identity_user" SET "password"'
        assert "is_active" not in update.split(" WHERE ")[0]

    def test_a_new_own_password_writes_the_password_only(self, django_assert_max_num_queries):
        user = User.objects.create_superuser("root@example.test", "correct horse battery")
        client = client_of(user)
        passwords = {"new_password1": "mine mine mine", "new_password2": "mine mine mine"}

        with django_assert_max_num_queries(60) as captured:
            response = client.post("/admin/password_change/", {"old_password": "correct horse battery", **passwords})

        assert response["Location"] == reverse("admin:password_change_done")
        updates = [query["sql"] for query in captured.captured_queries if 'UPDATE "identity_user"' in query["sql"]]
        assert [update.split(" = ")[0] for update in updates] == ['UPDATE "identity_user" SET "password"']
        assert "is_active" not in updates[0].split(" WHERE ")[0]
        user.refresh_from_db()
        assert user.check_password("mine mine mine")
        assert "Old password" in text_of(client.get("/admin/password_change/"))

    @pytest.mark.django_db(transaction=True)
    def test_of_two_forms_that_are_sent_at_once_one_is_saved(self):
        row = Tier.objects.get(pk="explorer")
        clients = [client_of(User.objects.create_superuser(f"{n}@example.test")) for n in range(4)]
        forms = [
            form_of(client, url_of(row), monthly_credits=str(1000 + n), change_reason="Test")
            for n, client in enumerate(clients)
        ]

        responses = send_at_once(clients, url_of(row), forms)

        assert sorted(response.status_code for response in responses) == [200, 200, 200, 302]
        assert row.history.filter(history_type="~").count() == 1

    @pytest.mark.django_db(transaction=True)
    def test_two_forms_cannot_remove_two_owners_at_once(self):
        organization = OrganizationFactory.create()
        for _ in range(2):
            MembershipFactory.create(organization=organization, role="owner")
        clients = [client_of(User.objects.create_superuser(f"{n}@example.test")) for n in range(2)]
        forms = [
            form_of(client, url_of(organization), **{f"memberships-{n}-role": "member"})
            for n, client in enumerate(clients)
        ]

        send_at_once(clients, url_of(organization), forms)

        assert Membership.objects.filter(organization=organization, role="owner").count() == 1


class TestFormsThatAreSentTwice:
    @added
    def test_the_second_of_two_equal_forms_gets_the_first_result_or_an_error(self, model):
        client = superuser_client()
        form = fill_add_form(client, model)
        before = model.objects.count()

        first, second = client.post(add_url(model), form), client.post(add_url(model), form)

        assert (first.status_code, model.objects.count()) == (302, before + 1)
        assert second.status_code == 302 or second.context["errors"]

    @added
    @pytest.mark.django_db(transaction=True)
    def test_simultaneous_forms_add_one_row_without_an_error_page(self, model):
        clients = [client_of(User.objects.create_superuser(f"{n}@example.test")) for n in range(3)]
        forms = [fill_add_form(client, model) for client in clients]  # three forms
        forms[1] = forms[0]  # two clicks on one form
        before = model.objects.count()

        responses = send_at_once(clients, add_url(model), forms)

        assert model.objects.count() == before + 1
        assert {response.status_code for response in responses} <= {200, 302}
        rejected = [text_of(response) for response in responses if response.status_code == 200]
        assert all("Please correct the error" in page for page in rejected)

    @pytest.mark.django_db(transaction=True)
    def test_two_clicks_add_one_organization_without_an_external_id(self):
        clients = [client_of(User.objects.create_superuser(f"{n}@example.test")) for n in range(2)]
        form = fill_add_form(clients[0], Organization, external_id="")

        responses = send_at_once(clients, add_url(Organization), [form, form])

        assert Organization.objects.count() == 1
        pages = [client.get(sent["Location"], follow=True) for client, sent in zip(clients, responses, strict=True)]
        shown = [message for page in pages for message in messages_of(page)]
        assert "This form was already sent. The organization was not added again." in shown

    def test_a_member_who_is_added_twice_is_an_error_of_the_form(self):
        membership, client = MembershipFactory.create(role="owner"), superuser_client()
        url = url_of(membership.organization)
        again = {"memberships-1-user": str(membership.user_id), "memberships-1-role": "member"}

        response = client.post(url, form_of(client, url, **{"memberships-TOTAL_FORMS": "2", **again}))

        assert response.status_code == 200
        assert response.context["errors"]
        assert Membership.objects.count() == 1

    @pytest.mark.parametrize("new_id", ["", "nonsense", "1:2:3"])
    def test_a_form_with_an_invalid_id_adds_a_row_with_a_new_id(self, new_id):
        client = superuser_client()

        client.post(add_url(User), {**fill_add_form(client, User), "_new_id": new_id})

        assert User.objects.filter(email="new@example.test").exists()
