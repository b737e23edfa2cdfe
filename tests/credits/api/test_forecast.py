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
NO_FORECAST: dict[str, Any] = {
    "burnPerDay": None,
    "runsOutAt": None,
    "runsOutAtWithAllocations": None,
    "expiringUnused": [],
}


class TestReadForecast:
    def test_returns_when_the_credits_run_out_and_which_expire_unused(self, api):
        user = UserFactory.create()
        balance = make_balance(user, [(100, None)], at=NOON - 20 * DAY)
        deduct(balance, 30, at=NOON - 10 * DAY)
        deduct(balance, 10, at=NOON - HOUR)
        make_balance(user, [(50, 5 * DAY)])

        response = api(user).get(FORECAST)

        # 40 in 20 days: 2 a day. 10 of the 50 are burned by their expiry, then 60 last 30 days.
        assert response.status_code == 200
        assert response.json() == {
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

    def test_names_the_stored_grant_of_a_due_rollover(self, api, clock_at):
        user = UserFactory.create()
        balance = make_subscribed_balance(user, make_capped_tier(cap=70, months=1).code)
        clock_at(month(1))

        [unused] = api(user).get(FORECAST).json()["expiringUnused"]

        assert unused == {"grantId": str(balance.grants.get().pk), "amount": 70, "at": "2025-05-03T12:00:00Z"}

    def test_includes_coming_allocations(self, api):
        user = UserFactory.create()
        balance = make_subscribed_balance(user, at=NOON - 10 * DAY)  # 400 at once, and on the 21st of each month
        deduct(balance, 200, at=NOON - DAY)

        body = api(user).get(FORECAST).json()

        assert (body["burnPerDay"], body["runsOutAt"]) == (20.0, "2025-03-13T12:00:00Z")
        assert body["runsOutAtWithAllocations"] == "2025-03-13T12:00:00Z"
        assert body["nextAllocation"] == {"at": "2025-03-21T12:00:00Z", "amount": 400}

    def test_never_runs_out_if_the_allocations_suffice(self, api):
        user = UserFactory.create()
        deduct(make_subscribed_balance(user, at=NOON - 20 * DAY), 100, at=NOON - DAY)

        body = api(user).get(FORECAST).json()

        assert (body["burnPerDay"], body["runsOutAt"]) == (5.0, "2025-05-02T12:00:00Z")
        assert body["runsOutAtWithAllocations"] is None

    def test_lets_credits_without_rollover_expire_with_their_period(self, api):
        make_expiring_tier(monthly_credits=100)
        user = UserFactory.create()
        balance = make_subscribed_balance(user, tier="fleeting", at=NOON - 20 * DAY)
        deduct(balance, 20, at=NOON - DAY)

        body = api(user).get(FORECAST).json()

        # 1 a day: of the 80 that are left 8 are burned until the period ends on the 11th.
        assert body["expiringUnused"] == [
            {"grantId": str(balance.grants.get().pk), "amount": 72, "at": "2025-03-11T12:00:00Z"}
        ]
        assert (body["runsOutAt"], body["runsOutAtWithAllocations"]) == ("2025-03-11T12:00:00Z", None)

    def test_subtracts_refunds_and_rounds_the_rate_to_two_places(self, api):
        user = UserFactory.create()
        spent = deduct(make_balance(user, at=NOON - 9 * DAY), 30, at=NOON - 8 * DAY)
        operations.refund_usage(transaction_id=spent.transaction.id, amount=10, reason="It failed", at=NOON - DAY)

        assert api(user).get(FORECAST).json()["burnPerDay"] == 2.22

    def test_uses_at_most_thirty_days_of_history(self, api):
        user = UserFactory.create()
        balance = make_balance(user, [(1000, None)], at=NOON - 90 * DAY)
        deduct(balance, 500, at=NOON - 31 * DAY)
        deduct(balance, 60, at=NOON - DAY)

        body = api(user).get(FORECAST).json()

        assert (body["windowDays"], body["burnPerDay"]) == (30, 2.0)

    def test_treats_held_credits_as_spent(self, api):
        user = UserFactory.create()
        balance = make_balance(user, at=NOON - 10 * DAY)
        deduct(balance, 10, at=NOON - DAY)
        hold(balance, 60)

        assert api(user).get(FORECAST).json()["runsOutAt"] == "2025-04-02T12:00:00Z"

    def test_runs_out_now_if_nothing_is_available(self, api):
        user = UserFactory.create()
        deduct(make_balance(user, at=NOON - 10 * DAY), 100, at=NOON - DAY)

        assert api(user).get(FORECAST).json()["runsOutAt"] == "2025-03-03T12:00:00Z"

    def test_returns_a_pools_forecast_to_its_viewer(self, api):
        membership = MembershipFactory.create(role="viewer")
        deduct(make_balance(membership.organization, at=NOON - 10 * DAY), 10, at=NOON - DAY)

        body = api(membership.user).get(FORECAST, {"organizationId": membership.organization.pk}).json()

        assert body["burnPerDay"] == 1.0

    def test_has_the_reason_no_usage_without_usage(self, api):
        user = UserFactory.create()
        balance = make_balance(user, [(30, 40 * DAY), (50, None)], at=NOON - 10 * DAY)

        body = api(user).get(FORECAST).json()

        grant = balance.grants.get(amount=30)
        assert (body["reason"], body["burnPerDay"]) == ("no_usage", 0.0)
        assert (body["runsOutAt"], body["runsOutAtWithAllocations"]) == (None, None)
        assert body["expiringUnused"] == [{"grantId": str(grant.pk), "amount": 30, "at": "2025-04-02T12:00:00Z"}]

    @pytest.mark.parametrize(("age", "reason"), [(7 * DAY, None), (7 * DAY - HOUR, "not_enough_history")])
    def test_requires_seven_days_of_history(self, api, age, reason):
        user = UserFactory.create()
        deduct(make_balance(user, [(100, None), (100, 60 * DAY)], at=NOON - age), 9, at=NOON - DAY)

        body = api(user).get(FORECAST).json()

        assert body["reason"] == reason
        assert (body.items() >= NO_FORECAST.items()) == (reason is not None)

    def test_has_the_reason_not_enough_history_without_history_and_writes_nothing(self, api):
        user = UserFactory.create()
        make_subscribed_balance(user, initial_balance=0)
        before = table_digests()

        response = api(user).get(FORECAST)

        assert response.status_code == 200
        assert response.json() == {
            **NO_FORECAST,
            "asOf": "2025-03-03T12:00:00Z",
            "windowDays": 0,
            "nextAllocation": {"at": "2025-04-03T12:00:00Z", "amount": 400},
            "reason": "not_enough_history",
        }
        assert table_digests() == before

    def test_is_not_found_if_the_balance_does_not_exist(self, api):
        rejected = api(UserFactory.create()).get(FORECAST)

        assert (rejected.status_code, rejected.json()["code"]) == (404, "balance_not_found")

    def test_runs_five_queries(self, api, django_assert_num_queries):
        user = UserFactory.create()
        deduct(make_balance(user, at=NOON - 10 * DAY), 10, at=NOON - DAY)
        client = api(user)

        # The caller, the subscription, the balance, its first transaction, the usage.
        with django_assert_num_queries(5):
            client.get(FORECAST)

    def test_rejects_parameters_other_than_the_owner(self, api):
        rejected = api(UserFactory.create()).get(FORECAST, {"days": "9"})

        assert rejected.status_code == 400
        assert [(e["field"], e["code"]) for e in rejected.json()["errors"]] == [("days", "unknown_field")]
