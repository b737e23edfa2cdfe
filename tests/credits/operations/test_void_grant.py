from datetime import timedelta

import pytest

from credits import operations
from fluxori.core.ids import uuid7
from tests.credits.operations.verbs import (
    adjust_credits,
    change_tier,
    refund_usage,
    release_hold,
    subscribe,
    transactions_after,
    void_grant,
)
from tests.support.factories.credits import deduct, hold, make_balance
from tests.support.operations import captured_statements, check_balance, check_replay, statement_kinds, unchanged
from tests.support.times import DAY, HOUR, MINUTE, NOON

MICROSECOND = timedelta(microseconds=1)

pytestmark = pytest.mark.django_db


class TestVoidGrant:
    def test_takes_the_remaining_credits(self):
        balance = make_balance(grants=[(100, None)])
        deduct(balance, 30)

        result = void_grant(balance.grants.get(), at=NOON + HOUR)

        recorded = result.transaction
        assert (recorded.type, recorded.amount, recorded.details.reason) == ("void", -70, "By mistake")
        assert (balance.grants.get().voided_at, result.balance.balance) == (NOON + HOUR, 0)
        check_balance(balance)

    def test_takes_pinned_credits_only_when_their_hold_ends(self):
        balance = make_balance(grants=[(60, None)])
        placed = hold(balance, 60)

        result = void_grant(balance.grants.get())

        assert (result.transaction, result.balance.held) == (None, 60)
        check_balance(balance)
        release_hold(placed, at=NOON + MINUTE)
        assert transactions_after(balance, 1) == [("void", -60)]
        check_balance(balance)

    def test_takes_credits_that_a_refund_returns_later(self):
        balance = make_balance(grants=[(60, None)])
        usage = deduct(balance, 50).transaction
        void_grant(balance.grants.get())

        refund_usage(usage)

        assert transactions_after(balance, 1) == [("usage", -50), ("void", -10), ("refund", 50), ("void", -50)]
        check_balance(balance)

    def test_changes_nothing_if_the_grant_is_voided(self):
        balance = make_balance()
        void_grant(balance.grants.get())

        with unchanged():
            repeated = void_grant(balance.grants.get(), reason="Once more")

        assert (repeated.transaction, repeated.replayed) == (None, False)

    def test_reads_the_owner_of_the_grant_before_lock_load_tier_facts_write(self):
        grant = make_balance().grants.get()

        with captured_statements() as run:
            void_grant(grant)

        assert statement_kinds(run) == ["read credits_creditgrant", "lock", "load", "tier facts", "write"]

    def test_rejects_a_grant_that_is_spent_or_has_expired(self):
        spent, expired = make_balance(grants=[(10, None)]), make_balance(grants=[(10, DAY)])
        deduct(spent, 10)

        with unchanged():
            with pytest.raises(operations.GrantNotVoidableError):
                void_grant(spent.grants.get())
            with pytest.raises(operations.GrantNotVoidableError):
                void_grant(expired.grants.get(), at=NOON + DAY)
        assert void_grant(expired.grants.get(), at=NOON + DAY - MICROSECOND).balance.balance == 0

    @pytest.mark.parametrize("reason", ["", "  ", "x" * 501, None])
    def test_rejects_a_missing_or_long_reason(self, reason):
        balance = make_balance()

        with unchanged(), pytest.raises(operations.InvalidArgumentError):
            void_grant(balance.grants.get(), reason=reason)

    def test_raises_the_documented_errors_in_order(self):
        balance = make_balance()
        grant = balance.grants.get()
        adjust_credits(balance, 1, idempotency_key="k")
        deduct(balance, 101)

        with unchanged():
            with pytest.raises(operations.InvalidArgumentError):
                operations.void_grant(grant_id=uuid7(), reason="", at=NOON)
            with pytest.raises(operations.GrantNotFoundError):
                operations.void_grant(grant_id=uuid7(), reason="r", idempotency_key="k", at=NOON)
            with pytest.raises(operations.IdempotencyKeyReusedError):
                void_grant(grant, idempotency_key="k")
            with pytest.raises(operations.GrantNotVoidableError):
                void_grant(grant)

    def test_returns_the_first_result_for_the_same_key_after_the_tier_changed(self):
        balance = make_balance()
        subscribe(balance, "growth")
        first = void_grant(balance.grants.get(), idempotency_key="k")
        change_tier(balance, "pro")

        with unchanged():
            repeated = void_grant(balance.grants.get(), idempotency_key="k")

        check_replay(first, repeated)
        assert (repeated.transaction.amount, repeated.tier_facts.tier) == (-100, "growth")

    def test_stores_the_key_of_a_request_that_changed_nothing(self):
        balance = make_balance()
        void_grant(balance.grants.get())
        first = void_grant(balance.grants.get(), idempotency_key="k")

        with unchanged():
            repeated = void_grant(balance.grants.get(), idempotency_key="k")

        check_replay(first, repeated)
        assert (repeated.transaction, balance.transactions.count()) == (None, 2)
        check_balance(balance)
