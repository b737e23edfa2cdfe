import pytest

from credits.models import CreditGrant, CreditTransaction
from tests.support.factories.credits import make_balance
from tests.support.factories.identity import MembershipFactory, ServiceFactory, UserFactory
from tests.support.ledger import table_digests
from tests.support.times import DAY
from tiers.operations import initialize_balance

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

DEDUCT = "/api/credits/deduct"


class TestDeduct:
    def test_spends_by_feature_at_the_servers_price_in_burn_order(self, api):
        user = UserFactory.create()
        make_balance(user, [(100, None), (10, DAY)])
        lasting, expiring = CreditGrant.objects.order_by("amount").reverse()

        response = api(user).post(
            DEDUCT,
            {"feature": "simple-ai-insight", "quantity": 2, "referenceId": "insight-7", "metadata": {"a_b": [1]}},
            headers={"Idempotency-Key": "k"},
        )

        transaction = CreditTransaction.objects.get(type="usage")
        assert response.status_code == 200
        assert response.json() == {
            "userId": str(user.pk),
            "organizationId": None,
            "balance": 92,
            "held": 0,
            "available": 92,
            "debt": 0,
            "tier": None,
            "pendingTier": None,
            "tierPausedAt": None,
            "lastUpdated": "2025-03-03T12:00:00Z",
            "nextAllocationAt": None,
            "nextExpiry": None,
            "sequence": 3,
            "version": 3,
            "transaction": {
                "id": str(transaction.pk),
                "sequence": 3,
                "timestamp": "2025-03-03T12:00:00Z",
                "type": "usage",
                "amount": -18,
                "newBalance": 92,
                "description": "",
                "referenceId": "insight-7",
                "feature": "simple-ai-insight",
                "quantity": 2,
                "userId": str(user.pk),
                "organizationId": None,
                "actorId": str(user.pk),
                "idempotencyKey": "k",
                "metadata": {"a_b": [1]},
                "entries": [
                    {"grantId": str(expiring.pk), "amount": -10},
                    {"grantId": str(lasting.pk), "amount": -8},
                ],
            },
        }

    def test_spends_an_amount_and_stores_the_description_as_given(self, api):
        user = UserFactory.create()
        make_balance(user)

        body = api(user).post(DEDUCT, {"amount": 100, "description": "  An insight "}).json()

        assert (body["available"], body["transaction"]["description"]) == (0, "  An insight ")
        assert (body["transaction"]["referenceId"], body["transaction"]["metadata"]) == (None, None)

    def test_returns_the_tier_with_the_balance(self, api, noon):
        user = UserFactory.create()
        initialize_balance(owner=user, tier="explorer")

        body = api(user).post(DEDUCT, {"amount": 1, "description": "An insight"}).json()

        assert (body["tier"], body["nextAllocationAt"]) == ("explorer", "2025-04-03T12:00:00Z")

    def test_stores_the_member_that_spends_a_pools_credits(self, api):
        membership = MembershipFactory.create()
        make_balance(membership.organization)
        payload = {"amount": 5, "description": "An insight", "organizationId": str(membership.organization.pk)}

        body = api(membership.user).post(DEDUCT, payload).json()["transaction"]

        assert (body["userId"], body["actorId"]) == (str(membership.user.pk), str(membership.user.pk))
        assert body["organizationId"] == str(membership.organization.pk)

    def test_lets_a_service_spend_for_any_user(self, api):
        user, service = UserFactory.create(), ServiceFactory.create()
        make_balance(user)

        body = api(service).post(DEDUCT, {"amount": 5, "description": "An insight", "user_id": str(user.pk)}).json()

        assert (body["transaction"]["userId"], body["transaction"]["actorId"]) == (str(user.pk), str(service.pk))

    def test_lets_a_service_spend_a_pools_credits_for_a_member(self, api):
        membership = MembershipFactory.create()
        make_balance(membership.organization)
        owner = {"organizationId": str(membership.organization.pk), "userId": str(membership.user.pk)}

        body = api(ServiceFactory.create()).post(DEDUCT, {"amount": 5, "description": "An insight", **owner}).json()

        assert body["transaction"]["userId"] == str(membership.user.pk)

    def test_rejects_insufficient_credits_with_the_shortfall_and_writes_nothing(self, api):
        user = UserFactory.create()
        make_balance(user)
        before = table_digests()

        rejected = api(user).post(DEDUCT, {"amount": 130, "description": "Too much"})

        body = rejected.json()
        assert rejected.status_code == 402
        assert rejected["Content-Type"] == "application/problem+json"
        assert body["code"] == "insufficient_credits"
        assert {"required": 130, "available": 100, "held": 0, "shortfall": 30}.items() <= body.items()
        assert table_digests() == before

    def test_runs_five_statements_and_one_transaction(self, api, django_assert_num_queries):
        user = UserFactory.create()
        make_balance(user)
        client = api(user)
        key = {"Idempotency-Key": "k"}

        # The caller, the tier, three of the operation, and in a test a savepoint and its release for the transaction.
        with django_assert_num_queries(2 + 3 + 2):
            client.post(DEDUCT, {"feature": "simple-ai-insight"}, headers=key)
