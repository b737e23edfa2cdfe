from typing import Any

import pytest

from credits import operations as ledger
from fluxori.core.errors import DomainError
from tests.support.factories.credits import make_balance, make_user
from tests.support.factories.tiers import (
    APRIL,
    MAY,
    MID_APRIL,
    change_tier,
    make_subscribed_balance,
    month,
    periods_of,
    run_allocation,
    subscription_of,
)
from tests.support.operations import check_replay, field_errors
from tests.support.tier_tables import assert_nothing_written, check_ledger
from tests.support.times import DAY, HOUR
from tests.tiers.operations.test_end_subscription import history_of, skipped_of
from tiers import operations, queries
from tiers.operations import pause_subscription, resume_subscription

pytestmark = pytest.mark.django_db

JUNE, JULY = month(2, APRIL), month(3, APRIL)


class TestPause:
    def test_keeps_the_tier_and_the_credits(self):
        balance = make_subscribed_balance(at=APRIL)

        result = pause_subscription(owner=balance.owner, at=MID_APRIL)

        facts = result.tier_facts
        assert (result.transaction, result.balance.balance) == (None, 400)
        assert (facts.tier, facts.paused_at, facts.next_allocation_at) == ("explorer", MID_APRIL, None)

    def test_periods_that_begin_while_it_is_paused_are_recorded_as_skipped(self):
        balance = make_subscribed_balance(at=APRIL)
        pause_subscription(owner=balance.owner, at=MID_APRIL)

        totals = run_allocation([balance], at=JUNE)

        assert (totals.skipped, totals.credits.total()) == ({"explorer": 2}, 0)
        assert skipped_of(balance) == [(1, 0, "paused"), (2, 0, "paused")]
        check_ledger()

    def test_a_period_that_began_before_it_is_allocated(self):
        balance = make_subscribed_balance(at=APRIL)
        pause_subscription(owner=balance.owner, at=MAY + HOUR)

        due = operations.count_due(subscriptions=queries.due_among([balance.pk], at=JUNE), at=JUNE)
        run_allocation([balance], at=JUNE)

        assert (due.allocated, due.skipped) == ({"explorer": 1}, {"explorer": 1})
        assert skipped_of(balance) == [(1, 400, ""), (2, 0, "paused")]
        check_ledger()

    def test_a_period_that_begins_at_its_instant_is_skipped(self):
        balance = make_subscribed_balance(at=APRIL)
        pause_subscription(owner=balance.owner, at=MAY)

        run_allocation([balance], at=MAY)

        assert skipped_of(balance) == [(1, 0, "paused")]
        check_ledger()

    def test_a_period_that_was_allocated_at_its_instant_keeps_its_credits(self):
        balance = make_subscribed_balance(at=APRIL)
        run_allocation([balance], at=MAY)

        pause_subscription(owner=balance.owner, at=MAY)

        assert skipped_of(balance) == [(1, 400, "")]
        check_ledger()

    def test_request_gives_nothing_for_a_period_that_began_while_paused(self):
        balance = make_subscribed_balance(at=APRIL)
        pause_subscription(owner=balance.owner, at=MID_APRIL)

        with assert_nothing_written():
            result = operations.add_monthly_allocation(owner=balance.owner, at=MAY)

        assert (result.allocated, result.transaction) == (False, None)

    def test_there_are_no_upcoming_allocations(self):
        balance = make_subscribed_balance(at=APRIL)
        pause_subscription(owner=balance.owner, at=MAY + HOUR)

        coming = queries.upcoming_allocations(owner=balance.owner, at=MAY + HOUR, until=JULY)

        assert [(each.at, each.amount) for each in coming] == [(MAY, 400)]

    def test_scheduled_change_and_scheduled_end_still_take_effect(self):
        changed, ended = make_subscribed_balance(at=APRIL), make_subscribed_balance(at=APRIL)
        change_tier(changed, "pro", at=MID_APRIL, effective="nextPeriod")
        operations.end_subscription(owner=ended.owner, at=MID_APRIL, effective="nextPeriod")
        for balance in (changed, ended):
            pause_subscription(owner=balance.owner, at=MID_APRIL)

        run_allocation([changed, ended], at=JUNE)

        assert (subscription_of(changed).tier_id, subscription_of(ended).status) == ("pro", "ended")
        assert (skipped_of(changed), skipped_of(ended)) == ([(1, 0, "paused"), (2, 0, "paused")], [])
        check_ledger()

    def test_change_of_tier_grants_no_difference(self):
        balance = make_subscribed_balance(at=APRIL)
        pause_subscription(owner=balance.owner, at=APRIL)

        result = change_tier(balance, "pro", at=MID_APRIL, proration="difference")

        assert (result.transaction, result.tier_facts.tier, result.tier_facts.paused_at) == (None, "pro", APRIL)

    def test_a_paused_subscription_can_end_and_starts_again_unpaused(self):
        balance = make_subscribed_balance(at=APRIL)
        pause_subscription(owner=balance.owner, at=MID_APRIL)

        operations.end_subscription(owner=balance.owner, at=JUNE)
        result = operations.initialize_balance(owner=balance.owner, tier="explorer", at=JULY)
        run_allocation([balance], at=month(4, APRIL))

        assert (result.transaction and result.transaction.amount, result.tier_facts.paused_at) == (400, None)
        assert skipped_of(balance) == [(1, 0, "paused"), (2, 0, "paused"), (4, 400, "")]
        check_ledger()

    def test_replays_its_result_for_the_same_key(self):
        balance = make_subscribed_balance(at=APRIL)
        first = pause_subscription(owner=balance.owner, at=MID_APRIL, idempotency_key="rest")
        resume_subscription(owner=balance.owner, at=MID_APRIL)

        with assert_nothing_written():
            repeated = pause_subscription(owner=balance.owner, at=MID_APRIL + DAY, idempotency_key="rest")

        check_replay(first, repeated)


class TestResume:
    def test_gives_nothing_for_what_was_skipped_and_keeps_the_anchor(self):
        balance = make_subscribed_balance(at=APRIL)
        pause_subscription(owner=balance.owner, at=MID_APRIL)

        result = resume_subscription(owner=balance.owner, at=JUNE + DAY)
        run_allocation([balance], at=JULY)

        assert (result.transaction, result.balance.balance) == (None, 400)
        assert (result.tier_facts.paused_at, result.tier_facts.next_allocation_at) == (None, JULY)
        assert skipped_of(balance) == [(1, 0, "paused"), (2, 0, "paused"), (3, 400, "")]
        assert subscription_of(balance).anchor == APRIL
        check_ledger()

    def test_a_period_that_begins_at_its_instant_is_allocated(self):
        balance = make_subscribed_balance(at=APRIL)
        pause_subscription(owner=balance.owner, at=MID_APRIL)

        resume_subscription(owner=balance.owner, at=MAY)
        run_allocation([balance], at=MAY)

        assert periods_of(balance) == [(1, 400)]
        check_ledger()

    def test_allocates_what_began_before_the_pause_and_was_missed(self):
        balance = make_subscribed_balance(at=APRIL)
        pause_subscription(owner=balance.owner, at=MAY + DAY)

        result = resume_subscription(owner=balance.owner, at=JUNE + DAY)

        assert result.balance.balance == 800
        assert skipped_of(balance) == [(1, 400, ""), (2, 0, "paused")]
        check_ledger()

    def test_history_records_both_with_actor_and_reason(self):
        balance, admin = make_subscribed_balance(at=APRIL), make_user()

        pause_subscription(owner=balance.owner, actor=admin, reason="Holiday", at=MID_APRIL)
        resume_subscription(owner=balance.owner, actor=admin, reason="Back", at=MID_APRIL + DAY)

        assert history_of(balance) == [
            ("pause", 0, MID_APRIL, "explorer", "explorer", admin.pk, "Holiday"),
            ("resume", 0, MID_APRIL + DAY, "explorer", "explorer", admin.pk, "Back"),
        ]
        check_ledger()


class TestRejections:
    @pytest.mark.parametrize(
        ("operation", "wrong_state"),
        [(pause_subscription, operations.AlreadyPausedError), (resume_subscription, operations.NotPausedError)],
    )
    def test_errors_in_the_documented_order(self, operation, wrong_state):
        untiered, ended = make_balance(idempotency_key="taken"), make_subscribed_balance(at=APRIL)
        operations.end_subscription(owner=ended.owner, at=APRIL)
        tiered = make_subscribed_balance(at=APRIL)
        if operation is pause_subscription:
            pause_subscription(owner=tiered.owner, at=MID_APRIL)
        call: dict[str, Any] = {"owner": make_user(), "reason": 1, "idempotency_key": "taken", "at": MID_APRIL}
        corrections: list[tuple[dict[str, Any], type[DomainError]]] = [
            ({}, ledger.InvalidArgumentError),
            ({"reason": ""}, ledger.BalanceNotFoundError),
            ({"owner": untiered.owner}, ledger.IdempotencyKeyReusedError),
            ({"idempotency_key": "new"}, operations.NoSubscriptionError),
            ({"owner": ended.owner}, operations.SubscriptionEndedError),
            ({"owner": tiered.owner}, wrong_state),
        ]

        for correction, expected in corrections:
            call |= correction
            with assert_nothing_written(), pytest.raises(expected):
                operation(**call)

    def test_a_past_instant(self):
        balance = make_subscribed_balance(at=APRIL)
        run_allocation([balance], at=MAY)

        with assert_nothing_written(), pytest.raises(ledger.InvalidArgumentError) as caught:
            pause_subscription(owner=balance.owner, at=MID_APRIL)

        assert field_errors(caught) == [("at", "in_past")]
