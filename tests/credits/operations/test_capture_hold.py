from datetime import timedelta
from types import SimpleNamespace

import pytest

from credits import operations, queries
from credits.models import CreditPin
from fluxori.core.ids import uuid7
from tests.credits.operations.verbs import (
    add_credits,
    capture_hold,
    change_tier,
    place_hold,
    remaining_and_held_of_grants,
    reverse_purchase,
    subscribe,
    suspend_spending,
    transactions_after,
    void_grant,
)
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.falsification import differences_of, falsify
from tests.support.operations import captured_statements, check_balance, check_replay, statement_kinds, unchanged
from tests.support.times import DAY, HOUR, MINUTE, NOON

MAXIMUM = 10**12
MICROSECOND = timedelta(microseconds=1)

pytestmark = pytest.mark.django_db


class TestAllowDebt:
    def test_takes_what_is_there_and_the_rest_as_debt(self):
        balance = make_balance()
        placed = place_hold(balance).hold

        result = capture_hold(placed, 130, allow_debt=True)

        assert [(entry.grant_id is None, entry.amount) for entry in result.transaction.entries] == [
            (False, -100),
            (True, -30),
        ]
        assert (result.balance.balance, result.balance.available, result.balance.debt) == (-30, 0, 30)
        check_balance(balance)

    def test_creates_no_debt_if_the_credits_are_enough(self):
        placed = place_hold(make_balance()).hold

        assert capture_hold(placed, 100, allow_debt=True).balance.debt == 0

    def test_leaves_the_credits_of_other_holds(self):
        balance = make_balance()
        first, other = place_hold(balance, 30).hold, place_hold(balance, 60).hold

        assert capture_hold(first, 50, allow_debt=True).balance.debt == 10
        assert capture_hold(other).balance.debt == 10
        check_balance(balance)

    def test_is_off_by_default(self):
        placed = place_hold(make_balance()).hold

        with unchanged(), pytest.raises(operations.InsufficientCreditsError):
            capture_hold(placed, 101)

    def test_rejects_more_debt_than_the_setting_allows_in_all(self, settings):
        settings.CAPTURE_DEBT_LIMIT = 30
        balance = make_balance()
        first, second = place_hold(balance, 40).hold, place_hold(balance, 40).hold
        capture_hold(first, 80, allow_debt=True)

        with unchanged(), pytest.raises(operations.InsufficientCreditsError):
            capture_hold(second, 51, allow_debt=True)
        assert capture_hold(second, 50, allow_debt=True).balance.debt == 30

    def test_a_suspended_balance_gets_no_debt(self):
        balance = make_balance()
        placed = place_hold(balance).hold
        suspend_spending(balance)

        with unchanged(), pytest.raises(operations.SpendingSuspendedError):
            capture_hold(placed, 130, allow_debt=True)

    def test_a_repeated_request_takes_effect_once(self):
        placed = place_hold(make_balance()).hold
        first = capture_hold(placed, 130, allow_debt=True, idempotency_key="k")

        check_replay(first, capture_hold(placed, 130, allow_debt=True, idempotency_key="k"))
        with pytest.raises(operations.IdempotencyKeyReusedError):
            capture_hold(placed, 130, idempotency_key="k")

    def test_verification_reports_debt_of_a_usage_without_a_hold(self):
        balance = make_balance()
        usage = capture_hold(place_hold(balance).hold, 130, allow_debt=True).transaction

        falsify(SimpleNamespace(id=usage.id), "UPDATE credits_credittransaction SET hold_id = NULL WHERE id = %(id)s")

        assert "usage_takes_debt_by_capture_only" in {each.rule for each in differences_of(balance.pk)}

    def test_a_refund_repays_the_debt_first(self):
        balance = make_balance()
        usage = capture_hold(place_hold(balance).hold, 130, allow_debt=True).transaction

        result = operations.refund_usage(transaction_id=usage.id, amount=40, reason="Failed", at=NOON)

        assert (result.balance.debt, result.balance.available, result.made_available) == (0, 10, 10)
        check_balance(balance)

    def test_a_refund_of_repaid_debt_is_a_new_grant(self):
        balance = make_balance()
        usage = capture_hold(place_hold(balance).hold, 130, allow_debt=True).transaction
        add_credits(balance.owner, 50)

        result = operations.refund_usage(transaction_id=usage.id, reason="Failed", at=NOON)

        assert (result.balance.balance, result.balance.available) == (150, 150)
        assert [(grant.source, grant.amount) for grant in result.transaction.opened] == [("adjustment", 30)]
        check_balance(balance)


class TestCaptureHold:
    def test_spends_the_whole_hold_by_default(self):
        balance = make_balance()
        placed = place_hold(balance).hold

        result = capture_hold(placed, at=NOON + MINUTE)

        usage = result.transaction
        assert (usage.type, usage.amount, usage.timestamp) == ("usage", -60, NOON + MINUTE)
        assert (result.hold.status, result.hold.captured, result.hold.closed_at) == ("captured", 60, NOON + MINUTE)
        assert (result.balance.balance, result.balance.held, result.balance.available) == (40, 0, 40)
        check_balance(balance)

    def test_copies_the_details_of_the_hold_to_the_usage(self):
        balance, actor, member = make_balance(), make_user(), make_user()
        placed = place_hold(balance, member=member, reference_id="r-1", metadata={"a": 1}).hold

        details = capture_hold(placed, actor=actor).transaction.details

        assert (details.hold_id, details.description, details.reference_id) == (placed.id, "Work", "r-1")
        assert (details.member_id, details.actor_id, details.metadata) == (member.pk, actor.pk, '{"a":1}')

    def test_returns_the_rest_to_the_grants_that_burn_last(self):
        balance = make_balance(grants=[(50, None), (20, DAY), (20, 2 * DAY)])
        placed = place_hold(balance, 60).hold

        usage = capture_hold(placed, 25).transaction

        assert remaining_and_held_of_grants(balance) == [(50, 0), (0, 0), (15, 0)]
        assert [entry.amount for entry in usage.entries] == [-20, -5]
        assert [entry.remaining_after for entry in usage.entries] == [0, 15]
        assert CreditPin.objects.filter(hold=placed.id).count() == 3
        check_balance(balance)

    def test_records_in_the_entry_what_the_grant_has_left_with_the_rest(self):
        balance = make_balance()

        [entry] = capture_hold(place_hold(balance).hold, 25).transaction.entries

        assert (entry.amount, entry.remaining_after) == (-25, 75)
        assert remaining_and_held_of_grants(balance) == [(75, 0)]

    def test_takes_an_excess_from_the_available_credits_in_the_same_usage(self):
        balance = make_balance(grants=[(50, None), (20, DAY), (20, 2 * DAY)])
        placed = place_hold(balance, 30).hold
        make_balance(balance.owner, grants=[(20, HOUR)])

        result = capture_hold(placed, 70)

        expiries = dict(balance.grants.values_list("pk", "expires_at"))
        assert [(expiries[entry.grant_id], entry.amount) for entry in result.transaction.entries] == [
            (NOON + HOUR, -20),
            (NOON + DAY, -20),
            (NOON + 2 * DAY, -20),
            (None, -10),
        ]
        assert (result.hold.amount, result.hold.captured) == (30, 70)
        check_balance(balance)

    def test_keeps_the_hold_open_if_the_excess_is_not_available(self):
        balance = make_balance()
        placed = place_hold(balance).hold

        with unchanged(), pytest.raises(operations.InsufficientCreditsError) as error:
            capture_hold(placed, 101)

        assert error.value.facts == {"required": 41, "available": 40, "held": 60, "shortfall": 1}
        assert capture_hold(placed, 100).balance.balance == 0

    def test_rejects_only_an_excess_while_spending_is_suspended(self):
        balance = make_balance()
        placed = place_hold(balance).hold
        suspend_spending(balance)

        with unchanged(), pytest.raises(operations.SpendingSuspendedError):
            capture_hold(placed, 200)
        assert capture_hold(placed, 60).transaction.amount == -60

    def test_releases_the_hold_if_the_amount_is_0(self):
        balance = make_balance()

        result = capture_hold(place_hold(balance).hold, 0)

        assert (result.transaction, result.hold.status, result.hold.captured) == (None, "released", 0)
        assert result.balance.available == 100
        check_balance(balance)

    def test_spends_pins_of_a_grant_that_has_expired(self):
        balance = make_balance(grants=[(60, MINUTE)])
        placed = place_hold(balance).hold

        assert capture_hold(placed, at=NOON + MINUTE).transaction.amount == -60
        check_balance(balance)

    def test_spends_pins_of_a_voided_grant_and_voids_the_rest(self):
        balance = make_balance(grants=[(60, None)])
        placed = place_hold(balance, 50).hold
        void_grant(balance.grants.get())

        result = capture_hold(placed, 30)

        assert transactions_after(balance, 1) == [("void", -10), ("usage", -30), ("void", -20)]
        assert result.balance.balance == 0
        check_balance(balance)

    def test_repays_debt_with_the_rest(self):
        balance = make_balance(grants=[(60, None)])
        placed = place_hold(balance).hold
        purchase = add_credits(balance.owner, 50, priority=0).transaction
        deduct(balance, 50)
        reverse_purchase(purchase)

        result = capture_hold(placed, 25)

        assert (result.balance.debt, result.balance.available) == (15, 0)
        assert balance.transactions.latest("sequence").type == "reversal"
        check_balance(balance)

    def test_is_possible_up_to_the_last_microsecond(self):
        placed = place_hold(make_balance()).hold
        lapses_at = NOON + 15 * MINUTE

        with unchanged(), pytest.raises(operations.HoldClosedError):
            capture_hold(placed, at=lapses_at)
        assert capture_hold(placed, at=lapses_at - MICROSECOND).hold.status == "captured"

    def test_has_the_same_effect_as_a_deduction_of_the_amount(self):
        grants = [(50, None), (20, DAY)]
        by_hold, direct = make_balance(grants=grants), make_balance(grants=grants)

        capture_hold(place_hold(by_hold, 30).hold)
        deduct(direct, 30)

        assert remaining_and_held_of_grants(by_hold) == remaining_and_held_of_grants(direct)
        one, other = queries.get_balance(owner=by_hold.owner), queries.get_balance(owner=direct.owner)
        assert (one.balance, one.available, one.sequence) == (other.balance, other.available, other.sequence)

    def test_reads_the_owner_of_the_hold_before_lock_load_tier_facts_write(self):
        placed = place_hold(make_balance()).hold

        with captured_statements() as run:
            capture_hold(placed, idempotency_key="k")

        assert statement_kinds(run) == ["read credits_credithold", "lock", "load", "tier facts", "write"]

    @pytest.mark.parametrize("amount", [-1, MAXIMUM + 1, 2.0, True, "5"])
    def test_rejects_an_invalid_amount(self, amount):
        placed = place_hold(make_balance()).hold

        with unchanged(), pytest.raises(operations.InvalidArgumentError):
            capture_hold(placed, amount)

    def test_raises_the_documented_errors_in_order(self):
        placed = place_hold(make_balance()).hold
        capture_hold(placed, 5, idempotency_key="k")

        with unchanged():
            with pytest.raises(operations.InvalidArgumentError):
                operations.capture_hold(hold_id=uuid7(), amount=-1, at=NOON)
            with pytest.raises(operations.HoldNotFoundError):
                operations.capture_hold(hold_id=uuid7(), idempotency_key="k", at=NOON)
            with pytest.raises(operations.IdempotencyKeyReusedError):
                capture_hold(placed, 6, idempotency_key="k")
            with pytest.raises(operations.HoldClosedError):
                capture_hold(placed, 5)

    @pytest.mark.parametrize("amount", [None, 25, 80, 0])
    def test_returns_the_first_result_for_the_same_key_after_the_balance_and_the_tier_changed(self, amount):
        balance = make_balance()
        subscribe(balance, "growth")
        placed = place_hold(balance).hold
        first = capture_hold(placed, amount, idempotency_key="k")
        deduct(balance, 10)
        change_tier(balance, "pro")

        with unchanged():
            repeated = capture_hold(placed, amount, idempotency_key="k", at=NOON + DAY)

        check_replay(first, repeated)
        assert (repeated.transaction is None) == (amount == 0)
        assert repeated.tier_facts.tier == "growth"
