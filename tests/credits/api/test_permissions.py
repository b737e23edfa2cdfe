"""Who may: for every door of credits and tiers, what each kind of caller is answered."""

from typing import Any

import pytest

from credits.models import CreditTransaction
from tests.support.factories.credits import make_balance
from tests.support.factories.identity import AdminFactory, MembershipFactory, ServiceFactory, UserFactory
from tests.support.ledger import table_digests
from tiers.operations import initialize_balance, update_subscription_tier

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

SPENT = {"amount": 1, "description": "An insight"}
GIVEN = {"amount": 1, "type": "promotion", "description": "Welcome"}

READS = ["balance", "history", "grants", "check?amount=1", "features"]
FOR_ADMINS: list[tuple[str, str, dict[str, Any]]] = [
    ("get", "/api/credits/balances", {}),
    ("post", "/api/credits/add", GIVEN),
    ("post", "/api/credits/initialize", {"tier": "explorer"}),
    ("put", "/api/credits/tier", {"tier": "growth"}),
    ("post", "/api/credits/tier/preview", {"tier": "growth"}),
    ("post", "/api/credits/monthly-allocation", {}),
]
EVERY: list[tuple[str, str, dict[str, Any]]] = [("get", f"/api/credits/{name}", {}) for name in READS] + [
    ("get", "/api/tiers", {}),
    ("post", "/api/credits/deduct", SPENT),
    *FOR_ADMINS,
]


def call(client, method, path, body, **asked):
    if method == "get":
        return client.get(path, asked or None)
    return getattr(client, method)(path, {**body, **asked})


class TestWithoutToken:
    @pytest.mark.parametrize(("method", "path", "body"), EVERY)
    def test_nothing_is_told_or_done(self, api, method, path, body):
        before = table_digests()

        refused = call(api(), method, path, body)

        assert (refused.status_code, refused.json()["code"]) == (401, "not_authenticated")
        assert refused["WWW-Authenticate"] == "Bearer"
        assert table_digests() == before


class TestAdminsOnly:
    @pytest.mark.parametrize(("method", "path", "body"), FOR_ADMINS)
    @pytest.mark.parametrize("caller", [UserFactory, ServiceFactory])
    def test_refuses_users_and_services_even_for_themselves(self, api, caller, method, path, body):
        somebody = caller.create()
        owner = {} if method == "get" else {"userId": str(somebody.pk)}
        before = table_digests()

        refused = call(api(somebody), method, path, body, **owner)

        assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
        assert table_digests() == before

    @pytest.mark.parametrize(("method", "path", "body"), FOR_ADMINS)
    def test_lets_admins_pass(self, api, method, path, body):
        ann = UserFactory.create()
        if "initialize" not in path:
            initialize_balance(owner=ann, tier="explorer")

        answer = call(
            api(AdminFactory.create()), method, path, body, **({} if method == "get" else {"userId": str(ann.pk)})
        )

        assert answer.status_code in {200, 201}


class TestCancellingAScheduledTier:
    PATH = "/api/credits/tier/scheduled"

    @pytest.mark.parametrize(("caller", "status"), [(UserFactory, 403), (ServiceFactory, 403), (AdminFactory, 200)])
    def test_is_for_admins(self, api, caller, status):
        somebody = caller.create()
        initialize_balance(owner=somebody, tier="explorer")
        update_subscription_tier(owner=somebody, tier="pro", effective="nextPeriod")

        assert api(somebody).delete(f"{self.PATH}?userId={somebody.pk}").status_code == status

    def test_needs_a_token(self, api):
        assert api().delete(self.PATH).status_code == 401


class TestPools:
    @pytest.mark.parametrize(("role", "status"), [("owner", 200), ("manager", 200), ("member", 200), ("viewer", 403)])
    def test_are_spent_by_members_but_not_by_viewers(self, api, role, status):
        seat = MembershipFactory.create(role=role)
        make_balance(seat.organization)
        before = table_digests()

        answer = api(seat.user).post("/api/credits/deduct", {**SPENT, "organizationId": str(seat.organization.pk)})

        assert answer.status_code == status
        assert (table_digests() == before) == (status == 403)

    @pytest.mark.parametrize("role", ["owner", "manager", "member", "viewer"])
    @pytest.mark.parametrize("name", ["balance", "history", "grants"])
    def test_are_read_by_members_of_any_kind(self, api, name, role):
        seat = MembershipFactory.create(role=role)
        make_balance(seat.organization)

        answer = api(seat.user).get(f"/api/credits/{name}", {"organizationId": seat.organization.pk})

        assert answer.status_code == 200

    @pytest.mark.parametrize(("method", "path", "body"), [*EVERY[:4], ("post", "/api/credits/deduct", SPENT)])
    def test_do_not_exist_for_strangers(self, api, method, path, body):
        pool = MembershipFactory.create().organization
        make_balance(pool)
        before = table_digests()

        # The path of check has its amount already, and a client replaces the query it is given.
        path, _, rest = path.partition("?")
        more = {"amount": 1} if rest else {}
        refused = call(api(UserFactory.create()), method, path, body, organizationId=str(pool.pk), **more)

        assert (refused.status_code, refused.json()["code"]) == (404, "organization_not_found")
        assert table_digests() == before

    def test_cannot_be_spent_by_a_service_in_a_viewers_name(self, api):
        seat = MembershipFactory.create(role="viewer")
        make_balance(seat.organization)
        whose = {"organizationId": str(seat.organization.pk), "userId": str(seat.user.pk)}

        refused = api(ServiceFactory.create()).post("/api/credits/deduct", {**SPENT, **whose})

        assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")


class TestAnothersBalance:
    @pytest.mark.parametrize(("method", "path", "body"), [*EVERY[:3], ("post", "/api/credits/deduct", SPENT)])
    def test_is_closed_to_plain_users(self, api, method, path, body):
        ann = UserFactory.create()
        make_balance(ann)
        before = table_digests()

        refused = call(api(UserFactory.create()), method, path, body, userId=str(ann.pk))

        assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
        assert table_digests() == before

    @pytest.mark.parametrize(("method", "path", "body"), [*EVERY[:3], ("post", "/api/credits/deduct", SPENT)])
    @pytest.mark.parametrize("caller", [AdminFactory, ServiceFactory])
    def test_is_open_to_admins_and_services(self, api, caller, method, path, body):
        ann = UserFactory.create()
        make_balance(ann)

        assert call(api(caller.create()), method, path, body, userId=str(ann.pk)).status_code == 200

    def test_is_reached_by_nobody_who_was_deactivated(self, api):
        ann = UserFactory.create()
        make_balance(ann)
        client = api(ann)
        ann.is_active = False
        ann.save()

        refused = client.post("/api/credits/deduct", SPENT)

        assert (refused.status_code, refused.json()["code"]) == (401, "token_not_valid")
        assert CreditTransaction.objects.count() == 1
