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


def status_and_code(response):
    return response.status_code, response.json()["code"]


def field_codes(response):
    assert status_and_code(response) == (400, "invalid")
    return {e["field"]: e["code"] for e in response.json()["errors"]}


@pytest.fixture
def admin(api):
    return api(AdminFactory.create())


class TestMe:
    def test_returns_the_caller_with_organizations_by_name_in_two_queries(self, api, django_assert_num_queries):
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

    def test_requires_a_token(self, api):
        assert status_and_code(api().get("/api/me")) == (401, "not_authenticated")


class TestCreateUser:
    def test_returns_the_user_who_can_log_in(self, admin, api):
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

    def test_accepts_a_user_without_a_password(self, admin, api):
        assert admin.post("/api/users", {"email": "sipho@example.com"}).status_code == 201
        assert not User.objects.get(email="sipho@example.com").has_usable_password()

    @pytest.mark.parametrize(
        ("payload", "field", "code"),
        [
            ({"email": "nobody"}, "email", "wrong_type"),
            ({"email": "a" * 250 + "@b.cd"}, "email", "too_long"),
            ({"email": None}, "email", "wrong_type"),
            ({"email": "a" * 300 + "@b.cd"}, "email", "too_long"),
            ({"email": "İ" * 240 + "@b.cd"}, "email", "wrong_type"),
            ({"email": "a@" + "ü." * 35 + "cd"}, "email", "too_long"),
            ({"email": "a@" + "b" * 64 + ".cd"}, "email", "wrong_type"),
            ({"email": "\u017fipho@example.com"}, "email", "wrong_type"),
            ({"email": "a@faß.example"}, "email", "wrong_type"),
            ({"password": "password"}, "password", "out_of_range"),
            ({"password": "a"}, "password", "out_of_range"),
            ({"role": "owner"}, "role", "invalid_choice"),
            ({"externalId": ""}, "externalId", "required"),
            ({"externalId": "x" * 256}, "externalId", "too_long"),
            ({"isStaff": True}, "isStaff", "unknown_field"),
        ],
    )
    def test_rejects_invalid_fields_and_creates_nothing(self, admin, payload, field, code):
        before = User.objects.count()

        response = admin.post("/api/users", {"email": "sipho@example.com", **payload})

        assert field_codes(response) == {field: code}
        assert User.objects.count() == before

    def test_rejects_an_email_or_external_id_that_is_taken(self, admin):
        UserFactory.create(email="sipho@example.com", external_id="partner|7")

        assert status_and_code(admin.post("/api/users", {"email": "SIPHO@example.com"})) == (409, "email_taken")
        other = {"email": "other@example.com", "external_id": "partner|7"}
        assert status_and_code(admin.post("/api/users", other)) == (409, "external_id_taken")


class TestListUsers:
    def test_lists_newest_first_and_filters_by_email_and_external_id(self, admin):
        older, newer = UserFactory.create(email="older@example.com"), UserFactory.create(external_id="partner|7")

        listed = [user["id"] for user in admin.get("/api/users").json()["results"]]
        assert listed[:2] == [str(newer.pk), str(older.pk)]
        for query in ("email=OLDER@example.com", "email=older@example.com&limit=1"):
            assert [u["id"] for u in admin.get(f"/api/users?{query}").json()["results"]] == [str(older.pk)]
        by_external_id = admin.get("/api/users?externalId=partner|7").json()["results"]
        assert [u["email"] for u in by_external_id] == [newer.email]
        assert admin.get("/api/users?email=nobody@example.com").json()["results"] == []
        assert field_codes(admin.get("/api/users?name=x")) == {"name": "unknown_field"}


class TestChangeUser:
    def test_changes_the_given_fields(self, admin):
        user = UserFactory.create()

        response = admin.patch(f"/api/users/{user.pk}", {"isActive": False, "role": "service"})

        assert response.status_code == 200
        assert (response.json()["isActive"], response.json()["role"]) == (False, "service")
        user.refresh_from_db()
        assert (user.is_active, user.role) == (False, "service")

    def test_keeps_the_other_fields(self, admin):
        user = ServiceFactory.create(is_active=False)

        assert admin.patch(f"/api/users/{user.pk}", {}).json()["isActive"] is False
        assert admin.patch(f"/api/users/{user.pk}", {"is_active": True}).json()["role"] == "service"

    def test_rejects_invalid_fields_and_unknown_users(self, admin):
        user = UserFactory.create()

        assert field_codes(admin.patch(f"/api/users/{user.pk}", {"isActive": "no"})) == {"isActive": "wrong_type"}
        assert field_codes(admin.patch(f"/api/users/{user.pk}", {"role": None})) == {"role": "wrong_type"}
        assert field_codes(admin.patch(f"/api/users/{user.pk}", {"email": "x@y.zz"})) == {"email": "unknown_field"}
        assert status_and_code(admin.patch(f"/api/users/{uuid4()}", {"role": "admin"})) == (404, "user_not_found")
        assert status_and_code(admin.patch("/api/users/7", {"role": "admin"})) == (404, "not_found")


class TestUserPermissions:
    @pytest.mark.parametrize("factory", [UserFactory, ServiceFactory])
    def test_only_admins_create_list_and_change_users(self, api, factory):
        caller = factory.create(is_staff=True, is_superuser=True)
        client = api(caller)

        assert status_and_code(client.post("/api/users", {"email": "sipho@example.com"})) == (403, "permission_denied")
        assert status_and_code(client.get("/api/users")) == (403, "permission_denied")
        assert status_and_code(client.patch(f"/api/users/{caller.pk}", {"role": "admin"})) == (403, "permission_denied")


class TestCreateOrganization:
    def test_creates_an_organization_with_its_first_owner(self, admin):
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

    def test_creates_nothing_if_it_is_rejected(self, admin):
        OrganizationFactory.create(external_id="org|1")
        owner = str(UserFactory.create().pk)

        taken = {"name": "Kraal", "ownerId": owner, "externalId": "org|1"}
        assert status_and_code(admin.post("/api/organizations", taken)) == (409, "external_id_taken")
        assert status_and_code(admin.post("/api/organizations", {"name": "Kraal", "ownerId": str(uuid4())})) == (
            404,
            "user_not_found",
        )
        assert field_codes(admin.post("/api/organizations", {"name": " "})) == {
            "name": "required",
            "ownerId": "required",
        }
        assert not Organization.objects.filter(name="Kraal").exists()

    def test_is_for_admins_only(self, api):
        caller = ServiceFactory.create()

        payload = {"name": "Kraal", "ownerId": str(caller.pk)}
        assert status_and_code(api(caller).post("/api/organizations", payload)) == (403, "permission_denied")


@pytest.fixture
def organization():
    return OrganizationFactory.create()


@pytest.fixture
def owner(organization):
    return MembershipFactory.create(organization=organization, role="owner").user


def members(organization):
    return f"/api/organizations/{organization.pk}/members"


class TestListMembers:
    def test_lists_newest_first_for_every_member(self, api, organization, owner, django_assert_num_queries):
        viewer = MembershipFactory.create(organization=organization, role="viewer").user
        client = api(viewer)

        with django_assert_num_queries(3):
            page = client.get(members(organization)).json()

        assert page["results"] == [
            {"userId": str(viewer.pk), "email": viewer.email, "role": "viewer"},
            {"userId": str(owner.pk), "email": owner.email, "role": "owner"},
        ]


class TestSetAndRemoveMembers:
    def test_owner_adds_a_member_and_changes_the_role(self, api, organization, owner):
        user, client = UserFactory.create(), api(owner)

        for role in ("member", "viewer", "manager", "owner", "owner"):
            response = client.put(f"{members(organization)}/{user.pk}", {"role": role, "email": user.email.upper()})
            assert response.status_code == 200
            assert response.json() == {"userId": str(user.pk), "email": user.email, "role": role}

        assert organization.memberships.get(user=user).role == "owner"

    def test_owner_does_not_learn_the_email_of_a_user_by_adding_them(self, api, organization, owner):
        user, path = UserFactory.create(), members(organization)

        added = api(owner).put(f"{path}/{user.pk}", {"role": "member"})

        assert (added.status_code, added.json()["email"]) == (200, None)
        shown = {caller: api(caller).get(path).json()["results"][0]["email"] for caller in (owner, user)}
        assert shown == {owner: None, user: user.email}
        assert api(AdminFactory.create()).get(path).json()["results"][0]["email"] == user.email
        assert api(owner).put(f"{path}/{user.pk}", {"role": "viewer"}).json()["email"] is None
        known = api(owner).put(f"{path}/{user.pk}", {"role": "viewer", "email": user.email})
        assert known.json()["email"] == user.email
        assert api(owner).put(f"{path}/{user.pk}", {"role": "member"}).json()["email"] == user.email

    def test_rejects_an_email_that_is_not_that_of_the_user(self, api, organization, owner):
        path = f"{members(organization)}/{UserFactory.create().pk}"

        response = api(owner).put(path, {"role": "member", "email": "another@example.com"})

        assert status_and_code(response) == (404, "user_not_found")
        assert organization.memberships.count() == 1

    def test_owner_removes_a_member(self, api, organization, owner):
        user = MembershipFactory.create(organization=organization).user
        client = api(owner)

        assert client.delete(f"{members(organization)}/{user.pk}").status_code == 204
        assert not organization.memberships.filter(user=user).exists()
        assert status_and_code(client.delete(f"{members(organization)}/{user.pk}")) == (404, "user_not_found")

    def test_rejects_the_removal_of_the_last_owner(self, api, organization, owner):
        client, path = api(owner), f"{members(organization)}/{owner.pk}"

        assert status_and_code(client.delete(path)) == (409, "last_owner")
        assert status_and_code(client.put(path, {"role": "member"})) == (409, "last_owner")
        assert client.put(path, {"role": "owner"}).status_code == 200
        MembershipFactory.create(organization=organization, role="owner")
        assert client.put(path, {"role": "member"}).status_code == 200

    def test_rejects_invalid_roles_and_unknown_users(self, api, organization, owner):
        client = api(owner)

        assert field_codes(client.put(f"{members(organization)}/{uuid4()}", {"role": "boss"})) == {
            "role": "invalid_choice"
        }
        assert field_codes(client.put(f"{members(organization)}/{uuid4()}", {})) == {"role": "required"}
        assert status_and_code(client.put(f"{members(organization)}/{uuid4()}", {"role": "member"})) == (
            404,
            "user_not_found",
        )

    @pytest.mark.parametrize("role", ["manager", "member", "viewer"])
    def test_rejects_members_that_are_not_owners(self, api, organization, owner, role):
        caller = MembershipFactory.create(organization=organization, role=role).user
        client = api(caller)

        assert status_and_code(client.put(f"{members(organization)}/{caller.pk}", {"role": "owner"})) == (
            403,
            "permission_denied",
        )
        assert status_and_code(client.delete(f"{members(organization)}/{owner.pk}")) == (403, "permission_denied")

    @pytest.mark.parametrize("factory", [UserFactory, ServiceFactory])
    def test_reports_the_organization_as_not_found_to_other_users(self, api, organization, owner, factory):
        client = api(factory.create())

        assert status_and_code(client.get(members(organization))) == (404, "organization_not_found")
        path = f"{members(organization)}/{owner.pk}"
        assert status_and_code(client.put(path, {"role": "viewer"})) == (404, "organization_not_found")
        assert status_and_code(client.delete(path)) == (404, "organization_not_found")

    def test_admin_manages_the_members_of_every_organization(self, admin, organization, owner):
        user = UserFactory.create()

        assert admin.put(f"{members(organization)}/{user.pk}", {"role": "member"}).status_code == 200
        assert len(admin.get(members(organization)).json()["results"]) == 2
        assert admin.delete(f"{members(organization)}/{user.pk}").status_code == 204
        missing = f"/api/organizations/{UUID(int=1)}/members"
        assert status_and_code(admin.get(missing)) == (404, "organization_not_found")
        assert status_and_code(admin.put(f"{missing}/{user.pk}", {"role": "member"})) == (404, "organization_not_found")

    def test_database_rejects_a_second_membership_of_a_user(self, organization, owner):
        with pytest.raises(Exception, match="identity_membership_once"):
            Membership.objects.create(organization=organization, user=owner, role="viewer")
