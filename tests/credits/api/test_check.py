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
    def test_allows_what_is_available(self, api):
        ann = UserFactory.create()
        make_balance(ann)
        before = table_digests()

        answer = api(ann).get(CHECK, {"feature": "advanced-ai-analysis", "quantity": 4})

        assert answer.status_code == 200
        assert answer.json() == {"allowed": True, "cost": 100, "available": 100, "reason": None, "limit": None}
        assert table_digests() == before

    def test_says_when_it_is_too_much(self, api):
        ann = UserFactory.create()
        make_balance(ann)

        told = api(ann).get(CHECK, {"amount": 101}).json()

        assert told == {
            "allowed": False,
            "cost": 101,
            "available": 100,
            "reason": "insufficient_credits",
            "limit": None,
        }

    def test_does_not_count_expired_credits(self, api, clock_at):
        ann = UserFactory.create()
        make_balance(ann, [(100, DAY)])
        clock_at(NOON + timedelta(days=1))

        assert api(ann).get(CHECK, {"amount": 1}).json()["reason"] == "insufficient_credits"

    def test_says_when_nobody_opened_a_balance(self, api):
        told = api(UserFactory.create()).get(CHECK, {"amount": 1}).json()

        assert (told["allowed"], told["available"], told["reason"]) == (False, 0, "balance_not_found")

    def test_names_a_suspension_before_the_funds(self, api):
        ann = UserFactory.create()
        suspend(make_balance(ann))

        assert api(ann).get(CHECK, {"amount": 101}).json()["reason"] == "spending_suspended"

    @pytest.mark.parametrize("opened", [True, False])
    def test_names_a_viewers_lack_of_permission_before_anything_else(self, api, opened):
        seat = MembershipFactory.create(role="viewer")
        if opened:
            suspend(make_balance(seat.organization))

        told = api(seat.user).get(CHECK, {"amount": 101, "organizationId": seat.organization.pk}).json()

        assert (told["allowed"], told["reason"]) == (False, "permission_denied")

    def test_agrees_with_the_deduction_that_follows(self, api):
        ann = UserFactory.create()
        make_balance(ann)
        client = api(ann)

        for amount in (99, 2, 1, 1):
            told = client.get(CHECK, {"amount": amount}).json()
            done = client.post("/api/credits/deduct", {"amount": amount, "description": "Spent"})

            assert told["allowed"] == (done.status_code == 200)
            assert told["reason"] == done.json().get("code")

    def test_does_not_know_a_feature_without_a_price(self, api):
        refused = api(UserFactory.create()).get(CHECK, {"feature": "time-travel"})

        assert (refused.status_code, refused.json()["code"]) == (404, "feature_not_found")

    @pytest.mark.parametrize(
        ("asked", "field", "code"),
        [
            ({}, "amount", "required"),
            ({"amount": 1, "feature": "simple-ai-insight"}, "amount", "invalid_choice"),
            ({"amount": 1, "quantity": 2}, "quantity", "invalid_choice"),
            ({"amount": 0}, "amount", "out_of_range"),
            ({"amount": "9.5"}, "amount", "wrong_type"),
            ({"feature": "simple-ai-insight", "quantity": 10**12}, "quantity", "out_of_range"),
        ],
    )
    def test_names_what_it_cannot_understand(self, api, asked, field, code):
        refused = api(UserFactory.create()).get(CHECK, asked)

        assert refused.status_code == 400
        assert [(e["field"], e["code"]) for e in refused.json()["errors"]] == [(field, code)]
