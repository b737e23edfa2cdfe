from uuid import UUID, uuid4

import pytest

from fluxori.identity.models import Membership, Organization, User
from tests.support.factories.identity import (
    PASSWORD,
    AdminFactory,
    MembershipFactory,
    OrganizationFactory,
    ServiceFactory,
    UserFactory,
)

pytestmark = pytest.mark.django_db


def told(response):
    return response.status_code, response.json()["code"]


def faults(response):
    assert told(response) == (400, "invalid")
    return {e["field"]: e["code"] for e in response.json()["errors"]}


@pytest.fixture
def admin(api):
    return api(AdminFactory.create())


class TestMe:
    def test_says_who_i_am_and_where_i_belong(self, api, django_assert_num_queries):
        user = UserFactory.create()
        zulu = MembershipFactory.create(user=user, organization__name="Zulu", role="viewer").organization
        alpha = MembershipFactory.create(user=user, organization__name="Alpha", role="owner").organization
        MembershipFactory.create()
        client = api(user)

        with django_assert_num_queries(2):
            response = client.get("/api/me")

        assert response.json() == {
            "id": str(user.pk),
            "email": user.email,
            "role": "user",
            "organizations": [
                {"id": str(alpha.pk), "name": "Alpha", "role": "owner"},
                {"id": str(zulu.pk), "name": "Zulu", "role": "viewer"},
            ],
        }

    def test_needs_a_token(self, api):
        assert told(api().get("/api/me")) == (401, "not_authenticated")


class TestUsers:
    def test_are_created(self, admin, api):
        response = admin.post(
            "/api/users",
            {"email": "Sipho@Example.com", "password": PASSWORD, "role": "service", "externalId": "partner|7"},
        )

        user = User.objects.get(email="sipho@example.com")
        assert response.status_code == 201
        assert response.json() == {
            "id": str(user.pk),
            "email": "sipho@example.com",
            "role": "service",
            "externalId": "partner|7",
            "isActive": True,
            "createdAt": user.created_at.isoformat().replace("+00:00", "Z"),
        }
        login = api().post("/api/auth/token", {"email": "sipho@example.com", "password": PASSWORD})
        assert login.status_code == 200
        assert not user.is_staff

    def test_need_no_password(self, admin, api):
        assert admin.post("/api/users", {"email": "sipho@example.com"}).status_code == 201
        assert not User.objects.get(email="sipho@example.com").has_usable_password()

    @pytest.mark.parametrize(
        ("asked", "field", "code"),
        [
            ({"email": "nobody"}, "email", "wrong_type"),
            ({"email": "a" * 250 + "@b.cd"}, "email", "too_long"),
            ({"email": None}, "email", "wrong_type"),
            ({"password": "password"}, "password", "out_of_range"),
            ({"password": "a"}, "password", "out_of_range"),
            ({"role": "owner"}, "role", "invalid_choice"),
            ({"externalId": ""}, "externalId", "required"),
            ({"externalId": "x" * 256}, "externalId", "too_long"),
            ({"isStaff": True}, "isStaff", "unknown_field"),
        ],
    )
    def test_are_refused_with_bad_input(self, admin, asked, field, code):
        before = User.objects.count()

        response = admin.post("/api/users", {"email": "sipho@example.com", **asked})

        assert faults(response) == {field: code}
        assert User.objects.count() == before

    def test_have_an_address_and_an_external_id_of_their_own(self, admin):
        UserFactory.create(email="sipho@example.com", external_id="partner|7")

        assert told(admin.post("/api/users", {"email": "SIPHO@example.com"})) == (409, "email_taken")
        other = {"email": "other@example.com", "external_id": "partner|7"}
        assert told(admin.post("/api/users", other)) == (409, "external_id_taken")

    def test_are_listed_from_the_newest_and_found_by_name(self, admin):
        older, newer = UserFactory.create(email="older@example.com"), UserFactory.create(external_id="partner|7")

        listed = [user["id"] for user in admin.get("/api/users").json()["results"]]
        assert listed[:2] == [str(newer.pk), str(older.pk)]
        for query in ("email=OLDER@example.com", "email=older@example.com&limit=1"):
            assert [u["id"] for u in admin.get(f"/api/users?{query}").json()["results"]] == [str(older.pk)]
        by_external_id = admin.get("/api/users?externalId=partner|7").json()["results"]
        assert [u["email"] for u in by_external_id] == [newer.email]
        assert admin.get("/api/users?email=nobody@example.com").json()["results"] == []
        assert faults(admin.get("/api/users?name=x")) == {"name": "unknown_field"}

    def test_are_changed(self, admin):
        user = UserFactory.create()

        response = admin.patch(f"/api/users/{user.pk}", {"isActive": False, "role": "service"})

        assert response.status_code == 200
        assert (response.json()["isActive"], response.json()["role"]) == (False, "service")
        user.refresh_from_db()
        assert (user.is_active, user.role) == (False, "service")

    def test_keep_what_is_not_changed(self, admin):
        user = ServiceFactory.create(is_active=False)

        assert admin.patch(f"/api/users/{user.pk}", {}).json()["isActive"] is False
        assert admin.patch(f"/api/users/{user.pk}", {"is_active": True}).json()["role"] == "service"

    def test_are_not_changed_by_bad_input(self, admin):
        user = UserFactory.create()

        assert faults(admin.patch(f"/api/users/{user.pk}", {"isActive": "no"})) == {"isActive": "wrong_type"}
        assert faults(admin.patch(f"/api/users/{user.pk}", {"role": None})) == {"role": "wrong_type"}
        assert faults(admin.patch(f"/api/users/{user.pk}", {"email": "x@y.zz"})) == {"email": "unknown_field"}
        assert told(admin.patch(f"/api/users/{uuid4()}", {"role": "admin"})) == (404, "user_not_found")
        assert told(admin.patch("/api/users/7", {"role": "admin"})) == (404, "not_found")

    @pytest.mark.parametrize("factory", [UserFactory, ServiceFactory])
    def test_are_for_admins(self, api, factory):
        me = factory.create(is_staff=True, is_superuser=True)
        client = api(me)

        assert told(client.post("/api/users", {"email": "sipho@example.com"})) == (403, "permission_denied")
        assert told(client.get("/api/users")) == (403, "permission_denied")
        assert told(client.patch(f"/api/users/{me.pk}", {"role": "admin"})) == (403, "permission_denied")


class TestOrganizations:
    def test_are_created_with_their_owner(self, admin):
        owner = UserFactory.create()

        response = admin.post("/api/organizations", {"name": "Kraal", "ownerId": str(owner.pk), "externalId": "org|1"})

        organization = Organization.objects.get(name="Kraal")
        assert response.status_code == 201
        assert response.json() == {
            "id": str(organization.pk),
            "name": "Kraal",
            "externalId": "org|1",
            "createdAt": organization.created_at.isoformat().replace("+00:00", "Z"),
        }
        assert [(m.user_id, m.role) for m in organization.memberships.all()] == [(owner.pk, "owner")]

    def test_are_refused_without_anything_left_behind(self, admin):
        OrganizationFactory.create(external_id="org|1")
        owner = str(UserFactory.create().pk)

        taken = {"name": "Kraal", "ownerId": owner, "externalId": "org|1"}
        assert told(admin.post("/api/organizations", taken)) == (409, "external_id_taken")
        assert told(admin.post("/api/organizations", {"name": "Kraal", "ownerId": str(uuid4())})) == (
            404,
            "user_not_found",
        )
        assert faults(admin.post("/api/organizations", {"name": " "})) == {"name": "required", "ownerId": "required"}
        assert not Organization.objects.filter(name="Kraal").exists()

    def test_are_for_admins(self, api):
        me = ServiceFactory.create()

        asked = {"name": "Kraal", "ownerId": str(me.pk)}
        assert told(api(me).post("/api/organizations", asked)) == (403, "permission_denied")


@pytest.fixture
def organization():
    return OrganizationFactory.create()


@pytest.fixture
def owner(organization):
    return MembershipFactory.create(organization=organization, role="owner").user


def members(organization):
    return f"/api/organizations/{organization.pk}/members"


class TestMembers:
    def test_are_listed_for_members_from_the_newest(self, api, organization, owner, django_assert_num_queries):
        viewer = MembershipFactory.create(organization=organization, role="viewer").user
        client = api(viewer)

        with django_assert_num_queries(3):
            page = client.get(members(organization)).json()

        assert page["results"] == [
            {"userId": str(viewer.pk), "email": viewer.email, "role": "viewer"},
            {"userId": str(owner.pk), "email": owner.email, "role": "owner"},
        ]

    def test_are_added_and_changed_by_an_owner(self, api, organization, owner):
        user, client = UserFactory.create(), api(owner)

        for role in ("member", "viewer", "manager", "owner", "owner"):
            response = client.put(f"{members(organization)}/{user.pk}", {"role": role})
            assert response.status_code == 200
            assert response.json() == {"userId": str(user.pk), "email": user.email, "role": role}

        assert organization.memberships.get(user=user).role == "owner"

    def test_are_removed_by_an_owner(self, api, organization, owner):
        user = MembershipFactory.create(organization=organization).user
        client = api(owner)

        assert client.delete(f"{members(organization)}/{user.pk}").status_code == 204
        assert not organization.memberships.filter(user=user).exists()
        assert told(client.delete(f"{members(organization)}/{user.pk}")) == (404, "user_not_found")

    def test_always_include_an_owner(self, api, organization, owner):
        client, path = api(owner), f"{members(organization)}/{owner.pk}"

        assert told(client.delete(path)) == (409, "last_owner")
        assert told(client.put(path, {"role": "member"})) == (409, "last_owner")
        assert client.put(path, {"role": "owner"}).status_code == 200
        MembershipFactory.create(organization=organization, role="owner")
        assert client.put(path, {"role": "member"}).status_code == 200

    def test_are_refused_with_bad_input(self, api, organization, owner):
        client = api(owner)

        assert faults(client.put(f"{members(organization)}/{uuid4()}", {"role": "boss"})) == {"role": "invalid_choice"}
        assert faults(client.put(f"{members(organization)}/{uuid4()}", {})) == {"role": "required"}
        assert told(client.put(f"{members(organization)}/{uuid4()}", {"role": "member"})) == (404, "user_not_found")

    @pytest.mark.parametrize("role", ["manager", "member", "viewer"])
    def test_are_not_managed_by_other_members(self, api, organization, owner, role):
        me = MembershipFactory.create(organization=organization, role=role).user
        client = api(me)

        assert told(client.put(f"{members(organization)}/{me.pk}", {"role": "owner"})) == (403, "permission_denied")
        assert told(client.delete(f"{members(organization)}/{owner.pk}")) == (403, "permission_denied")

    @pytest.mark.parametrize("factory", [UserFactory, ServiceFactory])
    def test_are_nothing_to_strangers(self, api, organization, owner, factory):
        client = api(factory.create())

        assert told(client.get(members(organization))) == (404, "organization_not_found")
        path = f"{members(organization)}/{owner.pk}"
        assert told(client.put(path, {"role": "viewer"})) == (404, "organization_not_found")
        assert told(client.delete(path)) == (404, "organization_not_found")

    def test_are_managed_by_admins_everywhere(self, admin, organization, owner):
        user = UserFactory.create()

        assert admin.put(f"{members(organization)}/{user.pk}", {"role": "member"}).status_code == 200
        assert len(admin.get(members(organization)).json()["results"]) == 2
        assert admin.delete(f"{members(organization)}/{user.pk}").status_code == 204
        nowhere = f"/api/organizations/{UUID(int=1)}/members"
        assert told(admin.get(nowhere)) == (404, "organization_not_found")
        assert told(admin.put(f"{nowhere}/{user.pk}", {"role": "member"})) == (404, "organization_not_found")

    def test_have_one_seat_each(self, organization, owner):
        with pytest.raises(Exception, match="identity_membership_once"):
            Membership.objects.create(organization=organization, user=owner, role="viewer")
