from uuid import uuid4

import pytest

from fluxori.identity.models import Membership
from tests.support.factories.identity import (
    AdminFactory,
    MembershipFactory,
    OrganizationFactory,
    ServiceFactory,
    UserFactory,
)

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.support.api")]


def status_and_code(response):
    return response.status_code, response.json()["code"]


def make_member(role=Membership.Role.MEMBER):
    membership = MembershipFactory.create(role=role)
    return membership.user, membership.organization


@pytest.fixture(params=["read", "spend"])
def path(request):
    return f"/api/resolve-for-{request.param}"


class TestResolveForPlainUser:
    def test_returns_the_callers_own_balance(self, api, path):
        me = UserFactory.create()

        for payload in ({}, {"userId": str(me.pk)}):
            assert api(me).post(path, payload).json() == {"id": str(me.pk), "kind": "user", "member": None}

    def test_rejects_another_users_balance(self, api, path):
        me, _ = make_member()

        assert status_and_code(api(me).post(path, {"userId": str(UserFactory.create().pk)})) == (
            403,
            "permission_denied",
        )

    def test_returns_the_pool_with_the_caller_as_member(self, api, path):
        me, organization = make_member()

        for payload in ({}, {"userId": str(me.pk)}):
            response = api(me).post(path, {"organizationId": str(organization.pk), **payload})
            assert response.json() == {"id": str(organization.pk), "kind": "organization", "member": str(me.pk)}

    @pytest.mark.parametrize("exists", [True, False])
    def test_reports_another_organization_as_not_found_whether_or_not_it_exists(self, api, path, exists):
        me, _ = make_member()
        payload = OrganizationFactory.create().pk if exists else uuid4()

        assert status_and_code(api(me).post(path, {"organizationId": str(payload)})) == (404, "organization_not_found")

    def test_lets_a_viewer_read_a_pool_but_not_spend_from_it(self, api):
        me, organization = make_member(Membership.Role.VIEWER)
        payload = {"organizationId": str(organization.pk)}

        assert api(me).post("/api/resolve-for-read", payload).status_code == 200
        assert status_and_code(api(me).post("/api/resolve-for-spend", payload)) == (403, "permission_denied")

    def test_runs_one_query_for_the_membership_and_none_for_the_own_balance(self, api, path, django_assert_num_queries):
        me, organization = make_member()
        client = api(me)

        with django_assert_num_queries(1):
            client.post(path, {})
        with django_assert_num_queries(2):
            client.post(path, {"organizationId": str(organization.pk)})


@pytest.mark.parametrize("factory", [AdminFactory, ServiceFactory])
class TestResolveForAdminAndService:
    def test_returns_the_callers_own_balance_if_no_owner_is_named(self, api, path, factory):
        me = factory.create()

        assert api(me).post(path, {}).json()["id"] == str(me.pk)

    def test_returns_the_balance_of_any_user(self, api, path, factory):
        other = UserFactory.create()

        assert api(factory.create()).post(path, {"userId": str(other.pk)}).json() == {
            "id": str(other.pk),
            "kind": "user",
            "member": None,
        }

    def test_runs_one_query_for_another_user(self, api, path, factory, django_assert_num_queries):
        user, client = UserFactory.create(), api(factory.create())

        with django_assert_num_queries(2):
            assert client.post(path, {"userId": str(user.pk)}).status_code == 200

    def test_returns_any_pool_with_or_without_a_member(self, api, path, factory):
        member, organization = make_member()
        client, payload = api(factory.create()), {"organizationId": str(organization.pk)}

        assert client.post(path, payload).json()["member"] is None
        assert client.post(path, {**payload, "userId": str(member.pk)}).json()["member"] == str(member.pk)

    def test_rejects_owners_and_members_that_do_not_exist(self, api, path, factory):
        _, organization = make_member()
        client = api(factory.create())

        assert status_and_code(client.post(path, {"userId": str(uuid4())})) == (404, "user_not_found")
        assert status_and_code(client.post(path, {"organizationId": str(uuid4())})) == (404, "organization_not_found")
        payload = {"organizationId": str(organization.pk), "userId": str(UserFactory.create().pk)}
        assert status_and_code(client.post(path, payload)) == (404, "user_not_found")

    def test_cannot_spend_on_behalf_of_a_viewer(self, api, factory):
        viewer, organization = make_member(Membership.Role.VIEWER)
        payload = {"organizationId": str(organization.pk), "userId": str(viewer.pk)}

        assert status_and_code(api(factory.create()).post("/api/resolve-for-spend", payload)) == (
            403,
            "permission_denied",
        )

    def test_can_spend_from_a_pool_although_they_are_viewers_of_it(self, api, factory):
        me = factory.create()
        membership = MembershipFactory.create(user=me, role=Membership.Role.VIEWER)

        payload = {"organizationId": str(membership.organization_id)}
        assert api(me).post("/api/resolve-for-spend", payload).status_code == 200


class TestResolveForManage:
    PATH = "/api/resolve-for-manage"

    def test_allows_every_user_for_their_own_balance(self, api):
        me = UserFactory.create()

        assert api(me).post(self.PATH, {}).json() == {"id": str(me.pk)}

    @pytest.mark.parametrize(
        ("role", "status"),
        [
            (Membership.Role.OWNER, 200),
            (Membership.Role.MANAGER, 200),
            (Membership.Role.MEMBER, 403),
            (Membership.Role.VIEWER, 403),
        ],
    )
    def test_allows_owners_and_managers_for_a_pool(self, api, role, status):
        me, organization = make_member(role)

        assert api(me).post(self.PATH, {"organizationId": str(organization.pk)}).status_code == status

    def test_allows_admins_for_any_balance_whatever_their_membership(self, api):
        admin, organization = AdminFactory.create(), OrganizationFactory.create()
        MembershipFactory.create(organization=organization, user=admin, role=Membership.Role.VIEWER)

        for payload in ({"organizationId": str(organization.pk)}, {"userId": str(UserFactory.create().pk)}):
            assert api(admin).post(self.PATH, payload).json() == {"id": next(iter(payload.values()))}

    def test_rejects_services(self, api):
        service, organization = ServiceFactory.create(), OrganizationFactory.create()
        owner = MembershipFactory.create(organization=organization, role=Membership.Role.OWNER).user
        pool = {"organizationId": str(organization.pk)}

        for payload in ({}, pool, {**pool, "userId": str(owner.pk)}, {"userId": str(owner.pk)}):
            assert status_and_code(api(service).post(self.PATH, payload)) == (403, "permission_denied")


class TestNamedOwner:
    def test_returns_the_user_or_the_organization(self, api):
        user, organization = make_member()
        client = api(AdminFactory.create())

        assert client.post("/api/named-owner", {"userId": str(user.pk)}).json() == {"id": str(user.pk)}
        assert client.post("/api/named-owner", {"organizationId": str(organization.pk)}).json() == {
            "id": str(organization.pk)
        }

    @pytest.mark.parametrize("both", [True, False])
    def test_rejects_both_owners_and_none(self, api, both):
        payload = {"userId": str(uuid4()), "organizationId": str(uuid4())} if both else {}

        response = api(AdminFactory.create()).post("/api/named-owner", payload)

        assert status_and_code(response) == (400, "invalid")
        assert [e["code"] for e in response.json()["errors"]] == ["exactly_one_owner"]

    def test_rejects_owners_that_do_not_exist(self, api):
        client = api(AdminFactory.create())

        assert status_and_code(client.post("/api/named-owner", {"userId": str(uuid4())})) == (404, "user_not_found")
        assert status_and_code(client.post("/api/named-owner", {"organizationId": str(uuid4())})) == (
            404,
            "organization_not_found",
        )


class TestVisibleBalances:
    def test_are_the_callers_own_and_those_of_the_callers_organizations(self, api):
        me, organization = make_member(Membership.Role.VIEWER)
        OrganizationFactory.create()

        assert api(me).get("/api/visible-balances").json()["ids"] == sorted([str(me.pk), str(organization.pk)])

    def test_are_all_balances_for_admins_and_services(self, api):
        assert api(AdminFactory.create()).get("/api/visible-balances").json() == {"ids": None}
        assert api(ServiceFactory.create()).get("/api/visible-balances").json() == {"ids": None}
