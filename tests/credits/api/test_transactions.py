import pytest

from credits import operations
from credits.models import CreditTransaction
from tests.support.factories.credits import make_balance
from tests.support.factories.identity import AdminFactory, MembershipFactory, UserFactory
from tests.support.times import DAY, NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

TRANSACTIONS = "/api/credits/transactions"


class TestExplainTransaction:
    def test_returns_every_fact_of_a_usage(self, api):
        user = UserFactory.create()
        grant = make_balance(user, [(100, DAY)], reason="Sorry").grants.get()
        operations.deduct_credits(owner=user, feature="ai-generated-report", quantity=2, actor=user, at=NOON)
        promotion, usage = CreditTransaction.objects.order_by("sequence")

        response = api(user).get(f"{TRANSACTIONS}/{usage.pk}")

        assert response.status_code == 200
        assert response.json() == {
            "id": str(usage.pk),
            "sequence": 2,
            "timestamp": "2025-03-03T12:00:00Z",
            "type": "usage",
            "amount": -80,
            "newBalance": 20,
            "description": "",
            "referenceId": None,
            "feature": "ai-generated-report",
            "quantity": 2,
            "userId": str(user.pk),
            "organizationId": None,
            "actorId": str(user.pk),
            "idempotencyKey": None,
            "metadata": None,
            "price": {"credits": 40, "effectiveFrom": "2020-01-01T00:00:00Z"},
            "holdId": None,
            "actor": {"id": str(user.pk), "email": user.email, "role": "user"},
            "reason": "",
            "reverses": None,
            "reversedBy": [],
            "counterpartId": None,
            "entries": [
                {
                    "grantId": str(grant.pk),
                    "amount": -80,
                    "remainingAfter": 20,
                    "source": "promotion",
                    "expiresAt": "2025-03-04T12:00:00Z",
                }
            ],
            "hash": bytes(usage.hash).hex(),
            "previousHash": bytes(promotion.hash).hex(),
        }

    def test_has_null_for_a_missing_price_and_actor(self, api):
        user = UserFactory.create()
        make_balance(user, reason="Sorry")

        body = api(user).get(f"{TRANSACTIONS}/{CreditTransaction.objects.get().pk}").json()

        assert (body["price"], body["actor"], body["reason"]) == (None, None, "Sorry")

    @pytest.mark.parametrize("role", ["viewer", "member", "manager", "owner"])
    def test_shows_a_pools_transaction_to_each_member(self, api, role):
        membership = MembershipFactory.create(role=role)
        make_balance(membership.organization)

        assert api(membership.user).get(f"{TRANSACTIONS}/{CreditTransaction.objects.get().pk}").status_code == 200

    def test_hides_another_users_transaction_except_from_admins(self, api):
        make_balance()
        transaction_id = CreditTransaction.objects.get().pk

        response = api(UserFactory.create()).get(f"{TRANSACTIONS}/{transaction_id}")

        assert (response.status_code, response.json()["code"]) == (404, "transaction_not_found")
        assert api(AdminFactory.create()).get(f"{TRANSACTIONS}/{transaction_id}").status_code == 200

    @pytest.mark.parametrize("name", ["01890a5d-ac96-774b-bcce-b302099a8057", "7"])
    def test_is_not_found_for_an_unknown_or_invalid_id(self, api, name):
        assert api(UserFactory.create()).get(f"{TRANSACTIONS}/{name}").status_code == 404
