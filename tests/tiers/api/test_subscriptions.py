import pytest

from credits.models import CreditGrant, CreditTransaction
from tests.factories.credits import funded
from tests.factories.identity import AdminFactory, OrganizationFactory, UserFactory
from tests.ledger import stored
from tests.times import DAY, NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

INITIALIZE = "/api/credits/initialize"
TIER = "/api/credits/tier"
ALLOCATE = "/api/credits/monthly-allocation"


def balance_of(ann, **differently):
    return {
        "userId": str(ann.pk),
        "organizationId": None,
        "balance": 400,
        "held": 0,
        "available": 400,
        "debt": 0,
        "tier": "explorer",
        "pendingTier": None,
        "lastUpdated": "2025-03-03T12:00:00Z",
        "nextAllocationAt": "2025-04-03T12:00:00Z",
        "nextExpiry": None,
        "sequence": 1,
        "version": 1,
        **differently,
    }


class TestInitialize:
    def test_opens_a_balance_with_the_tiers_credits(self, api):
        ann, admin = UserFactory.create(), AdminFactory.create()

        answer = api(admin).post(INITIALIZE, {"userId": str(ann.pk), "tier": "explorer"})

        assert answer.status_code == 201
        assert answer.json() == balance_of(ann)
        assert api(ann).get("/api/credits/balance").json() == balance_of(ann)

    @pytest.mark.parametrize("credits", [0, 1, 10**12])
    def test_grants_as_much_as_it_is_told(self, api, credits):
        pool = OrganizationFactory.create()
        asked = {"organizationId": str(pool.pk), "tier": "pro", "initialBalance": credits}

        told = api(AdminFactory.create()).post(INITIALIZE, asked).json()

        assert (told["organizationId"], told["userId"], told["tier"]) == (str(pool.pk), None, "pro")
        assert (told["balance"], told["sequence"]) == (credits, 1 if credits else 0)

    def test_subscribes_a_balance_that_had_no_tier(self, api):
        ann = UserFactory.create()
        funded(ann)

        told = api(AdminFactory.create()).post(INITIALIZE, {"userId": str(ann.pk), "tier": "explorer"}).json()

        assert (told["balance"], told["tier"]) == (500, "explorer")

    def test_refuses_one_that_has(self, api):
        client, asked = api(AdminFactory.create()), {"userId": str(UserFactory.create().pk), "tier": "explorer"}
        client.post(INITIALIZE, asked)
        before = stored()

        refused = client.post(INITIALIZE, asked)

        assert (refused.status_code, refused.json()["code"]) == (409, "balance_exists")
        assert stored() == before


class TestChangeTier:
    def test_takes_effect_at_once_and_leaves_the_credits(self, api):
        ann, client = UserFactory.create(), api(AdminFactory.create())
        client.post(INITIALIZE, {"userId": str(ann.pk), "tier": "explorer"})

        answer = client.put(TIER, {"userId": str(ann.pk), "tier": "growth", "effective": "now", "proration": "none"})

        assert answer.status_code == 200
        assert answer.json() == balance_of(ann, tier="growth", version=2)

    @pytest.mark.parametrize(("field", "value"), [("effective", "nextPeriod"), ("proration", "difference")])
    def test_refuses_what_is_not_offered_yet(self, api, field, value):
        ann, client = UserFactory.create(), api(AdminFactory.create())
        client.post(INITIALIZE, {"userId": str(ann.pk), "tier": "explorer"})
        before = stored()

        refused = client.put(TIER, {"userId": str(ann.pk), "tier": "growth", field: value})

        assert refused.status_code == 400
        assert [(e["field"], e["code"]) for e in refused.json()["errors"]] == [(field, "invalid_choice")]
        assert stored() == before

    def test_refuses_a_balance_without_a_tier(self, api):
        ann = UserFactory.create()
        funded(ann)

        refused = api(AdminFactory.create()).put(TIER, {"userId": str(ann.pk), "tier": "growth"})

        assert (refused.status_code, refused.json()["code"]) == (409, "no_subscription")

    def test_does_not_find_what_nobody_opened(self, api):
        refused = api(AdminFactory.create()).put(TIER, {"userId": str(UserFactory.create().pk), "tier": "growth"})

        assert (refused.status_code, refused.json()["code"]) == (404, "balance_not_found")


class TestAllocateMonth:
    def test_gives_the_periods_credits_once(self, api, clock_at):
        ann, admin = UserFactory.create(), AdminFactory.create()
        client, asked = api(admin), {"userId": str(ann.pk)}
        client.post(INITIALIZE, {**asked, "tier": "explorer", "initialBalance": 0})
        clock_at(NOON + DAY)

        first = client.post(ALLOCATE, asked)
        again = client.post(ALLOCATE, asked)

        given, grant = CreditTransaction.objects.get(), CreditGrant.objects.get()
        moved = {
            "id": str(given.pk),
            "sequence": 1,
            "timestamp": "2025-03-04T12:00:00Z",
            "type": "allocation",
            "amount": 400,
            "newBalance": 400,
            "description": "Explorer: 3 March 2025 to 3 April 2025",
            "referenceId": None,
            "feature": None,
            "quantity": None,
            "userId": str(ann.pk),
            "organizationId": None,
            "actorId": str(admin.pk),
            "idempotencyKey": None,
            "metadata": None,
            "entries": [{"grantId": str(grant.pk), "amount": 400}],
        }
        after = balance_of(ann, lastUpdated="2025-03-04T12:00:00Z", version=2, transaction=moved)
        assert (first.status_code, again.status_code) == (200, 200)
        assert first.json() == {**after, "allocated": True}
        assert again.json() == {**after, "allocated": False}

    def test_refuses_a_balance_without_a_tier(self, api):
        ann = UserFactory.create()
        funded(ann)

        refused = api(AdminFactory.create()).post(ALLOCATE, {"userId": str(ann.pk)})

        assert (refused.status_code, refused.json()["code"]) == (409, "no_subscription")
