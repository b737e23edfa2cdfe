import pytest

from credits.models import CreditGrant, CreditTransaction
from tests.support.factories.identity import AdminFactory, OrganizationFactory, UserFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

ADD = "/api/credits/add"


class TestAddCredits:
    def test_creates_the_balance_and_a_grant(self, api):
        user, admin = UserFactory.create(), AdminFactory.create()

        response = api(admin).post(
            ADD,
            {
                "userId": str(user.pk),
                "amount": 500,
                "type": "purchase",
                "description": "500 credits",
                "referenceId": "order-1",
                "expiresAt": "2026-01-01T02:00:00+02:00",
                "priority": 60,
                "unitPrice": "0.10",
                "metadata": {"order": "1"},
            },
        )

        grant, transaction = CreditGrant.objects.get(), CreditTransaction.objects.get()
        assert response.status_code == 200
        assert response.json() == {
            "userId": str(user.pk),
            "organizationId": None,
            "balance": 500,
            "held": 0,
            "available": 500,
            "debt": 0,
            "tier": None,
            "pendingTier": None,
            "tierPausedAt": None,
            "lastUpdated": "2025-03-03T12:00:00Z",
            "nextAllocationAt": None,
            "nextExpiry": {"amount": 500, "at": "2026-01-01T00:00:00Z"},
            "sequence": 1,
            "version": 1,
            "transaction": {
                "id": str(transaction.pk),
                "sequence": 1,
                "timestamp": "2025-03-03T12:00:00Z",
                "type": "purchase",
                "amount": 500,
                "newBalance": 500,
                "description": "500 credits",
                "referenceId": "order-1",
                "feature": None,
                "quantity": None,
                "userId": str(user.pk),
                "organizationId": None,
                "actorId": str(admin.pk),
                "idempotencyKey": None,
                "metadata": {"order": "1"},
                "entries": [{"grantId": str(grant.pk), "amount": 500}],
            },
        }
        assert (grant.priority, str(grant.unit_price)) == (60, "0.100000")

    def test_adds_to_an_organizations_pool(self, api):
        pool = OrganizationFactory.create()
        payload = {"organization_id": str(pool.pk), "amount": 5, "type": "promotion", "description": "Welcome"}

        body = api(AdminFactory.create()).post(ADD, payload).json()

        assert (body["organizationId"], body["userId"], body["transaction"]["userId"]) == (str(pool.pk), None, None)

    @pytest.mark.parametrize(
        ("field", "value", "code"),
        [
            ("expiresAt", "2025-03-03T12:00:00Z", "in_past"),
            ("expiresAt", "2025-03-03", "wrong_type"),
            ("type", "usage", "invalid_choice"),
            ("priority", 101, "out_of_range"),
            ("priority", -1, "out_of_range"),
            ("unitPrice", 0.1, "wrong_type"),
            ("unitPrice", "0.1234567", "out_of_range"),
            ("description", "", "required"),
            ("description", "x" * 501, "too_long"),
            ("description", "a\0b", "wrong_type"),
            ("referenceId", "x" * 256, "too_long"),
            ("metadata", [], "wrong_type"),
            ("metadata", {"x": "y" * 4096}, "too_long"),
        ],
    )
    def test_names_the_invalid_field_and_writes_nothing(self, api, field, value, code):
        payload = {"userId": str(UserFactory.create().pk), "amount": 5, "type": "promotion", "description": "Welcome"}

        rejected = api(AdminFactory.create()).post(ADD, {**payload, field: value})

        assert rejected.status_code == 400
        assert [(e["field"], e["code"]) for e in rejected.json()["errors"]] == [(field, code)]
        assert not CreditTransaction.objects.exists()
