import pytest

from credits.models import CreditGrant, CreditTransaction
from tests.support.factories.credits import make_balance
from tests.support.factories.identity import AdminFactory, OrganizationFactory, UserFactory
from tests.support.factories.tiers import month
from tests.support.ledger import table_digests
from tests.support.times import DAY, NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

INITIALIZE = "/api/credits/initialize"
TIER = "/api/credits/tier"
PREVIEW = "/api/credits/tier/preview"
SCHEDULED = "/api/credits/tier/scheduled"
PAUSE = "/api/credits/tier/pause"
RESUME = "/api/credits/tier/resume"
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
        "tierPausedAt": None,
        "lastUpdated": "2025-03-03T12:00:00Z",
        "nextAllocationAt": "2025-04-03T12:00:00Z",
        "nextExpiry": None,
        "sequence": 1,
        "version": 1,
        **differently,
    }


class TestInitialize:
    def test_opens_a_balance_with_the_monthly_credits(self, api):
        ann, admin = UserFactory.create(), AdminFactory.create()

        answer = api(admin).post(INITIALIZE, {"userId": str(ann.pk), "tier": "explorer"})

        assert answer.status_code == 201
        assert answer.json() == balance_of(ann)
        sources = {"adjustment": 0, "allocation": 400, "promotion": 0, "purchase": 0, "rollover": 0}
        assert api(ann).get("/api/credits/balance").json() == {**balance_of(ann), "availableBySource": sources}

    @pytest.mark.parametrize("credits", [0, 1, 10**12])
    def test_grants_the_initial_balance(self, api, credits):
        pool = OrganizationFactory.create()
        arguments = {"organizationId": str(pool.pk), "tier": "pro", "initialBalance": credits}

        body = api(AdminFactory.create()).post(INITIALIZE, arguments).json()

        assert (body["organizationId"], body["userId"], body["tier"]) == (str(pool.pk), None, "pro")
        assert (body["balance"], body["sequence"]) == (credits, 1 if credits else 0)

    def test_subscribes_a_balance_without_a_tier(self, api):
        ann = UserFactory.create()
        make_balance(ann)

        body = api(AdminFactory.create()).post(INITIALIZE, {"userId": str(ann.pk), "tier": "explorer"}).json()

        assert (body["balance"], body["tier"]) == (500, "explorer")

    def test_rejects_a_balance_with_a_tier(self, api):
        client, arguments = api(AdminFactory.create()), {"userId": str(UserFactory.create().pk), "tier": "explorer"}
        client.post(INITIALIZE, arguments)
        before = table_digests()

        rejected = client.post(INITIALIZE, arguments)

        assert (rejected.status_code, rejected.json()["code"]) == (409, "balance_exists")
        assert table_digests() == before


class TestChangeTier:
    def test_changes_the_tier_at_once_and_keeps_the_credits(self, api):
        ann, client = UserFactory.create(), api(AdminFactory.create())
        client.post(INITIALIZE, {"userId": str(ann.pk), "tier": "explorer"})

        answer = client.put(TIER, {"userId": str(ann.pk), "tier": "growth", "effective": "now", "proration": "none"})

        assert answer.status_code == 200
        assert answer.json() == balance_of(ann, tier="growth", version=2)

    def test_response_contains_the_grant_of_a_proration(self, api, clock_at):
        ann, admin = UserFactory.create(), AdminFactory.create()
        client, arguments = api(admin), {"userId": str(ann.pk), "tier": "growth", "proration": "difference"}
        client.post(INITIALIZE, {"userId": str(ann.pk), "tier": "explorer"})
        clock_at(NOON + 15.5 * DAY)

        body = client.put(TIER, arguments).json()

        given = CreditTransaction.objects.get(sequence=2)
        moved = body.pop("transaction")
        assert (moved["id"], moved["type"], moved["amount"]) == (str(given.pk), "allocation", 800)
        assert moved["description"] == "Change to Growth: 19 March 2025 to 3 April 2025"
        assert [entry["amount"] for entry in moved["entries"]] == [800]
        assert body == balance_of(
            ann,
            balance=1200,
            available=1200,
            tier="growth",
            lastUpdated="2025-03-19T00:00:00Z",
            sequence=2,
            version=2,
        )

    def test_next_period_change_takes_effect_without_a_job(self, api, clock_at):
        ann, client = UserFactory.create(), api(AdminFactory.create())
        client.post(INITIALIZE, {"userId": str(ann.pk), "tier": "growth"})

        body = client.put(TIER, {"userId": str(ann.pk), "tier": "explorer", "effective": "nextPeriod"}).json()
        clock_at(month(1))
        later = api(ann).get("/api/credits/balance").json()

        assert (body["tier"], body["pendingTier"]) == ("growth", {"tier": "explorer", "at": "2025-04-03T12:00:00Z"})
        assert "transaction" not in body
        assert (later["tier"], later["pendingTier"]) == ("explorer", None)
        spent = api(ann).post("/api/credits/deduct", {"amount": 1, "description": "An insight"}).json()
        assert (spent["tier"], spent["pendingTier"]) == ("explorer", None)
        rows = client.get("/api/credits/balances", {"tier": "explorer"}).json()["results"]
        assert [row["tier"] for row in rows] == ["explorer"]
        assert client.get("/api/credits/balances", {"tier": "growth"}).json()["results"] == []

    def test_rejects_proration_in_the_next_period(self, api):
        ann, client = UserFactory.create(), api(AdminFactory.create())
        client.post(INITIALIZE, {"userId": str(ann.pk), "tier": "explorer"})
        arguments = {"userId": str(ann.pk), "tier": "growth", "effective": "nextPeriod", "proration": "difference"}
        before = table_digests()

        for rejected in (client.put(TIER, arguments), client.post(PREVIEW, arguments)):
            assert (rejected.status_code, rejected.json()["code"]) == (400, "invalid")
            assert [(e["field"], e["code"]) for e in rejected.json()["errors"]] == [("proration", "invalid_choice")]
        assert table_digests() == before

    def test_rejects_a_balance_without_a_tier(self, api):
        ann = UserFactory.create()
        make_balance(ann)

        rejected = api(AdminFactory.create()).put(TIER, {"userId": str(ann.pk), "tier": "growth"})

        assert (rejected.status_code, rejected.json()["code"]) == (409, "no_subscription")

    def test_unknown_balance_is_404(self, api):
        rejected = api(AdminFactory.create()).put(TIER, {"userId": str(UserFactory.create().pk), "tier": "growth"})

        assert (rejected.status_code, rejected.json()["code"]) == (404, "balance_not_found")


class TestPreviewTier:
    def test_returns_the_effect_of_a_change_and_writes_nothing(self, api, clock_at):
        ann, client = UserFactory.create(), api(AdminFactory.create())
        client.post(INITIALIZE, {"userId": str(ann.pk), "tier": "explorer"})
        clock_at(NOON + 15.5 * DAY)
        arguments = {"userId": str(ann.pk), "tier": "growth", "proration": "difference"}
        before = table_digests()

        answer = client.post(PREVIEW, arguments, headers={"Idempotency-Key": "nothing to name"})

        assert (answer.status_code, table_digests()) == (200, before)
        assert answer.json() == {
            "fromTier": "explorer",
            "toTier": "growth",
            "effectiveAt": "2025-03-19T00:00:00Z",
            "grantNow": 800,
            "nextAllocation": {"at": "2025-04-03T12:00:00Z", "amount": 2000},
            "balanceAfter": 1200,
        }
        assert client.put(TIER, arguments).json()["balance"] == 1200

    def test_returns_the_effect_of_a_change_in_the_next_period(self, api):
        ann, client = UserFactory.create(), api(AdminFactory.create())
        client.post(INITIALIZE, {"userId": str(ann.pk), "tier": "growth"})

        body = client.post(PREVIEW, {"userId": str(ann.pk), "tier": "explorer", "effective": "nextPeriod"}).json()

        assert body == {
            "fromTier": "growth",
            "toTier": "explorer",
            "effectiveAt": "2025-04-03T12:00:00Z",
            "grantNow": 0,
            "nextAllocation": {"at": "2025-04-03T12:00:00Z", "amount": 400},
            "balanceAfter": 2000,
        }

    @pytest.mark.parametrize(
        ("tier", "expected"), [("no-such", (404, "tier_not_found")), ("pro", (409, "no_subscription"))]
    )
    def test_rejects_what_the_change_rejects(self, api, tier, expected):
        ann = UserFactory.create()
        make_balance(ann)

        rejected = api(AdminFactory.create()).post(PREVIEW, {"userId": str(ann.pk), "tier": tier})

        assert (rejected.status_code, rejected.json()["code"]) == expected


class TestCancelScheduledTier:
    def test_keeps_the_current_tier(self, api):
        pool, client = OrganizationFactory.create(), api(AdminFactory.create())
        client.post(INITIALIZE, {"organizationId": str(pool.pk), "tier": "growth"})
        client.put(TIER, {"organizationId": str(pool.pk), "tier": "explorer", "effective": "nextPeriod"})

        answer = client.delete(f"{SCHEDULED}?organizationId={pool.pk}")

        assert answer.status_code == 200
        assert (answer.json()["tier"], answer.json()["pendingTier"]) == ("growth", None)

    def test_replays_its_response_for_the_same_key(self, api):
        ann, client, key = UserFactory.create(), api(AdminFactory.create()), {"Idempotency-Key": "no, thanks"}
        client.post(INITIALIZE, {"userId": str(ann.pk), "tier": "growth"})
        client.put(TIER, {"userId": str(ann.pk), "tier": "explorer", "effective": "nextPeriod"})
        first = client.delete(f"{SCHEDULED}?userId={ann.pk}", headers=key)
        client.put(TIER, {"userId": str(ann.pk), "tier": "pro"})
        before = table_digests()

        repeated = client.delete(f"{SCHEDULED}?userId={ann.pk}", headers=key)

        assert (repeated.status_code, repeated.content, repeated["Idempotency-Replayed"]) == (
            200,
            first.content,
            "true",
        )
        assert table_digests() == before

    def test_rejects_when_nothing_is_scheduled(self, api):
        ann, client = UserFactory.create(), api(AdminFactory.create())
        client.post(INITIALIZE, {"userId": str(ann.pk), "tier": "growth"})
        before = table_digests()

        rejected = client.delete(f"{SCHEDULED}?userId={ann.pk}")

        assert (rejected.status_code, rejected.json()["code"]) == (409, "no_scheduled_change")
        assert table_digests() == before

    @pytest.mark.parametrize(
        ("query", "error"),
        [
            ("", ("userId", "exactly_one_owner")),
            ("?userId=me", ("userId", "wrong_type")),
            ("?colour=red", ("colour", "unknown_field")),
        ],
    )
    def test_rejects_a_query_without_an_owner(self, api, query, error):
        rejected = api(AdminFactory.create()).delete(SCHEDULED + query)

        assert rejected.status_code == 400
        assert [(e["field"], e["code"]) for e in rejected.json()["errors"]] == [error]


class TestAllocateMonth:
    def test_grants_the_credits_of_the_period_once(self, api, clock_at):
        ann, admin = UserFactory.create(), AdminFactory.create()
        client, arguments = api(admin), {"userId": str(ann.pk)}
        client.post(INITIALIZE, {**arguments, "tier": "explorer", "initialBalance": 0})
        clock_at(NOON + DAY)

        first = client.post(ALLOCATE, arguments)
        repeated = client.post(ALLOCATE, arguments)

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
        assert (first.status_code, repeated.status_code) == (200, 200)
        assert first.json() == {**after, "allocated": True}
        assert repeated.json() == {**after, "allocated": False}

    def test_rejects_a_balance_without_a_tier(self, api):
        ann = UserFactory.create()
        make_balance(ann)

        rejected = api(AdminFactory.create()).post(ALLOCATE, {"userId": str(ann.pk)})

        assert (rejected.status_code, rejected.json()["code"]) == (409, "no_subscription")


class TestEnd:
    def test_ends_the_subscription_now_by_default(self, api):
        ann, client = UserFactory.create(), api(AdminFactory.create())
        client.post(INITIALIZE, {"userId": str(ann.pk), "tier": "explorer"})

        answer = client.delete(f"{TIER}?userId={ann.pk}")

        assert answer.status_code == 200
        assert answer.json() == balance_of(ann, tier=None, nextAllocationAt=None, version=2)

    def test_shows_and_cancels_an_end_in_the_next_period(self, api, clock_at):
        ann, client = UserFactory.create(), api(AdminFactory.create())
        client.post(INITIALIZE, {"userId": str(ann.pk), "tier": "explorer"})

        pending = client.delete(f"{TIER}?userId={ann.pk}&effective=nextPeriod").json()
        cancelled = client.delete(f"{SCHEDULED}?userId={ann.pk}").json()
        client.delete(f"{TIER}?userId={ann.pk}&effective=nextPeriod")
        clock_at(month(1))
        ended = api(ann).get("/api/credits/balance").json()

        scheduled = {"tier": None, "at": "2025-04-03T12:00:00Z"}
        assert pending == balance_of(ann, pendingTier=scheduled, nextAllocationAt=None, version=2)
        assert cancelled == balance_of(ann, version=3)
        assert (ended["tier"], ended["pendingTier"], ended["nextAllocationAt"]) == (None, None, None)

    def test_is_rejected_twice_and_replayed_with_its_key(self, api):
        ann, client, key = UserFactory.create(), api(AdminFactory.create()), {"Idempotency-Key": "bye"}
        client.post(INITIALIZE, {"userId": str(ann.pk), "tier": "explorer"})
        first = client.delete(f"{TIER}?userId={ann.pk}", headers=key)
        before = table_digests()

        repeated = client.delete(f"{TIER}?userId={ann.pk}", headers=key)
        rejected = client.delete(f"{TIER}?userId={ann.pk}")

        assert (repeated.content, repeated["Idempotency-Replayed"]) == (first.content, "true")
        body = rejected.json()
        assert (rejected.status_code, body["code"], body["endedAt"]) == (
            409,
            "subscription_ended",
            "2025-03-03T12:00:00Z",
        )
        assert table_digests() == before

    def test_balance_can_be_initialized_again(self, api):
        ann, client = UserFactory.create(), api(AdminFactory.create())
        client.post(INITIALIZE, {"userId": str(ann.pk), "tier": "explorer"})
        client.delete(f"{TIER}?userId={ann.pk}")

        answer = client.post(INITIALIZE, {"userId": str(ann.pk), "tier": "growth"})

        assert (answer.status_code, answer.json()["balance"]) == (201, 2000)

    @pytest.mark.parametrize(
        ("query", "error"),
        [
            ("", ("userId", "exactly_one_owner")),
            ("?effective=later", ("effective", "invalid_choice")),
            ("?reason=x", ("reason", "unknown_field")),
        ],
    )
    def test_rejects_an_invalid_query(self, api, query, error):
        rejected = api(AdminFactory.create()).delete(TIER + query)

        assert rejected.status_code == 400
        assert [(e["field"], e["code"]) for e in rejected.json()["errors"]] == [error]


class TestPause:
    def test_shows_the_pause_until_it_is_resumed(self, api):
        ann, client = UserFactory.create(), api(AdminFactory.create())
        client.post(INITIALIZE, {"userId": str(ann.pk), "tier": "explorer"})

        paused = client.post(PAUSE, {"userId": str(ann.pk)})
        resumed = client.post(RESUME, {"userId": str(ann.pk)})

        shown = balance_of(ann, tierPausedAt="2025-03-03T12:00:00Z", nextAllocationAt=None, version=2)
        assert (paused.status_code, paused.json()) == (200, shown)
        assert (resumed.status_code, resumed.json()) == (200, balance_of(ann, version=3))

    def test_is_replayed_with_its_key(self, api):
        ann, client, key = UserFactory.create(), api(AdminFactory.create()), {"Idempotency-Key": "rest"}
        client.post(INITIALIZE, {"userId": str(ann.pk), "tier": "explorer"})
        first = client.post(PAUSE, {"userId": str(ann.pk)}, headers=key)

        repeated = client.post(PAUSE, {"userId": str(ann.pk)}, headers=key)

        assert (repeated.content, repeated["Idempotency-Replayed"]) == (first.content, "true")

    def test_rejects_what_is_in_that_state_already(self, api):
        ann, client = UserFactory.create(), api(AdminFactory.create())
        client.post(INITIALIZE, {"userId": str(ann.pk), "tier": "explorer"})

        not_paused = client.post(RESUME, {"userId": str(ann.pk)})
        client.post(PAUSE, {"userId": str(ann.pk)})
        paused = client.post(PAUSE, {"userId": str(ann.pk)})

        assert (not_paused.status_code, not_paused.json()["code"]) == (409, "not_paused")
        assert (paused.status_code, paused.json()["code"]) == (409, "already_paused")

    @pytest.mark.parametrize("path", [TIER, PAUSE, RESUME])
    def test_rejects_a_balance_without_a_tier_and_a_plain_user(self, api, path):
        ann = UserFactory.create()
        make_balance(ann)
        for caller, expected in ((AdminFactory.create(), (409, "no_subscription")), (ann, (403, "permission_denied"))):
            client = api(caller)

            rejected = (
                client.delete(f"{path}?userId={ann.pk}") if path == TIER else client.post(path, {"userId": str(ann.pk)})
            )

            assert (rejected.status_code, rejected.json()["code"]) == expected
