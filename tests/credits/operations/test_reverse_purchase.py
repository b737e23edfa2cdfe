import pytest

from credits import operations, queries
from credits.models import CreditGrant
from fluxori.core.ids import uuid7
from tests.credits.operations.verbs import (
    add_credits,
    adjust_credits,
    capture_hold,
    change_tier,
    entry_amounts,
    expire_credits,
    extend_grant,
    first_transaction,
    place_hold,
    refund_usage,
    release_hold,
    reverse_purchase,
    subscribe,
    transactions_after,
    void_grant,
)
from tests.support.factories.credits import deduct, hold, make_balance
from tests.support.operations import captured_statements, check_balance, check_replay, statement_kinds, unchanged
from tests.support.times import DAY, HOUR, MINUTE, NOON

MAXIMUM = 10**12

pytestmark = pytest.mark.django_db


class TestReversePurchase:
    def test_takes_the_grant_of_the_purchase_before_the_others_and_then_makes_debt(self):
        balance = make_balance(grants=[(30, DAY)])
        purchase = add_credits(balance.owner, 50).transaction
        deduct(balance, 40)
        promotion, own = balance.grants.order_by("pk")

        result = reverse_purchase(purchase, 45)

        assert entry_amounts(result.transaction) == [(own.pk, -40), (None, -5)]
        assert (result.transaction.type, result.transaction.amount) == ("reversal", -45)
        assert result.transaction.details.reverses_id == purchase.id
        assert (result.balance.balance, result.balance.debt, result.balance.available) == (-5, 5, 0)
        assert promotion.remaining == 0
        check_balance(balance)

    def test_takes_the_other_grants_in_burn_order(self):
        balance = make_balance(grants=[(30, None), (30, DAY)])
        purchase = add_credits(balance.owner, 50, priority=0).transaction
        lasting, expiring, own = balance.grants.order_by("pk")
        deduct(balance, 40)

        result = reverse_purchase(purchase)

        assert entry_amounts(result.transaction) == [(own.pk, -10), (expiring.pk, -30), (lasting.pk, -10)]
        assert result.balance.debt == 0
        check_balance(balance)

    def test_takes_extended_copies_of_the_grant_of_the_purchase_first(self):
        balance = make_balance(grants=[(30, HOUR)])
        purchase = add_credits(balance.owner, 50, expires_at=NOON + DAY).transaction
        own = CreditGrant.objects.get(transaction=purchase.id)
        for days in (2, 3):
            extend_grant(CreditGrant.objects.get(live=True, source="purchase"), NOON + days * DAY)

        result = reverse_purchase(purchase)

        copy = CreditGrant.objects.get(expires_at=NOON + 3 * DAY)
        assert entry_amounts(result.transaction) == [(copy.pk, -50)]
        assert (own.source, copy.parent_id != own.pk, result.balance.available) == ("purchase", True, 30)
        check_balance(balance)

    def test_makes_debt_instead_of_taking_pinned_credits(self):
        balance = make_balance(grants=[(100, None)], type="purchase")
        hold(balance, 60)

        result = reverse_purchase(first_transaction(balance))

        assert (result.balance.held, result.balance.debt, result.balance.balance) == (60, 60, 0)
        check_balance(balance)

    def test_takes_all_that_is_not_yet_reversed_by_default(self):
        balance = make_balance(type="purchase")
        purchase = first_transaction(balance)

        assert [reverse_purchase(purchase, amount).transaction.amount for amount in (30, None)] == [-30, -70]
        check_balance(balance)

    @pytest.mark.parametrize("written", [True, False])
    def test_does_not_take_credits_that_have_expired(self, written):
        balance = make_balance(grants=[(100, DAY)], type="purchase")
        deduct(balance, 30)
        if written:
            expire_credits(balance, at=NOON + DAY)

        result = reverse_purchase(first_transaction(balance), at=NOON + DAY)

        assert transactions_after(balance, 2) == [("expiry", -70), ("reversal", -30)]
        assert result.balance.debt == 30
        check_balance(balance)

    def test_does_not_take_credits_that_were_voided(self):
        balance = make_balance(type="purchase")
        deduct(balance, 30)
        void_grant(balance.grants.get())

        result = reverse_purchase(first_transaction(balance))

        assert (result.transaction.amount, result.balance.balance, result.balance.debt) == (-30, -30, 30)
        check_balance(balance)

    def test_does_not_take_credits_that_were_adjusted_downwards(self):
        balance = make_balance(type="purchase")
        adjust_credits(balance, -40)

        assert reverse_purchase(first_transaction(balance)).transaction.amount == -60
        check_balance(balance)

    def test_does_not_take_credits_that_expired_on_a_copy(self):
        balance = make_balance(grants=[(100, HOUR)], type="purchase")
        extend_grant(balance.grants.get(), NOON + DAY)

        with unchanged(), pytest.raises(operations.ReversalExceedsPurchaseError) as error:
            reverse_purchase(first_transaction(balance), at=NOON + DAY)

        assert error.value.facts == {"reversible": 0}

    def test_does_not_take_other_grants_for_credits_that_were_voided(self):
        balance = make_balance(grants=[(100, None), (50, None)], type="purchase")
        void_grant(balance.grants.order_by("pk")[0])

        with unchanged(), pytest.raises(operations.ReversalExceedsPurchaseError):
            reverse_purchase(first_transaction(balance))
        assert queries.get_balance(owner=balance.owner).available == 50

    def test_takes_credits_again_that_were_refunded(self):
        balance = make_balance(type="purchase")
        refund_usage(deduct(balance, 60).transaction, 20)

        result = reverse_purchase(first_transaction(balance))

        assert (result.transaction.amount, result.balance.debt) == (-100, 40)
        check_balance(balance)

    def test_takes_what_repaid_debt_when_the_credits_were_bought(self):
        balance = make_balance(type="purchase")
        deduct(balance, 100)
        reverse_purchase(first_transaction(balance))
        second = add_credits(balance.owner, 150).transaction

        result = reverse_purchase(second)

        assert (result.transaction.amount, result.balance.debt) == (-150, 100)
        check_balance(balance)

    def test_takes_what_the_reversal_of_another_purchase_took(self):
        balance = make_balance(grants=[(100, None), (100, None)], type="purchase")
        first, second = balance.transactions.order_by("sequence")
        deduct(balance, 100)
        reverse_purchase(first)

        result = reverse_purchase(second)

        assert (result.transaction.amount, result.balance.debt) == (-100, 100)
        check_balance(balance)


class TestCreditsThatComeBackAfterAReversal:
    """Nothing was used in the end, so no debt remains, whatever happened to the grant in between."""

    @pytest.mark.parametrize("end", [release_hold, lambda hold, at: capture_hold(hold, 0, at=at), None])
    @pytest.mark.parametrize("first", ["void", "reverse"])
    def test_pinned_credits_of_a_voided_grant_repay_the_debt_of_their_purchase(self, first, end):
        balance = make_balance(type="purchase")
        placed = place_hold(balance, 60).hold
        steps = [
            lambda: void_grant(balance.grants.get()),
            lambda: reverse_purchase(first_transaction(balance)),
        ]
        for step in steps if first == "void" else reversed(steps):
            step()

        if end:
            end(placed, at=NOON + MINUTE)
        else:
            expire_credits(balance, at=NOON + HOUR)

        assert transactions_after(balance, 1)[-1] == ("reversal", 0)
        assert amounts(balance) == (0, 0, 0, 0)
        check_balance(balance)

    def test_pinned_credits_of_an_expired_grant_repay_the_debt_of_their_purchase(self):
        balance = make_balance(grants=[(100, 10 * MINUTE)], type="purchase")
        placed = place_hold(balance, 60).hold
        reverse_purchase(first_transaction(balance))

        release_hold(placed, at=NOON + 11 * MINUTE)

        assert amounts(balance) == (0, 0, 0, 0)
        check_balance(balance)

    def test_refunded_credits_of_an_expired_grant_repay_the_debt_of_their_purchase(self):
        balance = make_balance(grants=[(100, DAY)], type="purchase")
        usage = deduct(balance, 60).transaction
        reverse_purchase(first_transaction(balance), at=NOON + DAY)

        refund_usage(usage, at=NOON + DAY)

        assert transactions_after(balance, 2) == [("expiry", -40), ("reversal", -60), ("refund", 60), ("reversal", 0)]
        assert amounts(balance) == (0, 0, 0, 0)
        check_balance(balance)

    def test_part_that_was_captured_stays_owed(self):
        balance = make_balance(type="purchase")
        placed = place_hold(balance, 60).hold
        void_grant(balance.grants.get())
        reverse_purchase(first_transaction(balance))

        capture_hold(placed, 25)

        assert amounts(balance) == (-25, 0, 25, 0)
        check_balance(balance)

    def test_voided_credits_do_not_repay_the_debt_of_another_purchase(self):
        balance = make_balance(grants=[(100, None), (60, None)], type="purchase")
        _, own = balance.grants.order_by("pk")
        deduct(balance, 100)
        placed = place_hold(balance, 60).hold
        reverse_purchase(first_transaction(balance))
        void_grant(own)

        release_hold(placed)

        assert transactions_after(balance, 4) == [("void", -60)]
        assert amounts(balance) == (-100, 0, 100, 0)
        check_balance(balance)

    def test_a_read_shows_the_debt_repaid_before_a_lapse_is_written(self):
        balance = make_balance(grants=[(100, 10 * MINUTE)], type="purchase")
        place_hold(balance, 60)
        reverse_purchase(first_transaction(balance))

        with unchanged():
            read = queries.get_balance(owner=balance.owner, at=NOON + HOUR)

        assert (read.balance, read.held, read.debt, read.available) == (0, 0, 0, 0)

    def test_are_read_for_many_balances_with_the_same_statements(self):
        balances = [make_balance(grants=[(100, 10 * MINUTE)], type="purchase") for _ in range(4)]
        for balance in balances:
            place_hold(balance, 60)
            reverse_purchase(first_transaction(balance))

        with captured_statements() as for_one:
            queries.get_snapshots([balances[0].pk], at=NOON + HOUR)
        with captured_statements() as for_all:
            snapshots = queries.get_snapshots([balance.pk for balance in balances], at=NOON + HOUR)

        assert len(for_all) == len(for_one)
        assert [(each.balance, each.debt) for each in snapshots.values()] == [(0, 0)] * 4


def amounts(balance):
    balance.refresh_from_db()
    return (balance.balance, balance.held, balance.debt, sum(grant.remaining for grant in balance.grants.all()))


class TestReversePurchaseStatements:
    @pytest.mark.parametrize("grants", [1, 40])
    def test_runs_the_same_statements_for_any_number_of_grants(self, grants):
        balance = make_balance(grants=[(1, None)] * grants, type="purchase")
        deduct(balance, grants)
        purchase = first_transaction(balance)

        with captured_statements() as run:
            reverse_purchase(purchase, idempotency_key="k")

        assert statement_kinds(run) == [
            # The owner of the purchase and the grants that it created, before the lock.
            "read credits_credittransaction",
            "read credits_creditentry",
            "read credits_creditgrant",
            "lock",
            "load",
            # What was reversed of the purchase, and the copies of its grants, under the lock.
            "read credits_credittransaction",
            "read credits_creditentry",
            "read credits_credittransaction",
            "read credits_creditgrant",
            "read credits_creditgrant",
            # What the grants lost.
            "read credits_creditentry",
            "tier facts",
            "write",
        ]


class TestReversePurchaseErrors:
    @pytest.mark.parametrize("reason", ["", "  ", "x" * 501, None])
    def test_rejects_a_missing_or_long_reason(self, reason):
        balance = make_balance(type="purchase")

        with unchanged(), pytest.raises(operations.InvalidArgumentError):
            reverse_purchase(first_transaction(balance), reason=reason)

    @pytest.mark.parametrize("amount", [0, -1, MAXIMUM + 1, 1.5, True])
    def test_rejects_an_invalid_amount(self, amount):
        balance = make_balance(type="purchase")

        with unchanged(), pytest.raises(operations.InvalidArgumentError):
            reverse_purchase(first_transaction(balance), amount)

    def test_rejects_a_purchase_that_is_reversed_completely(self):
        balance = make_balance(type="purchase")
        purchase = first_transaction(balance)
        reverse_purchase(purchase)

        with unchanged(), pytest.raises(operations.ReversalExceedsPurchaseError) as error:
            reverse_purchase(purchase)

        assert error.value.facts == {"reversible": 0}

    def test_rejects_a_transaction_that_is_not_a_purchase(self):
        balance = make_balance()
        purchase = add_credits(balance.owner).transaction
        reversal = reverse_purchase(purchase, 1).transaction

        with unchanged():
            for other in (first_transaction(balance), reversal):
                with pytest.raises(operations.NotReversibleError):
                    reverse_purchase(other)

    def test_raises_the_documented_errors_in_order(self):
        balance = make_balance(type="purchase")
        purchase = first_transaction(balance)
        usage = deduct(balance, 1).transaction
        reverse_purchase(purchase, 1, idempotency_key="k")

        with unchanged():
            with pytest.raises(operations.InvalidArgumentError):
                operations.reverse_purchase(transaction_id=uuid7(), reason="", at=NOON)
            with pytest.raises(operations.TransactionNotFoundError):
                operations.reverse_purchase(transaction_id=uuid7(), reason="r", idempotency_key="k", at=NOON)
            with pytest.raises(operations.IdempotencyKeyReusedError):
                reverse_purchase(usage, idempotency_key="k")
            with pytest.raises(operations.NotReversibleError):
                reverse_purchase(usage, 1000)
            with pytest.raises(operations.ReversalExceedsPurchaseError):
                reverse_purchase(purchase, 100)


class TestReversePurchaseRetries:
    def test_returns_the_first_result_for_the_same_key_after_the_balance_and_the_tier_changed(self):
        balance = make_balance(type="purchase")
        subscribe(balance, "growth")
        deduct(balance, 70)
        first = reverse_purchase(first_transaction(balance), idempotency_key="k")
        add_credits(balance.owner, 500)
        change_tier(balance, "pro")

        with unchanged():
            repeated = reverse_purchase(first_transaction(balance), idempotency_key="k", at=NOON + DAY)

        check_replay(first, repeated)
        assert (repeated.balance.debt, repeated.tier_facts.tier) == (70, "growth")
