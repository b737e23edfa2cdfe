"""Setting, listing and removing spending limits."""

from uuid import uuid4

import pytest

from credits import operations
from tests.credits.api.limits import (
    APRIL,
    DAILY,
    LIMITS,
    MIDNIGHT,
    make_member,
    pool_limit,
    results,
    status_and_code,
)
from tests.support.factories.credits import deduct
from tests.support.factories.identity import (
    AdminFactory,
    ServiceFactory,
    UserFactory,
)
from tests.support.ledger import table_digests
from tests.support.times import DAY, NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

KEY = {"Idempotency-Key": "the request"}


def field_errors(response):
    return [(error["field"], error["code"]) for error in response.json()["errors"]]


class TestSetLimit:
    def test_sets_a_limit_of_the_callers_own_balance(self, api, user):
        deduct(user.credit_balance, 30)

        response = api(user).put(LIMITS, DAILY)

        [row] = user.credit_balance.limits.all()
        assert response.status_code == 200
        assert response.json() == {
            "id": str(row.pk),
            "memberId": None,
            "period": "day",
            "amount": 100,
            "used": 30,
            "resetsAt": MIDNIGHT,
        }
        assert row.set_by == user

    def test_sets_a_limit_of_a_member(self, api, pool):
        member = make_member(pool)

        response = api(make_member(pool, "manager")).put(
            LIMITS, pool_limit(pool, memberId=str(member.pk), period="month")
        )

        body = response.json()
        assert response.status_code == 200
        assert (body["memberId"], body["period"], body["resetsAt"]) == (str(member.pk), "month", APRIL)

    def test_accepts_null_for_the_whole_balance(self, api, pool):
        response = api(make_member(pool, "owner")).put(LIMITS, pool_limit(pool, memberId=None))

        assert response.json()["memberId"] is None

    def test_changes_the_amount_of_an_existing_limit(self, api, user):
        first = api(user).put(LIMITS, DAILY).json()
        deduct(user.credit_balance, 30)

        repeated = api(user).put(LIMITS, {"period": "day", "amount": 0})

        assert repeated.json() == {**first, "amount": 0, "used": 30}

    def test_replays_the_first_response_for_the_same_key(self, api, user, clock_at):
        first = api(user).put(LIMITS, DAILY, headers=KEY)
        api(user).put(LIMITS, {**DAILY, "amount": 5})
        clock_at(NOON + DAY)
        before = table_digests()

        repeated = api(user).put(LIMITS, DAILY, headers=KEY)
        other = api(user).put(LIMITS, {**DAILY, "amount": 7}, headers=KEY)

        assert (repeated.status_code, repeated.content, repeated["Idempotency-Replayed"]) == (
            200,
            first.content,
            "true",
        )
        assert status_and_code(other) == (422, "idempotency_key_reused")
        assert table_digests() == before

    @pytest.mark.parametrize(
        ("body", "errors"),
        [
            ({}, [("period", "required"), ("amount", "required")]),
            ({**DAILY, "amount": -1}, [("amount", "out_of_range")]),
            ({**DAILY, "amount": 10**12 + 1}, [("amount", "out_of_range")]),
            ({**DAILY, "amount": "9"}, [("amount", "wrong_type")]),
            ({**DAILY, "amount": 9.5}, [("amount", "wrong_type")]),
            ({**DAILY, "period": "week"}, [("period", "invalid_choice")]),
            ({**DAILY, "memberId": "ann"}, [("memberId", "wrong_type")]),
            ({**DAILY, "memberId": str(uuid4())}, [("memberId", "invalid_choice")]),
            ({**DAILY, "color": "red"}, [("color", "unknown_field")]),
        ],
    )
    def test_names_the_invalid_fields(self, api, user, body, errors):
        before = table_digests()

        rejected = api(user).put(LIMITS, body)

        assert status_and_code(rejected) == (400, "invalid")
        assert field_errors(rejected) == errors
        assert table_digests() == before

    def test_rejects_a_user_that_is_not_a_member(self, api, pool):
        before = table_digests()

        rejected = api(make_member(pool, "owner")).put(LIMITS, pool_limit(pool, memberId=str(UserFactory.create().pk)))

        assert status_and_code(rejected) == (404, "user_not_found")
        assert table_digests() == before

    def test_rejects_a_balance_that_does_not_exist(self, api):
        assert status_and_code(api(UserFactory.create()).put(LIMITS, DAILY)) == (404, "balance_not_found")


class TestListLimits:
    def test_lists_newest_first_with_the_current_use(self, api, pool, clock_at):
        member = make_member(pool)
        operations.set_limit(owner=pool, amount=100, period="month", at=NOON)
        operations.set_limit(owner=pool, amount=50, period="day", member=member, at=NOON)
        deduct(pool.credit_balance, 30, member=member)
        client = api(make_member(pool, "manager"))

        def body():
            limits = results(client.get(LIMITS, {"organizationId": str(pool.pk)}))
            return [(limit["memberId"], limit["used"], limit["resetsAt"]) for limit in limits]

        assert body() == [(str(member.pk), 30, MIDNIGHT), (None, 30, APRIL)]
        clock_at(NOON + DAY)
        assert body() == [(str(member.pk), 0, "2025-03-05T00:00:00Z"), (None, 30, APRIL)]

    def test_has_pages(self, api, pool):
        for _ in range(3):
            operations.set_limit(owner=pool, amount=1, period="day", member=make_member(pool), at=NOON)
        client = api(make_member(pool, "owner"))

        first = client.get(LIMITS, {"organizationId": str(pool.pk), "limit": 2}).json()
        second = client.get(first["next"]).json()

        assert (len(first["results"]), len(second["results"]), second["next"]) == (2, 1, None)

    def test_is_empty_if_the_balance_does_not_exist(self, api):
        assert results(api(UserFactory.create()).get(LIMITS)) == []

    def test_rejects_an_unknown_parameter(self, api, user):
        assert field_errors(api(user).get(LIMITS, {"period": "day"})) == [("period", "unknown_field")]


class TestRemoveLimit:
    def test_removes_a_limit_of_the_callers_own_balance(self, api, user):
        limit = api(user).put(LIMITS, {**DAILY, "amount": 0}).json()

        response = api(user).delete(f"{LIMITS}/{limit['id']}")

        assert (response.status_code, response.content) == (204, b"")
        assert results(api(user).get(LIMITS)) == []
        assert api(user).post("/api/credits/deduct", {"amount": 1, "description": "An insight"}).status_code == 200

    @pytest.mark.parametrize("names_owner", [True, False])
    def test_removes_a_limit_of_a_pool_with_or_without_its_owner(self, api, pool, names_owner):
        owner = make_member(pool, "owner")
        limit = api(owner).put(LIMITS, pool_limit(pool)).json()
        query = f"?organizationId={pool.pk}" if names_owner else ""

        assert api(owner).delete(f"{LIMITS}/{limit['id']}{query}").status_code == 204

    def test_replays_the_first_response_for_the_same_key(self, api, user):
        limit = api(user).put(LIMITS, DAILY).json()
        api(user).delete(f"{LIMITS}/{limit['id']}", headers=KEY)
        before = table_digests()

        repeated = api(user).delete(f"{LIMITS}/{limit['id']}", headers=KEY)
        without_key = api(user).delete(f"{LIMITS}/{limit['id']}")

        assert (repeated.status_code, repeated["Idempotency-Replayed"]) == (204, "true")
        assert status_and_code(without_key) == (404, "limit_not_found")
        assert table_digests() == before

    def test_reports_a_limit_of_another_balance_as_not_found(self, api, user, pool):
        limit = api(user).put(LIMITS, DAILY).json()
        stranger = make_member(pool, "owner")

        for path in (
            f"{LIMITS}/{limit['id']}",
            f"{LIMITS}/{limit['id']}?organizationId={pool.pk}",
            f"{LIMITS}/{uuid4()}",
        ):
            assert status_and_code(api(stranger).delete(path)) == (404, "limit_not_found")


class TestPermissions:
    """Owners and managers manage a pool's limits, users their own, admins all."""

    @pytest.mark.parametrize("role", ["member", "viewer"])
    def test_other_members_are_rejected(self, api, pool, role):
        limit = api(make_member(pool, "owner")).put(LIMITS, pool_limit(pool)).json()
        client, before = api(make_member(pool, role)), table_digests()

        for rejected in (
            client.get(LIMITS, {"organizationId": str(pool.pk)}),
            client.put(LIMITS, pool_limit(pool, amount=1)),
            client.delete(f"{LIMITS}/{limit['id']}"),
        ):
            assert status_and_code(rejected) == (403, "permission_denied")
        assert table_digests() == before

    def test_other_users_do_not_find_the_organization(self, api, pool, user):
        before = table_digests()

        for rejected in (
            api(user).get(LIMITS, {"organizationId": str(pool.pk)}),
            api(user).put(LIMITS, pool_limit(pool)),
        ):
            assert status_and_code(rejected) == (404, "organization_not_found")
        assert table_digests() == before

    def test_users_cannot_name_another_user(self, api, user):
        rejected = api(UserFactory.create()).put(LIMITS, {**DAILY, "userId": str(user.pk)})

        assert status_and_code(rejected) == (403, "permission_denied")

    def test_services_read_those_of_any_owner(self, api, user, pool):
        api(user).put(LIMITS, DAILY)
        api(make_member(pool, "owner")).put(LIMITS, pool_limit(pool))
        service = api(ServiceFactory.create())

        for owner in ({"userId": str(user.pk)}, {"organizationId": str(pool.pk)}):
            assert [row["amount"] for row in results(service.get(LIMITS, owner))] == [100]

    def test_services_cannot_change_limits(self, api, user, pool):
        limit = api(user).put(LIMITS, DAILY).json()
        service, before = api(ServiceFactory.create()), table_digests()

        for rejected in (
            service.put(LIMITS, {**DAILY, "userId": str(user.pk)}),
            service.put(LIMITS, pool_limit(pool)),
            service.delete(f"{LIMITS}/{limit['id']}"),
        ):
            assert status_and_code(rejected) == (403, "permission_denied")
        assert table_digests() == before

    def test_admins_set_any(self, api, user, pool):
        admin = api(AdminFactory.create())

        own = admin.put(LIMITS, {**DAILY, "userId": str(user.pk)})
        shared = admin.put(LIMITS, pool_limit(pool))

        assert (own.status_code, shared.status_code) == (200, 200)
        assert len(results(admin.get(LIMITS, {"userId": str(user.pk)}))) == 1
        assert admin.delete(f"{LIMITS}/{shared.json()['id']}").status_code == 204

    def test_every_endpoint_requires_a_token(self, api):
        for rejected in (api().get(LIMITS), api().put(LIMITS, DAILY), api().delete(f"{LIMITS}/{uuid4()}")):
            assert status_and_code(rejected) == (401, "not_authenticated")
