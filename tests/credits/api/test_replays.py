"""Idempotency keys over HTTP: the same request is executed once and its first response is repeated."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from django.db import connection

from credits.models import CreditBalance, CreditTransaction
from tests.support.factories.credits import deduct, make_balance
from tests.support.factories.identity import AdminFactory, MembershipFactory, UserFactory
from tests.support.ledger import table_digests
from tests.support.times import DAY, NOON
from tiers.operations import initialize_balance, update_subscription_tier

DEDUCTION = {"feature": "simple-ai-insight", "quantity": 2}
WRITES = [
    ("post", "/api/credits/add", {"amount": 50, "type": "purchase", "description": "50 credits"}, 200),
    ("post", "/api/credits/initialize", {"tier": "explorer"}, 201),
    ("put", "/api/credits/tier", {"tier": "growth"}, 200),
    ("put", "/api/credits/tier", {"tier": "growth", "proration": "difference"}, 200),
    ("put", "/api/credits/tier", {"tier": "growth", "effective": "nextPeriod"}, 200),
    ("post", "/api/credits/monthly-allocation", {}, 200),
]
KEY = {"Idempotency-Key": "the request"}


@pytest.mark.django_db
@pytest.mark.usefixtures("noon")
class TestReplay:
    def test_of_a_deduction_returns_the_first_response_whatever_happened_since(self, api, clock_at):
        user = UserFactory.create()
        initialize_balance(owner=user, tier="explorer")
        client = api(user)
        first = client.post("/api/credits/deduct", DEDUCTION, headers=KEY)
        clock_at(NOON + DAY)
        update_subscription_tier(owner=user, tier="growth")
        deduct(CreditBalance.objects.get(), 382, at=NOON + DAY)
        before = table_digests()

        repeated = client.post("/api/credits/deduct", DEDUCTION, headers=KEY)

        assert (first.status_code, repeated.status_code) == (200, 200)
        assert repeated.content == first.content
        assert "Idempotency-Replayed" not in first
        assert repeated["Idempotency-Replayed"] == "true"
        assert table_digests() == before

    @pytest.mark.parametrize(("method", "path", "body", "status"), WRITES)
    def test_of_an_admins_request_returns_the_first_response(self, api, clock_at, method, path, body, status):
        user, client = UserFactory.create(), api(AdminFactory.create())
        if not path.endswith("initialize"):
            initialize_balance(owner=user, tier="explorer")
        payload = {**body, "userId": str(user.pk)}
        first = getattr(client, method)(path, payload, headers=KEY)
        clock_at(NOON + DAY)
        update_subscription_tier(owner=user, tier="pro")
        before = table_digests()

        repeated = getattr(client, method)(path, payload, headers=KEY)

        assert (first.status_code, repeated.status_code) == (status, status)
        assert repeated.content == first.content
        assert repeated["Idempotency-Replayed"] == "true"
        assert table_digests() == before

    def test_recognizes_the_request_in_another_form(self, api):
        user = UserFactory.create()
        make_balance(user)
        client = api(user)
        client.post("/api/credits/deduct", {"feature": "simple-ai-insight", "referenceId": "r"}, headers=KEY)

        other_form = {"reference_id": "r", "quantity": 1, "feature": "simple-ai-insight"}
        repeated = client.post("/api/credits/deduct", other_form, headers=KEY)

        assert repeated["Idempotency-Replayed"] == "true"

    @pytest.mark.parametrize(
        "other",
        [
            {"feature": "simple-ai-insight", "quantity": 3},
            {"feature": "simple-ai-insight", "quantity": 2, "description": "Another"},
            {"feature": "simple-ai-insight", "quantity": 2, "metadata": {}},
            {"amount": 18, "description": "Two insights"},
        ],
    )
    def test_is_rejected_for_another_request(self, api, other):
        user = UserFactory.create()
        make_balance(user)
        client = api(user)
        client.post("/api/credits/deduct", DEDUCTION, headers=KEY)
        before = table_digests()

        rejected = client.post("/api/credits/deduct", other, headers=KEY)

        assert (rejected.status_code, rejected.json()["code"]) == (422, "idempotency_key_reused")
        assert table_digests() == before

    def test_does_not_apply_to_a_rejected_request(self, api):
        user = UserFactory.create()
        make_balance(user, [(10, None)])
        client = api(user)
        rejected = client.post("/api/credits/deduct", DEDUCTION, headers=KEY)
        make_balance(user, [(10, None)])

        response = client.post("/api/credits/deduct", DEDUCTION, headers=KEY)

        assert (rejected.status_code, response.status_code) == (402, 200)
        assert "Idempotency-Replayed" not in response

    def test_is_separate_for_each_caller_and_balance(self, api):
        membership = MembershipFactory.create()
        other = MembershipFactory.create(organization=membership.organization)
        make_balance(membership.organization)
        make_balance(membership.user)
        pool_deduction = {**DEDUCTION, "organizationId": str(membership.organization.pk)}

        responses = [
            api(membership.user).post("/api/credits/deduct", pool_deduction, headers=KEY),
            api(other.user).post("/api/credits/deduct", pool_deduction, headers=KEY),
            api(membership.user).post("/api/credits/deduct", DEDUCTION, headers=KEY),
        ]

        assert not any("Idempotency-Replayed" in response for response in responses)
        assert CreditTransaction.objects.filter(type="usage").count() == 3

    def test_requires_permission(self, api):
        membership = MembershipFactory.create()
        make_balance(membership.organization)
        pool_deduction = {**DEDUCTION, "organizationId": str(membership.organization.pk)}
        client = api(membership.user)
        client.post("/api/credits/deduct", pool_deduction, headers=KEY)
        membership.role = "viewer"
        membership.save()
        demoted = client.post("/api/credits/deduct", pool_deduction, headers=KEY)
        membership.delete()
        removed = client.post("/api/credits/deduct", pool_deduction, headers=KEY)

        assert (demoted.status_code, removed.status_code) == (403, 404)


@pytest.mark.django_db(transaction=True)
class TestConcurrentDuplicates:
    """Eight concurrent requests with one key: one moves credits, seven wait and get the same response."""

    def test_move_credits_once(self, api):
        user = UserFactory.create()
        make_balance(user)
        key = {"Idempotency-Key": str(uuid4())}

        responses = send_concurrently(8, lambda: api(user).post("/api/credits/deduct", DEDUCTION, headers=key))

        assert {response.status_code for response in responses} == {200}
        assert len({response.content for response in responses}) == 1
        assert sum("Idempotency-Replayed" in response for response in responses) == 7
        assert CreditTransaction.objects.filter(type="usage").count() == 1

    def test_initialize_a_balance_once(self, api):
        user, admin = UserFactory.create(), AdminFactory.create()
        payload, key = {"userId": str(user.pk), "tier": "explorer"}, {"Idempotency-Key": str(uuid4())}

        responses = send_concurrently(8, lambda: api(admin).post("/api/credits/initialize", payload, headers=key))

        assert {response.status_code for response in responses} == {201}
        assert len({response.content for response in responses}) == 1
        assert CreditTransaction.objects.count() == 1

    def test_without_a_key_never_spend_more_than_is_available(self, api):
        user = UserFactory.create()
        make_balance(user, [(36, None)])

        responses = send_concurrently(8, lambda: api(user).post("/api/credits/deduct", DEDUCTION))

        assert sorted(response.status_code for response in responses) == [200] * 2 + [402] * 6


def send_concurrently(count, request):
    def attempt(_):
        try:
            return request()
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=count) as pool:
        return list(pool.map(attempt, range(count)))
