from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from credits import operations, queries
from fluxori.core.ids import uuid7
from tests.credits.operations.verbs import (
    adjust_credits,
    change_tier,
    entry_amounts,
    expire_credits,
    extend_grant,
    release_hold,
    subscribe,
    void_grant,
)
from tests.support.factories.credits import capture, deduct, hold, make_balance
from tests.support.operations import (
    captured_statements,
    check_balance,
    check_replay,
    field_errors,
    statement_kinds,
    unchanged,
)
from tests.support.times import DAY, NOON

MICROSECOND = timedelta(microseconds=1)

pytestmark = pytest.mark.django_db


def remaining_by_expiry(balance):
    return list(balance.grants.order_by("expires_at", "remaining").values_list("expires_at", "remaining"))


class TestExtendGrant:
    def test_moves_the_remaining_credits_to_a_copy_with_the_new_expiry(self):
        balance = make_balance(grants=[(100, DAY)], priority=7, unit_price=Decimal("0.1"))
        deduct(balance, 30)
        old = balance.grants.get()

        result = extend_grant(old, NOON + 9 * DAY)

        copy = balance.grants.exclude(pk=old.pk).get()
        assert (result.transaction.type, result.transaction.amount) == ("adjustment", 0)
        assert entry_amounts(result.transaction) == [(old.pk, -70), (copy.pk, 70)]
        assert (copy.source, copy.amount, copy.remaining, copy.priority) == (old.source, 70, 70, 7)
        assert (copy.parent_id, copy.expires_at, copy.unit_price) == (old.pk, NOON + 9 * DAY, Decimal("0.1"))
        assert (result.balance.available, result.balance.next_expiry) == (70, (70, NOON + 9 * DAY))
        check_balance(balance)

    def test_leaves_pinned_credits_on_the_old_grant_until_the_hold_ends(self):
        balance = make_balance(grants=[(100, DAY)])
        old = balance.grants.get()
        hold(balance, 60)

        extend_grant(old, NOON + 9 * DAY)

        old.refresh_from_db()
        assert (old.remaining, old.held) == (0, 60)
        check_balance(balance)

    @pytest.mark.parametrize("at", [NOON, NOON + DAY, NOON + 2 * DAY])
    def test_a_released_hold_returns_its_credits_to_the_extension(self, at):
        balance = make_balance(grants=[(100, DAY)])
        placed = hold(balance, 60, expires_in=3 * DAY)
        extend_grant(balance.grants.get(), NOON + 9 * DAY)

        release_hold(placed, at=at)

        assert remaining_by_expiry(balance) == [(NOON + DAY, 0), (NOON + 9 * DAY, 40), (NOON + 9 * DAY, 60)]
        check_balance(balance)

    def test_what_a_capture_leaves_returns_to_the_extension(self):
        balance = make_balance(grants=[(100, DAY)])
        placed = hold(balance, 60)
        extend_grant(balance.grants.get(), NOON + 9 * DAY)

        capture(placed, 25)

        assert remaining_by_expiry(balance) == [(NOON + DAY, 0), (NOON + 9 * DAY, 35), (NOON + 9 * DAY, 40)]
        check_balance(balance)

    def test_a_hold_that_lapses_returns_its_credits_to_the_last_of_several_extensions(self):
        balance = make_balance(grants=[(100, DAY)])
        hold(balance, 60, expires_in=2 * DAY)
        extend_grant(balance.grants.get(), NOON + 5 * DAY)
        extend_grant(balance.grants.latest("pk"), NOON + 9 * DAY)

        before, after = NOON + 9 * DAY - MICROSECOND, NOON + 9 * DAY
        read = queries.load_settled_balance
        assert [read(balance.owner, at=at).available for at in (NOON + DAY, NOON + 2 * DAY)] == [40, 100]
        assert [read(balance.owner, at=at).available for at in (before, after)] == [100, 0]
        expire_credits(balance, at=NOON + 2 * DAY)
        past = [queries.get_balance(owner=balance.owner, at=at).available for at in (NOON + DAY, NOON + 2 * DAY)]
        assert past == [40, 100]
        check_balance(balance)

    def test_credits_of_a_hold_leave_with_a_voided_extension(self):
        balance = make_balance(grants=[(100, DAY)])
        placed = hold(balance, 60)
        extend_grant(balance.grants.get(), NOON + 9 * DAY)
        void_grant(balance.grants.latest("pk"))

        release_hold(placed)

        balance.refresh_from_db()
        assert balance.balance == 0
        check_balance(balance)

    def test_is_possible_up_to_the_last_microsecond(self):
        balance = make_balance(grants=[(100, DAY)])

        result = extend_grant(balance.grants.get(), NOON + 2 * DAY, at=NOON + DAY - MICROSECOND)

        assert result.balance.available == 100
        assert queries.load_settled_balance(operations.Owner.of(balance.owner), at=NOON + DAY).available == 100

    def test_reads_the_owner_of_the_grant_before_lock_load_tier_facts_write(self):
        grant = make_balance(grants=[(100, DAY)]).grants.get()

        with captured_statements() as run:
            extend_grant(grant, NOON + 9 * DAY)

        assert statement_kinds(run) == ["read credits_creditgrant", "lock", "load", "tier facts", "write"]

    def test_rejects_a_grant_without_expiry_expired_voided_spent_or_fully_pinned(self):
        lasting, expired, voided = make_balance(), make_balance(grants=[(5, DAY)]), make_balance(grants=[(5, DAY)])
        spent, pinned = make_balance(grants=[(5, DAY)]), make_balance(grants=[(5, DAY)])
        void_grant(voided.grants.get())
        deduct(spent, 5)
        hold(pinned, 5)

        with unchanged():
            for balance in (lasting, voided, spent, pinned):
                with pytest.raises(operations.GrantNotExtendableError):
                    extend_grant(balance.grants.get(), NOON + 9 * DAY)
            with pytest.raises(operations.GrantNotExtendableError):
                extend_grant(expired.grants.get(), NOON + 9 * DAY, at=NOON + DAY)

    @pytest.mark.parametrize(
        ("expires_at", "code"),
        [
            (NOON, "in_past"),
            (NOON + MICROSECOND, "out_of_range"),
            (NOON + DAY, "out_of_range"),
            (datetime(2026, 1, 1), "wrong_type"),  # noqa: DTZ001 - the error tested
            (None, "wrong_type"),
        ],
    )
    def test_rejects_an_expiry_that_is_not_later_than_the_current_one(self, expires_at, code):
        balance = make_balance(grants=[(100, DAY)])

        with unchanged(), pytest.raises(operations.InvalidArgumentError) as error:
            extend_grant(balance.grants.get(), expires_at)

        assert field_errors(error) == [("expires_at", code)]

    @pytest.mark.parametrize("reason", ["", "  ", "x" * 501, None])
    def test_rejects_a_missing_or_long_reason(self, reason):
        balance = make_balance(grants=[(100, DAY)])

        with unchanged(), pytest.raises(operations.InvalidArgumentError):
            extend_grant(balance.grants.get(), NOON + 9 * DAY, reason=reason)

    def test_raises_the_documented_errors_in_order(self):
        balance = make_balance()
        adjust_credits(balance, 1, idempotency_key="k")
        grant = balance.grants.earliest("pk")

        with unchanged():
            with pytest.raises(operations.InvalidArgumentError):
                operations.extend_grant(grant_id=uuid7(), expires_at=NOON, reason="", at=NOON)
            with pytest.raises(operations.GrantNotFoundError):
                operations.extend_grant(grant_id=uuid7(), expires_at=NOON, reason="r", idempotency_key="k", at=NOON)
            with pytest.raises(operations.IdempotencyKeyReusedError):
                extend_grant(grant, NOON, idempotency_key="k")
            with pytest.raises(operations.GrantNotExtendableError):
                extend_grant(grant, NOON)

    def test_returns_the_first_result_for_the_same_key_after_the_copy_is_spent_and_the_tier_changed(self):
        balance = make_balance(grants=[(100, DAY)])
        subscribe(balance, "growth")
        grant = balance.grants.get()
        first = extend_grant(grant, NOON + 9 * DAY, idempotency_key="k")
        deduct(balance, 50)
        change_tier(balance, "pro")

        with unchanged():
            repeated = extend_grant(grant, NOON + 9 * DAY, idempotency_key="k", at=NOON + 2 * DAY)

        check_replay(first, repeated)
        assert repeated.tier_facts.tier == "growth"
