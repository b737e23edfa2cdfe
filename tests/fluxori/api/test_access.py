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


def told(response):
    return response.status_code, response.json()["code"]


def seat(role=Membership.Role.MEMBER):
    membership = MembershipFactory.create(role=role)
    return membership.user, membership.organization


@pytest.fixture(params=["reading", "spending"])
def path(request):
    return f"/api/acting/{request.param}"


class TestPlainUser:
    def test_acts_for_their_own_balance(self, api, path):
        me = UserFactory.create()

        for asked in ({}, {"userId": str(me.pk)}):
            assert api(me).post(path, asked).json() == {"id": str(me.pk), "kind": "user", "member": None}

    def test_may_not_name_another(self, api, path):
        me, _ = seat()

        assert told(api(me).post(path, {"userId": str(UserFactory.create().pk)})) == (403, "permission_denied")

    def test_acts_for_a_pool_as_its_member(self, api, path):
        me, organization = seat()

        for asked in ({}, {"userId": str(me.pk)}):
            answered = api(me).post(path, {"organizationId": str(organization.pk), **asked})
            assert answered.json() == {"id": str(organization.pk), "kind": "organization", "member": str(me.pk)}

    @pytest.mark.parametrize("exists", [True, False])
    def test_cannot_tell_a_strangers_organization_from_none(self, api, path, exists):
        me, _ = seat()
        asked = OrganizationFactory.create().pk if exists else uuid4()

        assert told(api(me).post(path, {"organizationId": str(asked)})) == (404, "organization_not_found")

    def test_sees_a_pool_as_viewer_but_cannot_spend(self, api):
        me, organization = seat(Membership.Role.VIEWER)
        asked = {"organizationId": str(organization.pk)}

        assert api(me).post("/api/acting/reading", asked).status_code == 200
        assert told(api(me).post("/api/acting/spending", asked)) == (403, "permission_denied")

    def test_costs_one_query_more_than_the_user(self, api, path, django_assert_num_queries):
        me, organization = seat()
        client = api(me)

        with django_assert_num_queries(1):
            client.post(path, {})
        with django_assert_num_queries(2):
            client.post(path, {"organizationId": str(organization.pk)})


@pytest.mark.parametrize("factory", [AdminFactory, ServiceFactory])
class TestAdminAndService:
    def test_act_for_themselves_where_nobody_is_named(self, api, path, factory):
        me = factory.create()

        assert api(me).post(path, {}).json()["id"] == str(me.pk)

    def test_act_for_any_user(self, api, path, factory):
        other = UserFactory.create()

        assert api(factory.create()).post(path, {"userId": str(other.pk)}).json() == {
            "id": str(other.pk),
            "kind": "user",
            "member": None,
        }

    def test_act_for_any_pool_and_a_member_of_it(self, api, path, factory):
        member, organization = seat()
        client, asked = api(factory.create()), {"organizationId": str(organization.pk)}

        assert client.post(path, asked).json()["member"] is None
        assert client.post(path, {**asked, "userId": str(member.pk)}).json()["member"] == str(member.pk)

    def test_are_refused_for_whoever_does_not_exist(self, api, path, factory):
        _, organization = seat()
        client = api(factory.create())

        assert told(client.post(path, {"userId": str(uuid4())})) == (404, "user_not_found")
        assert told(client.post(path, {"organizationId": str(uuid4())})) == (404, "organization_not_found")
        beside = {"organizationId": str(organization.pk), "userId": str(UserFactory.create().pk)}
        assert told(client.post(path, beside)) == (404, "user_not_found")

    def test_cannot_spend_for_a_viewer(self, api, factory):
        viewer, organization = seat(Membership.Role.VIEWER)
        asked = {"organizationId": str(organization.pk), "userId": str(viewer.pk)}

        assert told(api(factory.create()).post("/api/acting/spending", asked)) == (403, "permission_denied")

    def test_may_spend_in_their_own_right_though_they_are_viewers(self, api, factory):
        me = factory.create()
        membership = MembershipFactory.create(user=me, role=Membership.Role.VIEWER)

        asked = {"organizationId": str(membership.organization_id)}
        assert api(me).post("/api/acting/spending", asked).status_code == 200


class TestManaging:
    PATH = "/api/managed"

    def test_is_everybodys_right_over_their_own_balance(self, api):
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
    def test_is_an_owners_and_a_managers_over_a_pool(self, api, role, status):
        me, organization = seat(role)

        assert api(me).post(self.PATH, {"organizationId": str(organization.pk)}).status_code == status

    def test_is_an_admins_over_any_balance_in_whatever_seat(self, api):
        admin, organization = AdminFactory.create(), OrganizationFactory.create()
        MembershipFactory.create(organization=organization, user=admin, role=Membership.Role.VIEWER)

        for asked in ({"organizationId": str(organization.pk)}, {"userId": str(UserFactory.create().pk)}):
            assert api(admin).post(self.PATH, asked).json() == {"id": next(iter(asked.values()))}

    def test_is_never_a_services(self, api):
        service, organization = ServiceFactory.create(), OrganizationFactory.create()
        owner = MembershipFactory.create(organization=organization, role=Membership.Role.OWNER).user
        pool = {"organizationId": str(organization.pk)}

        for asked in ({}, pool, {**pool, "userId": str(owner.pk)}, {"userId": str(owner.pk)}):
            assert told(api(service).post(self.PATH, asked)) == (403, "permission_denied")


class TestNamedOwner:
    def test_takes_exactly_one(self, api):
        user, organization = seat()
        client = api(AdminFactory.create())

        assert client.post("/api/named", {"userId": str(user.pk)}).json() == {"id": str(user.pk)}
        assert client.post("/api/named", {"organizationId": str(organization.pk)}).json() == {
            "id": str(organization.pk)
        }

    @pytest.mark.parametrize("both", [True, False])
    def test_refuses_both_and_none(self, api, both):
        asked = {"userId": str(uuid4()), "organizationId": str(uuid4())} if both else {}

        response = api(AdminFactory.create()).post("/api/named", asked)

        assert told(response) == (400, "invalid")
        assert [e["code"] for e in response.json()["errors"]] == ["exactly_one_owner"]

    def test_refuses_whoever_does_not_exist(self, api):
        client = api(AdminFactory.create())

        assert told(client.post("/api/named", {"userId": str(uuid4())})) == (404, "user_not_found")
        assert told(client.post("/api/named", {"organizationId": str(uuid4())})) == (404, "organization_not_found")


class TestVisibleBalances:
    def test_are_ones_own_and_those_of_ones_organizations(self, api):
        me, organization = seat(Membership.Role.VIEWER)
        OrganizationFactory.create()

        assert api(me).get("/api/visible").json()["ids"] == sorted([str(me.pk), str(organization.pk)])

    def test_are_all_for_admins_and_services(self, api):
        assert api(AdminFactory.create()).get("/api/visible").json() == {"ids": None}
        assert api(ServiceFactory.create()).get("/api/visible").json() == {"ids": None}
