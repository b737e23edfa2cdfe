from uuid import uuid4

import pytest

from credits import operations
from tests.support.factories.credits import deduct, make_balance
from tests.support.factories.identity import (
    AdminFactory,
    MembershipFactory,
    OrganizationFactory,
    ServiceFactory,
    UserFactory,
)
from tests.support.ledger import table_digests
from tests.support.times import DAY, NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

LIMITS = "/api/credits/limits"
DAILY = {"period": "day", "amount": 100}
MIDNIGHT = "2025-03-04T00:00:00Z"
APRIL = "2025-04-01T00:00:00Z"
KEY = {"Idempotency-Key": "the request"}


@pytest.fixture
def ann(db):
    """Somebody with 1000 credits."""
    made = UserFactory.create()
    make_balance(made, [(1000, None)])
    return made


@pytest.fixture
def pool(db):
    """An organization with 1000 credits."""
    made = OrganizationFactory.create()
    make_balance(made, [(1000, None)])
    return made


def seat(pool, role="member"):
    return MembershipFactory.create(organization=pool, role=role).user


def in_pool(pool, **asked):
    return {**DAILY, "organizationId": str(pool.pk), **asked}


def results(answer):
    return answer.json()["results"]


def code_of(answer):
    return answer.status_code, answer.json()["code"]


def faults_of(answer):
    return [(fault["field"], fault["code"]) for fault in answer.json()["errors"]]


class TestPut:
    def test_sets_a_limit_of_ones_own(self, api, ann):
        deduct(ann.credit_balance, 30)

        answer = api(ann).put(LIMITS, DAILY)

        [row] = ann.credit_balance.limits.all()
        assert answer.status_code == 200
        assert answer.json() == {
            "id": str(row.pk),
            "memberId": None,
            "period": "day",
            "amount": 100,
            "used": 30,
            "resetsAt": MIDNIGHT,
        }
        assert row.set_by == ann

    def test_sets_a_limit_of_a_member(self, api, pool):
        ben = seat(pool)

        answer = api(seat(pool, "manager")).put(LIMITS, in_pool(pool, memberId=str(ben.pk), period="month"))

        told = answer.json()
        assert answer.status_code == 200
        assert (told["memberId"], told["period"], told["resetsAt"]) == (str(ben.pk), "month", APRIL)

    def test_takes_null_for_the_whole_balance(self, api, pool):
        answer = api(seat(pool, "owner")).put(LIMITS, in_pool(pool, memberId=None))

        assert answer.json()["memberId"] is None

    def test_again_changes_the_amount(self, api, ann):
        first = api(ann).put(LIMITS, DAILY).json()
        deduct(ann.credit_balance, 30)

        again = api(ann).put(LIMITS, {"period": "day", "amount": 0})

        assert again.json() == {**first, "amount": 0, "used": 30}

    def test_answers_the_same_key_as_it_did(self, api, ann, clock_at):
        first = api(ann).put(LIMITS, DAILY, headers=KEY)
        api(ann).put(LIMITS, {**DAILY, "amount": 5})
        clock_at(NOON + DAY)
        before = table_digests()

        again = api(ann).put(LIMITS, DAILY, headers=KEY)
        other = api(ann).put(LIMITS, {**DAILY, "amount": 7}, headers=KEY)

        assert (again.status_code, again.content, again["Idempotency-Replayed"]) == (200, first.content, "true")
        assert code_of(other) == (422, "idempotency_key_reused")
        assert table_digests() == before

    @pytest.mark.parametrize(
        ("body", "faults"),
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
    def test_names_the_fields_that_could_never_be_right(self, api, ann, body, faults):
        before = table_digests()

        refused = api(ann).put(LIMITS, body)

        assert code_of(refused) == (400, "invalid")
        assert faults_of(refused) == faults
        assert table_digests() == before

    def test_refuses_a_member_of_another_organization(self, api, pool):
        before = table_digests()

        refused = api(seat(pool, "owner")).put(LIMITS, in_pool(pool, memberId=str(UserFactory.create().pk)))

        assert code_of(refused) == (404, "user_not_found")
        assert table_digests() == before

    def test_refuses_a_balance_nobody_opened(self, api):
        assert code_of(api(UserFactory.create()).put(LIMITS, DAILY)) == (404, "balance_not_found")


class TestList:
    def test_shows_what_is_used_now_newest_first(self, api, pool, clock_at):
        ben = seat(pool)
        operations.set_limit(owner=pool, amount=100, period="month", at=NOON)
        operations.set_limit(owner=pool, amount=50, period="day", member=ben, at=NOON)
        deduct(pool.credit_balance, 30, member=ben)
        client = api(seat(pool, "manager"))

        def told():
            found = results(client.get(LIMITS, {"organizationId": str(pool.pk)}))
            return [(limit["memberId"], limit["used"], limit["resetsAt"]) for limit in found]

        assert told() == [(str(ben.pk), 30, MIDNIGHT), (None, 30, APRIL)]
        clock_at(NOON + DAY)
        assert told() == [(str(ben.pk), 0, "2025-03-05T00:00:00Z"), (None, 30, APRIL)]

    def test_turns_pages(self, api, pool):
        for _ in range(3):
            operations.set_limit(owner=pool, amount=1, period="day", member=seat(pool), at=NOON)
        client = api(seat(pool, "owner"))

        first = client.get(LIMITS, {"organizationId": str(pool.pk), "limit": 2}).json()
        second = client.get(first["next"]).json()

        assert (len(first["results"]), len(second["results"]), second["next"]) == (2, 1, None)

    def test_is_empty_where_nobody_opened_a_balance(self, api):
        assert results(api(UserFactory.create()).get(LIMITS)) == []

    def test_refuses_a_parameter_it_does_not_know(self, api, ann):
        assert faults_of(api(ann).get(LIMITS, {"period": "day"})) == [("period", "unknown_field")]


class TestDelete:
    def test_removes_a_limit_of_ones_own(self, api, ann):
        limit = api(ann).put(LIMITS, {**DAILY, "amount": 0}).json()

        answer = api(ann).delete(f"{LIMITS}/{limit['id']}")

        assert (answer.status_code, answer.content) == (204, b"")
        assert results(api(ann).get(LIMITS)) == []
        assert api(ann).post("/api/credits/deduct", {"amount": 1, "description": "An insight"}).status_code == 200

    @pytest.mark.parametrize("named", [True, False])
    def test_removes_a_limit_of_a_pool_named_or_not(self, api, pool, named):
        owner = seat(pool, "owner")
        limit = api(owner).put(LIMITS, in_pool(pool)).json()
        query = f"?organizationId={pool.pk}" if named else ""

        assert api(owner).delete(f"{LIMITS}/{limit['id']}{query}").status_code == 204

    def test_answers_the_same_key_as_it_did(self, api, ann):
        limit = api(ann).put(LIMITS, DAILY).json()
        api(ann).delete(f"{LIMITS}/{limit['id']}", headers=KEY)
        before = table_digests()

        again = api(ann).delete(f"{LIMITS}/{limit['id']}", headers=KEY)
        without = api(ann).delete(f"{LIMITS}/{limit['id']}")

        assert (again.status_code, again["Idempotency-Replayed"]) == (204, "true")
        assert code_of(without) == (404, "limit_not_found")
        assert table_digests() == before

    def test_finds_no_limit_of_anothers_balance(self, api, ann, pool):
        limit = api(ann).put(LIMITS, DAILY).json()
        stranger = seat(pool, "owner")

        for path in (
            f"{LIMITS}/{limit['id']}",
            f"{LIMITS}/{limit['id']}?organizationId={pool.pk}",
            f"{LIMITS}/{uuid4()}",
        ):
            assert code_of(api(stranger).delete(path)) == (404, "limit_not_found")


class TestPermissions:
    """Owners and managers set a pool's limits, everybody their own, admins any; a member only learns of them."""

    @pytest.mark.parametrize("role", ["member", "viewer"])
    def test_other_members_are_refused(self, api, pool, role):
        limit = api(seat(pool, "owner")).put(LIMITS, in_pool(pool)).json()
        client, before = api(seat(pool, role)), table_digests()

        for refused in (
            client.get(LIMITS, {"organizationId": str(pool.pk)}),
            client.put(LIMITS, in_pool(pool, amount=1)),
            client.delete(f"{LIMITS}/{limit['id']}"),
        ):
            assert code_of(refused) == (403, "permission_denied")
        assert table_digests() == before

    def test_strangers_find_no_organization(self, api, pool, ann):
        before = table_digests()

        for refused in (api(ann).get(LIMITS, {"organizationId": str(pool.pk)}), api(ann).put(LIMITS, in_pool(pool))):
            assert code_of(refused) == (404, "organization_not_found")
        assert table_digests() == before

    def test_users_do_not_name_another(self, api, ann):
        refused = api(UserFactory.create()).put(LIMITS, {**DAILY, "userId": str(ann.pk)})

        assert code_of(refused) == (403, "permission_denied")

    def test_services_set_none(self, api, ann, pool):
        limit = api(ann).put(LIMITS, DAILY).json()
        service, before = api(ServiceFactory.create()), table_digests()

        for refused in (
            service.put(LIMITS, {**DAILY, "userId": str(ann.pk)}),
            service.put(LIMITS, in_pool(pool)),
            service.get(LIMITS, {"userId": str(ann.pk)}),
            service.delete(f"{LIMITS}/{limit['id']}"),
        ):
            assert code_of(refused) == (403, "permission_denied")
        assert table_digests() == before

    def test_admins_set_any(self, api, ann, pool):
        admin = api(AdminFactory.create())

        own = admin.put(LIMITS, {**DAILY, "userId": str(ann.pk)})
        shared = admin.put(LIMITS, in_pool(pool))

        assert (own.status_code, shared.status_code) == (200, 200)
        assert len(results(admin.get(LIMITS, {"userId": str(ann.pk)}))) == 1
        assert admin.delete(f"{LIMITS}/{shared.json()['id']}").status_code == 204

    def test_nobody_without_a_token(self, api):
        for refused in (api().get(LIMITS), api().put(LIMITS, DAILY), api().delete(f"{LIMITS}/{uuid4()}")):
            assert code_of(refused) == (401, "not_authenticated")


class TestSpendingWithinALimit:
    def test_is_refused_beyond_it_with_the_facts(self, api, pool):
        ben = seat(pool)
        api(seat(pool, "owner")).put(LIMITS, in_pool(pool, memberId=str(ben.pk)))
        client = api(ben)
        spent = {"amount": 60, "description": "An insight", "organizationId": str(pool.pk)}
        client.post("/api/credits/deduct", spent)
        before = table_digests()

        for path in ("deduct", "holds"):
            refused = client.post(f"/api/credits/{path}", spent)

            told = refused.json()
            assert code_of(refused) == (403, "spending_limit_reached")
            assert (told["limit"], told["used"], told["resetsAt"]) == (100, 60, MIDNIGHT)
            assert told["detail"] == "60 of 100 credits are used until 2025-03-04 00:00 UTC."
        assert table_digests() == before

    def test_is_refused_for_the_excess_of_a_capture(self, api, ann):
        api(ann).put(LIMITS, DAILY)
        held = api(ann).post("/api/credits/holds", {"amount": 100, "description": "A report"}).json()["hold"]
        before = table_digests()

        refused = api(ann).post(f"/api/credits/holds/{held['id']}/capture", {"amount": 101})

        assert code_of(refused) == (403, "spending_limit_reached")
        assert table_digests() == before
        assert api(ann).post(f"/api/credits/holds/{held['id']}/capture", {}).status_code == 200

    def test_counts_the_member_whom_a_service_acts_for(self, api, pool):
        ben, eve = seat(pool), seat(pool)
        operations.set_limit(owner=pool, amount=10, period="day", member=ben, at=NOON)
        service = api(ServiceFactory.create())

        def spend(**asked):
            body = {"amount": 11, "description": "An insight", "organizationId": str(pool.pk), **asked}
            return service.post("/api/credits/deduct", body).status_code

        assert (spend(userId=str(ben.pk)), spend(userId=str(eve.pk)), spend()) == (403, 200, 200)

    def test_is_told_before_by_check(self, api, pool):
        ben = seat(pool)
        operations.set_limit(owner=pool, amount=10, period="month", member=ben, at=NOON)

        told = api(ben).get("/api/credits/check", {"amount": 11, "organizationId": str(pool.pk)}).json()
        other = api(seat(pool)).get("/api/credits/check", {"amount": 11, "organizationId": str(pool.pk)}).json()

        assert told == {
            "allowed": False,
            "cost": 11,
            "available": 1000,
            "reason": "spending_limit_reached",
            "limit": {"limit": 10, "used": 0, "resetsAt": APRIL},
        }
        assert (other["allowed"], other["limit"]) == (True, None)

    def test_gets_room_back_by_a_refund(self, api, ann):
        api(ann).put(LIMITS, DAILY)
        usage = deduct(ann.credit_balance, 100)

        api(AdminFactory.create()).post(
            f"/api/credits/transactions/{usage.pk}/refund", {"amount": 40, "reason": "It failed"}
        )

        assert [limit["used"] for limit in results(api(ann).get(LIMITS))] == [60]
