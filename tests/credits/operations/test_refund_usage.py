from datetime import timedelta

import pytest

from credits import operations
from credits.models import CreditGrant
from fluxori.core.ids import uuid7
from tests.credits.operations.verbs import (
    capture_hold,
    change_tier,
    entry_amounts,
    extend_grant,
    first_transaction,
    place_hold,
    refund_usage,
    remaining_of_grants,
    reverse_purchase,
    subscribe,
    transactions_after,
    void_grant,
)
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.operations import (
    captured_statements,
    check_balance,
    check_replay,
    field_errors,
    statement_kinds,
    unchanged,
)
from tests.support.times import DAY, NOON

MAXIMUM = 10**12
MICROSECOND = timedelta(microseconds=1)

pytestmark = pytest.mark.django_db


class TestRefundUsage:
    def test_returns_all_credits_to_the_grants_that_paid_by_default(self):
        balance = make_balance(grants=[(50, None), (20, DAY)])
        lasting, expiring = balance.grants.order_by("pk")
        usage = deduct(balance, 30).transaction

        result = refund_usage(usage)

        assert (result.transaction.type, result.transaction.amount) == ("refund", 30)
        assert entry_amounts(result.transaction) == [(expiring.pk, 20), (lasting.pk, 10)]
        assert remaining_of_grants(balance) == [50, 20]
        assert result.balance.available == 70
        check_balance(balance)

    def test_refers_to_the_usage_and_copies_its_member_and_reference(self):
        balance, actor, member = make_balance(), make_user(), make_user()
        usage = deduct(balance, 30, member=member, reference_id="r-1").transaction

        details = refund_usage(usage, actor=actor).transaction.details

        assert (details.reverses_id, details.reason) == (usage.id, "It failed")
        assert (details.actor_id, details.member_id, details.reference_id) == (actor.pk, member.pk, "r-1")

    def test_returns_parts_from_the_last_entry_to_the_first(self):
        balance = make_balance(grants=[(50, None), (20, DAY)])
        usage = deduct(balance, 30).transaction

        steps = [
            (refund_usage(usage, amount).transaction.amount, remaining_of_grants(balance)) for amount in (4, 8, None)
        ]

        assert steps == [(4, [44, 0]), (8, [50, 2]), (18, [50, 20])]
        check_balance(balance)

    def test_returns_the_credits_of_a_capture(self):
        balance = make_balance()
        usage = capture_hold(place_hold(balance, 60).hold, 80).transaction

        assert refund_usage(usage, 70).balance.available == 90
        check_balance(balance)

    def test_expires_credits_of_an_expired_grant_at_once(self):
        balance = make_balance(grants=[(20, DAY), (50, None)])
        usage = deduct(balance, 30).transaction

        result = refund_usage(usage, at=NOON + DAY)

        assert transactions_after(balance, usage.sequence) == [("refund", 30), ("expiry", -20)]
        assert (result.transaction.balance_after, result.balance.balance, result.balance.available) == (70, 50, 50)
        check_balance(balance)

    def test_returns_credits_of_an_expired_grant_as_a_new_grant_if_expires_at_is_given(self):
        balance = make_balance(grants=[(20, DAY), (50, None)])
        usage = deduct(balance, 30).transaction

        result = refund_usage(usage, 25, at=NOON + DAY, expires_at=NOON + 2 * DAY)

        grant = CreditGrant.objects.get(transaction=result.transaction.id)
        assert (grant.source, grant.amount, grant.remaining) == ("adjustment", 15, 15)
        assert (grant.effective_at, grant.expires_at, grant.priority) == (NOON + DAY, NOON + 2 * DAY, 50)
        assert transactions_after(balance, usage.sequence) == [("refund", 25)]
        assert result.balance.available == 65
        check_balance(balance)

    def test_ignores_expires_at_for_a_grant_that_has_not_expired(self):
        balance = make_balance(grants=[(20, DAY)])
        usage = deduct(balance, 20).transaction

        refund_usage(usage, at=NOON + DAY - MICROSECOND, expires_at=NOON + 9 * DAY)

        assert balance.grants.get().remaining == 20
        check_balance(balance)

    def test_voids_credits_of_a_voided_grant_even_if_expires_at_is_given(self):
        balance = make_balance(grants=[(20, DAY)])
        usage = deduct(balance, 10).transaction
        void_grant(balance.grants.get())

        result = refund_usage(usage, at=NOON + DAY, expires_at=NOON + 9 * DAY)

        assert transactions_after(balance, usage.sequence) == [("void", -10), ("refund", 10), ("void", -10)]
        assert result.balance.balance == 0
        check_balance(balance)

    def test_repays_debt_first_with_credits_that_can_be_spent(self):
        balance = make_balance(grants=[(20, DAY), (50, None)], type="purchase")
        usage = deduct(balance, 70).transaction
        reverse_purchase(balance.transactions.get(sequence=2), 50)

        result = refund_usage(usage, 60, at=NOON + DAY)

        assert entry_amounts(result.transaction)[-1] == (None, 50)
        assert transactions_after(balance, 4) == [("refund", 60), ("expiry", -10)]
        assert (result.balance.debt, result.balance.available) == (0, 0)
        check_balance(balance)

    def test_repays_debt_first_with_credits_of_the_new_grant(self):
        balance = make_balance(grants=[(20, DAY)], type="purchase")
        usage = deduct(balance, 20).transaction
        reverse_purchase(first_transaction(balance), 20)

        result = refund_usage(usage, 20, at=NOON + DAY, expires_at=NOON + 2 * DAY)

        assert entry_amounts(result.transaction) == [(None, 20)]
        assert (result.balance.debt, result.balance.available) == (0, 0)
        check_balance(balance)

    @pytest.mark.parametrize(
        "at", [NOON, NOON + DAY - MICROSECOND, NOON + DAY, NOON + 2 * DAY, NOON + 9 * DAY - MICROSECOND]
    )
    def test_credits_of_an_extended_grant_last_as_long_as_the_extension(self, at):
        balance = make_balance(grants=[(100, DAY)], type="purchase", priority=7)
        usage = deduct(balance, 60).transaction
        for days in (5, 9):
            extend_grant(balance.grants.get(live=True), NOON + days * DAY)

        result = refund_usage(usage, at=at)

        assert transactions_after(balance, 4) == [("refund", 60), ("adjustment", 0)]
        assert result.balance.next_expiry == (100, NOON + 9 * DAY)
        assert set(balance.grants.filter(live=True).values_list("source", "priority")) == {("purchase", 7)}
        check_balance(balance)

    def test_credits_of_an_extended_grant_expire_if_the_extension_has_ended(self):
        balance = make_balance(grants=[(100, DAY)])
        usage = deduct(balance, 60).transaction
        extend_grant(balance.grants.get(), NOON + 9 * DAY)

        refund_usage(usage, at=NOON + 9 * DAY)

        assert transactions_after(balance, 3) == [("expiry", -40), ("refund", 60), ("expiry", -60)]
        check_balance(balance)

    def test_credits_of_an_extended_grant_are_voided_if_the_extension_was(self):
        balance = make_balance(grants=[(100, DAY)])
        usage = deduct(balance, 60).transaction
        extend_grant(balance.grants.get(), NOON + 9 * DAY)
        void_grant(balance.grants.get(live=True))

        result = refund_usage(usage)

        assert transactions_after(balance, 4) == [("refund", 60), ("adjustment", 0), ("void", -60)]
        assert result.balance.available == 0
        check_balance(balance)

    def test_credits_of_an_extended_grant_repay_debt_first(self):
        balance = make_balance(grants=[(100, DAY), (30, None)], type="purchase")
        usage = deduct(balance, 60).transaction
        extend_grant(balance.grants.get(live=True, expires_at=NOON + DAY), NOON + 9 * DAY)
        deduct(balance, 70)
        reverse_purchase(balance.transactions.get(sequence=2))

        result = refund_usage(usage, at=NOON + 2 * DAY)

        assert (result.balance.debt, result.balance.available) == (0, 30)
        assert result.balance.next_expiry == (30, NOON + 9 * DAY)
        check_balance(balance)

    def test_a_reversal_takes_credits_that_followed_an_extension_first(self):
        balance = make_balance(grants=[(100, DAY)], type="purchase")
        usage = deduct(balance, 60).transaction
        extend_grant(balance.grants.get(), NOON + 9 * DAY)
        refund_usage(usage, at=NOON + 2 * DAY)

        result = reverse_purchase(first_transaction(balance), at=NOON + 2 * DAY)

        assert (result.transaction.amount, result.balance.debt, result.balance.balance) == (-100, 0, 0)
        check_balance(balance)

    @pytest.mark.parametrize("grants", [1, 40])
    def test_runs_the_same_statements_for_any_number_of_grants(self, grants):
        balance = make_balance(grants=[(1, None)] * grants)
        usage = deduct(balance, grants).transaction

        with captured_statements() as run:
            refund_usage(usage, idempotency_key="k")

        assert statement_kinds(run) == [
            # The owner of the usage and the grants that it changed, before the lock.
            "read credits_credittransaction",
            "read credits_creditentry",
            "read credits_creditgrant",
            "lock",
            "load",
            # The entries of the usage and what was refunded of it, under the lock.
            "read credits_credittransaction",
            "read credits_creditentry",
            "read credits_credittransaction",
            # The copies of the grants.
            "read credits_creditgrant",
            "tier facts",
            "write",
        ]


class TestRefundUsageErrors:
    @pytest.mark.parametrize("reason", ["", "  ", "x" * 501, None])
    def test_rejects_a_missing_or_long_reason(self, reason):
        usage = deduct(make_balance(), 5).transaction

        with unchanged(), pytest.raises(operations.InvalidArgumentError) as error:
            refund_usage(usage, reason=reason)

        assert [field for field, _ in field_errors(error)] == ["reason"]

    @pytest.mark.parametrize("amount", [0, -1, MAXIMUM + 1, 1.5, True])
    def test_rejects_an_invalid_amount(self, amount):
        usage = deduct(make_balance(), 5).transaction

        with unchanged(), pytest.raises(operations.InvalidArgumentError) as error:
            refund_usage(usage, amount)

        assert [field for field, _ in field_errors(error)] == ["amount"]

    def test_rejects_more_than_is_not_yet_refunded(self):
        usage = deduct(make_balance(), 30).transaction
        refund_usage(usage, 10)

        with unchanged(), pytest.raises(operations.RefundExceedsUsageError) as error:
            refund_usage(usage, 21)

        assert error.value.facts == {"refundable": 20}

    def test_rejects_a_usage_that_is_refunded_completely(self):
        usage = deduct(make_balance(), 30).transaction
        refund_usage(usage)

        with unchanged(), pytest.raises(operations.RefundExceedsUsageError) as error:
            refund_usage(usage)

        assert error.value.facts == {"refundable": 0}

    def test_rejects_a_transaction_that_is_not_a_usage(self):
        balance = make_balance()
        refund = refund_usage(deduct(balance, 5).transaction).transaction

        with unchanged():
            for other in (first_transaction(balance), refund):
                with pytest.raises(operations.NotRefundableError):
                    refund_usage(other)

    def test_raises_the_documented_errors_in_order(self):
        balance = make_balance()
        usage = deduct(balance, 5).transaction
        refund_usage(usage, 1, idempotency_key="k")

        with unchanged():
            with pytest.raises(operations.InvalidArgumentError):
                operations.refund_usage(transaction_id=uuid7(), reason="", at=NOON)
            with pytest.raises(operations.TransactionNotFoundError):
                operations.refund_usage(transaction_id=uuid7(), reason="r", idempotency_key="k", at=NOON)
            with pytest.raises(operations.IdempotencyKeyReusedError):
                refund_usage(first_transaction(balance), idempotency_key="k")
            with pytest.raises(operations.NotRefundableError):
                refund_usage(first_transaction(balance), 1000, expires_at=NOON)
            with pytest.raises(operations.RefundExceedsUsageError):
                refund_usage(usage, 5, expires_at=NOON)
            with pytest.raises(operations.InvalidArgumentError) as error:
                refund_usage(usage, 4, expires_at=NOON)
        assert field_errors(error) == [("expires_at", "in_past")]


class TestRefundUsageRetries:
    def test_returns_the_first_result_for_the_same_key_after_another_refund_and_a_tier_change(self):
        balance = make_balance(grants=[(20, DAY)])
        subscribe(balance, "growth")
        usage = deduct(balance, 20).transaction
        first = refund_usage(usage, 5, at=NOON + DAY, idempotency_key="k")
        refund_usage(usage, 5, at=NOON + DAY)
        change_tier(balance, "pro")

        with unchanged():
            repeated = refund_usage(usage, 5, at=NOON + 2 * DAY, idempotency_key="k")

        check_replay(first, repeated)
        assert (repeated.balance.balance, repeated.tier_facts.tier) == (0, "growth")

    def test_returns_the_new_grant_as_it_was_after_it_is_spent(self):
        balance = make_balance(grants=[(20, DAY)])
        usage = deduct(balance, 20).transaction
        terms = {"at": NOON + DAY, "expires_at": NOON + 9 * DAY, "idempotency_key": "k"}
        first = refund_usage(usage, **terms)
        deduct(balance, 15, at=NOON + DAY)

        check_replay(first, refund_usage(usage, **terms))
