import pytest

from credits.models import CreditGrant, CreditTransaction
from tests.support.factories.identity import AdminFactory, OrganizationFactory, UserFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

ADD = "/api/credits/add"


class TestAdd:
    def test_opens_a_balance_and_grants(self, api):
        ann, admin = UserFactory.create(), AdminFactory.create()

        answer = api(admin).post(
            ADD,
            {
                "userId": str(ann.pk),
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

        grant, bought = CreditGrant.objects.get(), CreditTransaction.objects.get()
        assert answer.status_code == 200
        assert answer.json() == {
            "userId": str(ann.pk),
            "organizationId": None,
            "balance": 500,
            "held": 0,
            "available": 500,
            "debt": 0,
            "tier": None,
            "pendingTier": None,
            "lastUpdated": "2025-03-03T12:00:00Z",
            "nextAllocationAt": None,
            "nextExpiry": {"amount": 500, "at": "2026-01-01T00:00:00Z"},
            "sequence": 1,
            "version": 1,
            "transaction": {
                "id": str(bought.pk),
                "sequence": 1,
                "timestamp": "2025-03-03T12:00:00Z",
                "type": "purchase",
                "amount": 500,
                "newBalance": 500,
                "description": "500 credits",
                "referenceId": "order-1",
                "feature": None,
                "quantity": None,
                "userId": str(ann.pk),
                "organizationId": None,
                "actorId": str(admin.pk),
                "idempotencyKey": None,
                "metadata": {"order": "1"},
                "entries": [{"grantId": str(grant.pk), "amount": 500}],
            },
        }
        assert (grant.priority, str(grant.unit_price)) == (60, "0.100000")

    def test_gives_to_a_pool(self, api):
        pool = OrganizationFactory.create()
        asked = {"organization_id": str(pool.pk), "amount": 5, "type": "promotion", "description": "Welcome"}

        said = api(AdminFactory.create()).post(ADD, asked).json()

        assert (said["organizationId"], said["userId"], said["transaction"]["userId"]) == (str(pool.pk), None, None)

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
    def test_names_the_field_that_is_wrong(self, api, field, value, code):
        asked = {"userId": str(UserFactory.create().pk), "amount": 5, "type": "promotion", "description": "Welcome"}

        refused = api(AdminFactory.create()).post(ADD, {**asked, field: value})

        assert refused.status_code == 400
        assert [(e["field"], e["code"]) for e in refused.json()["errors"]] == [(field, code)]
        assert not CreditTransaction.objects.exists()
