import pytest

from credits import operations
from credits.models import CreditTransaction
from tests.support.factories.credits import make_balance
from tests.support.factories.identity import AdminFactory, MembershipFactory, UserFactory
from tests.support.times import DAY, NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

TRANSACTIONS = "/api/credits/transactions"


class TestExplainTransaction:
    def test_says_everything_there_is_to_say(self, api):
        ann = UserFactory.create()
        grant = make_balance(ann, [(100, DAY)], reason="Sorry").grants.get()
        operations.deduct_credits(owner=ann, feature="ai-generated-report", quantity=2, actor=ann, at=NOON)
        given, spent = CreditTransaction.objects.order_by("sequence")

        answer = api(ann).get(f"{TRANSACTIONS}/{spent.pk}")

        assert answer.status_code == 200
        assert answer.json() == {
            "id": str(spent.pk),
            "sequence": 2,
            "timestamp": "2025-03-03T12:00:00Z",
            "type": "usage",
            "amount": -80,
            "newBalance": 20,
            "description": "",
            "referenceId": None,
            "feature": "ai-generated-report",
            "quantity": 2,
            "userId": str(ann.pk),
            "organizationId": None,
            "actorId": str(ann.pk),
            "idempotencyKey": None,
            "metadata": None,
            "price": {"credits": 40, "effectiveFrom": "2020-01-01T00:00:00Z"},
            "holdId": None,
            "actor": {"id": str(ann.pk), "email": ann.email, "role": "user"},
            "reason": "",
            "reverses": None,
            "reversedBy": [],
            "entries": [
                {
                    "grantId": str(grant.pk),
                    "amount": -80,
                    "remainingAfter": 20,
                    "source": "promotion",
                    "expiresAt": "2025-03-04T12:00:00Z",
                }
            ],
            "hash": bytes(spent.hash).hex(),
            "previousHash": bytes(given.hash).hex(),
        }

    def test_says_nothing_of_a_price_or_an_actor_where_there_was_none(self, api):
        ann = UserFactory.create()
        make_balance(ann, reason="Sorry")

        told = api(ann).get(f"{TRANSACTIONS}/{CreditTransaction.objects.get().pk}").json()

        assert (told["price"], told["actor"], told["reason"]) == (None, None, "Sorry")

    @pytest.mark.parametrize("role", ["viewer", "member", "manager", "owner"])
    def test_shows_a_pools_to_each_of_its_members(self, api, role):
        seat = MembershipFactory.create(role=role)
        make_balance(seat.organization)

        assert api(seat.user).get(f"{TRANSACTIONS}/{CreditTransaction.objects.get().pk}").status_code == 200

    def test_hides_a_strangers_but_not_from_an_admin(self, api):
        make_balance()
        theirs = CreditTransaction.objects.get().pk

        hidden = api(UserFactory.create()).get(f"{TRANSACTIONS}/{theirs}")

        assert (hidden.status_code, hidden.json()["code"]) == (404, "transaction_not_found")
        assert api(AdminFactory.create()).get(f"{TRANSACTIONS}/{theirs}").status_code == 200

    @pytest.mark.parametrize("name", ["01890a5d-ac96-774b-bcce-b302099a8057", "7"])
    def test_is_not_found_where_there_is_none(self, api, name):
        assert api(UserFactory.create()).get(f"{TRANSACTIONS}/{name}").status_code == 404
