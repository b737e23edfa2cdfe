from datetime import timedelta
from typing import Any

import pytest

from credits import operations as ledger
from credits.tier_registry import PendingTier, TierFacts
from fluxori.core.errors import DomainError
from tests.support.factories.credits import make_balance, make_user
from tests.support.factories.tiers import (
    APRIL,
    MAY,
    MID_APRIL,
    change_tier,
    changes_of,
    make_subscribed_balance,
    month,
    periods_of,
    run_allocation,
    subscription_of,
)
from tests.support.tier_tables import assert_nothing_written, check_ledger
from tests.support.times import DAY
from tiers import operations, queries
from tiers.operations import cancel_scheduled_change

pytestmark = pytest.mark.django_db

MICROSECOND = timedelta(microseconds=1)


class TestChangeInNextPeriod:
    def test_keeps_the_current_tier_until_then(self):
        balance = make_subscribed_balance(tier="growth", at=APRIL)

        result = change_tier(balance, "explorer", at=MID_APRIL, effective="nextPeriod")

        assert (result.transaction, result.balance.balance) == (None, 2000)
        assert result.tier_facts.tier == "growth"
        assert result.tier_facts.pending_tier == PendingTier("explorer", MAY)
        assert changes_of(balance) == []

    def test_takes_effect_at_its_instant_without_a_job(self):
        balance = make_subscribed_balance(tier="growth", at=APRIL)
        change_tier(balance, "explorer", at=MID_APRIL, effective="nextPeriod")

        with assert_nothing_written():
            before = queries.tier_facts(owner=balance.owner, at=MAY - MICROSECOND)
            after = queries.tier_facts(owner=balance.owner, at=MAY)

        assert before == TierFacts("growth", PendingTier("explorer", MAY), MAY)
        assert (after.tier, after.pending_tier) == ("explorer", None)
        assert queries.tier_facts_of([balance.pk], at=MAY)[balance.pk] == after
        assert list(queries.on_tier("explorer", at=MAY).values_list("pk", flat=True)) == [balance.pk]
        assert not queries.on_tier("growth", at=MAY).exists()

    @pytest.mark.parametrize("late", [MAY, MAY + DAY, month(4, APRIL)])
    def test_monthly_run_allocates_the_new_tier_from_its_period_on(self, late):
        balance = make_subscribed_balance(tier="growth", at=APRIL)
        change_tier(balance, "explorer", at=MID_APRIL, effective="nextPeriod")

        run_allocation([balance], at=late)

        assert {given for _, given in periods_of(balance)} == {400}
        assert changes_of(balance) == [(1, "growth", "explorer", 0)]
        changed = subscription_of(balance)
        assert (changed.tier_id, changed.scheduled_tier_id, changed.scheduled_at) == ("explorer", None, None)
        check_ledger()

    def test_missed_periods_before_it_follow_the_previous_tier(self):
        balance = make_subscribed_balance(tier="growth", at=APRIL)
        change_tier(balance, "explorer", at=month(2, APRIL) + DAY, effective="nextPeriod")

        run_allocation([balance], at=month(4, APRIL))

        assert periods_of(balance) == [(1, 2000), (2, 2000), (3, 400), (4, 400)]
        assert list(balance.allocations.order_by("period").values_list("tier", flat=True)) == [
            "growth",
            "growth",
            "explorer",
            "explorer",
        ]

    def test_allocation_on_request_follows_the_new_tier(self):
        balance = make_subscribed_balance(tier="growth", at=APRIL)
        change_tier(balance, "pro", at=MID_APRIL, effective="nextPeriod")

        result = operations.add_monthly_allocation(owner=balance.owner, at=MAY)

        assert (periods_of(balance), result.tier_facts.tier) == ([(1, 7000)], "pro")
        assert changes_of(balance) == [(1, "growth", "pro", 0)]
        check_ledger()

    def test_previous_tier_is_not_the_highest_of_the_period(self):
        balance = make_subscribed_balance(tier="pro", at=APRIL)
        change_tier(balance, "explorer", at=MID_APRIL, effective="nextPeriod")

        result = change_tier(balance, "growth", at=MAY, proration="difference")

        assert result.transaction.amount == 1600
        assert changes_of(balance) == [(1, "pro", "explorer", 0), (1, "explorer", "growth", 1600)]
        check_ledger()

    def test_later_schedule_replaces_it(self):
        balance = make_subscribed_balance(tier="growth", at=APRIL)
        change_tier(balance, "explorer", at=MID_APRIL, effective="nextPeriod")

        result = change_tier(balance, "pro", at=MID_APRIL + DAY, effective="nextPeriod")

        assert result.tier_facts.pending_tier == PendingTier("pro", MAY)

    def test_immediate_change_replaces_it(self):
        balance = make_subscribed_balance(tier="growth", at=APRIL)
        change_tier(balance, "explorer", at=MID_APRIL, effective="nextPeriod")

        result = change_tier(balance, "pro", at=MID_APRIL + DAY)
        run_allocation([balance], at=MAY)

        assert (result.tier_facts.tier, result.tier_facts.pending_tier) == ("pro", None)
        assert periods_of(balance) == [(1, 7000)]

    @pytest.mark.parametrize("effective", ["now", "nextPeriod"])
    def test_change_to_the_held_tier_cancels_it(self, effective):
        balance = make_subscribed_balance(tier="growth", at=APRIL)
        change_tier(balance, "explorer", at=MID_APRIL, effective="nextPeriod")

        result = change_tier(balance, "growth", at=MID_APRIL + DAY, effective=effective)

        assert (result.tier_facts.tier, result.tier_facts.pending_tier) == ("growth", None)
        assert changes_of(balance) == []

    def test_is_dated_at_its_own_instant_when_stored_later(self):
        balance = make_subscribed_balance(tier="growth", at=APRIL)
        change_tier(balance, "explorer", at=MID_APRIL, effective="nextPeriod")

        change_tier(balance, "pro", at=month(3, APRIL) + DAY)

        assert list(balance.tier_changes.order_by("number").values_list("number", "at")) == [
            (1, MAY),
            (2, month(3, APRIL) + DAY),
        ]
        check_ledger()


class TestCancelScheduledChange:
    def test_keeps_the_current_tier(self):
        balance = make_subscribed_balance(tier="growth", at=APRIL)
        change_tier(balance, "explorer", at=MID_APRIL, effective="nextPeriod")

        result = cancel_scheduled_change(owner=balance.owner, at=MID_APRIL)
        run_allocation([balance], at=MAY)

        assert result.tier_facts.pending_tier is None
        assert (result.transaction, result.balance.balance) == (None, 2000)
        assert periods_of(balance) == [(1, 2000)]
        check_ledger()

    def test_replays_its_result_for_the_same_key(self):
        balance = make_subscribed_balance(tier="growth", at=APRIL)
        change_tier(balance, "explorer", at=MID_APRIL, effective="nextPeriod")
        first = cancel_scheduled_change(owner=balance.owner, at=MID_APRIL, idempotency_key="no")
        change_tier(balance, "pro", at=MID_APRIL, effective="nextPeriod")

        with assert_nothing_written():
            repeated = cancel_scheduled_change(owner=balance.owner, at=MID_APRIL + DAY, idempotency_key="no")

        assert (repeated.replayed, repeated.balance, repeated.tier_facts) == (True, first.balance, first.tier_facts)
        assert subscription_of(balance).scheduled_tier_id == "pro"

    def test_is_rejected_from_the_instant_of_the_change_on(self):
        balance = make_subscribed_balance(tier="growth", at=APRIL)
        change_tier(balance, "explorer", at=MID_APRIL, effective="nextPeriod")

        with assert_nothing_written(), pytest.raises(operations.NoScheduledChangeError):
            cancel_scheduled_change(owner=balance.owner, at=MAY)

    def test_raises_errors_in_the_documented_order(self):
        untiered, tiered = make_balance(idempotency_key="taken"), make_subscribed_balance(at=APRIL)
        call: dict[str, Any] = {"owner": make_user(), "idempotency_key": "x" * 256, "at": APRIL}
        corrections: list[tuple[dict[str, Any], type[DomainError]]] = [
            ({}, ledger.InvalidArgumentError),
            ({"idempotency_key": "taken"}, ledger.BalanceNotFoundError),
            ({"owner": untiered.owner}, ledger.IdempotencyKeyReusedError),
            ({"idempotency_key": "new"}, operations.NoSubscriptionError),
            ({"owner": tiered.owner}, operations.NoScheduledChangeError),
        ]

        for correction, expected in corrections:
            call |= correction
            with assert_nothing_written(), pytest.raises(expected):
                cancel_scheduled_change(**call)
