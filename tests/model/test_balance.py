"""The model alone: the effect of each operation on a purchase, and its independence of the project."""

import ast
from pathlib import Path

from tests.model import balance as model
from tests.support.times import DAY, HOUR, NOON

REQUEST = model.Request("any", {})
LASTS = int((DAY - HOUR).total_seconds())


def purchased(amount: int = 100, hours: int | None = None, held: int = 0) -> model.Balance:
    """Return a balance with a purchase of ``amount`` (grant 1) and, optionally, a hold that lapses after 23 hours."""
    state = model.Balance(pool=False, members=[], prices={})
    ends = None if hours is None else NOON + hours * HOUR
    state.add(REQUEST, NOON, type="purchase", amount=amount, expires_at=ends)
    if held:
        state.place(REQUEST, NOON, amount=held, feature=None, quantity=1, member=None, seconds=LASTS)
    return state


def columns(state: model.Balance, hours: int = 0) -> tuple[int, int, int, int, int]:
    """Return the remaining credits, the held credits, the debt, the balance and the available credits."""
    at = NOON + hours * HOUR
    current = state.snapshot_at(at)
    free = sum(state.with_due_events(at).free().values())
    return (free, current.held, current.debt, current.balance, current.available)


def last(state: model.Balance, many: int = 1) -> list[tuple[str, int, list[tuple[int | None, int]]]]:
    return [
        (transaction.type, transaction.amount, [(entry.grant, entry.amount) for entry in transaction.entries])
        for transaction in state.transactions[-many:]
    ]


class TestModel:
    def test_imports_no_code_of_the_project(self):
        tree = ast.parse(Path(model.__file__).read_text(encoding="utf-8"))
        names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

        assert names == {"collections.abc", "dataclasses", "datetime", "typing"}
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import)]

    def test_hold_lapse_and_partial_capture(self):
        assert columns(purchased()) == (100, 0, 0, 100, 100)
        state = purchased(held=60)
        assert columns(state) == (40, 60, 0, 100, 40)
        assert columns(state, hours=23) == (100, 0, 0, 100, 100)
        state.capture(REQUEST, NOON, hold=1, amount=25)
        assert (last(state), columns(state)) == ([("usage", -25, [(1, -25)])], (75, 0, 0, 75, 75))

    def test_capture_above_the_hold_is_one_usage(self):
        state = purchased(held=60)
        state.capture(REQUEST, NOON, hold=1, amount=80)
        assert (last(state), columns(state)) == ([("usage", -80, [(1, -80)])], (20, 0, 0, 20, 20))

    def test_pinned_credits_outlive_their_grant(self):
        state = purchased(hours=2, held=60)
        assert columns(state, hours=2) == (0, 60, 0, 60, 0)
        state.capture(REQUEST, NOON + 3 * HOUR, hold=1, amount=25)
        assert last(state, 3) == [("expiry", -40, [(1, -40)]), ("usage", -25, [(1, -25)]), ("expiry", -35, [(1, -35)])]
        assert columns(state, hours=3) == (0, 0, 0, 0, 0)

    def test_pinned_credits_are_voided_when_released(self):
        state = purchased(held=60)
        state.void(REQUEST, NOON, grant=1)
        state.release(REQUEST, NOON, hold=1)
        assert last(state, 2) == [("void", -40, [(1, -40)]), ("void", -60, [(1, -60)])]

    def test_reversal_of_pinned_credits_creates_debt(self):
        state = purchased(held=60)
        state.reverse(REQUEST, NOON, transaction=1, amount=None)
        assert (last(state), columns(state)) == ([("reversal", -100, [(1, -40), (None, -60)])], (0, 60, 60, 0, 0))
        released = state.copy()
        released.release(REQUEST, NOON, hold=1)
        assert (last(released), columns(released)) == (
            [("reversal", 0, [(1, -60), (None, 60)])],
            (0, 0, 0, 0, 0),
        )
        state.capture(REQUEST, NOON, hold=1, amount=None)
        assert columns(state) == (0, 0, 60, -60, 0)
        state.add(REQUEST, NOON, type="purchase", amount=100)
        assert (last(state), columns(state)) == ([("purchase", 100, [(2, 40), (None, 60)])], (40, 0, 0, 40, 40))

    def test_refund_of_expired_credits_expires_at_once(self):
        state = purchased(hours=2)
        state.deduct(REQUEST, NOON, amount=60, feature=None, quantity=1, member=None)
        state.refund(REQUEST, NOON + 3 * HOUR, transaction=2, amount=None, expires_at=None)
        assert last(state, 2) == [("refund", 60, [(1, 60)]), ("expiry", -60, [(1, -60)])]

    def test_refund_repays_debt_first(self):
        state = purchased()
        state.deduct(REQUEST, NOON, amount=100, feature=None, quantity=1, member=None)
        state.reverse(REQUEST, NOON, transaction=1, amount=15)
        state.refund(REQUEST, NOON, transaction=2, amount=20, expires_at=None)
        assert (last(state), columns(state)) == ([("refund", 20, [(1, 5), (None, 15)])], (5, 0, 0, 5, 5))

    def test_rollover_up_to_the_cap(self):
        state = model.Balance(pool=False, members=[], prices={})
        state.add(REQUEST, NOON, type="allocation", amount=150, expires_at=NOON + HOUR, roll_cap=100)
        state.run_expiry_job(NOON + HOUR)
        assert last(state, 2) == [("expiry", -50, [(1, -50)]), ("rollover", 0, [(1, -100), (2, 100)])]
        assert columns(state, hours=1) == (100, 0, 0, 100, 100)

    def test_refund_after_a_rollover_up_to_the_cap(self):
        for left, expected in ((10, 15), (80, 80)):
            state = model.Balance(pool=False, members=[], prices={})
            state.add(REQUEST, NOON, type="allocation", amount=100, expires_at=NOON + HOUR, roll_cap=80)
            state.deduct(REQUEST, NOON, amount=100 - left, feature=None, quantity=1, member=None)
            state.refund(REQUEST, NOON + 2 * HOUR, transaction=2, amount=5, expires_at=None)
            assert columns(state, hours=2) == (expected, 0, 0, expected, expected)
