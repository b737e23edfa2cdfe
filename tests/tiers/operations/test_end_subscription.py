from datetime import timedelta
from typing import Any

import pytest
from django.db import ProgrammingError, connection, transaction

from credits import operations as ledger
from credits import queries as ledger_queries
from credits.tier_registry import NO_TIER_FACTS, PendingTier
from fluxori.core.errors import DomainError
from fluxori.identity import operations as identity
from tests.support.database import as_owner
from tests.support.factories.credits import make_balance, make_user
from tests.support.factories.identity import OrganizationFactory
from tests.support.factories.tiers import (
    APRIL,
    MAY,
    MID_APRIL,
    change_tier,
    changes_of,
    make_expiring_tier,
    make_subscribed_balance,
    month,
    periods_of,
    run_allocation,
    spendable_grants,
    subscription_of,
)
from tests.support.operations import check_replay, field_errors
from tests.support.tier_tables import assert_nothing_written, check_ledger
from tests.support.times import DAY, HOUR
from tiers import operations, queries
from tiers.models import PastSubscription
from tiers.operations import end_subscription

pytestmark = pytest.mark.django_db

JUNE = month(2, APRIL)


def history_of(balance):
    rows = balance.tier_changes.order_by("number")
    return list(rows.values_list("kind", "period", "at", "from_tier", "to_tier", "actor", "reason"))


def skipped_of(balance):
    return list(balance.allocations.order_by("period").values_list("period", "credits", "skipped"))


class TestEndNow:
    def test_has_no_tier_afterwards_and_keeps_the_credits(self):
        balance = make_subscribed_balance(at=APRIL)

        result = end_subscription(owner=balance.owner, at=MID_APRIL)

        assert (result.transaction, result.balance.balance) == (None, 400)
        assert result.tier_facts == NO_TIER_FACTS
        assert queries.tier_facts(owner=balance.owner, at=MID_APRIL) == NO_TIER_FACTS
        assert not queries.on_tier("explorer", at=MID_APRIL).exists()
        check_ledger()

    def test_gets_no_further_months(self):
        balance = make_subscribed_balance(at=APRIL)
        end_subscription(owner=balance.owner, at=MID_APRIL)

        run_allocation([balance], at=month(5, APRIL))

        assert periods_of(balance) == []
        assert queries.upcoming_allocations(owner=balance.owner, at=MID_APRIL, until=month(5, APRIL)) == []
        assert not queries.due(at=month(5, APRIL)).exists()

    def test_what_was_granted_keeps_its_expiry(self):
        make_expiring_tier()
        balance = make_subscribed_balance(tier="fleeting", at=APRIL)

        end_subscription(owner=balance.owner, at=MID_APRIL)

        assert spendable_grants(balance, MAY - HOUR) == [("allocation", 100, MAY)]
        assert spendable_grants(balance, MAY) == []

    def test_allocates_the_periods_that_the_run_has_missed(self):
        balance = make_subscribed_balance(at=APRIL)

        result = end_subscription(owner=balance.owner, at=JUNE + HOUR)

        assert (periods_of(balance), result.balance.balance) == ([(1, 400), (2, 400)], 1200)
        check_ledger()

    def test_removes_a_scheduled_change(self):
        balance = make_subscribed_balance(at=APRIL)
        change_tier(balance, "pro", at=MID_APRIL, effective="nextPeriod")

        end_subscription(owner=balance.owner, at=MID_APRIL)

        assert (subscription_of(balance).scheduled_tier_id, subscription_of(balance).scheduled_at) == (None, None)

    def test_records_the_actor_and_the_reason(self):
        balance, admin = make_subscribed_balance(at=APRIL), make_user()

        end_subscription(owner=balance.owner, actor=admin, reason="Moved away", at=MID_APRIL)

        assert history_of(balance) == [("end", 0, MID_APRIL, "explorer", None, admin.pk, "Moved away")]

    def test_replays_its_result_for_the_same_key(self):
        balance = make_subscribed_balance(at=APRIL)
        first = end_subscription(owner=balance.owner, at=MID_APRIL, idempotency_key="bye")

        with assert_nothing_written():
            repeated = end_subscription(owner=balance.owner, at=MID_APRIL + DAY, idempotency_key="bye")

        check_replay(first, repeated)

    def test_is_rejected_at_a_past_instant(self):
        balance = make_subscribed_balance(at=APRIL)
        run_allocation([balance], at=MAY)

        with assert_nothing_written(), pytest.raises(ledger.InvalidArgumentError) as caught:
            end_subscription(owner=balance.owner, at=MID_APRIL)

        assert field_errors(caught) == [("at", "in_past")]

    def test_takes_effect_at_the_last_change_if_a_clock_is_behind(self):
        balance = make_subscribed_balance(at=APRIL)

        end_subscription(owner=balance.owner, at=APRIL - timedelta(minutes=4))

        assert subscription_of(balance).ended_at == APRIL

    def test_raises_errors_in_the_documented_order(self):
        untiered = make_balance(idempotency_key="taken")
        tiered, ended = make_subscribed_balance(at=APRIL), make_subscribed_balance(at=APRIL)
        end_subscription(owner=ended.owner, at=MID_APRIL)
        call: dict[str, Any] = {"owner": make_user(), "effective": "later", "idempotency_key": "taken", "at": MID_APRIL}
        corrections: list[tuple[dict[str, Any], type[DomainError]]] = [
            ({}, ledger.InvalidArgumentError),
            ({"effective": "nextPeriod", "reason": "x" * 501}, ledger.InvalidArgumentError),
            ({"reason": ""}, ledger.BalanceNotFoundError),
            ({"owner": untiered.owner}, ledger.IdempotencyKeyReusedError),
            ({"idempotency_key": "new"}, operations.NoSubscriptionError),
            ({"owner": ended.owner}, operations.SubscriptionEndedError),
            ({"effective": "now"}, operations.SubscriptionEndedError),
            ({"owner": tiered.owner, "at": APRIL - DAY}, ledger.InvalidArgumentError),
        ]

        for correction, expected in corrections:
            call |= correction
            with assert_nothing_written(), pytest.raises(expected):
                end_subscription(**call)


class TestEndInNextPeriod:
    def test_keeps_the_tier_until_then(self):
        balance = make_subscribed_balance(at=APRIL)

        facts = end_subscription(owner=balance.owner, effective="nextPeriod", at=MID_APRIL).tier_facts

        assert (facts.tier, facts.pending_tier, facts.next_allocation_at) == ("explorer", PendingTier(None, MAY), None)
        assert facts.as_of(MAY) == NO_TIER_FACTS

    def test_takes_effect_without_a_job(self):
        balance = make_subscribed_balance(at=APRIL)
        end_subscription(owner=balance.owner, effective="nextPeriod", at=MID_APRIL)

        with assert_nothing_written():
            assert queries.tier_facts(owner=balance.owner, at=MAY) == NO_TIER_FACTS
            assert not queries.on_tier("explorer", at=MAY).exists()
            assert queries.on_tier("explorer", at=MAY - HOUR).exists()
            with pytest.raises(operations.SubscriptionEndedError):
                change_tier(balance, "pro", at=MAY)

    def test_monthly_run_allocates_what_began_before_and_stores_the_end(self):
        balance, admin = make_subscribed_balance(at=APRIL), make_user()
        end_subscription(owner=balance.owner, effective="nextPeriod", actor=admin, at=MAY + DAY)

        run_allocation([balance], at=month(4, APRIL))

        assert periods_of(balance) == [(1, 400)]
        stored = subscription_of(balance)
        assert (stored.status, stored.ended_at, stored.next_period) == ("ended", JUNE, 2)
        assert history_of(balance) == [("end", 1, JUNE, "explorer", None, admin.pk, "")]
        check_ledger()

    def test_can_be_cancelled(self):
        balance = make_subscribed_balance(at=APRIL)
        end_subscription(owner=balance.owner, effective="nextPeriod", at=MID_APRIL)

        result = operations.cancel_scheduled_change(owner=balance.owner, at=MID_APRIL + DAY)
        run_allocation([balance], at=MAY)

        assert (result.tier_facts.pending_tier, result.tier_facts.next_allocation_at) == (None, MAY)
        assert periods_of(balance) == [(1, 400)]

    @pytest.mark.parametrize(("tier", "held"), [("explorer", "explorer"), ("pro", "pro")])
    def test_a_change_of_tier_replaces_it(self, tier, held):
        balance = make_subscribed_balance(at=APRIL)
        end_subscription(owner=balance.owner, effective="nextPeriod", at=MID_APRIL)

        result = change_tier(balance, tier, at=MID_APRIL)

        assert (result.tier_facts.tier, result.tier_facts.pending_tier) == (held, None)

    def test_is_rejected_while_an_end_is_scheduled(self):
        balance = make_subscribed_balance(at=APRIL)
        end_subscription(owner=balance.owner, effective="nextPeriod", at=MID_APRIL)

        with assert_nothing_written(), pytest.raises(operations.SubscriptionEndedError) as caught:
            end_subscription(owner=balance.owner, effective="nextPeriod", at=MID_APRIL)

        assert caught.value.facts == {"ended_at": MAY}

    def test_can_be_brought_forward(self):
        balance = make_subscribed_balance(at=APRIL)
        end_subscription(owner=balance.owner, effective="nextPeriod", at=MID_APRIL)

        assert end_subscription(owner=balance.owner, at=MID_APRIL).tier_facts == NO_TIER_FACTS

    def test_preview_balance_has_no_allocation_after_it(self):
        balance = make_subscribed_balance(at=APRIL)
        end_subscription(owner=balance.owner, effective="nextPeriod", at=MAY + HOUR)

        coming = queries.upcoming_allocations(owner=balance.owner, at=MAY + HOUR, until=month(9, APRIL))

        assert [(each.at, each.amount) for each in coming] == [(MAY, 400)]


class TestInitializeAfterAnEnd:
    def test_has_a_new_anchor_and_goes_on_counting_periods(self):
        balance, admin = make_subscribed_balance(at=APRIL), make_user()
        run_allocation([balance], at=MAY)
        end_subscription(owner=balance.owner, at=MAY + DAY)
        again = JUNE + 9 * DAY

        result = operations.initialize_balance(owner=balance.owner, tier="growth", actor=admin, at=again)
        run_allocation([balance], at=month(1, again))

        assert (result.transaction and result.transaction.amount, result.tier_facts.next_allocation_at) == (
            2000,
            month(1, again),
        )
        stored = subscription_of(balance)
        assert (stored.anchor, stored.first_period, stored.created_at) == (again, 2, APRIL)
        assert periods_of(balance) == [(1, 400), (3, 2000)]
        assert history_of(balance)[1:] == [("start", 2, again, None, "growth", admin.pk, "")]
        check_ledger()

    @pytest.mark.parametrize(
        ("tier", "initial", "given"), [("growth", None, 1600), ("explorer", None, 0), ("growth", 50, 50)]
    )
    def test_first_period_pays_less_what_overlapping_periods_were_given(self, tier, initial, given):
        balance = make_subscribed_balance(at=APRIL)
        end_subscription(owner=balance.owner, at=MID_APRIL)

        result = operations.initialize_balance(
            owner=balance.owner, tier=tier, initial_balance=initial, at=MID_APRIL + DAY
        )

        assert result.balance.balance == 400 + given
        check_ledger()

    def test_counts_allocations_and_prorations_of_the_overlapping_period(self):
        balance = make_subscribed_balance(at=APRIL)
        run_allocation([balance], at=MAY)
        change_tier(balance, "growth", at=MAY, proration="difference")
        end_subscription(owner=balance.owner, at=MAY + DAY)

        result = operations.initialize_balance(owner=balance.owner, tier="pro", at=MAY + 2 * DAY)

        assert result.transaction is not None
        assert result.transaction.amount == 7000 - 400 - 1600
        check_ledger()

    def test_allocation_on_request_pays_the_rest_of_the_first_period_once(self):
        balance = make_subscribed_balance(at=APRIL)
        end_subscription(owner=balance.owner, at=MID_APRIL)
        operations.initialize_balance(owner=balance.owner, tier="growth", initial_balance=0, at=MID_APRIL)

        results = [operations.add_monthly_allocation(owner=balance.owner, at=MID_APRIL) for _ in range(2)]

        assert [result.allocated for result in results] == [True, False]
        assert periods_of(balance) == [(1, 1600)]
        check_ledger()

    def test_an_end_that_is_not_stored_yet_is_stored_first(self):
        balance = make_subscribed_balance(at=APRIL)
        end_subscription(owner=balance.owner, effective="nextPeriod", at=MAY + DAY)

        result = operations.initialize_balance(owner=balance.owner, tier="explorer", at=JUNE)

        assert (periods_of(balance), result.transaction and result.transaction.amount) == ([(1, 400)], 400)
        assert subscription_of(balance).first_period == 2
        assert [kind for kind, *_ in history_of(balance)] == ["end", "start"]
        check_ledger()

    def test_changes_before_the_end_do_not_count(self):
        balance = make_subscribed_balance(tier="pro", at=APRIL)
        change_tier(balance, "growth", at=APRIL)
        end_subscription(owner=balance.owner, at=APRIL)
        operations.initialize_balance(owner=balance.owner, tier="explorer", initial_balance=0, at=APRIL)

        result = change_tier(balance, "growth", at=APRIL, proration="difference")

        assert changes_of(balance)[-1] == (1, "explorer", "growth", 0)
        assert (result.transaction, result.balance.balance) == (None, 7000)
        check_ledger()

    def test_is_possible_again_and_again(self):
        balance = make_subscribed_balance(at=APRIL)
        for _ in range(3):
            end_subscription(owner=balance.owner, at=APRIL + HOUR)
            operations.initialize_balance(owner=balance.owner, tier="explorer", at=APRIL + HOUR)

        assert (subscription_of(balance).first_period, PastSubscription.objects.count()) == (3, 3)
        assert ledger_queries.get_balance(owner=balance.owner).balance == 400
        check_ledger()

    def test_is_rejected_until_a_scheduled_end(self):
        balance = make_subscribed_balance(at=APRIL)
        end_subscription(owner=balance.owner, effective="nextPeriod", at=MID_APRIL)

        with assert_nothing_written(), pytest.raises(ledger.BalanceExistsError):
            operations.initialize_balance(owner=balance.owner, tier="explorer", at=MAY - HOUR)


class TestInactiveOwner:
    def test_months_of_a_deactivated_user_are_recorded_as_skipped(self):
        balance = make_subscribed_balance(at=APRIL)
        identity.change_user(user_id=balance.owner.id, is_active=False)

        totals = run_allocation([balance], at=MAY)
        request = operations.add_monthly_allocation(owner=balance.owner, at=MAY)
        identity.change_user(user_id=balance.owner.id, is_active=True)
        run_allocation([balance], at=JUNE)

        assert (totals.skipped, request.allocated, request.transaction) == ({"explorer": 1}, False, None)
        assert skipped_of(balance) == [(1, 0, "inactive"), (2, 400, "")]
        check_ledger()

    def test_months_of_a_closed_organization_are_recorded_as_skipped(self):
        balance = make_subscribed_balance(OrganizationFactory.create(), at=APRIL)
        identity.change_organization(organization_id=balance.owner.id, is_active=False)

        due = operations.count_due(subscriptions=queries.due_among([balance.pk], at=MAY), at=MAY)
        run_allocation([balance], at=MAY)

        assert due.skipped == {"explorer": 1}
        assert skipped_of(balance) == [(1, 0, "inactive")]

    def test_has_no_upcoming_allocation_and_none_on_request(self):
        balance = make_subscribed_balance(at=APRIL)
        identity.change_user(user_id=balance.owner.id, is_active=False)

        request = operations.add_monthly_allocation(owner=balance.owner, at=MAY)

        assert (request.allocated, periods_of(balance)) == (False, [])
        assert queries.upcoming_allocations(owner=balance.owner, at=MAY, until=JUNE) == []


class TestDatabase:
    @pytest.mark.parametrize(
        "change",
        [
            "status = 'active', ended_at = NULL",
            "tier_id = 'pro'",
            "anchor = anchor + interval '1 day'",
            "status = 'active', ended_at = NULL, first_period = 1, next_period = 2",
        ],
    )
    def test_rejects_a_change_of_an_ended_subscription(self, change):
        balance = make_subscribed_balance(at=APRIL)
        end_subscription(owner=balance.owner, at=MID_APRIL)

        with as_owner(), connection.cursor() as cursor, pytest.raises(ProgrammingError), transaction.atomic():
            cursor.execute(f"UPDATE tiers_subscription SET {change}")
