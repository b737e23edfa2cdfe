from functools import partial

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import IntegrityError, transaction

from fluxori.identity import operations, queries
from fluxori.identity.constraints import constraint_errors
from fluxori.identity.errors import LastAdminError
from fluxori.identity.models import Membership, Organization, User
from tests.support.admin import form_of, text_of, version_of
from tests.support.factories.identity import PASSWORD, MembershipFactory, OrganizationFactory, UserFactory
from tests.support.threads import run_concurrently

pytestmark = pytest.mark.django_db

USERS = "/admin/identity/user/"
ORGANIZATIONS = "/admin/identity/organization/"


@pytest.fixture
def root(client):
    client.force_login(User.objects.create_superuser("root@example.com", PASSWORD))
    return client


@pytest.fixture
def support(client):
    """A client of a staff member who may change users but is not a superuser."""
    staff = UserFactory.create(email="support@example.com", is_staff=True)
    staff.user_permissions.set(Permission.objects.filter(content_type__app_label="identity"))
    client.force_login(staff)
    return client


def membership_fields(*rows, existing=0):
    """Return the form fields of the memberships inline."""
    fields = {
        "memberships-TOTAL_FORMS": len(rows),
        "memberships-INITIAL_FORMS": existing,
        "memberships-MIN_NUM_FORMS": 1,
        "memberships-MAX_NUM_FORMS": 1000,
    }
    for index, row in enumerate(rows):
        fields |= {f"memberships-{index}-{name}": value for name, value in row.items()}
    return fields


class TestAdminPages:
    @pytest.mark.parametrize("model", ["user", "organization", "membership"])
    def test_show_and_search_every_model(self, root, model):
        membership = MembershipFactory.create(user__email="sipho@example.com", organization__name="Kraal")
        MembershipFactory.create()
        instance = {"user": membership.user, "organization": membership.organization, "membership": membership}[model]
        text = {"user": "sipho", "organization": "kraal", "membership": "sipho"}[model]

        for query in (text, str(instance.pk)):
            found = root.get(f"/admin/identity/{model}/", {"q": query}).context["cl"].result_list
            assert [row.pk for row in found] == [instance.pk]
        assert root.get(f"/admin/identity/{model}/{instance.pk}/change/").status_code == 200

    def test_require_is_staff_also_for_api_admins(self, client):
        client.force_login(UserFactory.create(role="admin"))

        assert client.get(USERS).status_code == 302

    @pytest.mark.parametrize("model", ["user", "organization"])
    def test_cannot_delete_anything(self, root, model):
        instance = UserFactory.create() if model == "user" else OrganizationFactory.create()

        assert root.post(f"/admin/identity/{model}/{instance.pk}/delete/", {"post": "yes"}).status_code == 403


class TestUserPage:
    def test_creates_a_user_that_can_log_in(self, root, api):
        form = {"email": "Sipho@example.com", "role": "service", "external_id": "", "usable_password": "true"}

        response = root.post(f"{USERS}add/", {**form, "password1": PASSWORD, "password2": PASSWORD})

        created = User.objects.get(email="sipho@example.com")
        assert response.status_code == 302
        assert (created.role, created.external_id, created.is_staff) == ("service", None, False)
        form = {"email": "sipho@example.com", "password": PASSWORD}
        assert api().post("/api/auth/token", form).status_code == 200

    def test_reports_an_email_address_that_is_taken(self, root):
        UserFactory.create(email="sipho@example.com")
        form = {"email": "SIPHO@example.com", "role": "user", "usable_password": "false"}

        response = root.post(f"{USERS}add/", form)

        assert response.status_code == 200
        assert "email" in response.context["adminform"].form.errors

    def test_deactivates_selected_users(self, root):
        users = [UserFactory.create(), UserFactory.create(is_active=False)]

        root.post(USERS, {"action": "deactivate", "_selected_action": [user.pk for user in users]})

        assert not User.objects.filter(pk__in=[user.pk for user in users], is_active=True).exists()

    def test_does_not_let_staff_change_permissions_without_being_superuser(self, support):
        staff = User.objects.get(email="support@example.com")
        permission_fields = {"role": "admin", "is_superuser": "on", "is_staff": "on", "is_active": "on"}

        response = support.post(
            f"{USERS}{staff.pk}/change/",
            {
                "email": "new@example.com",
                **permission_fields,
                **membership_fields(),
                **version_of(support, f"{USERS}{staff.pk}/change/"),
            },
        )

        staff.refresh_from_db()
        assert response.status_code == 302
        assert (staff.email, staff.role, staff.is_superuser) == ("new@example.com", "user", False)

    def test_does_not_let_staff_change_superusers(self, support):
        root = User.objects.create_superuser("root@example.com", PASSWORD)

        form = {"usable_password": "true", "password1": "mine mine mine", "password2": "mine mine mine"}
        assert support.post(f"{USERS}{root.pk}/password/", form).status_code == 403
        support.post(f"{USERS}{root.pk}/change/", {"email": "mine@example.com", **membership_fields()})
        support.post(USERS, {"action": "deactivate", "_selected_action": [root.pk]})
        root.refresh_from_db()
        assert (root.email, root.is_active, root.check_password(PASSWORD)) == ("root@example.com", True, True)


class TestOrganizationPage:
    def test_creates_an_organization_with_its_owner(self, root):
        owner = UserFactory.create()

        response = root.post(
            f"{ORGANIZATIONS}add/",
            {"name": "Kraal", "external_id": "", **membership_fields({"user": owner.pk, "role": "owner"})},
        )

        assert response.status_code == 302
        assert Organization.objects.get(name="Kraal").memberships.get().role == "owner"

    def test_rejects_a_change_that_removes_the_last_owner(self, root):
        membership = MembershipFactory.create(role="owner")
        row = {"id": membership.pk, "organization": membership.organization_id, "user": membership.user_id}
        page = f"{ORGANIZATIONS}{membership.organization_id}/change/"

        for change in ({"role": "member"}, {"role": "owner", "DELETE": "on"}):
            response = root.post(
                page,
                {
                    "name": "Kraal",
                    "external_id": "",
                    **membership_fields({**row, **change}, existing=1),
                    **version_of(root, page),
                },
            )
            assert b"An organization keeps at least one owner" in response.content

        assert Membership.objects.get(pk=membership.pk).role == "owner"


class TestOtherStaff:
    def test_staff_cannot_change_the_address_or_the_password_of_other_staff(self, support):
        colleague = UserFactory.create(email="finance@example.com", is_staff=True)
        form = {"usable_password": "true", "password1": "mine mine mine", "password2": "mine mine mine"}

        assert support.post(f"{USERS}{colleague.pk}/password/", form).status_code == 403
        page = f"{USERS}{colleague.pk}/change/"
        assert support.post(page, {"email": "mine@example.com", **membership_fields()}).status_code == 403
        support.post(USERS, {"action": "deactivate", "_selected_action": [colleague.pk]})

        colleague.refresh_from_db()
        assert (colleague.email, colleague.is_active) == ("finance@example.com", True)


class TestFormerEmails:
    def change_email(self, client, user, email):
        url = f"{USERS}{user.pk}/change/"
        assert client.post(url, form_of(client, url, email=email)).status_code == 302

    def test_the_search_finds_users_by_an_earlier_address(self, root):
        user = UserFactory.create(email="sipho@example.com")
        UserFactory.create(email="other@example.com")
        self.change_email(root, user, "second@example.com")
        self.change_email(root, user, "third@example.com")

        for term in ("sipho@example.com", "SIPHO", "second@", "third@example.com"):
            assert [row.pk for row in root.get(USERS, {"q": term}).context["cl"].result_list] == [user.pk]
            assert "third@example.com" in text_of(root.get("/admin/find/", {"q": term, "suggest": "1"}))

    def test_the_current_address_comes_before_an_earlier_one(self, root):
        first = UserFactory.create(email="sipho@example.com")
        self.change_email(root, first, "zinhle@example.com")
        second = UserFactory.create(email="sipho@example.com")

        assert queries.users_like("sipho@example.com", limit=5) == [second, first]

    def test_the_database_keeps_the_earlier_address_of_every_change(self, root):
        user = UserFactory.create(email="sipho@example.com")

        User.objects.filter(pk=user.pk).update(email="second@example.com")
        User.objects.filter(pk=user.pk).update(email="second@example.com", role="admin")

        assert [row.email for row in user.former_emails.all()] == ["sipho@example.com"]


class TestHistory:
    def test_the_history_shows_earlier_and_new_values(self, root):
        user = UserFactory.create(email="sipho@example.com")
        group = Group.objects.get(name="support")
        url = f"{USERS}{user.pk}/change/"
        form = form_of(root, url, email="zinhle@example.com", role="admin", groups=[group.pk])
        del form["is_active"]

        root.post(url, form)

        page = text_of(root.get(f"{USERS}{user.pk}/history/"))
        assert "e-mail: sipho@example.com → zinhle@example.com" in page
        assert "role: user → admin" in page
        assert "99999" not in page  # the entries are counted
        assert "active: True → False" in page
        assert "groups: nothing → support" in page

    def test_the_history_of_an_organization_shows_its_members(self, root):
        membership = MembershipFactory.create(role="owner")
        other = UserFactory.create(email="other@example.com")
        url = f"{ORGANIZATIONS}{membership.organization_id}/change/"
        added = {"memberships-TOTAL_FORMS": "2", "memberships-1-user": str(other.pk), "memberships-1-role": "owner"}
        root.post(url, form_of(root, url, **added))
        root.post(url, form_of(root, url, **{"memberships-0-role": "viewer"}))

        page = text_of(root.get(f"{ORGANIZATIONS}{membership.organization_id}/history/"))

        assert f"added membership other@example.com in {membership.organization} (owner)" in page
        assert "role: owner → viewer" in page


class TestLastAdministrator:
    @pytest.mark.parametrize("field", ["is_active", "is_staff", "is_superuser", "role"])
    def test_the_last_administrator_keeps_their_access(self, root, field):
        user = User.objects.get(email="root@example.com")
        url = f"{USERS}{user.pk}/change/"
        form = form_of(root, url)
        form = {**form, "role": "user"} if field == "role" else {k: v for k, v in form.items() if k != field}

        response = root.post(url, form)

        assert "At least one active administrator must remain." in text_of(response)
        user.refresh_from_db()
        assert (user.is_active, user.is_staff, user.is_superuser, user.role) == (True, True, True, "admin")

    def test_the_last_administrator_cannot_be_deactivated_in_the_list(self, root):
        user, other = User.objects.get(email="root@example.com"), UserFactory.create()

        root.post(USERS, {"action": "deactivate", "_selected_action": [user.pk, other.pk]})

        assert list(User.objects.filter(is_active=True)) == [user]

    def test_an_administrator_can_be_deactivated_if_another_remains(self, root):
        other = User.objects.create_superuser("second@example.com", PASSWORD)
        url = f"{USERS}{other.pk}/change/"
        form = form_of(root, url)
        del form["is_active"]

        assert root.post(url, form).status_code == 302
        other.refresh_from_db()
        assert not other.is_active

    def test_the_operation_keeps_the_last_administrator(self, db):
        user = UserFactory.create(role="admin")

        for change in ({"is_active": False}, {"role": "user"}):
            with pytest.raises(LastAdminError):
                operations.change_user(user_id=user.pk, **change)
        UserFactory.create(role="admin")
        assert operations.change_user(user_id=user.pk, role="user").role == "user"

    @pytest.mark.parametrize("change", [{"is_active": False}, {"role": "user"}, {"is_superuser": False}, "delete"])
    def test_no_program_removes_the_last_administrator(self, root, change):
        user = User.objects.get(email="root@example.com")

        with pytest.raises(IntegrityError, match="at least one active administrator"), transaction.atomic():
            user.delete() if change == "delete" else User.objects.update(**change)

        User.objects.create_superuser("second@example.com", PASSWORD)
        with constraint_errors():
            User.objects.filter(pk=user.pk).update(is_active=False)

    def test_the_api_reports_the_last_administrator(self, api):
        admin = UserFactory.create(role="admin")

        response = api(admin).patch(f"/api/users/{admin.pk}", {"isActive": False})

        assert (response.status_code, response.json()["code"]) == (409, "last_admin")

    @pytest.mark.django_db(transaction=True)
    def test_two_administrators_cannot_deactivate_each_other_at_once(self):
        users = [User.objects.create_superuser(f"{n}@example.com", PASSWORD) for n in range(2)]

        results = run_concurrently(
            [partial(operations.change_user, user_id=user.pk, is_active=False) for user in users]
        )

        assert results.count("last_admin") == 1
        assert User.objects.filter(is_active=True, is_superuser=True).count() == 1
