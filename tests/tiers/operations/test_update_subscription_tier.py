from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, transaction

from credits import operations as ledger
from fluxori.core.errors import DomainError
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.factories.tiers import (
    capped,
    changes_of,
    fleeting,
    month,
    periods_of,
    run_over,
    subscribed,
    subscription_of,
)
from tests.support.ledger import table_digests
from tests.support.tier_tables import check_ledger, unwritten
from tests.support.times import DAY, NOON
from tiers import operations, queries
from tiers.models import Subscription, Tier, TierChange
from tiers.operations import cancel_scheduled_change, preview_subscription_tier, update_subscription_tier

pytestmark = pytest.mark.django_db

# A period of thirty days, so that its half can be reckoned in the head.
APRIL, HALF, MAY = (datetime(2025, *day, tzinfo=UTC) for day in ((4, 1), (4, 16), (5, 1)))
MICROSECOND = timedelta(microseconds=1)


def change(balance, tier, at=NOON + DAY, **asked):
    return update_subscription_tier(owner=balance.owner, tier=tier, at=at, **asked)


def prorated(balance, tier, at=HALF):
    """Return what a change to ``tier`` grants for the rest of the period."""
    given = change(balance, tier, at=at, proration="difference").transaction
    return given.amount if given else 0


class TestUpdateSubscriptionTier:
    @pytest.mark.parametrize("tier", ["explorer", "growth", "enterprise"])
    def test_leaves_the_balance_as_it_is(self, tier):
        balance = subscribed(tier="growth")

        done = change(balance, tier)

        assert (done.after.balance, done.after.sequence, done.after.version) == (2000, 1, 2)
        assert done.transaction is None
        assert done.alongside == {"tier": tier, "pending_tier": None, "next_allocation_at": month(1).isoformat()}
        assert queries.tier_facts(owner=balance.owner) == done.alongside

    def test_never_moves_the_anchor(self):
        balance = subscribed()

        change(balance, "pro", at=month(2) + DAY)

        changed = subscription_of(balance)
        assert (changed.anchor, changed.next_period, changed.next_allocation_at) == (NOON, 1, month(1))

    @pytest.mark.parametrize(("tier", "expected"), [("pro", 7000), ("explorer", 400)])
    def test_lets_the_next_allocation_follow_the_new_tier(self, tier, expected):
        balance = subscribed(tier="growth")

        change(balance, tier)
        run_over([balance], at=month(1))

        assert periods_of(balance) == [(1, expected)]
        check_ledger()

    def test_leaves_earlier_grants_on_their_terms(self):
        fleeting()
        balance = subscribed(tier="fleeting")

        change(balance, "explorer")

        assert balance.grants.get().expires_at == month(1)

    def test_lets_an_allocation_given_before_it_stand(self):
        balance = subscribed(tier="explorer")
        operations.add_monthly_allocation(owner=balance.owner, at=month(1))

        change(balance, "pro", at=month(1) + DAY)
        again = operations.add_monthly_allocation(owner=balance.owner, at=month(1) + DAY)

        assert not again.allocated
        assert periods_of(balance) == [(1, 400)]

    def test_replays_its_first_answer_under_its_key(self):
        balance = subscribed()
        first = change(balance, "pro", idempotency_key="up")
        change(balance, "growth", at=NOON + 2 * DAY)

        with unwritten():
            again = change(balance, "pro", at=NOON + 3 * DAY, idempotency_key="up")

        assert (again.after, again.alongside, again.replayed) == (first.after, first.alongside, True)
        assert subscription_of(balance).tier_id == "growth"


class TestDifference:
    """The difference for the rest of the period, over the most that any tier held in it promises."""

    def test_grants_it_for_the_rest_of_the_period(self):
        balance = subscribed(at=APRIL)

        done = change(balance, "growth", at=HALF, proration="difference", actor=(staff := make_user()))

        assert (done.transaction.type, done.transaction.amount, done.after.balance) == ("allocation", 800, 1200)
        assert done.transaction.description == "Change to Growth: 16 April 2025 to 1 May 2025"
        assert done.transaction.actor_id == staff.pk
        assert changes_of(balance) == [(0, "explorer", "growth", 800)]
        check_ledger()

    @pytest.mark.parametrize(
        ("at", "expected"),
        [(APRIL, 1600), (APRIL + MICROSECOND, 1599), (MAY - DAY, 53), (MAY - MICROSECOND, 0), (MAY, 1600)],
    )
    def test_is_rounded_down_to_whole_credits(self, at, expected):
        balance = subscribed(at=APRIL)

        assert prorated(balance, "growth", at=at) == expected

    @pytest.mark.parametrize("tier", ["explorer", "growth"])
    def test_of_a_change_down_or_to_the_same_tier_is_nothing(self, tier):
        balance = subscribed(tier="growth", at=APRIL)

        done = change(balance, tier, at=HALF, proration="difference")

        assert (done.transaction, done.after.balance) == (None, 2000)

    def test_is_not_given_again_for_what_the_period_knew_already(self):
        balance = subscribed(tier="growth", at=APRIL)
        change(balance, "explorer", at=APRIL + DAY)
        change(balance, "growth", at=HALF, proration="difference")

        done = change(balance, "pro", at=HALF, proration="difference")

        assert done.transaction.amount == 2500
        assert [given for *_, given in changes_of(balance)] == [0, 0, 2500]
        check_ledger()

    def test_is_over_the_highest_even_where_it_came_without_proration(self):
        balance = subscribed(at=APRIL)
        change(balance, "pro", at=APRIL + DAY)
        change(balance, "explorer", at=APRIL + 2 * DAY)

        assert prorated(balance, "pro") == 0

    def test_begins_anew_in_the_next_period_with_the_tier_held_then(self):
        balance = subscribed(tier="enterprise", at=APRIL)
        change(balance, "growth", at=HALF)

        change(balance, "explorer", at=MAY)
        done = change(balance, "pro", at=MAY, proration="difference")

        assert done.transaction.amount == 5000

    def test_counts_what_staff_made_of_the_tier_since(self):
        balance = subscribed(tier="growth", at=APRIL)
        Tier.objects.filter(pk="growth").update(monthly_credits=3000)

        assert prorated(balance, "pro") == 2000

    def test_counts_what_the_period_was_given_before_staff_lowered_the_tier(self):
        balance = subscribed(tier="growth", at=APRIL)
        operations.add_monthly_allocation(owner=balance.owner, at=APRIL)
        Tier.objects.filter(pk="growth").update(monthly_credits=1000)

        assert prorated(balance, "pro") == 2500
        check_ledger()

    def test_is_taken_off_an_allocation_made_later_in_the_period(self):
        balance = subscribed(at=APRIL)
        change(balance, "growth", at=HALF, proration="difference")

        operations.add_monthly_allocation(owner=balance.owner, at=HALF)
        run_over([balance], at=MAY)

        assert periods_of(balance) == [(0, 1200), (1, 2000)]
        check_ledger()

    def test_comes_on_the_terms_of_the_new_tier(self):
        capped(1000, cap=300, months=2)
        balance = subscribed(at=APRIL)

        done = change(balance, "capped", at=HALF, proration="difference")

        [given] = done.transaction.entries.all()
        terms = (given.grant.amount, given.grant.expires_at, given.grant.roll_cap, given.grant.roll_until)
        assert terms == (300, MAY, 300, month(3, APRIL))

    def test_repays_debt_first(self):
        balance = subscribed(at=APRIL, initial_balance=0)
        bought = ledger.add_credits(owner=balance.owner, amount=500, type="purchase", at=APRIL)
        deduct(balance, 500, at=APRIL)
        ledger.reverse_purchase(transaction_id=bought.pk, reason="Charged back", at=APRIL)

        done = change(balance, "growth", at=HALF, proration="difference")

        assert (done.transaction.amount, done.after.balance, done.after.debt) == (800, 300, 0)

    def test_replays_its_grant_under_its_key(self):
        balance = subscribed(at=APRIL)
        first = change(balance, "growth", at=HALF, proration="difference", idempotency_key="up")

        with unwritten():
            again = change(balance, "growth", at=MAY, proration="difference", idempotency_key="up")

        assert (again.replayed, again.transaction, again.after) == (True, first.transaction, first.after)


class TestNextPeriod:
    def test_changes_nothing_yet(self):
        balance = subscribed(tier="growth", at=APRIL)

        done = change(balance, "explorer", at=HALF, effective="nextPeriod")

        assert (done.transaction, done.after.balance) == (None, 2000)
        assert done.alongside["tier"] == "growth"
        assert done.alongside["pending_tier"] == {"tier": "explorer", "at": MAY.isoformat()}
        assert changes_of(balance) == []

    def test_takes_effect_at_its_instant_though_nothing_ran(self):
        balance = subscribed(tier="growth", at=APRIL)
        change(balance, "explorer", at=HALF, effective="nextPeriod")

        with unwritten():
            before = queries.tier_facts(owner=balance.owner, at=MAY - MICROSECOND)
            after = queries.tier_facts(owner=balance.owner, at=MAY)

        assert (before["tier"], before["pending_tier"]["tier"]) == ("growth", "explorer")
        assert (after["tier"], after["pending_tier"]) == ("explorer", None)
        assert queries.tier_facts_of([balance.pk], at=MAY)[balance.pk] == after
        assert list(queries.on_tier("explorer", at=MAY).values_list("pk", flat=True)) == [balance.pk]
        assert not queries.on_tier("growth", at=MAY).exists()

    @pytest.mark.parametrize("late", [MAY, MAY + DAY, month(4, APRIL)])
    def test_is_followed_by_the_run_from_its_period_on(self, late):
        balance = subscribed(tier="growth", at=APRIL)
        change(balance, "explorer", at=HALF, effective="nextPeriod")

        run_over([balance], at=late)

        assert {given for _, given in periods_of(balance)} == {400}
        assert changes_of(balance) == [(1, "growth", "explorer", 0)]
        changed = subscription_of(balance)
        assert (changed.tier_id, changed.scheduled_tier_id, changed.scheduled_at) == ("explorer", None, None)
        check_ledger()

    def test_leaves_missed_periods_before_it_to_the_tier_held_then(self):
        balance = subscribed(tier="growth", at=APRIL)
        change(balance, "explorer", at=month(2, APRIL) + DAY, effective="nextPeriod")

        run_over([balance], at=month(4, APRIL))

        assert periods_of(balance) == [(1, 2000), (2, 2000), (3, 400), (4, 400)]
        assert list(balance.allocations.order_by("period").values_list("tier", flat=True)) == [
            "growth",
            "growth",
            "explorer",
            "explorer",
        ]

    def test_is_followed_by_an_allocation_on_request(self):
        balance = subscribed(tier="growth", at=APRIL)
        change(balance, "pro", at=HALF, effective="nextPeriod")

        done = operations.add_monthly_allocation(owner=balance.owner, at=MAY)

        assert (periods_of(balance), done.alongside["tier"]) == ([(1, 7000)], "pro")
        assert changes_of(balance) == [(1, "growth", "pro", 0)]
        check_ledger()

    def test_leaves_the_tier_before_it_out_of_the_highest(self):
        balance = subscribed(tier="pro", at=APRIL)
        change(balance, "explorer", at=HALF, effective="nextPeriod")

        done = change(balance, "growth", at=MAY, proration="difference")

        assert done.transaction.amount == 1600
        assert changes_of(balance) == [(1, "pro", "explorer", 0), (1, "explorer", "growth", 1600)]
        check_ledger()

    def test_gives_way_to_what_is_scheduled_later(self):
        balance = subscribed(tier="growth", at=APRIL)
        change(balance, "explorer", at=HALF, effective="nextPeriod")

        done = change(balance, "pro", at=HALF + DAY, effective="nextPeriod")

        assert done.alongside["pending_tier"]["tier"] == "pro"

    def test_gives_way_to_an_immediate_change(self):
        balance = subscribed(tier="growth", at=APRIL)
        change(balance, "explorer", at=HALF, effective="nextPeriod")

        done = change(balance, "pro", at=HALF + DAY)
        run_over([balance], at=MAY)

        assert (done.alongside["tier"], done.alongside["pending_tier"]) == ("pro", None)
        assert periods_of(balance) == [(1, 7000)]

    @pytest.mark.parametrize("effective", ["now", "nextPeriod"])
    def test_is_cancelled_by_naming_the_tier_that_is_held(self, effective):
        balance = subscribed(tier="growth", at=APRIL)
        change(balance, "explorer", at=HALF, effective="nextPeriod")

        done = change(balance, "growth", at=HALF + DAY, effective=effective)

        assert (done.alongside["tier"], done.alongside["pending_tier"]) == ("growth", None)
        assert changes_of(balance) == []

    def test_is_dated_at_its_own_instant_where_a_later_change_meets_it(self):
        balance = subscribed(tier="growth", at=APRIL)
        change(balance, "explorer", at=HALF, effective="nextPeriod")

        change(balance, "pro", at=month(3, APRIL) + DAY)

        assert list(balance.tier_changes.order_by("number").values_list("number", "at")) == [
            (1, MAY),
            (2, month(3, APRIL) + DAY),
        ]
        check_ledger()


class TestAMissedPeriod:
    """What no run has looked after follows the tier last held in it."""

    def test_that_is_over_before_a_change_keeps_its_tier(self):
        balance = subscribed(at=APRIL)

        change(balance, "pro", at=month(3, APRIL) + DAY)
        run_over([balance], at=month(4, APRIL))

        assert periods_of(balance) == [(1, 400), (2, 400), (3, 7000), (4, 7000)]
        check_ledger()

    def test_pays_less_what_proration_gave_in_it_though_others_followed(self):
        balance = subscribed(at=APRIL)
        half_of_may = MAY + 15.5 * DAY
        change(balance, "growth", at=half_of_may, proration="difference")
        change(balance, "pro", at=month(2, APRIL) + 15 * DAY, proration="difference")

        run_over([balance], at=month(3, APRIL))

        assert changes_of(balance) == [(1, "explorer", "growth", 800), (2, "growth", "pro", 2500)]
        assert periods_of(balance) == [(1, 1200), (2, 4500), (3, 7000)]
        check_ledger()


class TestCancelScheduledChange:
    def test_leaves_the_tier_as_it_is(self):
        balance = subscribed(tier="growth", at=APRIL)
        change(balance, "explorer", at=HALF, effective="nextPeriod")

        done = cancel_scheduled_change(owner=balance.owner, at=HALF)
        run_over([balance], at=MAY)

        assert done.alongside["pending_tier"] is None
        assert (done.transaction, done.after.balance) == (None, 2000)
        assert periods_of(balance) == [(1, 2000)]
        check_ledger()

    def test_replays_its_first_answer_under_its_key(self):
        balance = subscribed(tier="growth", at=APRIL)
        change(balance, "explorer", at=HALF, effective="nextPeriod")
        first = cancel_scheduled_change(owner=balance.owner, at=HALF, idempotency_key="no")
        change(balance, "pro", at=HALF, effective="nextPeriod")

        with unwritten():
            again = cancel_scheduled_change(owner=balance.owner, at=HALF + DAY, idempotency_key="no")

        assert (again.replayed, again.after, again.alongside) == (True, first.after, first.alongside)
        assert subscription_of(balance).scheduled_tier_id == "pro"

    def test_comes_too_late_once_the_instant_is_there(self):
        balance = subscribed(tier="growth", at=APRIL)
        change(balance, "explorer", at=HALF, effective="nextPeriod")

        with unwritten(), pytest.raises(operations.NoScheduledChangeError):
            cancel_scheduled_change(owner=balance.owner, at=MAY)

    def test_refuses_in_the_documented_order(self):
        untiered, tiered = make_balance(idempotency_key="taken"), subscribed(at=APRIL)
        wrong: dict[str, Any] = {"owner": make_user(), "idempotency_key": "x" * 256, "at": APRIL}
        mended: list[tuple[dict[str, Any], type[DomainError]]] = [
            ({}, ledger.InvalidArgumentError),
            ({"idempotency_key": "taken"}, ledger.BalanceNotFoundError),
            ({"owner": untiered.owner}, ledger.IdempotencyKeyReusedError),
            ({"idempotency_key": "new"}, operations.NoSubscriptionError),
            ({"owner": tiered.owner}, operations.NoScheduledChangeError),
        ]

        for mending, expected in mended:
            wrong |= mending
            with unwritten(), pytest.raises(expected):
                cancel_scheduled_change(**wrong)


class TestPreview:
    ASKED = [
        {"tier": "pro"},
        {"tier": "explorer"},
        {"tier": "growth"},
        {"tier": "pro", "proration": "difference"},
        {"tier": "explorer", "proration": "difference"},
        {"tier": "explorer", "effective": "nextPeriod"},
        {"tier": "growth", "effective": "nextPeriod"},
        {"tier": "capped", "proration": "difference"},
    ]

    @pytest.mark.parametrize("asked", ASKED)
    @pytest.mark.parametrize("at", [HALF, MAY, month(3, APRIL) + DAY])
    @pytest.mark.parametrize("scheduled", [None, "enterprise"])
    def test_writes_nothing_and_tells_what_then_happens(self, asked, at, scheduled):
        capped(3000, percent=50)
        balance = subscribed(tier="growth", at=APRIL)
        make_balance(balance.owner, [(50, 20 * DAY)], at=APRIL)
        if scheduled:
            change(balance, scheduled, at=APRIL, effective="nextPeriod")

        before = table_digests()
        told = preview_subscription_tier(owner=balance.owner, at=at, **asked)
        assert table_digests() == before

        held = queries.tier_facts(owner=balance.owner, at=at)["tier"]
        done = change(balance, at=at, **asked)
        assert (told.from_tier, told.to_tier) == (held, asked["tier"])
        assert told.grant_now == (done.transaction.amount if done.transaction else 0)
        assert told.balance_after == done.after.balance
        pending = done.alongside["pending_tier"]
        assert told.effective_at == (datetime.fromisoformat(pending["at"]) if pending else at)
        assert done.alongside["tier"] == (held if pending else asked["tier"])
        assert told.next_allocation is not None
        begins, amount = told.next_allocation
        assert begins.isoformat() == done.alongside["next_allocation_at"]
        run_over([balance], at=max(at, begins))
        assert balance.allocations.order_by("period").values_list("credits", flat=True)[0] == amount

    def test_passes_over_a_period_that_was_given_on_request(self):
        balance = subscribed(tier="growth", at=APRIL)
        operations.add_monthly_allocation(owner=balance.owner, at=month(2, APRIL))
        run_over([balance], at=MAY)

        told = preview_subscription_tier(owner=balance.owner, tier="pro", at=month(2, APRIL))

        assert told.next_allocation == (month(3, APRIL), 7000)

    def test_of_a_cancelled_subscription_tells_no_allocation(self):
        balance = subscribed(tier="growth", at=APRIL)
        Subscription.objects.filter(pk=balance.pk).update(status="cancelled")

        assert preview_subscription_tier(owner=balance.owner, tier="pro", at=HALF).next_allocation is None

    def test_refuses_as_the_change_does(self):
        balance, untiered = subscribed(at=APRIL), make_balance()
        refused: list[tuple[dict[str, Any], type[DomainError]]] = [
            ({"owner": balance.owner, "tier": "pro", "effective": "later"}, ledger.InvalidArgumentError),
            ({"owner": balance.owner, "tier": "pro", "at": datetime(2025, 4, 1)}, ledger.InvalidArgumentError),  # noqa: DTZ001
            ({"owner": make_user(), "tier": "no-such"}, ledger.BalanceNotFoundError),
            ({"owner": untiered.owner, "tier": "no-such"}, operations.TierNotFoundError),
            ({"owner": untiered.owner, "tier": "pro"}, operations.NoSubscriptionError),
        ]

        for asked, expected in refused:
            with unwritten(), pytest.raises(expected):
                preview_subscription_tier(**{"at": HALF, **asked})


class TestTierChange:
    @pytest.mark.parametrize("falsify", [lambda rows: rows.update(credits=1), lambda rows: rows.delete()])
    def test_never_changes(self, falsify):
        balance = subscribed(at=APRIL)
        change(balance, "pro", at=HALF)

        with unwritten(), pytest.raises(DatabaseError), transaction.atomic():
            falsify(TierChange.objects.all())

    def test_keeps_its_order_where_a_clock_lags_behind(self):
        balance = subscribed(at=APRIL)
        change(balance, "pro", at=HALF)

        change(balance, "growth", at=HALF - DAY)

        assert list(balance.tier_changes.order_by("number").values_list("at", flat=True)) == [HALF, HALF]
        check_ledger()


class TestUpdateSubscriptionTierRefuses:
    @pytest.mark.parametrize(
        ("asked", "fault"),
        [
            ({"effective": "nextPeriod", "proration": "difference"}, ("proration", "invalid_choice")),
            ({"proration": "all"}, ("proration", "invalid_choice")),
            ({"effective": "later"}, ("effective", "invalid_choice")),
            ({"tier": " "}, ("tier", "required")),
        ],
    )
    def test_what_can_never_be_right(self, asked, fault):
        balance = subscribed()

        with unwritten(), pytest.raises(ledger.InvalidArgumentError) as refusal:
            change(balance, **{"tier": "pro", **asked})

        assert [(error.field, error.code) for error in refusal.value.errors] == [fault]

    def test_an_owner_without_a_balance(self):
        with unwritten(), pytest.raises(ledger.BalanceNotFoundError):
            update_subscription_tier(owner=make_user(), tier="no-such", at=NOON)

    def test_in_the_documented_order(self):
        balance = make_balance(idempotency_key="taken")
        wrong: dict[str, Any] = {"tier": "no-such", "idempotency_key": "taken", "effective": "later"}
        mended: list[tuple[dict[str, Any], type[DomainError]]] = [
            ({}, ledger.InvalidArgumentError),
            ({"effective": "now"}, ledger.IdempotencyKeyReusedError),
            ({"idempotency_key": "new"}, operations.TierNotFoundError),
            ({"tier": "pro"}, operations.NoSubscriptionError),
        ]

        for mending, expected in mended:
            wrong |= mending
            with unwritten(), pytest.raises(expected):
                change(balance, **wrong)
