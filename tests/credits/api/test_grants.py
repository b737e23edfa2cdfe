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
    def test_tells_what_is_left_of_each(self, api):
        ann = UserFactory.create()
        deduct(make_balance(ann, [(100, DAY)], type="purchase", unit_price=Decimal("0.1"), priority=60), 30)

        [told] = api(ann).get(GRANTS).json()["results"]

        assert told.pop("id")
        assert told == {
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

    def test_is_empty_where_no_balance_was_opened(self, api):
        assert api(UserFactory.create()).get(GRANTS).json()["results"] == []

    @pytest.mark.parametrize(
        ("status", "amounts"), [("active", [50]), ("spent", [10]), ("expired", [30]), ("voided", [])]
    )
    def test_tells_those_of_one_status(self, api, clock_at, status, amounts):
        ann = UserFactory.create()
        deduct(make_balance(ann, [(10, None)]), 10)
        make_balance(ann, [(30, DAY), (50, None)])
        clock_at(NOON + DAY)

        found = api(ann).get(GRANTS, {"status": status}).json()["results"]

        assert [row["amount"] for row in found] == amounts
        assert all(row["status"] == status for row in found)

    def test_shows_nothing_of_an_expired_grant_before_the_sweep(self, api, clock_at):
        ann = UserFactory.create()
        make_balance(ann, [(30, DAY)])
        clock_at(NOON + DAY)

        [told] = api(ann).get(GRANTS, {"status": "expired"}).json()["results"]

        assert (told["remaining"], told["status"]) == (0, "expired")
        assert api(ann).get(GRANTS, {"status": "active"}).json()["results"] == []

    def test_counts_pins_as_held_until_their_hold_lapses(self, api, clock_at):
        ann = UserFactory.create()
        hold(make_balance(ann), 40, expires_in=HOUR)

        clock_at(NOON + HOUR - MINUTE)
        [pinned] = api(ann).get(GRANTS).json()["results"]
        clock_at(NOON + HOUR)
        [lapsed] = api(ann).get(GRANTS).json()["results"]

        assert (pinned["remaining"], pinned["held"]) == (60, 40)
        assert (lapsed["remaining"], lapsed["held"]) == (100, 0)

    def test_shows_what_rolls_over_where_it_comes_from_until_it_is_written(self, api, clock_at):
        ann = UserFactory.create()
        balance = make_subscribed_balance(ann, make_capped_tier(cap=70, months=1).code)
        clock_at(month(1))

        [before] = api(ann).get(GRANTS, {"status": "active"}).json()["results"]
        assert api(ann).get(GRANTS, {"status": "expired"}).json()["results"] == []
        operations.expire_credits(balance_ids=[balance.pk], at=month(1))
        [after] = api(ann).get(GRANTS, {"status": "active"}).json()["results"]

        assert (before["remaining"], before["expiresAt"]) == (70, "2025-05-03T12:00:00Z")
        assert (after["remaining"], after["expiresAt"]) == (70, "2025-05-03T12:00:00Z")
        assert (before["source"], after["source"]) == ("allocation", "rollover")

    def test_lets_what_a_lapsed_hold_gives_back_repay_debt_before_it_is_written(self, api, clock_at):
        ann = UserFactory.create()
        balance = make_balance(ann, type="purchase")
        hold(balance, 60, expires_in=HOUR)
        owe(balance, 80)
        clock_at(NOON + HOUR)

        [told] = api(ann).get(GRANTS).json()["results"]

        assert (told["remaining"], told["held"]) == (20, 0)
        assert api(ann).get("/api/credits/balance").json()["available"] == 20

    def test_refuses_a_status_that_is_none(self, api):
        refused = api(UserFactory.create()).get(GRANTS, {"status": "gone"})

        assert refused.json()["errors"][0]["code"] == "invalid_choice"
