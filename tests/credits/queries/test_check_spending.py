from typing import Any

import pytest

from credits import operations, queries
from credits.models import FeaturePrice
from tests.credits.operations.limits import MIDNIGHT, make_pool
from tests.credits.operations.verbs import make_rich_balance, place_hold, set_limit, suspend_spending
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.operations import field_errors, unchanged
from tests.support.times import DAY, HOUR, MINUTE, NOON

pytestmark = pytest.mark.django_db


def check_spending(balance, amount, **arguments):
    return queries.check_spending(owner=balance.owner, amount=amount, **{"at": NOON, **arguments})


class TestCheckSpending:
    def test_returns_the_limit_that_a_deduction_would_exceed(self):
        balance, ann, ben = make_pool()
        set_limit(balance, member=ann)
        deduct(balance, 60, member=ann)

        check = check_spending(balance, 41, member=ann.pk)

        assert (check.allowed, check.reason) == (False, "spending_limit_reached")
        assert check.limit is not None
        assert (check.limit.amount, check.limit.used, check.limit.resets_at) == (100, 60, MIDNIGHT)
        for allowed in (
            check_spending(balance, 40, member=ann.pk),
            check_spending(balance, 41, member=ben.pk),
            check_spending(balance, 41),
            check_spending(balance, 41, member=ann.pk, at=MIDNIGHT),
        ):
            assert (allowed.allowed, allowed.reason, allowed.limit) == (True, None, None)

    def test_returns_the_reason_that_a_deduction_would_raise_first(self):
        balance = make_balance()
        set_limit(balance, 10)

        assert check_spending(balance, 1000).reason == "spending_limit_reached"
        assert check_spending(balance, 1000, permitted=False).reason == "permission_denied"
        suspend_spending(balance)
        suspended = check_spending(balance, 1000)
        assert (suspended.reason, suspended.limit) == ("spending_suspended", None)

    def test_does_not_count_a_lapsed_hold_whose_lapse_is_not_written(self):
        balance = make_rich_balance()
        set_limit(balance)
        place_hold(balance, 100, expires_in_seconds=60)

        assert not check_spending(balance, 1).allowed
        with unchanged():
            assert check_spending(balance, 100, at=NOON + MINUTE).allowed

    def test_names_the_member_by_user_or_by_id(self):
        balance, ann, _ = make_pool()
        set_limit(balance, member=ann)

        assert check_spending(balance, 101, member=ann) == check_spending(balance, 101, member=ann.pk)

    @pytest.mark.parametrize(
        "arguments",
        [
            {},
            {"amount": 0},
            {"amount": -5},
            {"amount": 2.5},
            {"amount": True},
            {"amount": 10**12 + 1},
            {"amount": 1, "feature": "simple-ai-insight"},
            {"amount": 1, "quantity": 2},
            {"feature": ""},
            {"feature": "x" * 65},
            {"feature": "simple-ai-insight", "quantity": 0},
            {"feature": "simple-ai-insight", "quantity": 1.0},
        ],
    )
    def test_rejects_the_arguments_that_a_deduction_rejects(self, arguments):
        balance = make_rich_balance()
        described: dict[str, Any] = {"description": "Work"} if "amount" in arguments else {}

        with pytest.raises(operations.InvalidArgumentError) as checked:
            queries.check_spending(owner=balance.owner, at=NOON, **arguments)
        with pytest.raises(operations.InvalidArgumentError) as deducted:
            operations.deduct_credits(owner=balance.owner, at=NOON, **arguments, **described)

        assert field_errors(checked) == field_errors(deducted)

    def test_uses_the_price_at_the_last_change_if_that_is_later(self):
        balance = make_balance(grants=[(9, None)])
        FeaturePrice.objects.create(feature_id="simple-ai-insight", credits=5, effective_from=NOON + HOUR)
        deduct(balance, 1, at=NOON + DAY)

        check = queries.check_spending(owner=balance.owner, feature="simple-ai-insight", at=NOON)

        assert (check.cost, check.allowed) == (5, True)
        assert operations.deduct_credits(owner=balance.owner, feature="simple-ai-insight", at=NOON)

    def test_rejects_a_feature_without_a_price_for_an_owner_without_a_balance(self):
        with pytest.raises(operations.FeatureNotFoundError):
            queries.check_spending(owner=make_user(), feature="time-travel", at=NOON)
