from typing import Any

import pytest
from django.db import DatabaseError, transaction

from credits import operations as ledger
from fluxori.core.errors import DomainError
from tests.support.factories.credits import make_balance, make_user
from tests.support.factories.tiers import (
    APRIL,
    MID_APRIL,
    change_tier,
    make_expiring_tier,
    make_subscribed_balance,
    month,
    periods_of,
    run_allocation,
    subscription_of,
)
from tests.support.tier_tables import assert_nothing_written, check_ledger
from tests.support.times import DAY, NOON
from tiers import operations, queries
from tiers.models import TierChange
from tiers.operations import update_subscription_tier

pytestmark = pytest.mark.django_db


class TestUpdateSubscriptionTier:
    @pytest.mark.parametrize("tier", ["explorer", "growth", "enterprise"])
    def test_does_not_change_the_balance(self, tier):
        balance = make_subscribed_balance(tier="growth")

        result = change_tier(balance, tier)

        assert (result.balance.balance, result.balance.sequence, result.balance.version) == (2000, 1, 2)
        assert result.transaction is None
        assert result.tier_facts.to_json() == {
            "tier": tier,
            "pending_tier": None,
            "next_allocation_at": month(1).isoformat(),
            "paused_at": None,
        }
        assert queries.tier_facts(owner=balance.owner) == result.tier_facts

    def test_does_not_change_the_anchor(self):
        balance = make_subscribed_balance()

        change_tier(balance, "pro", at=month(2) + DAY)

        changed = subscription_of(balance)
        assert (changed.anchor, changed.next_period, changed.next_allocation_at) == (NOON, 1, month(1))

    @pytest.mark.parametrize(("tier", "expected"), [("pro", 7000), ("explorer", 400)])
    def test_next_allocation_follows_the_new_tier(self, tier, expected):
        balance = make_subscribed_balance(tier="growth")

        change_tier(balance, tier)
        run_allocation([balance], at=month(1))

        assert periods_of(balance) == [(1, expected)]
        check_ledger()

    def test_does_not_change_earlier_grants(self):
        make_expiring_tier()
        balance = make_subscribed_balance(tier="fleeting")

        change_tier(balance, "explorer")

        assert balance.grants.get().expires_at == month(1)

    def test_does_not_change_an_earlier_allocation(self):
        balance = make_subscribed_balance(tier="explorer")
        operations.add_monthly_allocation(owner=balance.owner, at=month(1))

        change_tier(balance, "pro", at=month(1) + DAY)
        repeated = operations.add_monthly_allocation(owner=balance.owner, at=month(1) + DAY)

        assert not repeated.allocated
        assert periods_of(balance) == [(1, 400)]

    def test_replays_its_result_for_the_same_key(self):
        balance = make_subscribed_balance()
        first = change_tier(balance, "pro", idempotency_key="up")
        change_tier(balance, "growth", at=NOON + 2 * DAY)

        with assert_nothing_written():
            repeated = change_tier(balance, "pro", at=NOON + 3 * DAY, idempotency_key="up")

        assert (repeated.balance, repeated.tier_facts, repeated.replayed) == (first.balance, first.tier_facts, True)
        assert subscription_of(balance).tier_id == "growth"


class TestUpdateSubscriptionTierRejects:
    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            ({"effective": "nextPeriod", "proration": "difference"}, ("proration", "invalid_choice")),
            ({"proration": "all"}, ("proration", "invalid_choice")),
            ({"effective": "later"}, ("effective", "invalid_choice")),
            ({"tier": " "}, ("tier", "required")),
        ],
    )
    def test_invalid_arguments(self, arguments, expected):
        balance = make_subscribed_balance()

        with assert_nothing_written(), pytest.raises(ledger.InvalidArgumentError) as error:
            change_tier(balance, **{"tier": "pro", **arguments})

        assert [(error.field, error.code) for error in error.value.errors] == [expected]

    def test_an_owner_without_a_balance(self):
        with assert_nothing_written(), pytest.raises(ledger.BalanceNotFoundError):
            update_subscription_tier(owner=make_user(), tier="no-such", at=NOON)

    def test_errors_in_the_documented_order(self):
        balance = make_balance(idempotency_key="taken")
        call: dict[str, Any] = {"tier": "no-such", "idempotency_key": "taken", "effective": "later"}
        corrections: list[tuple[dict[str, Any], type[DomainError]]] = [
            ({}, ledger.InvalidArgumentError),
            ({"effective": "now"}, ledger.IdempotencyKeyReusedError),
            ({"idempotency_key": "new"}, operations.TierNotFoundError),
            ({"tier": "pro"}, operations.NoSubscriptionError),
        ]

        for correction, expected in corrections:
            call |= correction
            with assert_nothing_written(), pytest.raises(expected):
                change_tier(balance, **call)


class TestTierChange:
    @pytest.mark.parametrize("falsify", [lambda rows: rows.update(credits=1), lambda rows: rows.delete()])
    def test_row_is_immutable(self, falsify):
        balance = make_subscribed_balance(at=APRIL)
        change_tier(balance, "pro", at=MID_APRIL)

        with assert_nothing_written(), pytest.raises(DatabaseError), transaction.atomic():
            falsify(TierChange.objects.all())

    def test_timestamps_never_decrease_with_a_late_clock(self):
        balance = make_subscribed_balance(at=APRIL)
        change_tier(balance, "pro", at=MID_APRIL)

        change_tier(balance, "growth", at=MID_APRIL - DAY)

        assert list(balance.tier_changes.order_by("number").values_list("at", flat=True)) == [MID_APRIL, MID_APRIL]
        check_ledger()
