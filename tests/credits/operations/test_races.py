"""Requests for the same credits, or the same hold, at once: exactly one has its way. Each race is run many times."""

from datetime import timedelta

import pytest

from credits import operations
from credits.verification import verify_balance
from tests.credits.operations.ledger import check_sums
from tests.factories.credits import deduct, funded
from tests.tiers.threads import at_once
from tests.times import MINUTE, NOON

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


def sound(balance):
    check_sums(balance)
    assert verify_balance(balance.pk).differences == ()


class TestHoldsUnderContention:
    def test_are_captured_once(self):
        balance = funded(grants=[(1000, None)])

        for _ in range(ROUNDS):
            held = place(balance)
            outcomes = at_once([capture(held, amount) for amount in (None, 10, 60, 80)])
            assert sorted(outcomes) == ["captured"] + ["hold_closed"] * 3

        sound(balance)
        assert balance.transactions.filter(type="usage").count() == ROUNDS
        assert balance.held == 0

    def test_are_captured_or_released(self):
        balance = funded(grants=[(1000, None)])
        captured = 0

        for _ in range(ROUNDS):
            held = place(balance)
            outcomes = at_once([capture(held), release(held)] * (CALLERS // 2))
            assert outcomes.count("hold_closed") == CALLERS - 1
            captured += outcomes.count("captured")

        sound(balance)
        assert (balance.balance, balance.held) == (1000 - 60 * captured, 0)

    def test_are_captured_or_lapse(self):
        for _ in range(ROUNDS):
            balance = funded()
            held = place(balance)

            def sweep(balance=balance):
                return operations.expire_credits(balance_ids=[balance.pk], at=LAPSE)["balances"]

            swept, won = at_once([sweep, capture(held, at=IN_TIME)])

            held.refresh_from_db()
            assert (swept, won, held.status) in [(0, "captured", "captured"), (1, "hold_closed", "lapsed")]
            sound(balance)
            assert (balance.balance, balance.held) == (40 if won == "captured" else 100, 0)

    def test_are_extended_or_lapse(self):
        for _ in range(ROUNDS):
            balance = funded()
            held = place(balance)

            def sweep(balance=balance):
                return operations.expire_credits(balance_ids=[balance.pk], at=LAPSE)["balances"]

            def extend(held=held):
                return operations.extend_hold(hold_id=held.pk, expires_in_seconds=60, at=IN_TIME).status

            outcome = at_once([sweep, extend])

            assert outcome in [[0, "open"], [1, "hold_closed"]]
            sound(balance)
            assert balance.held == (60 if outcome[0] == 0 else 0)

    def test_and_deductions_share_what_there_is(self):
        for _ in range(ROUNDS):
            balance = funded()

            outcomes = at_once([pay(balance, 30), keep(balance, 30)] * CALLERS)

            assert outcomes.count("insufficient_credits") == 5
            sound(balance)
            assert balance.balance == 100 - 30 * outcomes.count("paid")
            assert balance.held == 30 * outcomes.count("held")

    def test_do_not_take_the_same_excess(self):
        balance = funded()
        several = [place(balance, 20) for _ in range(CALLERS)]

        outcomes = at_once([capture(held, 40) for held in several])

        assert sorted(outcomes) == ["captured"] + ["insufficient_credits"] * 3
        sound(balance)
        assert (balance.balance, balance.held) == (60, 60)

    def test_are_not_placed_on_a_grant_that_is_being_voided(self):
        for _ in range(ROUNDS):
            balance = funded()
            grant = balance.grants.get()

            def void(grant=grant):
                return operations.void_grant(grant_id=grant.pk, reason="By mistake", at=NOON) and "voided"

            outcomes = at_once([void, keep(balance)])

            assert outcomes in [["voided", "held"], ["voided", "insufficient_credits"]]
            sound(balance)
            assert balance.balance == balance.held == (60 if "held" in outcomes else 0)


class TestCorrectionsUnderContention:
    def test_never_refund_more_than_was_used(self):
        balance = funded(grants=[(1000, None)])

        for _ in range(ROUNDS):
            usage = deduct(balance, 60)

            def refund(usage=usage):
                return (
                    operations.refund_usage(transaction_id=usage.pk, amount=25, reason="It failed", at=NOON) and "back"
                )

            assert sorted(at_once([refund] * CALLERS)) == ["back"] * 2 + ["refund_exceeds_usage"] * 2

        sound(balance)
        assert balance.balance == 1000 - 10 * ROUNDS

    def test_refund_everything_once(self):
        balance = funded(grants=[(1000, None)])

        for _ in range(ROUNDS):
            usage = deduct(balance, 60)

            assert sorted(at_once([refund(usage)] * CALLERS)) == ["back"] + ["refund_exceeds_usage"] * 3

        sound(balance)
        assert balance.balance == 1000

    def test_never_reverse_more_than_was_bought(self):
        balance = funded(type="purchase")
        bought = balance.transactions.get()

        def reverse():
            return operations.reverse_purchase(transaction_id=bought.pk, reason="Chargeback", at=NOON) and "reversed"

        outcomes = at_once([reverse, pay(balance, 30)] * CALLERS)

        assert (outcomes.count("reversed"), outcomes.count("reversal_exceeds_purchase")) == (1, CALLERS - 1)
        sound(balance)
        assert balance.balance == -balance.debt == -30 * outcomes.count("paid")

    def test_void_once(self):
        balance = funded()
        grant = balance.grants.get()

        def void():
            return operations.void_grant(grant_id=grant.pk, reason="By mistake", at=NOON).transaction is not None

        assert sorted(at_once([void] * CALLERS)) == [False] * 3 + [True]
        sound(balance)
        assert balance.balance == 0
