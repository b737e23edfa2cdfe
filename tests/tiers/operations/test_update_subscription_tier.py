from typing import Any

import pytest

from credits import operations as ledger
from fluxori.kernel.errors import DomainError
from tests.factories.credits import funded, somebody
from tests.factories.tiers import fleeting, month, periods_of, run_over, subscribed, subscription_of
from tests.tiers.tables import check_ledger, unwritten
from tests.times import DAY, NOON
from tiers import operations, queries
from tiers.models import Tier
from tiers.operations import update_subscription_tier

pytestmark = pytest.mark.django_db


def change(balance, tier, at=NOON + DAY, **asked):
    return update_subscription_tier(owner=balance.owner, tier=tier, at=at, **asked)


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


class TestHighMark:
    """The most monthly credits of any tier held in the period, for whatever is prorated later."""

    def high(self, balance):
        kept = subscription_of(balance)
        return kept.high_period, kept.high_credits

    def test_rises_with_an_upgrade_and_stays_through_a_downgrade(self):
        balance = subscribed(tier="growth")

        change(balance, "pro")
        change(balance, "explorer")

        assert self.high(balance) == (0, 7000)

    def test_begins_anew_in_the_next_period_with_the_tier_held_then(self):
        balance = subscribed(tier="enterprise")
        change(balance, "growth")

        change(balance, "explorer", at=month(1))

        assert self.high(balance) == (1, 2000)

    def test_belongs_to_the_old_period_until_its_last_instant(self):
        balance = subscribed(tier="enterprise")

        change(balance, "growth", at=month(1) - DAY)

        assert self.high(balance) == (0, 20_000)

    def test_counts_what_staff_made_of_the_tier_since(self):
        balance = subscribed(tier="growth")
        Tier.objects.filter(pk="growth").update(monthly_credits=3000)

        change(balance, "explorer", at=month(1))

        assert self.high(balance) == (1, 3000)


class TestUpdateSubscriptionTierRefuses:
    @pytest.mark.parametrize(
        ("asked", "fault"),
        [
            ({"effective": "nextPeriod"}, ("effective", "invalid_choice")),
            ({"proration": "difference"}, ("proration", "invalid_choice")),
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
            update_subscription_tier(owner=somebody(), tier="no-such", at=NOON)

    def test_in_the_documented_order(self):
        balance = funded(idempotency_key="taken")
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
