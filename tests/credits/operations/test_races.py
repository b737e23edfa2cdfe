"""Requests for the same credits, or the same hold, at once: exactly one has its way. Each race is run many times."""

from datetime import timedelta

import pytest

from credits import operations
from credits.verification import verify_balance
from tests.support.factories.credits import deduct, make_balance
from tests.support.operations import check_sums
from tests.support.threads import run_concurrently
from tests.support.times import MINUTE, NOON

CALLERS = 4
ROUNDS = 6
LAPSE = NOON + 15 * MINUTE
IN_TIME = LAPSE - timedelta(microseconds=1)

pytestmark = pytest.mark.django_db(transaction=True)


def place(balance, amount=60, at=NOON):
    return operations.place_hold(owner=balance.owner, amount=amount, description="Work", at=at)


def capture(held, amount=None, at=NOON):
    return lambda: operations.capture_hold(hold_id=held.pk, amount=amount, at=at) and "captured"


def release(held, at=NOON):
    return lambda: operations.release_hold(hold_id=held.pk, at=at) and "released"


def pay(balance, amount):
    return lambda: deduct(balance, amount) and "paid"


def keep(balance, amount=60):
    return lambda: place(balance, amount) and "held"


def refund(usage, amount=None):
    return lambda: operations.refund_usage(transaction_id=usage.pk, amount=amount, reason="r", at=NOON) and "back"


def void(grant):
    return lambda: operations.void_grant(grant_id=grant.pk, reason="By mistake", at=NOON) and "voided"


def reverse(bought):
    return lambda: operations.reverse_purchase(transaction_id=bought.pk, reason="Chargeback", at=NOON) and "reversed"


def sound(balance):
    check_sums(balance)
    assert verify_balance(balance.pk).differences == ()


class TestHoldsUnderContention:
    def test_are_captured_once(self):
        balance = make_balance(grants=[(1000, None)])

        for _ in range(ROUNDS):
            held = place(balance)
            outcomes = run_concurrently([capture(held, amount) for amount in (None, 10, 60, 80)])
            assert sorted(outcomes) == ["captured"] + ["hold_closed"] * 3

        sound(balance)
        assert balance.transactions.filter(type="usage").count() == ROUNDS
        assert balance.held == 0

    def test_are_captured_or_released(self):
        balance = make_balance(grants=[(1000, None)])
        captured = 0

        for _ in range(ROUNDS):
            held = place(balance)
            outcomes = run_concurrently([capture(held), release(held)] * (CALLERS // 2))
            assert outcomes.count("hold_closed") == CALLERS - 1
            captured += outcomes.count("captured")

        sound(balance)
        assert (balance.balance, balance.held) == (1000 - 60 * captured, 0)

    def test_are_captured_or_lapse(self):
        for _ in range(ROUNDS):
            balance = make_balance()
            held = place(balance)

            def sweep(balance=balance):
                return operations.expire_credits(balance_ids=[balance.pk], at=LAPSE)["balances"]

            swept, won = run_concurrently([sweep, capture(held, at=IN_TIME)])

            held.refresh_from_db()
            assert (swept, won, held.hold.status) in [(0, "captured", "captured"), (1, "hold_closed", "lapsed")]
            sound(balance)
            assert (balance.balance, balance.held) == (40 if won == "captured" else 100, 0)

    def test_are_extended_or_lapse(self):
        for _ in range(ROUNDS):
            balance = make_balance()
            held = place(balance)

            def sweep(balance=balance):
                return operations.expire_credits(balance_ids=[balance.pk], at=LAPSE)["balances"]

            def extend(held=held):
                return operations.extend_hold(hold_id=held.hold.id, expires_in_seconds=60, at=IN_TIME).hold.status

            outcome = run_concurrently([sweep, extend])

            assert outcome in [[0, "open"], [1, "hold_closed"]]
            sound(balance)
            assert balance.held == (60 if outcome[0] == 0 else 0)

    def test_and_deductions_share_what_there_is(self):
        for _ in range(ROUNDS):
            balance = make_balance()

            outcomes = run_concurrently([pay(balance, 30), keep(balance, 30)] * CALLERS)

            assert outcomes.count("insufficient_credits") == 5
            sound(balance)
            assert balance.balance == 100 - 30 * outcomes.count("paid")
            assert balance.held == 30 * outcomes.count("held")

    def test_do_not_take_the_same_excess(self):
        balance = make_balance()
        several = [place(balance, 20) for _ in range(CALLERS)]

        outcomes = run_concurrently([capture(held, 40) for held in several])

        assert sorted(outcomes) == ["captured"] + ["insufficient_credits"] * 3
        sound(balance)
        assert (balance.balance, balance.held) == (60, 60)

    def test_are_captured_whole_though_their_grant_is_being_voided(self):
        for _ in range(ROUNDS):
            balance = make_balance()
            grant = balance.grants.get()
            held = place(balance)

            outcomes = run_concurrently([void(grant), capture(held)])

            assert outcomes == ["voided", "captured"]
            sound(balance)
            assert (balance.balance, balance.held) == (0, 0)
            moved = dict(balance.transactions.exclude(type="promotion").values_list("type", "amount"))
            assert moved == {"usage": -60, "void": -40}

    def test_take_an_excess_only_from_what_is_not_voided(self):
        for _ in range(ROUNDS):
            balance = make_balance()
            held = place(balance)

            outcomes = run_concurrently([void(balance.grants.get()), capture(held, 80)])

            assert outcomes in [["voided", "captured"], ["voided", "insufficient_credits"]]
            sound(balance)
            held.refresh_from_db()
            assert (balance.balance, held.hold.status) == ((0, "captured") if "captured" in outcomes else (60, "open"))

    def test_are_captured_though_their_purchase_is_being_reversed(self):
        for _ in range(ROUNDS):
            balance = make_balance(type="purchase")
            bought = balance.transactions.get()
            held = place(balance)

            outcomes = run_concurrently([reverse(bought), capture(held)])

            assert outcomes == ["reversed", "captured"]
            sound(balance)
            assert (balance.balance, balance.debt, balance.held) == (-60, 60, 0)

    def test_are_not_placed_on_a_grant_that_is_being_voided(self):
        for _ in range(ROUNDS):
            balance = make_balance()
            grant = balance.grants.get()

            outcomes = run_concurrently([void(grant), keep(balance)])

            assert outcomes in [["voided", "held"], ["voided", "insufficient_credits"]]
            sound(balance)
            assert balance.balance == balance.held == (60 if "held" in outcomes else 0)


class TestCorrectionsUnderContention:
    def test_never_refund_more_than_was_used(self):
        balance = make_balance(grants=[(1000, None)])

        for _ in range(ROUNDS):
            usage = deduct(balance, 60)

            def refund(usage=usage):
                return (
                    operations.refund_usage(transaction_id=usage.transaction.id, amount=25, reason="It failed", at=NOON)
                    and "back"
                )

            assert sorted(run_concurrently([refund] * CALLERS)) == ["back"] * 2 + ["refund_exceeds_usage"] * 2

        sound(balance)
        assert balance.balance == 1000 - 10 * ROUNDS

    def test_refund_everything_once(self):
        balance = make_balance(grants=[(1000, None)])

        for _ in range(ROUNDS):
            usage = deduct(balance, 60)

            assert sorted(run_concurrently([refund(usage)] * CALLERS)) == ["back"] + ["refund_exceeds_usage"] * 3

        sound(balance)
        assert balance.balance == 1000

    def test_never_reverse_more_than_was_bought(self):
        balance = make_balance(type="purchase")
        bought = balance.transactions.get()

        outcomes = run_concurrently([reverse(bought), pay(balance, 30)] * CALLERS)

        assert (outcomes.count("reversed"), outcomes.count("reversal_exceeds_purchase")) == (1, CALLERS - 1)
        sound(balance)
        assert balance.balance == -balance.debt == -30 * outcomes.count("paid")

    def test_void_once(self):
        balance = make_balance()
        grant = balance.grants.get()

        def void_and_tell():
            return operations.void_grant(grant_id=grant.pk, reason="By mistake", at=NOON).transaction is not None

        assert sorted(run_concurrently([void_and_tell] * CALLERS)) == [False] * 3 + [True]
        sound(balance)
        assert balance.balance == 0

    def test_extend_what_expires_or_find_it_gone(self):
        for _ in range(ROUNDS):
            balance = make_balance(grants=[(100, 15 * MINUTE)])
            grant = balance.grants.get()

            def sweep(balance=balance):
                return operations.expire_credits(balance_ids=[balance.pk], at=LAPSE)["credits"]

            def extend(grant=grant):
                later = LAPSE + 60 * MINUTE
                return (
                    operations.extend_grant(grant_id=grant.pk, expires_at=later, reason="r", at=IN_TIME) and "extended"
                )

            outcomes = run_concurrently([sweep, extend])

            assert outcomes in [[0, "extended"], [100, "grant_not_extendable"]]
            sound(balance)
            assert balance.balance == (100 if "extended" in outcomes else 0)

    def test_adjust_down_no_further_than_what_deductions_leave(self):
        balance = make_balance()

        def adjust():
            return operations.adjust_credits(owner=balance.owner, amount=-30, reason="r", at=NOON) and "adjusted"

        outcomes = run_concurrently([adjust, pay(balance, 30)] * CALLERS)

        assert outcomes.count("insufficient_credits") == 5
        sound(balance)
        assert balance.balance == 10

    def test_refund_what_expires_without_losing_track_of_it(self):
        for _ in range(ROUNDS):
            balance = make_balance(grants=[(100, 15 * MINUTE)])
            usage = deduct(balance, 60)

            def sweep(balance=balance):
                return operations.expire_credits(balance_ids=[balance.pk], at=LAPSE)["credits"]

            outcomes = run_concurrently([sweep, refund(usage, 30), sweep, refund(usage, 30)])

            # What comes back after the first sweep leaves at once, and no sweep has to take it.
            assert outcomes[1::2] == ["back", "back"]
            assert sum(outcomes[::2]) in {100, 70, 40}
            sound(balance)
            assert balance.balance == 0
            assert sum(balance.transactions.filter(type="expiry").values_list("amount", flat=True)) == -100
