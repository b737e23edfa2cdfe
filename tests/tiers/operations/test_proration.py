from datetime import timedelta

import pytest

from credits import operations as ledger
from credits.models import CreditGrant
from tests.support.factories.credits import deduct, make_user
from tests.support.factories.tiers import (
    APRIL,
    MAY,
    MID_APRIL,
    change_tier,
    changes_of,
    make_capped_tier,
    make_subscribed_balance,
    month,
    periods_of,
    run_allocation,
)
from tests.support.tier_tables import assert_nothing_written, check_ledger
from tests.support.times import DAY
from tiers import operations
from tiers.models import Tier

pytestmark = pytest.mark.django_db

MICROSECOND = timedelta(microseconds=1)


def prorated(balance, tier, at=MID_APRIL):
    """Return the credits that a change to ``tier`` grants for the rest of the period."""
    transaction = change_tier(balance, tier, at=at, proration="difference").transaction
    return transaction.amount if transaction else 0


class TestProration:
    """The difference for the rest of the period, over the most that any tier held in it promises."""

    def test_grants_the_difference_for_the_rest_of_the_period(self):
        balance = make_subscribed_balance(at=APRIL)

        result = change_tier(balance, "growth", at=MID_APRIL, proration="difference", actor=(staff := make_user()))

        assert (result.transaction.type, result.transaction.amount, result.balance.balance) == ("allocation", 800, 1200)
        assert result.transaction.details.description == "Change to Growth: 16 April 2025 to 1 May 2025"
        assert result.transaction.details.actor_id == staff.pk
        assert changes_of(balance) == [(0, "explorer", "growth", 800)]
        check_ledger()

    @pytest.mark.parametrize(
        ("at", "expected"),
        [(APRIL, 1600), (APRIL + MICROSECOND, 1599), (MAY - DAY, 53), (MAY - MICROSECOND, 0), (MAY, 1600)],
    )
    def test_is_rounded_down_to_whole_credits(self, at, expected):
        balance = make_subscribed_balance(at=APRIL)

        assert prorated(balance, "growth", at=at) == expected

    @pytest.mark.parametrize("tier", ["explorer", "growth"])
    def test_grants_nothing_for_a_smaller_or_equal_tier(self, tier):
        balance = make_subscribed_balance(tier="growth", at=APRIL)

        result = change_tier(balance, tier, at=MID_APRIL, proration="difference")

        assert (result.transaction, result.balance.balance) == (None, 2000)

    def test_subtracts_the_highest_tier_of_the_period(self):
        balance = make_subscribed_balance(tier="growth", at=APRIL)
        change_tier(balance, "explorer", at=APRIL + DAY)
        change_tier(balance, "growth", at=MID_APRIL, proration="difference")

        result = change_tier(balance, "pro", at=MID_APRIL, proration="difference")

        assert result.transaction.amount == 2500
        assert [given for *_, given in changes_of(balance)] == [0, 0, 2500]
        check_ledger()

    def test_highest_tier_counts_without_proration(self):
        balance = make_subscribed_balance(at=APRIL)
        change_tier(balance, "pro", at=APRIL + DAY)
        change_tier(balance, "explorer", at=APRIL + 2 * DAY)

        assert prorated(balance, "pro") == 0

    def test_highest_tier_is_per_period(self):
        balance = make_subscribed_balance(tier="enterprise", at=APRIL)
        change_tier(balance, "growth", at=MID_APRIL)

        change_tier(balance, "explorer", at=MAY)
        result = change_tier(balance, "pro", at=MAY, proration="difference")

        assert result.transaction.amount == 5000

    def test_uses_the_current_credits_of_the_held_tier(self):
        balance = make_subscribed_balance(tier="growth", at=APRIL)
        Tier.objects.filter(pk="growth").update(monthly_credits=3000)

        assert prorated(balance, "pro") == 2000

    def test_highest_is_at_least_the_credits_granted_in_the_period(self):
        balance = make_subscribed_balance(tier="growth", at=APRIL)
        operations.add_monthly_allocation(owner=balance.owner, at=APRIL)
        Tier.objects.filter(pk="growth").update(monthly_credits=1000)

        assert prorated(balance, "pro") == 2500
        check_ledger()

    def test_is_subtracted_from_a_later_allocation_of_the_period(self):
        balance = make_subscribed_balance(at=APRIL)
        change_tier(balance, "growth", at=MID_APRIL, proration="difference")

        operations.add_monthly_allocation(owner=balance.owner, at=MID_APRIL)
        run_allocation([balance], at=MAY)

        assert periods_of(balance) == [(0, 800), (1, 2000)]
        check_ledger()

    def test_grant_has_the_terms_of_the_new_tier(self):
        make_capped_tier(1000, cap=300, months=2)
        balance = make_subscribed_balance(at=APRIL)

        result = change_tier(balance, "capped", at=MID_APRIL, proration="difference")

        [given] = result.transaction.entries
        grant = CreditGrant.objects.get(pk=given.grant_id)
        terms = (grant.amount, grant.expires_at, grant.roll_cap, grant.roll_until)
        assert terms == (300, MAY, 300, month(3, APRIL))

    def test_repays_debt_first(self):
        balance = make_subscribed_balance(at=APRIL, initial_balance=0)
        bought = ledger.add_credits(owner=balance.owner, amount=500, type="purchase", at=APRIL)
        deduct(balance, 500, at=APRIL)
        ledger.reverse_purchase(transaction_id=bought.transaction.id, reason="Charged back", at=APRIL)

        result = change_tier(balance, "growth", at=MID_APRIL, proration="difference")

        assert (result.transaction.amount, result.balance.balance, result.balance.debt) == (800, 300, 0)

    def test_replays_its_grant_for_the_same_key(self):
        balance = make_subscribed_balance(at=APRIL)
        first = change_tier(balance, "growth", at=MID_APRIL, proration="difference", idempotency_key="up")

        with assert_nothing_written():
            repeated = change_tier(balance, "growth", at=MAY, proration="difference", idempotency_key="up")

        assert (repeated.replayed, repeated.transaction, repeated.balance) == (True, first.transaction, first.balance)


class TestMissedPeriod:
    """What no run has looked after follows the tier last held in it."""

    def test_before_a_change_follows_the_previous_tier(self):
        balance = make_subscribed_balance(at=APRIL)

        change_tier(balance, "pro", at=month(3, APRIL) + DAY)
        run_allocation([balance], at=month(4, APRIL))

        assert periods_of(balance) == [(1, 400), (2, 400), (3, 7000), (4, 7000)]
        check_ledger()

    def test_subtracts_its_own_prorations_only(self):
        balance = make_subscribed_balance(at=APRIL)
        half_of_may = MAY + 15.5 * DAY
        change_tier(balance, "growth", at=half_of_may, proration="difference")
        change_tier(balance, "pro", at=month(2, APRIL) + 15 * DAY, proration="difference")

        run_allocation([balance], at=month(3, APRIL))

        assert changes_of(balance) == [(1, "explorer", "growth", 800), (2, "growth", "pro", 2500)]
        assert periods_of(balance) == [(1, 1200), (2, 4500), (3, 7000)]
        check_ledger()
