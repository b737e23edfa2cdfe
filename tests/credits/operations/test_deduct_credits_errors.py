from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from credits import operations
from credits.models import Feature, FeaturePrice
from tests.credits.operations.verbs import deduct_feature, suspend_spending
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.operations import field_errors, unchanged
from tests.support.times import NOON

MAXIMUM = 10**12
MICROSECOND = timedelta(microseconds=1)

pytestmark = pytest.mark.django_db


class TestDeductCreditsErrors:
    @pytest.mark.parametrize("amount", [0, -1, MAXIMUM + 1, 2**63])
    def test_rejects_an_amount_out_of_range(self, amount):
        balance = make_balance()

        with unchanged(), pytest.raises(operations.InvalidArgumentError) as error:
            deduct(balance, amount)

        assert field_errors(error) == [("amount", "out_of_range")]

    def test_accepts_the_smallest_and_the_largest_amount(self):
        balance = make_balance(grants=[(MAXIMUM, None), (1, None)])

        assert [deduct(balance, amount).transaction.balance_after for amount in (1, MAXIMUM)] == [MAXIMUM, 0]

    @pytest.mark.parametrize("amount", [True, False, 9.0, 9.5, "9", Decimal(9)])
    def test_rejects_an_amount_that_is_not_an_integer(self, amount):
        balance = make_balance()

        with unchanged(), pytest.raises(operations.InvalidArgumentError) as error:
            deduct(balance, amount)

        assert field_errors(error) == [("amount", "wrong_type")]

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            ({}, ("amount", "required")),
            ({"amount": 1, "feature": "simple-ai-insight", "description": "x"}, ("amount", "invalid_choice")),
            ({"amount": 1}, ("description", "required")),
            ({"amount": 1, "description": "  "}, ("description", "required")),
            ({"amount": 1, "description": None}, ("description", "wrong_type")),
            ({"amount": 1, "description": "x" * 501}, ("description", "too_long")),
            ({"amount": 1, "description": "x", "quantity": 2}, ("quantity", "invalid_choice")),
            ({"feature": ""}, ("feature", "required")),
            ({"feature": 9}, ("feature", "wrong_type")),
            ({"feature": "a\x00b"}, ("feature", "wrong_type")),
            ({"feature": "simple-ai-insight", "quantity": 0}, ("quantity", "out_of_range")),
            ({"feature": "simple-ai-insight", "quantity": True}, ("quantity", "wrong_type")),
            ({"feature": "simple-ai-insight", "quantity": 1.0}, ("quantity", "wrong_type")),
            ({"feature": "simple-ai-insight", "quantity": MAXIMUM // 9 + 1}, ("quantity", "out_of_range")),
            ({"feature": "simple-ai-insight", "reference_id": "x" * 256}, ("reference_id", "too_long")),
            ({"feature": "simple-ai-insight", "metadata": "{}"}, ("metadata", "wrong_type")),
            ({"feature": "simple-ai-insight", "idempotency_key": "x" * 300}, ("idempotency_key", "key_too_long")),
        ],
    )
    def test_rejects_an_invalid_argument(self, arguments, error):
        balance = make_balance()

        with unchanged(), pytest.raises(operations.InvalidArgumentError) as raised:
            operations.deduct_credits(owner=balance.owner, at=NOON, **arguments)

        assert field_errors(raised) == [error]

    def test_rejects_an_owner_without_a_balance(self):
        with unchanged(), pytest.raises(operations.BalanceNotFoundError):
            operations.deduct_credits(owner=make_user(), amount=1, description="x", at=NOON)

    def test_rejects_an_organization_with_the_id_of_a_user(self):
        balance = make_balance()

        with unchanged(), pytest.raises(operations.BalanceNotFoundError):
            operations.deduct_credits(
                owner=operations.Owner.organization(balance.pk), amount=1, description="x", at=NOON
            )

    @pytest.mark.parametrize("feature", ["no-such-thing", "not-yet-priced"])
    def test_rejects_a_feature_without_a_price(self, feature):
        balance = make_balance()
        Feature.objects.create(code="not-yet-priced", name="Soon", unit="piece")
        FeaturePrice.objects.create(feature_id="not-yet-priced", credits=1, effective_from=NOON + MICROSECOND)

        with unchanged(), pytest.raises(operations.FeatureNotFoundError) as error:
            deduct_feature(balance, feature)

        assert error.value.facts == {"feature": feature}

    def test_rejects_usage_while_spending_is_suspended(self):
        balance = make_balance()
        suspend_spending(balance)

        with unchanged(), pytest.raises(operations.SpendingSuspendedError):
            deduct(balance, 1)

    def test_raises_the_documented_errors_in_order(self):
        balance = make_balance(grants=[(1, None)])
        deduct(balance, 1, idempotency_key="k")
        suspend_spending(balance)
        # Each request also has every problem that is checked after the expected one.
        stranger = operations.Owner.user(make_user().pk)
        cases: list[Any] = [
            (operations.InvalidArgumentError, stranger, {"feature": "nothing", "quantity": 0, "idempotency_key": "k"}),
            (operations.BalanceNotFoundError, stranger, {"feature": "nothing", "idempotency_key": "k"}),
            (operations.IdempotencyKeyReusedError, balance.owner, {"feature": "nothing", "idempotency_key": "k"}),
            (operations.FeatureNotFoundError, balance.owner, {"feature": "nothing"}),
            (operations.SpendingSuspendedError, balance.owner, {"feature": "simple-ai-insight"}),
        ]

        for expected, owner, arguments in cases:
            with unchanged(), pytest.raises(expected):
                operations.deduct_credits(owner=owner, at=NOON, **arguments)
