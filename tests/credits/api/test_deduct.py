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
    def test_spends_by_feature_at_the_servers_price(self, api):
        ann = UserFactory.create()
        make_balance(ann, [(100, None), (10, DAY)])
        lasting, fleeting = CreditGrant.objects.order_by("amount").reverse()

        answer = api(ann).post(
            DEDUCT,
            {"feature": "simple-ai-insight", "quantity": 2, "referenceId": "insight-7", "metadata": {"a_b": [1]}},
            headers={"Idempotency-Key": "k"},
        )

        spent = CreditTransaction.objects.get(type="usage")
        assert answer.status_code == 200
        assert answer.json() == {
            "userId": str(ann.pk),
            "organizationId": None,
            "balance": 92,
            "held": 0,
            "available": 92,
            "debt": 0,
            "tier": None,
            "pendingTier": None,
            "lastUpdated": "2025-03-03T12:00:00Z",
            "nextAllocationAt": None,
            "nextExpiry": None,
            "sequence": 3,
            "version": 3,
            "transaction": {
                "id": str(spent.pk),
                "sequence": 3,
                "timestamp": "2025-03-03T12:00:00Z",
                "type": "usage",
                "amount": -18,
                "newBalance": 92,
                "description": "",
                "referenceId": "insight-7",
                "feature": "simple-ai-insight",
                "quantity": 2,
                "userId": str(ann.pk),
                "organizationId": None,
                "actorId": str(ann.pk),
                "idempotencyKey": "k",
                "metadata": {"a_b": [1]},
                "entries": [
                    {"grantId": str(fleeting.pk), "amount": -10},
                    {"grantId": str(lasting.pk), "amount": -8},
                ],
            },
        }

    def test_spends_an_amount_with_its_description(self, api):
        ann = UserFactory.create()
        make_balance(ann)

        said = api(ann).post(DEDUCT, {"amount": 100, "description": "  An insight "}).json()

        assert (said["available"], said["transaction"]["description"]) == (0, "  An insight ")
        assert (said["transaction"]["referenceId"], said["transaction"]["metadata"]) == (None, None)

    def test_tells_the_tier_beside_the_balance(self, api, noon):
        ann = UserFactory.create()
        initialize_balance(owner=ann, tier="explorer")

        said = api(ann).post(DEDUCT, {"amount": 1, "description": "An insight"}).json()

        assert (said["tier"], said["nextAllocationAt"]) == ("explorer", "2025-04-03T12:00:00Z")

    def test_remembers_which_member_spent_a_pools_credits(self, api):
        seat = MembershipFactory.create()
        make_balance(seat.organization)
        asked = {"amount": 5, "description": "An insight", "organizationId": str(seat.organization.pk)}

        said = api(seat.user).post(DEDUCT, asked).json()["transaction"]

        assert (said["userId"], said["actorId"]) == (str(seat.user.pk), str(seat.user.pk))
        assert said["organizationId"] == str(seat.organization.pk)

    def test_lets_a_service_spend_for_anybody(self, api):
        ann, service = UserFactory.create(), ServiceFactory.create()
        make_balance(ann)

        said = api(service).post(DEDUCT, {"amount": 5, "description": "An insight", "user_id": str(ann.pk)}).json()

        assert (said["transaction"]["userId"], said["transaction"]["actorId"]) == (str(ann.pk), str(service.pk))

    def test_lets_a_service_spend_a_pools_credits_for_a_member(self, api):
        seat = MembershipFactory.create()
        make_balance(seat.organization)
        whose = {"organizationId": str(seat.organization.pk), "userId": str(seat.user.pk)}

        said = api(ServiceFactory.create()).post(DEDUCT, {"amount": 5, "description": "An insight", **whose}).json()

        assert said["transaction"]["userId"] == str(seat.user.pk)

    def test_refuses_what_is_not_there_and_says_how_much_is_missing(self, api):
        ann = UserFactory.create()
        make_balance(ann)
        before = table_digests()

        refused = api(ann).post(DEDUCT, {"amount": 130, "description": "Too much"})

        told = refused.json()
        assert refused.status_code == 402
        assert refused["Content-Type"] == "application/problem+json"
        assert told["code"] == "insufficient_credits"
        assert {"required": 130, "available": 100, "held": 0, "shortfall": 30}.items() <= told.items()
        assert table_digests() == before

    def test_costs_five_statements_besides_begin_and_commit(self, api, django_assert_num_queries):
        ann = UserFactory.create()
        make_balance(ann)
        client = api(ann)
        key = {"Idempotency-Key": "k"}

        # The caller, the tier, the three of the operation; in a test its transaction is a savepoint and its release.
        with django_assert_num_queries(2 + 3 + 2):
            client.post(DEDUCT, {"feature": "simple-ai-insight"}, headers=key)
