import pytest

from credits import operations
from credits.models import CreditGrant
from fluxori.core.ids import uuid7
from tests.credits.operations.verbs import (
    add_credits,
    change_tier,
    entry_amounts,
    extend_grant,
    first_transaction,
    reverse_purchase,
    subscribe,
    transactions_after,
)
from tests.support.factories.credits import deduct, hold, make_balance
from tests.support.operations import captured_statements, check_balance, check_replay, statement_kinds, unchanged
from tests.support.times import DAY, HOUR, NOON

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

    def test_makes_debt_of_credits_that_have_expired(self):
        balance = make_balance(grants=[(100, DAY)], type="purchase")

        result = reverse_purchase(first_transaction(balance), at=NOON + DAY)

        assert transactions_after(balance, 1) == [("expiry", -100), ("reversal", -100)]
        assert result.balance.debt == 100
        check_balance(balance)

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
