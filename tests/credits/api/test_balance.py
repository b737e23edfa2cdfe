import pytest

from tests.support.factories.credits import deduct, hold, make_balance
from tests.support.factories.identity import AdminFactory, MembershipFactory, UserFactory
from tests.support.factories.tiers import make_subscribed_balance, month
from tests.support.times import DAY, HOUR, MINUTE, NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

BALANCE = "/api/credits/balance"
PREVIEW = "/api/credits/balance/preview"


class TestReadBalance:
    def test_returns_the_callers_own_balance(self, api):
        user = UserFactory.create()
        make_balance(user, [(100, None), (30, DAY)])

        response = api(user).get(BALANCE)

        assert response.status_code == 200
        assert response.json() == {
            "userId": str(user.pk),
            "organizationId": None,
            "balance": 130,
            "held": 0,
            "available": 130,
            "debt": 0,
            "tier": None,
            "pendingTier": None,
            "tierPausedAt": None,
            "lastUpdated": "2025-03-03T12:00:00Z",
            "nextAllocationAt": None,
            "nextExpiry": {"amount": 30, "at": "2025-03-04T12:00:00Z"},
            "sequence": 2,
            "version": 2,
            "availableBySource": {"allocation": 0, "purchase": 0, "promotion": 130, "adjustment": 0, "rollover": 0},
        }

    def test_returns_a_pools_balance_to_its_viewer(self, api):
        membership = MembershipFactory.create(role="viewer")
        make_balance(membership.organization, [(70, None)])

        body = api(membership.user).get(BALANCE, {"organizationId": membership.organization.pk}).json()

        assert (body["organizationId"], body["userId"], body["available"]) == (
            str(membership.organization.pk),
            None,
            70,
        )

    def test_returns_any_balance_to_an_admin(self, api):
        user = UserFactory.create()
        make_balance(user)

        assert api(AdminFactory.create()).get(BALANCE, {"user_id": user.pk}).json()["balance"] == 100

    def test_includes_held_credits_in_the_balance_but_not_in_available(self, api):
        user = UserFactory.create()
        hold(make_balance(user), 40)

        body = api(user).get(BALANCE).json()

        assert (body["balance"], body["held"], body["available"]) == (100, 40, 60)

    def test_excludes_credits_from_their_expiry_on(self, api, clock_at):
        user = UserFactory.create()
        make_balance(user, [(100, None), (30, DAY)])

        clock_at(NOON + DAY)

        assert api(user).get(BALANCE).json()["balance"] == 100

    def test_is_not_found_if_the_balance_does_not_exist(self, api):
        rejected = api(UserFactory.create()).get(BALANCE)

        assert (rejected.status_code, rejected.json()["code"]) == (404, "balance_not_found")

    def test_runs_one_query_for_the_caller_one_for_the_ledger_and_one_for_the_tier(
        self, api, django_assert_num_queries
    ):
        user = UserFactory.create()
        make_balance(user)
        client = api(user)

        with django_assert_num_queries(3):
            client.get(BALANCE)


class TestReadPastBalance:
    def test_returns_the_amounts_at_that_time_and_null_for_the_rest(self, api, clock_at):
        user = UserFactory.create()
        balance = make_balance(user)
        clock_at(NOON + DAY)
        deduct(balance, 30, at=NOON + HOUR)

        body = api(user).get(BALANCE, {"at": "2025-03-03T12:30:00Z"}).json()

        amounts = {"balance": 100, "held": 0, "available": 100, "debt": 0, "at": "2025-03-03T12:30:00Z"}
        others = ["userId", "organizationId", "lastUpdated", "nextExpiry", "sequence", "version", "availableBySource"]
        tiers = ["tier", "pendingTier", "tierPausedAt", "nextAllocationAt"]
        assert body == {**amounts, **dict.fromkeys([*others, *tiers])}

    def test_is_zero_before_the_balance_existed(self, api):
        user = UserFactory.create()
        make_balance(user)

        body = api(user).get(BALANCE, {"at": (NOON - MINUTE).isoformat()}).json()

        assert (body["balance"], body["available"]) == (0, 0)

    def test_is_rejected_for_the_future(self, api):
        user = UserFactory.create()
        make_balance(user)

        rejected = api(user).get(BALANCE, {"at": (NOON + MINUTE).isoformat()})

        assert rejected.status_code == 400
        assert [(e["field"], e["code"]) for e in rejected.json()["errors"]] == [("at", "in_future")]


class TestPreviewBalance:
    def test_returns_the_amounts_after_what_is_due_by_then(self, api):
        user = UserFactory.create()
        hold(make_balance(user, [(100, None), (30, DAY)]), 40)

        response = api(user).get(PREVIEW, {"at": "2025-03-04T12:00:00Z"})

        assert response.status_code == 200
        assert response.json() == {
            "userId": str(user.pk),
            "organizationId": None,
            "at": "2025-03-04T12:00:00Z",
            "balance": 100,
            "held": 0,
            "available": 100,
            "debt": 0,
            "nextExpiry": None,
            "availableBySource": {"allocation": 0, "purchase": 0, "promotion": 100, "adjustment": 0, "rollover": 0},
        }

    def test_has_the_next_expiry_after_that_time(self, api):
        user = UserFactory.create()
        make_balance(user, [(20, HOUR), (30, DAY)])

        body = api(user).get(PREVIEW, {"at": (NOON + HOUR).isoformat()}).json()

        assert body["nextExpiry"] == {"amount": 30, "at": "2025-03-04T12:00:00Z"}

    def test_contains_the_coming_allocations_if_asked_for(self, api):
        user = UserFactory.create()
        make_subscribed_balance(user)
        at = month(2).isoformat()

        without = api(user).get(PREVIEW, {"at": at}).json()
        with_allocations = api(user).get(PREVIEW, {"at": at, "withAllocations": "true"}).json()

        assert (without["available"], with_allocations["available"]) == (400, 1200)

    def test_is_for_the_balances_that_the_caller_may_read(self, api):
        membership, stranger = MembershipFactory.create(role="viewer"), UserFactory.create()
        make_balance(membership.organization, [(70, None)])
        query = {"organizationId": membership.organization.pk, "at": NOON.isoformat()}

        assert api(membership.user).get(PREVIEW, query).json()["available"] == 70
        assert api(stranger).get(PREVIEW, query).status_code == 404

    @pytest.mark.parametrize(
        ("query", "error"),
        [
            ({}, ("at", "required")),
            ({"at": (NOON - MINUTE).isoformat()}, ("at", "in_past")),
            ({"at": (NOON + 4000 * DAY).isoformat(), "withAllocations": "true"}, ("at", "out_of_range")),
            ({"at": NOON.isoformat(), "withAllocations": "1"}, ("withAllocations", "wrong_type")),
        ],
    )
    def test_rejects_a_missing_past_or_distant_time_and_another_flag(self, api, query, error):
        user = UserFactory.create()
        make_balance(user)

        rejected = api(user).get(PREVIEW, query)

        assert rejected.status_code == 400
        assert [(e["field"], e["code"]) for e in rejected.json()["errors"]] == [error]
