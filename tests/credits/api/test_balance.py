import pytest

from tests.support.factories.credits import deduct, hold, make_balance
from tests.support.factories.identity import AdminFactory, MembershipFactory, UserFactory
from tests.support.times import DAY, HOUR, MINUTE, NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

BALANCE = "/api/credits/balance"


class TestReadBalance:
    def test_tells_the_callers_own(self, api):
        ann = UserFactory.create()
        make_balance(ann, [(100, None), (30, DAY)])

        answer = api(ann).get(BALANCE)

        assert answer.status_code == 200
        assert answer.json() == {
            "userId": str(ann.pk),
            "organizationId": None,
            "balance": 130,
            "held": 0,
            "available": 130,
            "debt": 0,
            "tier": None,
            "pendingTier": None,
            "lastUpdated": "2025-03-03T12:00:00Z",
            "nextAllocationAt": None,
            "nextExpiry": {"amount": 30, "at": "2025-03-04T12:00:00Z"},
            "sequence": 2,
            "version": 2,
        }

    def test_tells_a_pools_to_its_viewer(self, api):
        seat = MembershipFactory.create(role="viewer")
        make_balance(seat.organization, [(70, None)])

        told = api(seat.user).get(BALANCE, {"organizationId": seat.organization.pk}).json()

        assert (told["organizationId"], told["userId"], told["available"]) == (str(seat.organization.pk), None, 70)

    def test_tells_anybodys_to_an_admin(self, api):
        ann = UserFactory.create()
        make_balance(ann)

        assert api(AdminFactory.create()).get(BALANCE, {"user_id": ann.pk}).json()["balance"] == 100

    def test_counts_held_credits_but_not_as_available(self, api):
        ann = UserFactory.create()
        hold(make_balance(ann), 40)

        told = api(ann).get(BALANCE).json()

        assert (told["balance"], told["held"], told["available"]) == (100, 40, 60)

    def test_leaves_expired_credits_out_from_the_instant_they_expire(self, api, clock_at):
        ann = UserFactory.create()
        make_balance(ann, [(100, None), (30, DAY)])

        clock_at(NOON + DAY)

        assert api(ann).get(BALANCE).json()["balance"] == 100

    def test_is_not_found_where_nobody_opened_one(self, api):
        refused = api(UserFactory.create()).get(BALANCE)

        assert (refused.status_code, refused.json()["code"]) == (404, "balance_not_found")

    def test_costs_one_query_for_the_caller_one_for_the_ledger_and_one_for_the_tier(
        self, api, django_assert_num_queries
    ):
        ann = UserFactory.create()
        make_balance(ann)
        client = api(ann)

        with django_assert_num_queries(3):
            client.get(BALANCE)


class TestReadPastBalance:
    def test_tells_the_counts_of_then_and_nothing_else(self, api, clock_at):
        ann = UserFactory.create()
        balance = make_balance(ann)
        deduct(balance, 30, at=NOON + HOUR)
        clock_at(NOON + DAY)

        told = api(ann).get(BALANCE, {"at": "2025-03-03T12:30:00Z"}).json()

        counts = {"balance": 100, "held": 0, "available": 100, "debt": 0, "at": "2025-03-03T12:30:00Z"}
        others = ["userId", "organizationId", "tier", "pendingTier", "lastUpdated", "nextAllocationAt", "nextExpiry"]
        assert told == {**counts, **dict.fromkeys([*others, "sequence", "version"])}

    def test_is_zero_before_the_balance_existed(self, api):
        ann = UserFactory.create()
        make_balance(ann)

        told = api(ann).get(BALANCE, {"at": (NOON - MINUTE).isoformat()}).json()

        assert (told["balance"], told["available"]) == (0, 0)

    def test_is_refused_for_the_future(self, api):
        ann = UserFactory.create()
        make_balance(ann)

        refused = api(ann).get(BALANCE, {"at": (NOON + MINUTE).isoformat()})

        assert refused.status_code == 400
        assert [(e["field"], e["code"]) for e in refused.json()["errors"]] == [("at", "in_future")]
