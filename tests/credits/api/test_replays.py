"""The same request under the same key: answered again, done once."""

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

SPENT = {"feature": "simple-ai-insight", "quantity": 2}
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
    def test_answers_a_deduction_as_the_first_time_whatever_has_happened_since(self, api, clock_at):
        ann = UserFactory.create()
        initialize_balance(owner=ann, tier="explorer")
        client = api(ann)
        first = client.post("/api/credits/deduct", SPENT, headers=KEY)
        clock_at(NOON + DAY)
        update_subscription_tier(owner=ann, tier="growth")
        deduct(CreditBalance.objects.get(), 382, at=NOON + DAY)
        before = table_digests()

        again = client.post("/api/credits/deduct", SPENT, headers=KEY)

        assert (first.status_code, again.status_code) == (200, 200)
        assert again.content == first.content
        assert "Idempotency-Replayed" not in first
        assert again["Idempotency-Replayed"] == "true"
        assert table_digests() == before

    @pytest.mark.parametrize(("method", "path", "body", "status"), WRITES)
    def test_answers_an_admins_request_as_the_first_time(self, api, clock_at, method, path, body, status):
        ann, client = UserFactory.create(), api(AdminFactory.create())
        if not path.endswith("initialize"):
            initialize_balance(owner=ann, tier="explorer")
        asked = {**body, "userId": str(ann.pk)}
        first = getattr(client, method)(path, asked, headers=KEY)
        clock_at(NOON + DAY)
        update_subscription_tier(owner=ann, tier="pro")
        before = table_digests()

        again = getattr(client, method)(path, asked, headers=KEY)

        assert (first.status_code, again.status_code) == (status, status)
        assert again.content == first.content
        assert again["Idempotency-Replayed"] == "true"
        assert table_digests() == before

    def test_knows_the_request_by_its_meaning_not_its_spelling(self, api):
        ann = UserFactory.create()
        make_balance(ann)
        client = api(ann)
        client.post("/api/credits/deduct", {"feature": "simple-ai-insight", "referenceId": "r"}, headers=KEY)

        other_spelling = {"reference_id": "r", "quantity": 1, "feature": "simple-ai-insight"}
        again = client.post("/api/credits/deduct", other_spelling, headers=KEY)

        assert again["Idempotency-Replayed"] == "true"

    @pytest.mark.parametrize(
        "other",
        [
            {"feature": "simple-ai-insight", "quantity": 3},
            {"feature": "simple-ai-insight", "quantity": 2, "description": "Another"},
            {"feature": "simple-ai-insight", "quantity": 2, "metadata": {}},
            {"amount": 18, "description": "Two insights"},
        ],
    )
    def test_refuses_another_request_under_the_key(self, api, other):
        ann = UserFactory.create()
        make_balance(ann)
        client = api(ann)
        client.post("/api/credits/deduct", SPENT, headers=KEY)
        before = table_digests()

        refused = client.post("/api/credits/deduct", other, headers=KEY)

        assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
        assert table_digests() == before

    def test_does_not_use_the_key_up_by_a_refusal(self, api):
        ann = UserFactory.create()
        make_balance(ann, [(10, None)])
        client = api(ann)
        refused = client.post("/api/credits/deduct", SPENT, headers=KEY)
        make_balance(ann, [(10, None)])

        answer = client.post("/api/credits/deduct", SPENT, headers=KEY)

        assert (refused.status_code, answer.status_code) == (402, 200)
        assert "Idempotency-Replayed" not in answer

    def test_keeps_the_keys_of_two_callers_and_of_two_balances_apart(self, api):
        seat = MembershipFactory.create()
        other = MembershipFactory.create(organization=seat.organization)
        make_balance(seat.organization)
        make_balance(seat.user)
        pooled = {**SPENT, "organizationId": str(seat.organization.pk)}

        answers = [
            api(seat.user).post("/api/credits/deduct", pooled, headers=KEY),
            api(other.user).post("/api/credits/deduct", pooled, headers=KEY),
            api(seat.user).post("/api/credits/deduct", SPENT, headers=KEY),
        ]

        assert not any("Idempotency-Replayed" in answer for answer in answers)
        assert CreditTransaction.objects.filter(type="usage").count() == 3

    def test_asks_for_permission_first(self, api):
        seat = MembershipFactory.create()
        make_balance(seat.organization)
        pooled = {**SPENT, "organizationId": str(seat.organization.pk)}
        client = api(seat.user)
        client.post("/api/credits/deduct", pooled, headers=KEY)
        seat.role = "viewer"
        seat.save()
        demoted = client.post("/api/credits/deduct", pooled, headers=KEY)
        seat.delete()
        gone = client.post("/api/credits/deduct", pooled, headers=KEY)

        assert (demoted.status_code, gone.status_code) == (403, 404)


@pytest.mark.django_db(transaction=True)
class TestConcurrentDuplicates:
    """Eight at once with one key: one moves credits, seven wait and are answered the same."""

    def test_move_credits_once(self, api):
        ann = UserFactory.create()
        make_balance(ann)
        key = {"Idempotency-Key": str(uuid4())}

        answers = at_once(8, lambda: api(ann).post("/api/credits/deduct", SPENT, headers=key))

        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
        assert sum("Idempotency-Replayed" in answer for answer in answers) == 7
        assert CreditTransaction.objects.filter(type="usage").count() == 1

    def test_initialize_once(self, api):
        ann, admin = UserFactory.create(), AdminFactory.create()
        asked, key = {"userId": str(ann.pk), "tier": "explorer"}, {"Idempotency-Key": str(uuid4())}

        answers = at_once(8, lambda: api(admin).post("/api/credits/initialize", asked, headers=key))

        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.content for answer in answers}) == 1
        assert CreditTransaction.objects.count() == 1

    def test_spend_no_more_than_there_is_without_a_key(self, api):
        ann = UserFactory.create()
        make_balance(ann, [(36, None)])

        answers = at_once(8, lambda: api(ann).post("/api/credits/deduct", SPENT))

        assert sorted(answer.status_code for answer in answers) == [200] * 2 + [402] * 6


def at_once(times, request):
    def attempt(_):
        try:
            return request()
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=times) as pool:
        return list(pool.map(attempt, range(times)))
