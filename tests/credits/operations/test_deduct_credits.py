from datetime import timedelta

import pytest

from credits import operations, queries
from credits.models import CreditEntry, FeaturePrice
from tests.credits.operations.verbs import deduct_feature, subscribe
from tests.support.factories.credits import deduct, hold, make_balance, make_user
from tests.support.operations import captured_statements, check_sums, statement_kinds, unchanged
from tests.support.times import DAY, HOUR, NOON

MICROSECOND = timedelta(microseconds=1)

pytestmark = pytest.mark.django_db


class TestDeductCredits:
    def test_uses_the_grant_that_expires_first(self):
        balance = make_balance(grants=[(50, None), (20, DAY)])

        result = deduct(balance, 30)

        assert dict(balance.grants.values_list("expires_at", "remaining")) == {None: 40, NOON + DAY: 0}
        recorded = result.transaction
        assert (recorded.type, recorded.amount, recorded.balance_after) == ("usage", -30, 40)
        check_sums(balance)

    def test_uses_grants_in_burn_order_with_one_entry_for_each(self):
        balance = make_balance(grants=[(20, None)], type="purchase")
        make_balance(balance.owner, grants=[(20, None)], type="allocation")
        make_balance(balance.owner, grants=[(20, 2 * DAY)], type="purchase")
        make_balance(balance.owner, grants=[(20, DAY)], type="purchase")
        make_balance(balance.owner, grants=[(20, None)], type="purchase", priority=0)

        recorded = deduct(balance, 90).transaction

        stored = CreditEntry.objects.filter(transaction=recorded.id).order_by("position")
        payments = [
            (entry.grant and (entry.grant.priority, entry.grant.expires_at, entry.grant.source), entry.amount)
            for entry in stored
        ]
        assert payments == [
            ((0, None, "purchase"), -20),
            ((50, NOON + DAY, "purchase"), -20),
            ((50, NOON + 2 * DAY, "purchase"), -20),
            ((50, None, "allocation"), -20),
            ((50, None, "purchase"), -10),
        ]
        assert [entry.id for entry in recorded.entries] == [entry.pk for entry in stored]

    def test_can_use_all_available_credits(self):
        balance = make_balance(grants=[(10, None), (20, DAY)])

        result = deduct(balance, 30)

        assert (result.balance.balance, result.balance.available) == (0, 0)
        assert not balance.grants.filter(live=True).exists()

    def test_changes_nothing_if_one_credit_is_missing(self):
        balance = make_balance(grants=[(10, None), (20, DAY)])

        with unchanged(), pytest.raises(operations.InsufficientCreditsError) as error:
            deduct(balance, 31)

        assert error.value.facts == {"required": 31, "available": 30, "held": 0, "shortfall": 1}

    def test_cannot_use_held_credits(self):
        balance = make_balance()
        hold(balance, 60)

        with unchanged(), pytest.raises(operations.InsufficientCreditsError) as error:
            deduct(balance, 41)

        assert error.value.facts == {"required": 41, "available": 40, "held": 60, "shortfall": 1}

    def test_can_use_held_credits_from_the_instant_the_hold_lapses(self):
        balance = make_balance()
        hold(balance, 60, expires_in=HOUR)

        with pytest.raises(operations.InsufficientCreditsError):
            deduct(balance, 100, at=NOON + HOUR - MICROSECOND)
        result = deduct(balance, 100, at=NOON + HOUR)

        assert (result.balance.balance, result.balance.held) == (0, 0)
        assert balance.holds.get().status == "lapsed"
        check_sums(balance)

    def test_can_use_a_grant_up_to_the_last_microsecond(self):
        balance = make_balance(grants=[(20, DAY)])

        assert deduct(balance, 20, at=NOON + DAY - MICROSECOND).transaction.balance_after == 0

    def test_cannot_use_a_grant_at_the_instant_it_expires(self):
        balance = make_balance(grants=[(20, DAY)])

        with unchanged(), pytest.raises(operations.InsufficientCreditsError) as error:
            deduct(balance, 1, at=NOON + DAY)

        assert error.value.facts == {"required": 1, "available": 0, "held": 0, "shortfall": 1}

    def test_writes_due_expiries_before_its_own_transaction(self):
        balance = make_balance(grants=[(20, DAY), (50, None)])

        result = deduct(balance, 30, at=NOON + 3 * DAY)

        rows = balance.transactions.order_by("sequence").values_list("type", "amount", "timestamp", "balance_after")
        assert list(rows)[2:] == [("expiry", -20, NOON + DAY, 50), ("usage", -30, NOON + 3 * DAY, 20)]
        assert result.transaction.sequence == 4
        check_sums(balance)

    def test_multiplies_the_price_of_a_feature_by_the_quantity(self):
        balance = make_balance()

        recorded = deduct_feature(balance, "realtime-ai-dashboard", quantity=4).transaction

        assert (recorded.amount, recorded.details.feature_id, recorded.details.quantity) == (
            -12,
            "realtime-ai-dashboard",
            4,
        )
        assert queries.get_transaction(transaction_id=recorded.id).price.credits == 3

    def test_uses_the_price_in_force_at_its_timestamp(self):
        balance = make_balance()
        FeaturePrice.objects.create(feature_id="simple-ai-insight", credits=11, effective_from=NOON + HOUR)

        before = deduct_feature(balance, at=NOON + HOUR - MICROSECOND)
        after = deduct_feature(balance, at=NOON + HOUR)

        assert (before.transaction.amount, after.transaction.amount) == (-9, -11)

    def test_uses_the_price_at_the_last_change_of_the_balance_if_at_is_earlier(self):
        balance = make_balance()
        FeaturePrice.objects.create(feature_id="simple-ai-insight", credits=11, effective_from=NOON + HOUR)
        deduct(balance, 1, at=NOON + HOUR)

        recorded = deduct_feature(balance, at=NOON).transaction

        assert (recorded.amount, recorded.timestamp) == (-11, NOON + HOUR)

    def test_takes_effect_no_earlier_than_the_last_change_of_the_balance(self):
        balance = make_balance(at=NOON)

        recorded = [deduct(balance, 1, at=at).transaction for at in (NOON + HOUR, NOON, NOON - DAY, NOON + 2 * HOUR)]

        assert [each.timestamp - NOON for each in recorded] == [HOUR, HOUR, HOUR, 2 * HOUR]
        assert [each.sequence for each in recorded] == [2, 3, 4, 5]

    def test_cannot_use_recorded_expired_credits_with_an_earlier_at(self):
        balance = make_balance(grants=[(20, DAY), (50, None)])
        deduct(balance, 1, at=NOON + DAY)

        with pytest.raises(operations.InsufficientCreditsError) as error:
            deduct(balance, 50, at=NOON)

        assert error.value.facts["available"] == 49

    def test_stores_the_actor_the_member_the_reference_and_the_metadata(self):
        balance, actor, member = make_balance(), make_user(), make_user()

        result = deduct(balance, 1, actor=actor, member=member.pk, reference_id="job-7", metadata={"n": 1})

        stored = queries.get_transaction(transaction_id=result.transaction.id)
        assert (stored.actor_id, stored.member_id) == (actor.pk, member.pk)
        assert (stored.reference_id, stored.metadata) == ("job-7", '{"n":1}')

    def test_returns_the_tier_of_the_balance(self):
        balance = make_balance()
        without_tier = deduct(balance, 1).tier_facts
        subscribe(balance, "growth")

        assert (without_tier.tier, deduct(balance, 1).tier_facts.tier) == (None, "growth")

    @pytest.mark.parametrize("with_key", [None, "k"])
    def test_runs_four_statements_lock_load_tier_facts_write(self, with_key):
        balance = make_balance(grants=[(1, DAY)] * 5 + [(100, None)])
        hold(balance, 2, expires_in=HOUR)

        with captured_statements() as run:
            deduct_feature(balance, idempotency_key=with_key, at=NOON + 2 * HOUR)

        assert statement_kinds(run) == ["lock", "load", "tier facts", "write"]

    def test_runs_only_lock_and_load_if_it_is_rejected(self):
        balance = make_balance()

        with captured_statements() as run, pytest.raises(operations.InsufficientCreditsError):
            deduct(balance, 101)

        assert statement_kinds(run) == ["lock", "load"]
