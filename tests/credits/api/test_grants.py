from decimal import Decimal

import pytest

from credits import operations
from tests.support.factories.credits import deduct, hold, make_balance, owe
from tests.support.factories.identity import UserFactory
from tests.support.factories.tiers import make_capped_tier, make_subscribed_balance, month
from tests.support.times import DAY, HOUR, MINUTE, NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

GRANTS = "/api/credits/grants"


class TestListGrants:
    def test_shows_what_remains_of_each_grant(self, api):
        user = UserFactory.create()
        deduct(make_balance(user, [(100, DAY)], type="purchase", unit_price=Decimal("0.1"), priority=60), 30)

        [grant] = api(user).get(GRANTS).json()["results"]

        assert grant.pop("id")
        assert grant == {
            "source": "purchase",
            "amount": 100,
            "remaining": 70,
            "held": 0,
            "priority": 60,
            "effectiveAt": "2025-03-03T12:00:00Z",
            "expiresAt": "2025-03-04T12:00:00Z",
            "unitPrice": "0.10",
            "status": "active",
        }

    def test_is_empty_if_the_balance_does_not_exist(self, api):
        assert api(UserFactory.create()).get(GRANTS).json()["results"] == []

    @pytest.mark.parametrize(
        ("status", "amounts"), [("active", [50]), ("spent", [10]), ("expired", [30]), ("voided", [])]
    )
    def test_filters_by_status(self, api, clock_at, status, amounts):
        user = UserFactory.create()
        deduct(make_balance(user, [(10, None)]), 10)
        make_balance(user, [(30, DAY), (50, None)])
        clock_at(NOON + DAY)

        grants = api(user).get(GRANTS, {"status": status}).json()["results"]

        assert [row["amount"] for row in grants] == amounts
        assert all(row["status"] == status for row in grants)

    def test_shows_an_expired_grant_as_expired_before_the_expiry_job_runs(self, api, clock_at):
        user = UserFactory.create()
        make_balance(user, [(30, DAY)])
        clock_at(NOON + DAY)

        [grant] = api(user).get(GRANTS, {"status": "expired"}).json()["results"]

        assert (grant["remaining"], grant["status"]) == (0, "expired")
        assert api(user).get(GRANTS, {"status": "active"}).json()["results"] == []

    def test_shows_pinned_credits_as_held_until_their_hold_lapses(self, api, clock_at):
        user = UserFactory.create()
        hold(make_balance(user), 40, expires_in=HOUR)

        clock_at(NOON + HOUR - MINUTE)
        [pinned] = api(user).get(GRANTS).json()["results"]
        clock_at(NOON + HOUR)
        [lapsed] = api(user).get(GRANTS).json()["results"]

        assert (pinned["remaining"], pinned["held"]) == (60, 40)
        assert (lapsed["remaining"], lapsed["held"]) == (100, 0)

    def test_shows_a_due_rollover_on_its_source_grant_until_it_is_written(self, api, clock_at):
        user = UserFactory.create()
        balance = make_subscribed_balance(user, make_capped_tier(cap=70, months=1).code)
        clock_at(month(1))

        [before] = api(user).get(GRANTS, {"status": "active"}).json()["results"]
        assert api(user).get(GRANTS, {"status": "expired"}).json()["results"] == []
        operations.expire_credits(balance_ids=[balance.pk], at=month(1))
        [after] = api(user).get(GRANTS, {"status": "active"}).json()["results"]

        assert (before["remaining"], before["expiresAt"]) == (70, "2025-05-03T12:00:00Z")
        assert (after["remaining"], after["expiresAt"]) == (70, "2025-05-03T12:00:00Z")
        assert (before["source"], after["source"]) == ("allocation", "rollover")

    def test_applies_debt_repayment_by_a_lapsed_hold_before_it_is_written(self, api, clock_at):
        user = UserFactory.create()
        balance = make_balance(user, type="purchase")
        hold(balance, 60, expires_in=HOUR)
        owe(balance, 80)
        clock_at(NOON + HOUR)

        [grant] = api(user).get(GRANTS).json()["results"]

        assert (grant["remaining"], grant["held"]) == (20, 0)
        assert api(user).get("/api/credits/balance").json()["available"] == 20

    def test_rejects_an_unknown_status(self, api):
        rejected = api(UserFactory.create()).get(GRANTS, {"status": "gone"})

        assert rejected.json()["errors"][0]["code"] == "invalid_choice"
