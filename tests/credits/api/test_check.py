from datetime import timedelta

import pytest
from django.db import connection

from tests.support.factories.credits import make_balance
from tests.support.factories.identity import MembershipFactory, UserFactory
from tests.support.ledger import table_digests
from tests.support.times import DAY, NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

CHECK = "/api/credits/check"


def suspend(balance):
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE credits_creditbalance SET suspended_at = %s, version = version + 1 WHERE id = %s",
            [NOON, balance.pk],
        )


class TestCheck:
    def test_allows_what_is_available_and_writes_nothing(self, api):
        user = UserFactory.create()
        make_balance(user)
        before = table_digests()

        response = api(user).get(CHECK, {"feature": "advanced-ai-analysis", "quantity": 4})

        assert response.status_code == 200
        assert response.json() == {"allowed": True, "cost": 100, "available": 100, "reason": None, "limit": None}
        assert table_digests() == before

    def test_reports_insufficient_credits(self, api):
        user = UserFactory.create()
        make_balance(user)

        body = api(user).get(CHECK, {"amount": 101}).json()

        assert body == {
            "allowed": False,
            "cost": 101,
            "available": 100,
            "reason": "insufficient_credits",
            "limit": None,
        }

    def test_ignores_expired_credits(self, api, clock_at):
        user = UserFactory.create()
        make_balance(user, [(100, DAY)])
        clock_at(NOON + timedelta(days=1))

        assert api(user).get(CHECK, {"amount": 1}).json()["reason"] == "insufficient_credits"

    def test_reports_a_balance_that_does_not_exist(self, api):
        body = api(UserFactory.create()).get(CHECK, {"amount": 1}).json()

        assert (body["allowed"], body["available"], body["reason"]) == (False, 0, "balance_not_found")

    def test_reports_a_suspension_before_insufficient_credits(self, api):
        user = UserFactory.create()
        suspend(make_balance(user))

        assert api(user).get(CHECK, {"amount": 101}).json()["reason"] == "spending_suspended"

    @pytest.mark.parametrize("exists", [True, False])
    def test_reports_a_viewers_missing_permission_before_any_other_reason(self, api, exists):
        membership = MembershipFactory.create(role="viewer")
        if exists:
            suspend(make_balance(membership.organization))

        body = api(membership.user).get(CHECK, {"amount": 101, "organizationId": membership.organization.pk}).json()

        assert (body["allowed"], body["reason"]) == (False, "permission_denied")

    def test_agrees_with_the_deduction_that_follows(self, api):
        user = UserFactory.create()
        make_balance(user)
        client = api(user)

        for amount in (99, 2, 1, 1):
            body = client.get(CHECK, {"amount": amount}).json()
            deduction = client.post("/api/credits/deduct", {"amount": amount, "description": "Spent"})

            assert body["allowed"] == (deduction.status_code == 200)
            assert body["reason"] == deduction.json().get("code")

    def test_rejects_an_unknown_feature(self, api):
        rejected = api(UserFactory.create()).get(CHECK, {"feature": "time-travel"})

        assert (rejected.status_code, rejected.json()["code"]) == (404, "feature_not_found")

    @pytest.mark.parametrize(
        ("payload", "field", "code"),
        [
            ({}, "amount", "required"),
            ({"amount": 1, "feature": "simple-ai-insight"}, "amount", "invalid_choice"),
            ({"amount": 1, "quantity": 2}, "quantity", "invalid_choice"),
            ({"amount": 0}, "amount", "out_of_range"),
            ({"amount": "9.5"}, "amount", "wrong_type"),
            ({"feature": "simple-ai-insight", "quantity": 10**12}, "quantity", "out_of_range"),
        ],
    )
    def test_names_invalid_parameters(self, api, payload, field, code):
        rejected = api(UserFactory.create()).get(CHECK, payload)

        assert rejected.status_code == 400
        assert [(e["field"], e["code"]) for e in rejected.json()["errors"]] == [(field, code)]
