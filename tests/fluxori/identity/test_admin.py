import pytest
from django.contrib.auth.models import Permission

from fluxori.identity.models import Membership, Organization, User
from tests.support.factories.identity import PASSWORD, MembershipFactory, OrganizationFactory, UserFactory

pytestmark = pytest.mark.django_db

USERS = "/admin/identity/user/"
ORGANIZATIONS = "/admin/identity/organization/"


@pytest.fixture
def root(client):
    client.force_login(User.objects.create_superuser("root@example.com", PASSWORD))
    return client


@pytest.fixture
def support(client):
    """A member of staff who may change users, but is no superuser."""
    staff = UserFactory.create(email="support@example.com", is_staff=True)
    staff.user_permissions.set(Permission.objects.filter(content_type__app_label="identity"))
    client.force_login(staff)
    return client


def seats(*rows, before=0):
    """Return the inline form's fields for (user, role) rows."""
    told = {
        "memberships-TOTAL_FORMS": len(rows),
        "memberships-INITIAL_FORMS": before,
        "memberships-MIN_NUM_FORMS": 1,
        "memberships-MAX_NUM_FORMS": 1000,
    }
    for index, row in enumerate(rows):
        told |= {f"memberships-{index}-{name}": value for name, value in row.items()}
    return told


class TestPages:
    @pytest.mark.parametrize("model", ["user", "organization", "membership"])
    def test_show_every_model_and_search_it(self, root, model):
        seat = MembershipFactory.create(user__email="sipho@example.com", organization__name="Kraal")
        MembershipFactory.create()
        shown = {"user": seat.user, "organization": seat.organization, "membership": seat}[model]
        text = {"user": "sipho", "organization": "kraal", "membership": "sipho"}[model]

        for query in (text, str(shown.pk)):
            found = root.get(f"/admin/identity/{model}/", {"q": query}).context["cl"].result_list
            assert [row.pk for row in found] == [shown.pk]
        assert root.get(f"/admin/identity/{model}/{shown.pk}/change/").status_code == 200

    def test_let_nobody_in_by_the_role_of_the_api(self, client):
        client.force_login(UserFactory.create(role="admin"))

        assert client.get(USERS).status_code == 302

    @pytest.mark.parametrize("model", ["user", "organization"])
    def test_delete_nothing(self, root, model):
        shown = UserFactory.create() if model == "user" else OrganizationFactory.create()

        assert root.post(f"/admin/identity/{model}/{shown.pk}/delete/", {"post": "yes"}).status_code == 403


class TestUserPage:
    def test_creates_a_user_who_can_log_in(self, root, api):
        asked = {"email": "Sipho@example.com", "role": "service", "external_id": "", "usable_password": "true"}

        response = root.post(f"{USERS}add/", {**asked, "password1": PASSWORD, "password2": PASSWORD})

        created = User.objects.get(email="sipho@example.com")
        assert response.status_code == 302
        assert (created.role, created.external_id, created.is_staff) == ("service", None, False)
        asked = {"email": "sipho@example.com", "password": PASSWORD}
        assert api().post("/api/auth/token", asked).status_code == 200

    def test_tells_when_an_address_is_taken(self, root):
        UserFactory.create(email="sipho@example.com")
        asked = {"email": "SIPHO@example.com", "role": "user", "usable_password": "false"}

        response = root.post(f"{USERS}add/", asked)

        assert response.status_code == 200
        assert "email" in response.context["adminform"].form.errors

    def test_deactivates(self, root):
        users = [UserFactory.create(), UserFactory.create(is_active=False)]

        root.post(USERS, {"action": "deactivate", "_selected_action": [user.pk for user in users]})

        assert not User.objects.filter(pk__in=[user.pk for user in users], is_active=True).exists()

    def test_gives_no_power_to_whoever_has_none(self, support):
        staff = User.objects.get(email="support@example.com")
        power = {"role": "admin", "is_superuser": "on", "is_staff": "on", "is_active": "on"}

        response = support.post(f"{USERS}{staff.pk}/change/", {"email": "new@example.com", **power, **seats()})

        staff.refresh_from_db()
        assert response.status_code == 302
        assert (staff.email, staff.role, staff.is_superuser) == ("new@example.com", "user", False)

    def test_keeps_staff_away_from_superusers(self, support):
        root = User.objects.create_superuser("root@example.com", PASSWORD)

        asked = {"usable_password": "true", "password1": "mine mine mine", "password2": "mine mine mine"}
        assert support.post(f"{USERS}{root.pk}/password/", asked).status_code == 403
        support.post(f"{USERS}{root.pk}/change/", {"email": "mine@example.com", **seats()})
        support.post(USERS, {"action": "deactivate", "_selected_action": [root.pk]})
        root.refresh_from_db()
        assert (root.email, root.is_active, root.check_password(PASSWORD)) == ("root@example.com", True, True)


class TestOrganizationPage:
    def test_creates_an_organization_with_its_owner(self, root):
        owner = UserFactory.create()

        response = root.post(
            f"{ORGANIZATIONS}add/", {"name": "Kraal", "external_id": "", **seats({"user": owner.pk, "role": "owner"})}
        )

        assert response.status_code == 302
        assert Organization.objects.get(name="Kraal").memberships.get().role == "owner"

    def test_keeps_at_least_one_owner(self, root):
        seat = MembershipFactory.create(role="owner")
        row = {"id": seat.pk, "organization": seat.organization_id, "user": seat.user_id}
        page = f"{ORGANIZATIONS}{seat.organization_id}/change/"

        for change in ({"role": "member"}, {"role": "owner", "DELETE": "on"}):
            response = root.post(page, {"name": "Kraal", "external_id": "", **seats({**row, **change}, before=1)})
            assert b"An organization keeps at least one owner" in response.content

        assert Membership.objects.get(pk=seat.pk).role == "owner"
