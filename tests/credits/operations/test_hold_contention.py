"""Concurrent calls for the same hold or the same credits. Exactly one succeeds; each race runs several rounds."""

from datetime import timedelta

import pytest

from credits.models import CreditHold
from tests.credits.operations.verbs import (
    capture_hold,
    expire_credits,
    extend_hold,
    first_transaction,
    place_hold,
    release_hold,
    reverse_purchase,
    void_grant,
)
from tests.support.factories.credits import deduct, make_balance
from tests.support.operations import check_balance
from tests.support.threads import run_concurrently
from tests.support.times import MINUTE, NOON

CALLERS = 4
ROUNDS = 6
LAPSES_AT = NOON + 15 * MINUTE
JUST_BEFORE = LAPSES_AT - timedelta(microseconds=1)

pytestmark = pytest.mark.django_db(transaction=True)


def capturing(hold, amount=None, at=NOON):
    return lambda: capture_hold(hold, amount, at=at) and "captured"


def expiring(balance):
    return lambda: expire_credits(balance, at=LAPSES_AT)["balances"]


def voiding(grant):
    return lambda: void_grant(grant) and "voided"


def placing(balance, amount):
    return lambda: place_hold(balance, amount) and "held"


class TestCaptureHoldUnderContention:
    def test_captures_a_hold_once(self):
        balance = make_balance(grants=[(1000, None)])

        for _ in range(ROUNDS):
            placed = place_hold(balance).hold
            outcomes = run_concurrently([capturing(placed, amount) for amount in (None, 10, 60, 80)])
            assert sorted(outcomes) == ["captured"] + ["hold_closed"] * 3

        check_balance(balance)
        assert balance.transactions.filter(type="usage").count() == ROUNDS
        assert balance.held == 0

    def test_either_captures_or_releases_a_hold(self):
        balance = make_balance(grants=[(1000, None)])
        captured = 0

        for _ in range(ROUNDS):
            placed = place_hold(balance).hold

            def release(placed=placed):
                return release_hold(placed) and "released"

            outcomes = run_concurrently([capturing(placed), release] * (CALLERS // 2))
            assert outcomes.count("hold_closed") == CALLERS - 1
            captured += outcomes.count("captured")

        check_balance(balance)
        assert (balance.balance, balance.held) == (1000 - 60 * captured, 0)

    def test_either_captures_a_hold_or_finds_it_lapsed(self):
        for _ in range(ROUNDS):
            balance = make_balance()
            placed = place_hold(balance).hold

            expired, outcome = run_concurrently([expiring(balance), capturing(placed, at=JUST_BEFORE)])

            status = CreditHold.objects.get(pk=placed.id).status
            assert (expired, outcome, status) in [(0, "captured", "captured"), (1, "hold_closed", "lapsed")]
            check_balance(balance)
            assert (balance.balance, balance.held) == (40 if outcome == "captured" else 100, 0)

    def test_does_not_take_an_excess_that_another_capture_has_taken(self):
        balance = make_balance()
        placed = [place_hold(balance, 20).hold for _ in range(CALLERS)]

        outcomes = run_concurrently([capturing(each, 40) for each in placed])

        assert sorted(outcomes) == ["captured"] + ["insufficient_credits"] * 3
        check_balance(balance)
        assert (balance.balance, balance.held) == (60, 60)

    def test_captures_all_pins_of_a_grant_that_is_voided_concurrently(self):
        for _ in range(ROUNDS):
            balance = make_balance()
            placed = place_hold(balance).hold

            outcomes = run_concurrently([voiding(balance.grants.get()), capturing(placed)])

            assert outcomes == ["voided", "captured"]
            check_balance(balance)
            assert (balance.balance, balance.held) == (0, 0)
            amounts = dict(balance.transactions.exclude(type="promotion").values_list("type", "amount"))
            assert amounts == {"usage": -60, "void": -40}

    def test_takes_no_excess_from_a_grant_that_was_voided_first(self):
        for _ in range(ROUNDS):
            balance = make_balance()
            placed = place_hold(balance).hold

            outcomes = run_concurrently([voiding(balance.grants.get()), capturing(placed, 80)])

            assert outcomes in [["voided", "captured"], ["voided", "insufficient_credits"]]
            check_balance(balance)
            status = CreditHold.objects.get(pk=placed.id).status
            assert (balance.balance, status) == ((0, "captured") if "captured" in outcomes else (60, "open"))

    def test_captures_a_hold_while_its_purchase_is_reversed(self):
        for _ in range(ROUNDS):
            balance = make_balance(type="purchase")
            purchase = first_transaction(balance)
            placed = place_hold(balance).hold

            def reverse(purchase=purchase):
                return reverse_purchase(purchase) and "reversed"

            outcomes = run_concurrently([reverse, capturing(placed)])

            assert outcomes == ["reversed", "captured"]
            check_balance(balance)
            assert (balance.balance, balance.debt, balance.held) == (-60, 60, 0)


class TestExtendHoldUnderContention:
    def test_either_extends_a_hold_or_finds_it_lapsed(self):
        for _ in range(ROUNDS):
            balance = make_balance()
            placed = place_hold(balance).hold

            def extend(placed=placed):
                return extend_hold(placed, 60, at=JUST_BEFORE).hold.status

            outcomes = run_concurrently([expiring(balance), extend])

            assert outcomes in [[0, "open"], [1, "hold_closed"]]
            check_balance(balance)
            assert balance.held == (60 if outcomes[0] == 0 else 0)


class TestPlaceHoldUnderContention:
    def test_never_holds_credits_that_a_deduction_has_spent(self):
        for _ in range(ROUNDS):
            balance = make_balance()

            def pay(balance=balance):
                return deduct(balance, 30) and "paid"

            outcomes = run_concurrently([pay, placing(balance, 30)] * CALLERS)

            assert outcomes.count("insufficient_credits") == 5
            check_balance(balance)
            assert balance.balance == 100 - 30 * outcomes.count("paid")
            assert balance.held == 30 * outcomes.count("held")

    def test_pins_no_credits_of_a_grant_that_was_voided_first(self):
        for _ in range(ROUNDS):
            balance = make_balance()

            outcomes = run_concurrently([voiding(balance.grants.get()), placing(balance, 60)])

            assert outcomes in [["voided", "held"], ["voided", "insufficient_credits"]]
            check_balance(balance)
            assert balance.balance == balance.held == (60 if "held" in outcomes else 0)
