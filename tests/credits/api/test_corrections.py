from datetime import UTC, datetime
from uuid import uuid4

import pytest

from credits import operations
from credits.models import CreditGrant, CreditTransaction
from credits.verification import verify_balance
from tests.support.factories.identity import AdminFactory, ServiceFactory, UserFactory
from tests.support.ledger import table_digests
from tests.support.times import DAY, NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

REASON = {"reason": "It failed"}


@pytest.fixture
def user(db):
    """A user who has spent 60 of 100 credits that expire in a day."""
    user = UserFactory.create()
    operations.add_credits(owner=user, amount=100, type="purchase", expires_at=NOON + DAY, at=NOON)
    operations.deduct_credits(owner=user, amount=60, description="A report", at=NOON)
    return user


@pytest.fixture
def admin(api):
    return api(AdminFactory.create())


def transaction(kind):
    return f"/api/credits/transactions/{CreditTransaction.objects.get(type=kind).pk}"


def grant():
    return f"/api/credits/grants/{CreditGrant.objects.get().pk}"


def status_and_code(response):
    return response.status_code, response.json()["code"]


class TestRefund:
    def test_returns_the_used_credits_and_links_both_transactions(self, api, user, admin):
        response = admin.post(f"{transaction('usage')}/refund", REASON)

        usage, refund = (api(user).get(transaction(kind)).json() for kind in ("usage", "refund"))
        assert response.status_code == 200
        assert (response.json()["available"], response.json()["transaction"]["amount"]) == (100, 60)
        assert (refund["reverses"], refund["reason"]) == (usage["id"], "It failed")
        assert usage["reversedBy"] == [refund["id"]]

    def test_rejects_more_than_was_used_and_not_yet_refunded(self, user, admin):
        path = f"{transaction('usage')}/refund"
        admin.post(path, {**REASON, "amount": 50})
        before = table_digests()

        response = admin.post(path, {**REASON, "amount": 11})

        assert status_and_code(response) == (409, "refund_exceeds_usage")
        assert response.json()["refundable"] == 10
        assert table_digests() == before

    def test_refunds_once_for_one_idempotency_key(self, user, admin):
        path, key = f"{transaction('usage')}/refund", {"Idempotency-Key": "k"}
        first = admin.post(path, REASON, headers=key)
        before = table_digests()

        repeated = admin.post(path, REASON, headers=key)

        assert (repeated.json(), repeated.headers["Idempotency-Replayed"]) == (first.json(), "true")
        assert table_digests() == before

    def test_rejects_a_transaction_that_is_not_usage(self, user, admin):
        assert status_and_code(admin.post(f"{transaction('purchase')}/refund", REASON)) == (409, "not_refundable")

    def test_requires_a_reason(self, user, admin):
        [error] = admin.post(f"{transaction('usage')}/refund", {}).json()["errors"]

        assert (error["field"], error["code"]) == ("reason", "required")

    def test_returns_expired_credits_with_the_expiry_an_admin_gives(self, user, admin, clock_at):
        clock_at(NOON + 2 * DAY)
        new_expiry = (NOON + 9 * DAY).isoformat()

        response = admin.post(f"{transaction('usage')}/refund", {**REASON, "expiresAt": new_expiry})

        assert (response.json()["available"], response.json()["nextExpiry"]["amount"]) == (60, 60)

    def test_says_how_many_credits_can_be_spent(self, api, user, admin, clock_at):
        service, path = api(ServiceFactory.create()), f"{transaction('usage')}/refund"

        active = service.post(path, {**REASON, "amount": 10})
        clock_at(NOON + 2 * DAY)
        expired = service.post(path, {**REASON, "amount": 20}, headers={"Idempotency-Key": "k"})
        retry = service.post(path, {**REASON, "amount": 20}, headers={"Idempotency-Key": "k"})
        dated = admin.post(path, {**REASON, "expiresAt": (NOON + 9 * DAY).isoformat()})

        assert [r.json()["madeAvailable"] for r in (active, expired, retry, dated)] == [10, 0, 0, 30]
        assert [r.json()["transaction"]["amount"] for r in (active, expired, retry, dated)] == [10, 20, 20, 30]

    def test_lets_an_admin_bring_back_what_left_at_once(self, api, user, admin, clock_at):
        clock_at(NOON + 2 * DAY)
        refund = api(ServiceFactory.create()).post(f"{transaction('usage')}/refund", REASON).json()["transaction"]
        path, new_expiry = f"/api/credits/transactions/{refund['id']}/refund", (NOON + 9 * DAY).isoformat()

        part = admin.post(path, {**REASON, "amount": 20, "expiresAt": new_expiry})
        rest = admin.post(path, {**REASON, "expiresAt": new_expiry})
        more = admin.post(path, {**REASON, "expiresAt": new_expiry})

        assert [(r.json()["madeAvailable"], r.json()["available"]) for r in (part, rest)] == [(20, 20), (40, 60)]
        assert part.json()["transaction"]["type"] == "adjustment"
        assert part.json()["nextExpiry"]["at"] == "2025-03-12T12:00:00Z"
        assert (*status_and_code(more), more.json()["refundable"]) == (409, "refund_exceeds_usage", 0)
        assert api(user).get(f"/api/credits/transactions/{refund['id']}").json()["reversedBy"] == [
            r.json()["transaction"]["id"] for r in (part, rest)
        ]
        assert verify_balance(user.pk).differences == ()

    def test_of_a_refund_requires_an_expiry_and_credits_that_left_at_once(self, user, admin):
        refund = admin.post(f"{transaction('usage')}/refund", REASON).json()["transaction"]
        path = f"/api/credits/transactions/{refund['id']}/refund"
        before = table_digests()

        undated = admin.post(path, REASON)
        dated = admin.post(path, {**REASON, "expiresAt": (NOON + 9 * DAY).isoformat()})

        assert status_and_code(undated) == (409, "not_refundable")
        assert (*status_and_code(dated), dated.json()["refundable"]) == (409, "refund_exceeds_usage", 0)
        assert table_digests() == before

    def test_lets_a_service_refund_but_not_set_the_expiry(self, api, user):
        service, path = api(ServiceFactory.create()), f"{transaction('usage')}/refund"

        dated = service.post(path, {**REASON, "expiresAt": (NOON + DAY).isoformat()})

        assert status_and_code(dated) == (403, "permission_denied")
        assert service.post(path, {**REASON, "amount": 1}).status_code == 200

    def test_rejects_the_owner_of_the_balance(self, api, user):
        assert status_and_code(api(user).post(f"{transaction('usage')}/refund", REASON)) == (403, "permission_denied")

    def test_rejects_an_unknown_transaction(self, admin):
        response = admin.post(f"/api/credits/transactions/{uuid4()}/refund", REASON)

        assert status_and_code(response) == (404, "transaction_not_found")


class TestReverse:
    def test_turns_spent_credits_into_debt(self, user, admin):
        response = admin.post(f"{transaction('purchase')}/reverse", REASON)

        assert {name: response.json()[name] for name in ("balance", "available", "debt")} == {
            "balance": -60,
            "available": 0,
            "debt": 60,
        }
        assert response.json()["transaction"]["entries"][-1] == {"grantId": None, "amount": -60}

    def test_rejects_more_than_was_bought(self, user, admin):
        response = admin.post(f"{transaction('purchase')}/reverse", {**REASON, "amount": 101})

        assert status_and_code(response) == (409, "reversal_exceeds_purchase")

    def test_rejects_a_transaction_that_is_not_a_purchase(self, user, admin):
        assert status_and_code(admin.post(f"{transaction('usage')}/reverse", REASON)) == (409, "not_reversible")

    def test_is_for_admins_only(self, api, user):
        response = api(ServiceFactory.create()).post(f"{transaction('purchase')}/reverse", REASON)

        assert status_and_code(response) == (403, "permission_denied")


class TestVoid:
    def test_removes_what_remains_and_a_second_void_writes_nothing(self, api, user, admin):
        first = admin.post(f"{grant()}/void", REASON)
        before = table_digests()

        repeated = admin.post(f"{grant()}/void", REASON)

        assert (first.json()["available"], first.json()["transaction"]["amount"]) == (0, -40)
        assert (repeated.status_code, repeated.json()["transaction"]) == (200, None)
        assert table_digests() == before
        assert api(user).get("/api/credits/grants").json()["results"][0]["status"] == "voided"

    def test_rejects_an_expired_grant(self, user, admin, clock_at):
        clock_at(NOON + DAY)

        assert status_and_code(admin.post(f"{grant()}/void", REASON)) == (409, "grant_not_voidable")

    def test_rejects_an_unknown_grant(self, admin):
        assert status_and_code(admin.post(f"/api/credits/grants/{uuid4()}/void", REASON)) == (404, "grant_not_found")


class TestExtend:
    def test_moves_what_remains_to_a_later_expiry(self, user, admin):
        response = admin.post(f"{grant()}/extend", {**REASON, "expiresAt": (NOON + 9 * DAY).isoformat()})

        assert response.json()["transaction"]["amount"] == 0
        assert response.json()["nextExpiry"] == {"amount": 40, "at": "2025-03-12T12:00:00Z"}

    @pytest.mark.parametrize(("days", "code"), [(-1, "in_past"), (1, "out_of_range")])
    def test_rejects_an_expiry_that_is_not_later(self, user, admin, days, code):
        response = admin.post(f"{grant()}/extend", {**REASON, "expiresAt": (NOON + days * DAY).isoformat()})

        [error] = response.json()["errors"]
        assert (error["field"], error["code"]) == ("expiresAt", code)


class TestAdjust:
    def test_adds_credits_with_an_expiry_and_a_priority(self, user, admin):
        terms = {"expiresAt": "2025-04-01T00:00:00Z", "priority": 7}

        response = admin.post("/api/credits/adjust", {"userId": str(user.pk), "amount": 5, **terms, **REASON})

        added = CreditGrant.objects.get(source="adjustment")
        assert response.json()["transaction"]["amount"] == 5
        assert (added.expires_at, added.priority) == (datetime(2025, 4, 1, tzinfo=UTC), 7)

    def test_rejects_terms_of_credits_that_are_taken(self, user, admin):
        terms = {"expiresAt": "2025-04-01T00:00:00Z", "priority": 7}

        rejected = admin.post("/api/credits/adjust", {"userId": str(user.pk), "amount": -5, **terms, **REASON})

        errors = [(error["field"], error["code"]) for error in rejected.json()["errors"]]
        assert errors == [("expiresAt", "invalid_choice"), ("priority", "invalid_choice")]

    def test_adjusts_a_balance_up_and_down(self, user, admin):
        body = {"userId": str(user.pk), **REASON}

        up = admin.post("/api/credits/adjust", {**body, "amount": 5})
        down = admin.post("/api/credits/adjust", {**body, "amount": -45})

        assert (up.json()["available"], down.json()["available"]) == (45, 0)

    def test_rejects_more_than_is_available(self, user, admin):
        response = admin.post("/api/credits/adjust", {"userId": str(user.pk), "amount": -41, **REASON})

        assert status_and_code(response) == (402, "insufficient_credits")

    def test_rejects_an_amount_of_0(self, user, admin):
        [error] = admin.post("/api/credits/adjust", {"userId": str(user.pk), "amount": 0, **REASON}).json()["errors"]

        assert (error["field"], error["code"]) == ("amount", "out_of_range")

    def test_is_for_admins_only(self, api, user):
        response = api(user).post("/api/credits/adjust", {"userId": str(user.pk), "amount": 5, **REASON})

        assert status_and_code(response) == (403, "permission_denied")
