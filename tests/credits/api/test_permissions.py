"""Permissions of every endpoint of credits and tiers, for each kind of caller."""

from typing import Any

import pytest

from credits.models import CreditTransaction
from tests.support.factories.credits import make_balance
from tests.support.factories.identity import AdminFactory, MembershipFactory, ServiceFactory, UserFactory
from tests.support.ledger import table_digests
from tiers.operations import initialize_balance, update_subscription_tier

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

DEDUCTION = {"amount": 1, "description": "An insight"}
ADDITION = {"amount": 1, "type": "promotion", "description": "Welcome"}

READ_ENDPOINTS = ["balance", "history", "grants", "check?amount=1", "features"]
ADMIN_ENDPOINTS: list[tuple[str, str, dict[str, Any]]] = [
    ("get", "/api/credits/balances", {}),
    ("post", "/api/credits/add", ADDITION),
    ("post", "/api/credits/initialize", {"tier": "explorer"}),
    ("put", "/api/credits/tier", {"tier": "growth"}),
    ("post", "/api/credits/tier/preview", {"tier": "growth"}),
    ("post", "/api/credits/monthly-allocation", {}),
]
ALL_ENDPOINTS: list[tuple[str, str, dict[str, Any]]] = [
    ("get", f"/api/credits/{name}", {}) for name in READ_ENDPOINTS
] + [
    ("get", "/api/tiers", {}),
    ("post", "/api/credits/deduct", DEDUCTION),
    *ADMIN_ENDPOINTS,
]


def call(client, method, path, body, **payload):
    if method == "get":
        return client.get(path, payload or None)
    return getattr(client, method)(path, {**body, **payload})


class TestWithoutToken:
    @pytest.mark.parametrize(("method", "path", "body"), ALL_ENDPOINTS)
    def test_every_endpoint_returns_401_and_writes_nothing(self, api, method, path, body):
        before = table_digests()

        rejected = call(api(), method, path, body)

        assert (rejected.status_code, rejected.json()["code"]) == (401, "not_authenticated")
        assert rejected["WWW-Authenticate"] == "Bearer"
        assert table_digests() == before


class TestAdminEndpoints:
    @pytest.mark.parametrize(("method", "path", "body"), ADMIN_ENDPOINTS)
    @pytest.mark.parametrize("caller", [UserFactory, ServiceFactory])
    def test_reject_users_and_services_even_for_their_own_balance(self, api, caller, method, path, body):
        user = caller.create()
        owner = {} if method == "get" else {"userId": str(user.pk)}
        before = table_digests()

        rejected = call(api(user), method, path, body, **owner)

        assert (rejected.status_code, rejected.json()["code"]) == (403, "permission_denied")
        assert table_digests() == before

    @pytest.mark.parametrize(("method", "path", "body"), ADMIN_ENDPOINTS)
    def test_accept_admins(self, api, method, path, body):
        user = UserFactory.create()
        if "initialize" not in path:
            initialize_balance(owner=user, tier="explorer")

        response = call(
            api(AdminFactory.create()), method, path, body, **({} if method == "get" else {"userId": str(user.pk)})
        )

        assert response.status_code in {200, 201}


class TestCancelScheduledTierChange:
    PATH = "/api/credits/tier/scheduled"

    @pytest.mark.parametrize(("caller", "status"), [(UserFactory, 403), (ServiceFactory, 403), (AdminFactory, 200)])
    def test_is_for_admins_only(self, api, caller, status):
        user = caller.create()
        initialize_balance(owner=user, tier="explorer")
        update_subscription_tier(owner=user, tier="pro", effective="nextPeriod")

        assert api(user).delete(f"{self.PATH}?userId={user.pk}").status_code == status

    def test_requires_a_token(self, api):
        assert api().delete(self.PATH).status_code == 401


class TestPools:
    @pytest.mark.parametrize(("role", "status"), [("owner", 200), ("manager", 200), ("member", 200), ("viewer", 403)])
    def test_members_can_spend_but_viewers_cannot(self, api, role, status):
        membership = MembershipFactory.create(role=role)
        make_balance(membership.organization)
        before = table_digests()

        response = api(membership.user).post(
            "/api/credits/deduct", {**DEDUCTION, "organizationId": str(membership.organization.pk)}
        )

        assert response.status_code == status
        assert (table_digests() == before) == (status == 403)

    @pytest.mark.parametrize("role", ["owner", "manager", "member", "viewer"])
    @pytest.mark.parametrize("name", ["balance", "history", "grants"])
    def test_members_of_every_role_can_read(self, api, name, role):
        membership = MembershipFactory.create(role=role)
        make_balance(membership.organization)

        response = api(membership.user).get(f"/api/credits/{name}", {"organizationId": membership.organization.pk})

        assert response.status_code == 200

    @pytest.mark.parametrize(
        ("method", "path", "body"), [*ALL_ENDPOINTS[:4], ("post", "/api/credits/deduct", DEDUCTION)]
    )
    def test_other_users_get_organization_not_found(self, api, method, path, body):
        pool = MembershipFactory.create().organization
        make_balance(pool)
        before = table_digests()

        # The test client replaces the query in a path, so the amount of check moves to the data.
        path, _, query = path.partition("?")
        options = {"amount": 1} if query else {}
        rejected = call(api(UserFactory.create()), method, path, body, organizationId=str(pool.pk), **options)

        assert (rejected.status_code, rejected.json()["code"]) == (404, "organization_not_found")
        assert table_digests() == before

    def test_a_service_cannot_spend_on_behalf_of_a_viewer(self, api):
        membership = MembershipFactory.create(role="viewer")
        make_balance(membership.organization)
        owner = {"organizationId": str(membership.organization.pk), "userId": str(membership.user.pk)}

        rejected = api(ServiceFactory.create()).post("/api/credits/deduct", {**DEDUCTION, **owner})

        assert (rejected.status_code, rejected.json()["code"]) == (403, "permission_denied")


class TestOtherUsersBalance:
    @pytest.mark.parametrize(
        ("method", "path", "body"), [*ALL_ENDPOINTS[:3], ("post", "/api/credits/deduct", DEDUCTION)]
    )
    def test_rejects_plain_users(self, api, method, path, body):
        user = UserFactory.create()
        make_balance(user)
        before = table_digests()

        rejected = call(api(UserFactory.create()), method, path, body, userId=str(user.pk))

        assert (rejected.status_code, rejected.json()["code"]) == (403, "permission_denied")
        assert table_digests() == before

    @pytest.mark.parametrize(
        ("method", "path", "body"), [*ALL_ENDPOINTS[:3], ("post", "/api/credits/deduct", DEDUCTION)]
    )
    @pytest.mark.parametrize("caller", [AdminFactory, ServiceFactory])
    def test_accepts_admins_and_services(self, api, caller, method, path, body):
        user = UserFactory.create()
        make_balance(user)

        assert call(api(caller.create()), method, path, body, userId=str(user.pk)).status_code == 200


class TestDeactivatedUser:
    def test_cannot_spend_with_a_token_issued_before(self, api):
        user = UserFactory.create()
        make_balance(user)
        client = api(user)
        user.is_active = False
        user.save()

        rejected = client.post("/api/credits/deduct", DEDUCTION)

        assert (rejected.status_code, rejected.json()["code"]) == (401, "token_not_valid")
        assert CreditTransaction.objects.count() == 1
