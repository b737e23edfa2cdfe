from typing import Any

import pytest

from credits import operations
from tests.support.factories.credits import deduct, hold, make_balance
from tests.support.factories.identity import MembershipFactory, UserFactory
from tests.support.factories.tiers import make_capped_tier, make_expiring_tier, make_subscribed_balance, month
from tests.support.ledger import table_digests
from tests.support.times import DAY, HOUR, NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

FORECAST = "/api/credits/forecast"
UNKNOWN: dict[str, Any] = {
    "burnPerDay": None,
    "runsOutAt": None,
    "runsOutAtWithAllocations": None,
    "expiringUnused": [],
}


class TestReadForecast:
    def test_tells_when_it_runs_out_and_what_expires_first(self, api):
        ann = UserFactory.create()
        balance = make_balance(ann, [(100, None)], at=NOON - 20 * DAY)
        deduct(balance, 30, at=NOON - 10 * DAY)
        deduct(balance, 10, at=NOON - HOUR)
        make_balance(ann, [(50, 5 * DAY)])

        answer = api(ann).get(FORECAST)

        # 40 in 20 days: 2 a day. 10 of the 50 are burned by their expiry, then 60 last 30 days.
        assert answer.status_code == 200
        assert answer.json() == {
            "asOf": "2025-03-03T12:00:00Z",
            "windowDays": 20,
            "burnPerDay": 2.0,
            "runsOutAt": "2025-04-07T12:00:00Z",
            "runsOutAtWithAllocations": "2025-04-07T12:00:00Z",
            "expiringUnused": [
                {"grantId": str(balance.grants.earliest("-id").pk), "amount": 40, "at": "2025-03-08T12:00:00Z"}
            ],
            "nextAllocation": None,
            "reason": None,
        }

    def test_names_only_grants_that_are_written(self, api, clock_at):
        ann = UserFactory.create()
        balance = make_subscribed_balance(ann, make_capped_tier(cap=70, months=1).code)
        clock_at(month(1))

        [unused] = api(ann).get(FORECAST).json()["expiringUnused"]

        assert unused == {"grantId": str(balance.grants.get().pk), "amount": 70, "at": "2025-05-03T12:00:00Z"}

    def test_counts_the_allocations_that_are_coming(self, api):
        ann = UserFactory.create()
        balance = make_subscribed_balance(ann, at=NOON - 10 * DAY)  # 400 at once, and on the 21st of each month
        deduct(balance, 200, at=NOON - DAY)

        told = api(ann).get(FORECAST).json()

        assert (told["burnPerDay"], told["runsOutAt"]) == (20.0, "2025-03-13T12:00:00Z")
        assert told["runsOutAtWithAllocations"] == "2025-03-13T12:00:00Z"
        assert told["nextAllocation"] == {"at": "2025-03-21T12:00:00Z", "amount": 400}

    def test_lasts_for_ever_where_allocations_suffice(self, api):
        ann = UserFactory.create()
        deduct(make_subscribed_balance(ann, at=NOON - 20 * DAY), 100, at=NOON - DAY)

        told = api(ann).get(FORECAST).json()

        assert (told["burnPerDay"], told["runsOutAt"]) == (5.0, "2025-05-02T12:00:00Z")
        assert told["runsOutAtWithAllocations"] is None

    def test_lets_the_credits_of_a_period_expire_with_it(self, api):
        make_expiring_tier(monthly_credits=100)
        ann = UserFactory.create()
        balance = make_subscribed_balance(ann, tier="fleeting", at=NOON - 20 * DAY)
        deduct(balance, 20, at=NOON - DAY)

        told = api(ann).get(FORECAST).json()

        # 1 a day: of the 80 that are left 8 are burned until the period ends on the 11th.
        assert told["expiringUnused"] == [
            {"grantId": str(balance.grants.get().pk), "amount": 72, "at": "2025-03-11T12:00:00Z"}
        ]
        assert (told["runsOutAt"], told["runsOutAtWithAllocations"]) == ("2025-03-11T12:00:00Z", None)

    def test_subtracts_refunds_and_rounds_the_pace_to_two_places(self, api):
        ann = UserFactory.create()
        spent = deduct(make_balance(ann, at=NOON - 9 * DAY), 30, at=NOON - 8 * DAY)
        operations.refund_usage(transaction_id=spent.pk, amount=10, reason="It failed", at=NOON - DAY)

        assert api(ann).get(FORECAST).json()["burnPerDay"] == 2.22

    def test_looks_back_thirty_days_at_most(self, api):
        ann = UserFactory.create()
        balance = make_balance(ann, [(1000, None)], at=NOON - 90 * DAY)
        deduct(balance, 500, at=NOON - 31 * DAY)
        deduct(balance, 60, at=NOON - DAY)

        told = api(ann).get(FORECAST).json()

        assert (told["windowDays"], told["burnPerDay"]) == (30, 2.0)

    def test_takes_held_credits_as_spent(self, api):
        ann = UserFactory.create()
        balance = make_balance(ann, at=NOON - 10 * DAY)
        deduct(balance, 10, at=NOON - DAY)
        hold(balance, 60)

        assert api(ann).get(FORECAST).json()["runsOutAt"] == "2025-04-02T12:00:00Z"

    def test_says_that_it_is_used_up_already(self, api):
        ann = UserFactory.create()
        deduct(make_balance(ann, at=NOON - 10 * DAY), 100, at=NOON - DAY)

        assert api(ann).get(FORECAST).json()["runsOutAt"] == "2025-03-03T12:00:00Z"

    def test_tells_a_pools_to_its_viewer(self, api):
        seat = MembershipFactory.create(role="viewer")
        deduct(make_balance(seat.organization, at=NOON - 10 * DAY), 10, at=NOON - DAY)

        told = api(seat.user).get(FORECAST, {"organizationId": seat.organization.pk}).json()

        assert told["burnPerDay"] == 1.0

    def test_says_when_there_is_no_usage(self, api):
        ann = UserFactory.create()
        balance = make_balance(ann, [(30, 40 * DAY), (50, None)], at=NOON - 10 * DAY)

        told = api(ann).get(FORECAST).json()

        grant = balance.grants.get(amount=30)
        assert (told["reason"], told["burnPerDay"]) == ("no_usage", 0.0)
        assert (told["runsOutAt"], told["runsOutAtWithAllocations"]) == (None, None)
        assert told["expiringUnused"] == [{"grantId": str(grant.pk), "amount": 30, "at": "2025-04-02T12:00:00Z"}]

    @pytest.mark.parametrize(("age", "reason"), [(7 * DAY, None), (7 * DAY - HOUR, "not_enough_history")])
    def test_guesses_nothing_from_less_than_seven_days(self, api, age, reason):
        ann = UserFactory.create()
        deduct(make_balance(ann, [(100, None), (100, 60 * DAY)], at=NOON - age), 9, at=NOON - DAY)

        told = api(ann).get(FORECAST).json()

        assert told["reason"] == reason
        assert (told.items() >= UNKNOWN.items()) == (reason is not None)

    def test_says_so_of_an_empty_history_and_writes_nothing(self, api):
        ann = UserFactory.create()
        make_subscribed_balance(ann, initial_balance=0)
        before = table_digests()

        answer = api(ann).get(FORECAST)

        assert answer.status_code == 200
        assert answer.json() == {
            **UNKNOWN,
            "asOf": "2025-03-03T12:00:00Z",
            "windowDays": 0,
            "nextAllocation": {"at": "2025-04-03T12:00:00Z", "amount": 400},
            "reason": "not_enough_history",
        }
        assert table_digests() == before

    def test_is_not_found_where_nobody_opened_a_balance(self, api):
        refused = api(UserFactory.create()).get(FORECAST)

        assert (refused.status_code, refused.json()["code"]) == (404, "balance_not_found")

    def test_costs_as_many_queries_however_much_there_is(self, api, django_assert_num_queries):
        ann = UserFactory.create()
        deduct(make_balance(ann, at=NOON - 10 * DAY), 10, at=NOON - DAY)
        client = api(ann)

        # The caller, the subscription, the book, its first transaction, the usage.
        with django_assert_num_queries(5):
            client.get(FORECAST)

    def test_takes_no_parameters_but_the_owner(self, api):
        refused = api(UserFactory.create()).get(FORECAST, {"days": "9"})

        assert refused.status_code == 400
        assert [(e["field"], e["code"]) for e in refused.json()["errors"]] == [("days", "unknown_field")]
