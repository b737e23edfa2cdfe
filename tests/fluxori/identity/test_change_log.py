"""Changes over the API are on the history pages of the admin, with who made them and the values."""

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from fluxori.identity.models import Organization, User
from fluxori.identity.operations import change_organization
from tests.support.admin import superuser_client, text_of
from tests.support.factories.identity import AdminFactory, MembershipFactory, OrganizationFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(db):
    return AdminFactory.create(email="admin@example.com")


@pytest.fixture
def history(db):
    staff = superuser_client()
    return lambda row: read_history(staff, row)


def read_history(staff, row):
    """Return who and what, oldest first, of the entries on the history page of a row, and check that it shows them."""
    entries = LogEntry.objects.filter(object_id=str(row.pk), content_type__model=row._meta.model_name).order_by("pk")
    url = reverse(f"admin:identity_{row._meta.model_name}_history", args=[row.pk])
    page = staff.get(url).content.decode()
    assert all(entry.user.email in page for entry in entries)
    shown = [(entry.user.email, entry.get_change_message()) for entry in entries]
    assert all(message.replace(">", "&gt;") in page for _, message in shown)
    return shown


class TestHistory:
    def test_of_a_user_has_changes_of_the_role_and_of_the_active_flag(self, api, admin, history):
        user = UserFactory.create()

        api(admin).patch(f"/api/users/{user.pk}", {"role": "service"})
        api(admin).patch(f"/api/users/{user.pk}", {"isActive": False, "role": "user"})
        api(admin).patch(f"/api/users/{user.pk}", {"isActive": False})

        assert history(user) == [
            ("admin@example.com", "role: user → service."),
            ("admin@example.com", "active: True → False; role: service → user."),
        ]

    def test_of_an_organization_has_its_closing(self, admin, history):
        organization = OrganizationFactory.create()

        closed = change_organization(organization_id=organization.pk, is_active=False, actor=admin)

        assert not closed.is_active
        assert history(organization) == [("admin@example.com", "active: True → False.")]

    def test_of_a_new_user_has_who_created_it(self, api, admin, history):
        api(admin).post("/api/users", {"email": "sipho@example.com"})

        assert history(User.objects.get(email="sipho@example.com")) == [("admin@example.com", "Added.")]

    def test_of_an_organization_and_its_members_has_changes_of_roles(self, api, admin, history):
        owner, user = UserFactory.create(email="owner@example.com"), UserFactory.create(email="user@example.com")
        created = api(admin).post("/api/organizations", {"name": "Kraal", "ownerId": str(owner.pk)})
        organization = Organization.objects.get(pk=created.json()["id"])
        path = f"/api/organizations/{organization.pk}/members/{user.pk}"

        api(owner).put(path, {"role": "member"})
        api(owner).put(path, {"role": "viewer"})
        api(owner).put(path, {"role": "viewer"})
        api(admin).delete(path)

        assert history(organization) == [
            ("admin@example.com", "Added."),
            ("admin@example.com", "role of owner@example.com: none → owner."),
            ("owner@example.com", "role of user@example.com: none → member."),
            ("owner@example.com", "role of user@example.com: member → viewer."),
            ("admin@example.com", "role of user@example.com: viewer → none."),
        ]
        assert [message for _, message in history(user)] == [
            "role in Kraal: none → member.",
            "role in Kraal: member → viewer.",
            "role in Kraal: viewer → none.",
        ]

    def test_has_nothing_of_a_rejected_change(self, api):
        membership = MembershipFactory.create(role="owner")
        path = f"/api/organizations/{membership.organization_id}/members/{membership.user_id}"

        assert api(membership.user).delete(path).status_code == 409
        assert not LogEntry.objects.exists()


class TestSuperuser:
    @pytest.mark.parametrize("change", [{"isActive": False}, {"role": "user"}])
    def test_is_changed_by_another_superuser_only(self, api, admin, change):
        root = User.objects.create_superuser("root@example.com", "a long enough password")
        path = f"/api/users/{root.pk}"

        rejected = api(admin).patch(path, change)

        assert (rejected.status_code, rejected.json()["code"]) == (403, "permission_denied")
        root.refresh_from_db()
        assert (root.is_active, root.role) == (True, "admin")
        assert api(User.objects.create_superuser("other@example.com", "x")).patch(path, change).status_code == 200


class TestNames:
    @pytest.mark.parametrize("code", ["\u202e", "\u200b", "\x07", "\n", "\u00ad", "\ufeff", "\u3164", "\u2028"])
    def test_with_characters_that_cannot_be_seen_are_rejected(self, api, admin, code):
        body = {"name": f"Kraal{code}A", "ownerId": str(admin.pk)}

        response = api(admin).post("/api/organizations", body)

        assert response.json()["errors"] == [
            {"field": "name", "code": "wrong_type", "detail": f"The character U+{ord(code):04X} cannot be seen."}
        ]
        assert not Organization.objects.exists()

    @pytest.mark.parametrize(
        "name",
        [
            "Kraal & Söhne (Pty) Ltd",
            "Ìṣẹ́",
            "有限公司",
            "o'Brien 🚀",
            "نمی\u200cبینم",  # a non-joiner between two Persian letters
            "क्\u200cष",  # a non-joiner after a virama
            "ක්\u200dෂ",  # a joiner after a virama
        ],
    )
    def test_in_any_script_are_accepted(self, api, admin, name):
        assert api(admin).post("/api/organizations", {"name": name, "ownerId": str(admin.pk)}).status_code == 201

    def test_are_checked_in_the_forms_of_the_admin(self):
        organization = OrganizationFactory.create(name="Kraal")
        url = reverse("admin:identity_organization_change", args=[organization.pk])

        page = superuser_client().post(
            url, {"name": "Kraal\u202e", "memberships-TOTAL_FORMS": 0, "memberships-INITIAL_FORMS": 0}
        )

        assert "The character U+202E cannot be seen." in text_of(page)
