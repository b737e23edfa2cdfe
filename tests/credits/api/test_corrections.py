from uuid import uuid4

import pytest

from credits import operations
from credits.models import CreditGrant, CreditTransaction
from tests.support.factories.identity import AdminFactory, ServiceFactory, UserFactory
from tests.support.ledger import table_digests
from tests.support.times import DAY, NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

WHY = {"reason": "It failed"}


@pytest.fixture
def ann(db):
    """Somebody who has spent 60 of 100 credits that expire in a day."""
    made = UserFactory.create()
    operations.add_credits(owner=made, amount=100, type="purchase", expires_at=NOON + DAY, at=NOON)
    operations.deduct_credits(owner=made, amount=60, description="A report", at=NOON)
    return made


@pytest.fixture
def admin(api):
    return api(AdminFactory.create())


def transaction(kind):
    return f"/api/credits/transactions/{CreditTransaction.objects.get(type=kind).pk}"


def grant():
    return f"/api/credits/grants/{CreditGrant.objects.get().pk}"


def refused(answer):
    return answer.status_code, answer.json()["code"]


class TestRefund:
    def test_gives_back_what_was_used_and_links_both_ways(self, api, ann, admin):
        answer = admin.post(f"{transaction('usage')}/refund", WHY)

        usage, refund = (api(ann).get(transaction(kind)).json() for kind in ("usage", "refund"))
        assert answer.status_code == 200
        assert (answer.json()["available"], answer.json()["transaction"]["amount"]) == (100, 60)
        assert (refund["reverses"], refund["reason"]) == (usage["id"], "It failed")
        assert usage["reversedBy"] == [refund["id"]]

    def test_never_gives_back_more_than_was_used(self, ann, admin):
        path = f"{transaction('usage')}/refund"
        admin.post(path, {**WHY, "amount": 50})
        before = table_digests()

        answer = admin.post(path, {**WHY, "amount": 11})

        assert refused(answer) == (409, "refund_exceeds_usage")
        assert answer.json()["refundable"] == 10
        assert table_digests() == before

    def test_with_one_key_gives_back_once(self, ann, admin):
        path, key = f"{transaction('usage')}/refund", {"Idempotency-Key": "k"}
        first = admin.post(path, WHY, headers=key)
        before = table_digests()

        again = admin.post(path, WHY, headers=key)

        assert (again.json(), again.headers["Idempotency-Replayed"]) == (first.json(), "true")
        assert table_digests() == before

    def test_refuses_what_is_not_usage(self, ann, admin):
        assert refused(admin.post(f"{transaction('purchase')}/refund", WHY)) == (409, "not_refundable")

    def test_needs_a_reason(self, ann, admin):
        [error] = admin.post(f"{transaction('usage')}/refund", {}).json()["errors"]

        assert (error["field"], error["code"]) == ("reason", "required")

    def test_brings_expired_credits_back_until_an_admin_says(self, ann, admin, clock_at):
        clock_at(NOON + 2 * DAY)
        until = (NOON + 9 * DAY).isoformat()

        answer = admin.post(f"{transaction('usage')}/refund", {**WHY, "expiresAt": until})

        assert (answer.json()["available"], answer.json()["nextExpiry"]["amount"]) == (60, 60)

    def test_may_be_made_by_a_service_but_not_dated_by_it(self, api, ann):
        service, path = api(ServiceFactory.create()), f"{transaction('usage')}/refund"

        dated = service.post(path, {**WHY, "expiresAt": (NOON + DAY).isoformat()})

        assert refused(dated) == (403, "permission_denied")
        assert service.post(path, {**WHY, "amount": 1}).status_code == 200

    def test_is_not_for_the_customer(self, api, ann):
        assert refused(api(ann).post(f"{transaction('usage')}/refund", WHY)) == (403, "permission_denied")

    def test_of_nothing_known_is_404(self, admin):
        answer = admin.post(f"/api/credits/transactions/{uuid4()}/refund", WHY)

        assert refused(answer) == (404, "transaction_not_found")


class TestReverse:
    def test_makes_a_debt_of_what_was_spent(self, ann, admin):
        answer = admin.post(f"{transaction('purchase')}/reverse", WHY)

        assert {name: answer.json()[name] for name in ("balance", "available", "debt")} == {
            "balance": -60,
            "available": 0,
            "debt": 60,
        }
        assert answer.json()["transaction"]["entries"][-1] == {"grantId": None, "amount": -60}

    def test_never_takes_back_more_than_was_bought(self, ann, admin):
        answer = admin.post(f"{transaction('purchase')}/reverse", {**WHY, "amount": 101})

        assert refused(answer) == (409, "reversal_exceeds_purchase")

    def test_refuses_what_is_no_purchase(self, ann, admin):
        assert refused(admin.post(f"{transaction('usage')}/reverse", WHY)) == (409, "not_reversible")

    def test_is_for_admins_only(self, api, ann):
        answer = api(ServiceFactory.create()).post(f"{transaction('purchase')}/reverse", WHY)

        assert refused(answer) == (403, "permission_denied")


class TestVoid:
    def test_takes_what_remains_and_a_repeat_does_nothing(self, api, ann, admin):
        first = admin.post(f"{grant()}/void", WHY)
        before = table_digests()

        again = admin.post(f"{grant()}/void", WHY)

        assert (first.json()["available"], first.json()["transaction"]["amount"]) == (0, -40)
        assert (again.status_code, again.json()["transaction"]) == (200, None)
        assert table_digests() == before
        assert api(ann).get("/api/credits/grants").json()["results"][0]["status"] == "voided"

    def test_refuses_what_has_expired(self, ann, admin, clock_at):
        clock_at(NOON + DAY)

        assert refused(admin.post(f"{grant()}/void", WHY)) == (409, "grant_not_voidable")

    def test_of_nothing_known_is_404(self, admin):
        assert refused(admin.post(f"/api/credits/grants/{uuid4()}/void", WHY)) == (404, "grant_not_found")


class TestExtend:
    def test_moves_what_remains_to_a_later_expiry(self, ann, admin):
        answer = admin.post(f"{grant()}/extend", {**WHY, "expiresAt": (NOON + 9 * DAY).isoformat()})

        assert answer.json()["transaction"]["amount"] == 0
        assert answer.json()["nextExpiry"] == {"amount": 40, "at": "2025-03-12T12:00:00Z"}

    @pytest.mark.parametrize(("days", "code"), [(-1, "in_past"), (1, "out_of_range")])
    def test_refuses_an_expiry_that_is_no_later(self, ann, admin, days, code):
        answer = admin.post(f"{grant()}/extend", {**WHY, "expiresAt": (NOON + days * DAY).isoformat()})

        [error] = answer.json()["errors"]
        assert (error["field"], error["code"]) == ("expiresAt", code)


class TestAdjust:
    def test_puts_a_balance_right_up_and_down(self, ann, admin):
        body = {"userId": str(ann.pk), **WHY}

        up = admin.post("/api/credits/adjust", {**body, "amount": 5})
        down = admin.post("/api/credits/adjust", {**body, "amount": -45})

        assert (up.json()["available"], down.json()["available"]) == (45, 0)

    def test_never_takes_more_than_is_available(self, ann, admin):
        answer = admin.post("/api/credits/adjust", {"userId": str(ann.pk), "amount": -41, **WHY})

        assert refused(answer) == (402, "insufficient_credits")

    def test_refuses_nothing(self, ann, admin):
        [error] = admin.post("/api/credits/adjust", {"userId": str(ann.pk), "amount": 0, **WHY}).json()["errors"]

        assert (error["field"], error["code"]) == ("amount", "out_of_range")

    def test_is_for_admins_only(self, api, ann):
        answer = api(ann).post("/api/credits/adjust", {"userId": str(ann.pk), "amount": 5, **WHY})

        assert refused(answer) == (403, "permission_denied")
