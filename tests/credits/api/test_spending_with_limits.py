"""Deductions, holds and checks under spending limits."""

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
)
from tests.support.ledger import table_digests
from tests.support.times import NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


class TestSpendingWithLimit:
    def test_is_rejected_beyond_the_limit_with_its_facts(self, api, pool):
        member = make_member(pool)
        api(make_member(pool, "owner")).put(LIMITS, pool_limit(pool, memberId=str(member.pk)))
        client = api(member)
        deduction = {"amount": 60, "description": "An insight", "organizationId": str(pool.pk)}
        client.post("/api/credits/deduct", deduction)
        before = table_digests()

        for path in ("deduct", "holds"):
            rejected = client.post(f"/api/credits/{path}", deduction)

            body = rejected.json()
            assert status_and_code(rejected) == (403, "spending_limit_reached")
            assert (body["limit"], body["used"], body["resetsAt"]) == (100, 60, MIDNIGHT)
            assert body["detail"] == "60 of 100 credits are used until 2025-03-04 00:00 UTC."
        assert table_digests() == before

    def test_is_rejected_for_the_excess_of_a_capture(self, api, user):
        api(user).put(LIMITS, DAILY)
        hold = api(user).post("/api/credits/holds", {"amount": 100, "description": "A report"}).json()["hold"]
        before = table_digests()

        rejected = api(user).post(f"/api/credits/holds/{hold['id']}/capture", {"amount": 101})

        assert status_and_code(rejected) == (403, "spending_limit_reached")
        assert table_digests() == before
        assert api(user).post(f"/api/credits/holds/{hold['id']}/capture", {}).status_code == 200

    def test_counts_for_the_member_that_a_service_names(self, api, pool):
        member, other_member = make_member(pool), make_member(pool)
        operations.set_limit(owner=pool, amount=10, period="day", member=member, at=NOON)
        service = api(ServiceFactory.create())

        def spend(**payload):
            body = {"amount": 11, "description": "An insight", "organizationId": str(pool.pk), **payload}
            return service.post("/api/credits/deduct", body).status_code

        assert (spend(userId=str(member.pk)), spend(userId=str(other_member.pk)), spend()) == (403, 200, 200)

    def test_is_reported_by_check(self, api, pool):
        member = make_member(pool)
        operations.set_limit(owner=pool, amount=10, period="month", member=member, at=NOON)

        body = api(member).get("/api/credits/check", {"amount": 11, "organizationId": str(pool.pk)}).json()
        other = api(make_member(pool)).get("/api/credits/check", {"amount": 11, "organizationId": str(pool.pk)}).json()

        assert body == {
            "allowed": False,
            "cost": 11,
            "available": 1000,
            "reason": "spending_limit_reached",
            "limit": {"limit": 10, "used": 0, "resetsAt": APRIL},
        }
        assert (other["allowed"], other["limit"]) == (True, None)

    def test_is_reduced_by_a_refund(self, api, user):
        api(user).put(LIMITS, DAILY)
        usage = deduct(user.credit_balance, 100)

        api(AdminFactory.create()).post(
            f"/api/credits/transactions/{usage.transaction.id}/refund", {"amount": 40, "reason": "It failed"}
        )

        assert [limit["used"] for limit in results(api(user).get(LIMITS))] == [60]
