from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from credits import operations, queries
from credits.models import CreditGrant
from credits.verification import verify_balance
from fluxori.core.ids import uuid7
from tests.support.factories.credits import deduct, hold, make_balance, make_user
from tests.support.operations import captured_statements, check_sums, unchanged
from tests.support.times import DAY, HOUR, MINUTE, NOON

MOST = 10**12
MICROSECOND = timedelta(microseconds=1)

pytestmark = pytest.mark.django_db


def buy(balance, amount=100, at=NOON, **terms):
    return operations.add_credits(owner=balance.owner, amount=amount, type="purchase", at=at, **terms)


def refund(usage, amount=None, at=NOON, reason="It failed", **said):
    return operations.refund_usage(transaction_id=usage.pk, amount=amount, reason=reason, at=at, **said)


def reverse(purchase, amount=None, at=NOON, reason="Chargeback", **said):
    return operations.reverse_purchase(transaction_id=purchase.pk, amount=amount, reason=reason, at=at, **said)


def void(grant, at=NOON, reason="By mistake", **said):
    return operations.void_grant(grant_id=grant.pk, reason=reason, at=at, **said)


def extend(grant, expires_at, at=NOON, reason="We were down", **said):
    return operations.extend_grant(grant_id=grant.pk, expires_at=expires_at, reason=reason, at=at, **said)


def adjust(balance, amount, at=NOON, reason="Counted wrong", **said):
    return operations.adjust_credits(owner=balance.owner, amount=amount, reason=reason, at=at, **said)


def first_of(balance):
    return balance.transactions.earliest("sequence")


def shares(recorded):
    return [(part.grant_id, part.amount) for part in recorded.entries.all()]


def free(balance):
    return list(balance.grants.order_by("pk").values_list("remaining", flat=True))


def told(balance, since):
    rows = balance.transactions.filter(sequence__gt=since).order_by("sequence")
    return list(rows.values_list("type", "amount"))


def faults_of(refusal):
    return [(fault.field, fault.code) for fault in refusal.value.errors]


def sound(balance):
    check_sums(balance)
    assert verify_balance(balance.pk).differences == ()


def same(first, again):
    assert (first.replayed, again.replayed) == (False, True)
    assert (again.pk, again.after, again.alongside) == (first.pk, first.after, first.alongside)
    assert [part.pk for part in again.entries.all()] == [part.pk for part in first.entries.all()]


NEEDS_A_REASON = pytest.mark.parametrize("reason", ["", "  ", "x" * 501, None])
NEVER_RIGHT = pytest.mark.parametrize("amount", [0, -1, MOST + 1, 1.5, True])


class TestRefundUsage:
    def test_returns_what_was_used_to_the_grants_that_paid(self):
        balance, actor, member = make_balance(grants=[(50, None), (20, DAY)]), make_user(), make_user()
        lasting, fleeting = balance.grants.order_by("pk")
        usage = deduct(balance, 30, member=member, reference_id="r-1")

        recorded = refund(usage, actor=actor)

        assert (recorded.transaction.type, recorded.transaction.amount, recorded.transaction.details.reverses_id) == (
            "refund",
            30,
            usage.transaction.id,
        )
        assert shares(recorded) == [(fleeting.pk, 20), (lasting.pk, 10)]
        assert (
            recorded.transaction.details.actor_id,
            recorded.transaction.details.member_id,
            recorded.transaction.details.reference_id,
        ) == (actor.pk, member.pk, "r-1")
        assert (recorded.transaction.details.reason, recorded.balance.available) == ("It failed", 70)
        assert free(balance) == [50, 20]
        sound(balance)

    def test_gives_parts_back_from_the_last_entry_on_until_nothing_is_left(self):
        balance = make_balance(grants=[(50, None), (20, DAY)])
        usage = deduct(balance, 30)

        steps = [(refund(usage, amount).transaction.amount, free(balance)) for amount in (4, 8, None)]

        assert steps == [(4, [44, 0]), (8, [50, 2]), (18, [50, 20])]
        with unchanged(), pytest.raises(operations.RefundExceedsUsageError) as refusal:
            refund(usage)
        assert refusal.value.facts == {"refundable": 0}
        sound(balance)

    def test_returns_what_a_capture_used(self):
        balance = make_balance()
        held = operations.place_hold(owner=balance.owner, amount=60, description="Work", at=NOON)
        usage = operations.capture_hold(hold_id=held.hold.id, amount=80, at=NOON).transaction
        assert usage is not None

        assert refund(usage, 70).balance.available == 90
        sound(balance)

    def test_refuses_more_than_is_left(self):
        balance = make_balance()
        usage = deduct(balance, 30)
        refund(usage, 10)

        with unchanged(), pytest.raises(operations.RefundExceedsUsageError) as refusal:
            refund(usage, 21)

        assert refusal.value.facts == {"refundable": 20}

    def test_lets_what_has_expired_meanwhile_leave_at_once(self):
        balance = make_balance(grants=[(20, DAY), (50, None)])
        usage = deduct(balance, 30)

        recorded = refund(usage, at=NOON + DAY)

        assert told(balance, usage.transaction.sequence) == [("refund", 30), ("expiry", -20)]
        assert (recorded.transaction.balance_after, recorded.balance.balance, recorded.balance.available) == (
            70,
            50,
            50,
        )
        sound(balance)

    def test_brings_back_what_has_expired_as_a_new_grant_where_told_until_when(self):
        balance = make_balance(grants=[(20, DAY), (50, None)])
        usage = deduct(balance, 30)

        recorded = refund(usage, 25, at=NOON + DAY, expires_at=NOON + 2 * DAY)

        new = CreditGrant.objects.get(transaction=recorded.transaction.id)
        assert (new.source, new.amount, new.remaining) == ("adjustment", 15, 15)
        assert (new.effective_at, new.expires_at, new.priority) == (NOON + DAY, NOON + 2 * DAY, 50)
        assert told(balance, usage.transaction.sequence) == [("refund", 25)]
        assert recorded.balance.available == 65
        sound(balance)

    def test_keeps_the_expiry_of_what_has_not_expired(self):
        balance = make_balance(grants=[(20, DAY)])
        usage = deduct(balance, 20)

        refund(usage, at=NOON + DAY - MICROSECOND, expires_at=NOON + 9 * DAY)

        assert balance.grants.get().remaining == 20
        sound(balance)

    def test_does_not_bring_back_what_was_voided(self):
        balance = make_balance(grants=[(20, DAY)])
        usage = deduct(balance, 10)
        void(balance.grants.get())

        recorded = refund(usage, at=NOON + DAY, expires_at=NOON + 9 * DAY)

        assert told(balance, usage.transaction.sequence) == [("void", -10), ("refund", 10), ("void", -10)]
        assert recorded.balance.balance == 0
        sound(balance)

    def test_lets_what_can_be_spent_repay_debt_first(self):
        balance = make_balance(grants=[(20, DAY), (50, None)], type="purchase")
        usage = deduct(balance, 70)
        reverse(balance.transactions.get(sequence=2), 50)

        recorded = refund(usage, 60, at=NOON + DAY)

        assert shares(recorded)[-1] == (None, 50)
        assert told(balance, 4) == [("refund", 60), ("expiry", -10)]
        assert (recorded.balance.debt, recorded.balance.available) == (0, 0)
        sound(balance)

    def test_lets_a_revived_grant_repay_debt_first(self):
        balance = make_balance(grants=[(20, DAY)], type="purchase")
        usage = deduct(balance, 20)
        reverse(first_of(balance), 20)

        recorded = refund(usage, 20, at=NOON + DAY, expires_at=NOON + 2 * DAY)

        assert shares(recorded) == [(None, 20)]
        assert (recorded.balance.debt, recorded.balance.available) == (0, 0)
        sound(balance)

    def test_refuses_what_is_no_usage(self):
        balance = make_balance()
        usage = deduct(balance, 5)
        given_back = refund(usage)

        with unchanged():
            for other in (first_of(balance), given_back):
                with pytest.raises(operations.NotRefundableError):
                    refund(other)

    @NEEDS_A_REASON
    def test_needs_a_reason(self, reason):
        usage = deduct(make_balance(), 5)

        with unchanged(), pytest.raises(operations.InvalidArgumentError) as refusal:
            refund(usage, reason=reason)

        assert [field for field, _ in faults_of(refusal)] == ["reason"]

    @NEVER_RIGHT
    def test_refuses_an_amount_that_could_never_be_right(self, amount):
        usage = deduct(make_balance(), 5)

        with unchanged(), pytest.raises(operations.InvalidArgumentError) as refusal:
            refund(usage, amount)

        assert [field for field, _ in faults_of(refusal)] == ["amount"]

    def test_refuses_in_the_order_it_says(self):
        balance = make_balance()
        usage = deduct(balance, 5)
        refund(usage, 1, idempotency_key="k")

        with unchanged():
            with pytest.raises(operations.InvalidArgumentError):
                operations.refund_usage(transaction_id=uuid7(), reason="", at=NOON)
            with pytest.raises(operations.TransactionNotFoundError):
                operations.refund_usage(transaction_id=uuid7(), reason="r", idempotency_key="k", at=NOON)
            with pytest.raises(operations.IdempotencyKeyReusedError):
                refund(first_of(balance), idempotency_key="k")
            with pytest.raises(operations.NotRefundableError):
                refund(first_of(balance), 1000, expires_at=NOON)
            with pytest.raises(operations.RefundExceedsUsageError):
                refund(usage, 5, expires_at=NOON)
            with pytest.raises(operations.InvalidArgumentError) as refusal:
                refund(usage, 4, expires_at=NOON)
        assert faults_of(refusal) == [("expires_at", "in_past")]

    def test_answers_the_same_key_as_it_did(self):
        balance = make_balance(grants=[(20, DAY)])
        usage = deduct(balance, 20)
        first = refund(usage, 5, at=NOON + DAY, idempotency_key="k", alongside={"tier": "pro"})
        refund(usage, 5, at=NOON + DAY)

        with unchanged():
            same(first, refund(usage, 5, at=NOON + 2 * DAY, idempotency_key="k"))
        assert first.balance.balance == 0


class TestReversePurchase:
    def test_takes_its_own_grant_before_the_others(self):
        balance = make_balance(grants=[(30, DAY)])
        bought = buy(balance, 50)
        deduct(balance, 40)
        promoted, own = balance.grants.order_by("pk")

        recorded = reverse(bought, 45)

        assert shares(recorded) == [(own.pk, -40), (None, -5)]
        assert (recorded.transaction.type, recorded.transaction.amount, recorded.transaction.details.reverses_id) == (
            "reversal",
            -45,
            bought.transaction.id,
        )
        assert (recorded.balance.balance, recorded.balance.debt, recorded.balance.available) == (-5, 5, 0)
        assert promoted.remaining == 0
        sound(balance)

    def test_takes_then_from_the_others_in_burn_order(self):
        balance = make_balance(grants=[(30, None), (30, DAY)])
        bought = buy(balance, 50, priority=0)
        lasting, fleeting, own = balance.grants.order_by("pk")
        deduct(balance, 40)

        recorded = reverse(bought)

        assert shares(recorded) == [(own.pk, -10), (fleeting.pk, -30), (lasting.pk, -10)]
        assert recorded.balance.debt == 0
        sound(balance)

    def test_takes_its_own_credits_though_they_were_extended_twice(self):
        balance = make_balance(grants=[(30, HOUR)])
        bought = buy(balance, 50, expires_at=NOON + DAY)
        own = CreditGrant.objects.get(transaction=bought.transaction.id)
        for days in (2, 3):
            extend(CreditGrant.objects.get(live=True, source="purchase"), NOON + days * DAY)

        recorded = reverse(bought)

        copy = CreditGrant.objects.get(expires_at=NOON + 3 * DAY)
        assert shares(recorded) == [(copy.pk, -50)]
        assert (own.source, copy.parent_id != own.pk, recorded.balance.available) == ("purchase", True, 30)
        sound(balance)

    def test_leaves_pins_alone(self):
        balance = make_balance(grants=[(100, None)], type="purchase")
        hold(balance, 60)

        recorded = reverse(first_of(balance))

        assert (recorded.balance.held, recorded.balance.debt, recorded.balance.balance) == (60, 60, 0)
        sound(balance)

    def test_takes_parts_until_nothing_is_left(self):
        balance = make_balance(type="purchase")
        bought = first_of(balance)

        assert [reverse(bought, amount).transaction.amount for amount in (30, None)] == [-30, -70]
        with unchanged(), pytest.raises(operations.ReversalExceedsPurchaseError) as refusal:
            reverse(bought)
        assert refusal.value.facts == {"reversible": 0}
        sound(balance)

    def test_takes_back_what_has_expired_as_debt(self):
        balance = make_balance(grants=[(100, DAY)], type="purchase")

        recorded = reverse(first_of(balance), at=NOON + DAY)

        assert told(balance, 1) == [("expiry", -100), ("reversal", -100)]
        assert recorded.balance.debt == 100
        sound(balance)

    def test_refuses_what_is_no_purchase(self):
        balance = make_balance()
        buy(balance)
        taken = reverse(balance.transactions.get(sequence=2), 1)

        with unchanged():
            for other in (first_of(balance), taken):
                with pytest.raises(operations.NotReversibleError):
                    reverse(other)

    @NEEDS_A_REASON
    def test_needs_a_reason(self, reason):
        balance = make_balance(type="purchase")

        with unchanged(), pytest.raises(operations.InvalidArgumentError):
            reverse(first_of(balance), reason=reason)

    @NEVER_RIGHT
    def test_refuses_an_amount_that_could_never_be_right(self, amount):
        balance = make_balance(type="purchase")

        with unchanged(), pytest.raises(operations.InvalidArgumentError):
            reverse(first_of(balance), amount)

    def test_refuses_in_the_order_it_says(self):
        balance = make_balance(type="purchase")
        bought = first_of(balance)
        usage = deduct(balance, 1)
        reverse(bought, 1, idempotency_key="k")

        with unchanged():
            with pytest.raises(operations.InvalidArgumentError):
                operations.reverse_purchase(transaction_id=uuid7(), reason="", at=NOON)
            with pytest.raises(operations.TransactionNotFoundError):
                operations.reverse_purchase(transaction_id=uuid7(), reason="r", idempotency_key="k", at=NOON)
            with pytest.raises(operations.IdempotencyKeyReusedError):
                reverse(usage, idempotency_key="k")
            with pytest.raises(operations.NotReversibleError):
                reverse(usage, 1000)
            with pytest.raises(operations.ReversalExceedsPurchaseError):
                reverse(bought, 100)

    def test_answers_the_same_key_as_it_did(self):
        balance = make_balance(type="purchase")
        deduct(balance, 70)
        first = reverse(first_of(balance), idempotency_key="k")
        buy(balance, 500)

        with unchanged():
            same(first, reverse(first_of(balance), idempotency_key="k", at=NOON + DAY))
        assert first.balance.debt == 70


class TestVoidGrant:
    def test_takes_what_remains(self):
        balance = make_balance(grants=[(100, None)])
        deduct(balance, 30)

        done = void(balance.grants.get(), at=NOON + HOUR)

        assert done.transaction is not None
        assert (done.transaction.type, done.transaction.amount, done.transaction.reason) == ("void", -70, "By mistake")
        assert (balance.grants.get().voided_at, done.answer.after.balance) == (NOON + HOUR, 0)
        sound(balance)

    def test_of_a_grant_that_is_all_pinned_takes_nothing_yet(self):
        balance = make_balance(grants=[(60, None)])
        held = hold(balance, 60)

        done = void(balance.grants.get())

        assert (done.transaction, done.answer.after.held) == (None, 60)
        sound(balance)
        operations.release_hold(hold_id=held.pk, at=NOON + MINUTE)
        assert told(balance, 1) == [("void", -60)]
        sound(balance)

    def test_keeps_what_comes_back_from_being_spent(self):
        balance = make_balance(grants=[(60, None)])
        usage = deduct(balance, 50)
        void(balance.grants.get())

        refund(usage)

        assert told(balance, 1) == [("usage", -50), ("void", -10), ("refund", 50), ("void", -50)]
        sound(balance)

    def test_again_changes_nothing(self):
        balance = make_balance()
        void(balance.grants.get())

        with unchanged():
            again = void(balance.grants.get(), reason="Once more")
        assert (again.transaction, again.answer.replayed) == (None, False)

    def test_again_with_a_key_is_remembered_and_nothing_else(self):
        balance = make_balance()
        first = void(balance.grants.get(), idempotency_key="a")
        second = void(balance.grants.get(), idempotency_key="b")

        with unchanged():
            again = [void(balance.grants.get(), idempotency_key=key) for key in "ab"]

        assert first.transaction is not None
        same(first.transaction, again[0].transaction)
        assert (second.transaction, again[1].transaction, again[1].answer.replayed) == (None, None, True)
        assert balance.transactions.count() == 2
        sound(balance)

    def test_refuses_one_that_is_spent_or_has_expired(self):
        spent, expired = make_balance(grants=[(10, None)]), make_balance(grants=[(10, DAY)])
        deduct(spent, 10)

        with unchanged():
            with pytest.raises(operations.GrantNotVoidableError):
                void(spent.grants.get())
            with pytest.raises(operations.GrantNotVoidableError):
                void(expired.grants.get(), at=NOON + DAY)
        assert void(expired.grants.get(), at=NOON + DAY - MICROSECOND).answer.after.balance == 0

    @NEEDS_A_REASON
    def test_needs_a_reason(self, reason):
        balance = make_balance()

        with unchanged(), pytest.raises(operations.InvalidArgumentError):
            void(balance.grants.get(), reason=reason)

    def test_refuses_in_the_order_it_says(self):
        balance = make_balance()
        grant = balance.grants.get()
        adjust(balance, 1, idempotency_key="k")
        deduct(balance, 101)

        with unchanged():
            with pytest.raises(operations.InvalidArgumentError):
                operations.void_grant(grant_id=uuid7(), reason="", at=NOON)
            with pytest.raises(operations.GrantNotFoundError):
                operations.void_grant(grant_id=uuid7(), reason="r", idempotency_key="k", at=NOON)
            with pytest.raises(operations.IdempotencyKeyReusedError):
                void(grant, idempotency_key="k")
            with pytest.raises(operations.GrantNotVoidableError):
                void(grant)


class TestExtendGrant:
    def test_moves_what_remains_to_a_copy(self):
        balance = make_balance(grants=[(100, DAY)], priority=7, unit_price=Decimal("0.1"))
        deduct(balance, 30)
        old = balance.grants.get()

        recorded = extend(old, NOON + 9 * DAY)

        copy = balance.grants.exclude(pk=old.pk).get()
        assert (recorded.transaction.type, recorded.transaction.amount, shares(recorded)) == (
            "adjustment",
            0,
            [(old.pk, -70), (copy.pk, 70)],
        )
        assert (copy.source, copy.amount, copy.remaining, copy.priority) == (old.source, 70, 70, 7)
        assert (copy.parent_id, copy.expires_at, copy.unit_price) == (old.pk, NOON + 9 * DAY, Decimal("0.1"))
        assert (recorded.balance.available, recorded.balance.next_expiry) == (70, (70, NOON + 9 * DAY))
        sound(balance)

    def test_leaves_what_is_pinned_where_it_is(self):
        balance = make_balance(grants=[(100, DAY)])
        held = hold(balance, 60)

        extend(balance.grants.get(), NOON + 9 * DAY)
        operations.release_hold(hold_id=held.pk, at=NOON)

        assert list(balance.grants.order_by("expires_at").values_list("expires_at", "remaining")) == [
            (NOON + DAY, 60),
            (NOON + 9 * DAY, 40),
        ]
        sound(balance)

    def test_saves_credits_to_the_last_microsecond(self):
        balance = make_balance(grants=[(100, DAY)])

        assert extend(balance.grants.get(), NOON + 2 * DAY, at=NOON + DAY - MICROSECOND).balance.available == 100
        assert queries.load_settled_balance(operations.Owner.of(balance.owner), at=NOON + DAY).available == 100

    def test_refuses_what_has_no_expiry_to_move(self):
        everlasting, expired, voided = make_balance(), make_balance(grants=[(5, DAY)]), make_balance(grants=[(5, DAY)])
        spent, pinned = make_balance(grants=[(5, DAY)]), make_balance(grants=[(5, DAY)])
        void(voided.grants.get())
        deduct(spent, 5)
        hold(pinned, 5)

        with unchanged():
            for balance in (everlasting, voided, spent, pinned):
                with pytest.raises(operations.GrantNotExtendableError):
                    extend(balance.grants.get(), NOON + 9 * DAY)
            with pytest.raises(operations.GrantNotExtendableError):
                extend(expired.grants.get(), NOON + 9 * DAY, at=NOON + DAY)

    @pytest.mark.parametrize(
        ("expires_at", "code"),
        [
            (NOON, "in_past"),
            (NOON + MICROSECOND, "out_of_range"),
            (NOON + DAY, "out_of_range"),
            (datetime(2026, 1, 1), "wrong_type"),  # noqa: DTZ001 - without a zone on purpose
            (None, "wrong_type"),
        ],
    )
    def test_refuses_an_expiry_that_is_no_later(self, expires_at, code):
        balance = make_balance(grants=[(100, DAY)])

        with unchanged(), pytest.raises(operations.InvalidArgumentError) as refusal:
            extend(balance.grants.get(), expires_at)

        assert faults_of(refusal) == [("expires_at", code)]

    @NEEDS_A_REASON
    def test_needs_a_reason(self, reason):
        balance = make_balance(grants=[(100, DAY)])

        with unchanged(), pytest.raises(operations.InvalidArgumentError):
            extend(balance.grants.get(), NOON + 9 * DAY, reason=reason)

    def test_refuses_in_the_order_it_says(self):
        balance = make_balance()
        adjust(balance, 1, idempotency_key="k")

        with unchanged():
            with pytest.raises(operations.InvalidArgumentError):
                operations.extend_grant(grant_id=uuid7(), expires_at=NOON, reason="", at=NOON)
            with pytest.raises(operations.GrantNotFoundError):
                operations.extend_grant(grant_id=uuid7(), expires_at=NOON, reason="r", idempotency_key="k", at=NOON)
            with pytest.raises(operations.IdempotencyKeyReusedError):
                extend(balance.grants.earliest("pk"), NOON, idempotency_key="k")
            with pytest.raises(operations.GrantNotExtendableError):
                extend(balance.grants.earliest("pk"), NOON)

    def test_answers_the_same_key_as_it_did(self):
        balance = make_balance(grants=[(100, DAY)])
        grant = balance.grants.get()
        first = extend(grant, NOON + 9 * DAY, idempotency_key="k")
        deduct(balance, 50)

        with unchanged():
            same(first, extend(grant, NOON + 9 * DAY, idempotency_key="k", at=NOON + 2 * DAY))


class TestAdjustCredits:
    def test_up_opens_a_grant(self):
        balance = make_balance()

        recorded = adjust(balance, 25)

        grant = CreditGrant.objects.get(transaction=recorded.transaction.id)
        assert (grant.source, grant.amount, grant.remaining, grant.expires_at) == ("adjustment", 25, 25, None)
        assert (recorded.transaction.type, recorded.transaction.amount, recorded.transaction.details.reason) == (
            "adjustment",
            25,
            "Counted wrong",
        )
        assert recorded.balance.available == 125
        sound(balance)

    def test_up_repays_debt_first(self):
        balance = make_balance(type="purchase")
        deduct(balance, 100)
        reverse(first_of(balance), 30)

        assert adjust(balance, 50).balance.available == 20
        sound(balance)

    def test_down_takes_in_burn_order(self):
        balance = make_balance(grants=[(50, None), (20, DAY)])

        recorded = adjust(balance, -30)

        assert (recorded.transaction.amount, free(balance)) == (-30, [40, 0])
        sound(balance)

    def test_down_never_takes_what_is_held_nor_makes_a_debt(self):
        balance = make_balance()
        hold(balance, 60)

        with unchanged(), pytest.raises(operations.InsufficientCreditsError) as refusal:
            adjust(balance, -41)

        assert refusal.value.facts == {"required": 41, "available": 40, "held": 60, "shortfall": 1}
        assert adjust(balance, -40).balance.available == 0
        sound(balance)

    def test_down_is_possible_though_spending_is_suspended(self):
        balance = make_balance()
        operations.suspend_spending(owner=balance.owner, at=NOON)

        assert adjust(balance, -100).balance.balance == 0

    @pytest.mark.parametrize(
        ("amount", "code"),
        [
            (0, "out_of_range"),
            (MOST + 1, "out_of_range"),
            (-MOST - 1, "out_of_range"),
            (0.0, "wrong_type"),
            (False, "wrong_type"),
            (None, "wrong_type"),
        ],
    )
    def test_refuses_an_amount_that_could_never_be_right(self, amount, code):
        balance = make_balance()

        with unchanged(), pytest.raises(operations.InvalidArgumentError) as refusal:
            adjust(balance, amount)

        assert faults_of(refusal) == [("amount", code)]

    @NEEDS_A_REASON
    def test_needs_a_reason(self, reason):
        balance = make_balance()

        with unchanged(), pytest.raises(operations.InvalidArgumentError):
            adjust(balance, 5, reason=reason)

    def test_refuses_in_the_order_it_says(self):
        balance = make_balance()
        adjust(balance, 1, idempotency_key="k")

        with unchanged():
            with pytest.raises(operations.InvalidArgumentError):
                operations.adjust_credits(owner=make_user(), amount=0, reason="r", at=NOON)
            with pytest.raises(operations.BalanceNotFoundError):
                operations.adjust_credits(owner=make_user(), amount=1, reason="r", idempotency_key="k", at=NOON)
            with pytest.raises(operations.IdempotencyKeyReusedError):
                adjust(balance, -1000, idempotency_key="k")
            with pytest.raises(operations.InsufficientCreditsError):
                adjust(balance, -1000)

    def test_answers_the_same_key_as_it_did(self):
        balance = make_balance()
        first = adjust(balance, -30, idempotency_key="k", alongside={"tier": None})
        adjust(balance, 5)

        with unchanged():
            same(first, adjust(balance, -30, idempotency_key="k", at=NOON + DAY))


class TestCorrections:
    def test_take_as_many_statements_for_forty_grants_as_for_one(self):
        counts = []
        for many in (1, 40):
            balance = make_balance(grants=[(1, None)] * many, type="purchase")
            usage = deduct(balance, many)
            with captured_statements() as run:
                refund(usage, idempotency_key="k")
                reverse(first_of(balance), idempotency_key="r")
            counts.append(len(run))

        assert counts[0] == counts[1]
