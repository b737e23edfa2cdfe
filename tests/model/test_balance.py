"""The model by itself: it tells the table of the design, and it owes nothing to what it is compared with."""

import ast
from pathlib import Path

from tests.model import balance as model
from tests.support.times import DAY, HOUR, NOON

REQUEST = model.Request("any", {})
LASTS = int((DAY - HOUR).total_seconds())


def bought(amount: int = 100, hours: int | None = None, held: int = 0) -> model.Balance:
    """A balance with a purchase P of ``amount``, grant 1, and perhaps a hold on it that lapses after 23 hours."""
    made = model.Balance(pool=False, members=[], prices={})
    ends = None if hours is None else NOON + hours * HOUR
    made.add(REQUEST, NOON, type="purchase", amount=amount, expires_at=ends)
    if held:
        made.place(REQUEST, NOON, amount=held, feature=None, quantity=1, member=None, seconds=LASTS)
    return made


def columns(it: model.Balance, hours: int = 0) -> tuple[int, int, int, int, int]:
    """What remains, what is held, the debt, the balance, and what may be spent."""
    at = NOON + hours * HOUR
    said = it.at(at)
    free = sum(it.settled(at).free().values())
    return (free, said.held, said.debt, said.balance, said.available)


def last(it: model.Balance, many: int = 1) -> list[tuple[str, int, list[tuple[int | None, int]]]]:
    return [
        (said.type, said.amount, [(share.grant, share.amount) for share in said.shares])
        for said in it.transactions[-many:]
    ]


class TestModel:
    def test_imports_no_code_of_the_project(self):
        tree = ast.parse(Path(model.__file__).read_text(encoding="utf-8"))
        names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

        assert names == {"collections.abc", "dataclasses", "datetime", "typing"}
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import)]

    def test_hold_lapse_and_partial_capture(self):
        assert columns(bought()) == (100, 0, 0, 100, 100)
        it = bought(held=60)
        assert columns(it) == (40, 60, 0, 100, 40)
        assert columns(it, hours=23) == (100, 0, 0, 100, 100)
        it.capture(REQUEST, NOON, hold=1, amount=25)
        assert (last(it), columns(it)) == ([("usage", -25, [(1, -25)])], (75, 0, 0, 75, 75))

    def test_capture_above_the_hold_is_one_usage(self):
        it = bought(held=60)
        it.capture(REQUEST, NOON, hold=1, amount=80)
        assert (last(it), columns(it)) == ([("usage", -80, [(1, -80)])], (20, 0, 0, 20, 20))

    def test_pinned_credits_outlive_their_grant(self):
        it = bought(hours=2, held=60)
        assert columns(it, hours=2) == (0, 60, 0, 60, 0)
        it.capture(REQUEST, NOON + 3 * HOUR, hold=1, amount=25)
        assert last(it, 3) == [("expiry", -40, [(1, -40)]), ("usage", -25, [(1, -25)]), ("expiry", -35, [(1, -35)])]
        assert columns(it, hours=3) == (0, 0, 0, 0, 0)

    def test_pinned_credits_are_voided_when_released(self):
        it = bought(held=60)
        it.void(REQUEST, NOON, grant=1)
        it.release(REQUEST, NOON, hold=1)
        assert last(it, 2) == [("void", -40, [(1, -40)]), ("void", -60, [(1, -60)])]

    def test_reversal_of_pinned_credits_creates_debt(self):
        it = bought(held=60)
        it.reverse(REQUEST, NOON, transaction=1, amount=None)
        assert (last(it), columns(it)) == ([("reversal", -100, [(1, -40), (None, -60)])], (0, 60, 60, 0, 0))
        released_hold = it.copy()
        released_hold.release(REQUEST, NOON, hold=1)
        assert (last(released_hold), columns(released_hold)) == (
            [("reversal", 0, [(1, -60), (None, 60)])],
            (0, 0, 0, 0, 0),
        )
        it.capture(REQUEST, NOON, hold=1, amount=None)
        assert columns(it) == (0, 0, 60, -60, 0)
        it.add(REQUEST, NOON, type="purchase", amount=100)
        assert (last(it), columns(it)) == ([("purchase", 100, [(2, 40), (None, 60)])], (40, 0, 0, 40, 40))

    def test_refund_of_expired_credits_expires_at_once(self):
        it = bought(hours=2)
        it.deduct(REQUEST, NOON, amount=60, feature=None, quantity=1, member=None)
        it.refund(REQUEST, NOON + 3 * HOUR, transaction=2, amount=None, expires_at=None)
        assert last(it, 2) == [("refund", 60, [(1, 60)]), ("expiry", -60, [(1, -60)])]

    def test_refund_repays_debt_first(self):
        it = bought()
        it.deduct(REQUEST, NOON, amount=100, feature=None, quantity=1, member=None)
        it.reverse(REQUEST, NOON, transaction=1, amount=15)
        it.refund(REQUEST, NOON, transaction=2, amount=20, expires_at=None)
        assert (last(it), columns(it)) == ([("refund", 20, [(1, 5), (None, 15)])], (5, 0, 0, 5, 5))

    def test_rollover_up_to_the_cap(self):
        it = model.Balance(pool=False, members=[], prices={})
        it.add(REQUEST, NOON, type="allocation", amount=150, expires_at=NOON + HOUR, roll_cap=100)
        it.sweep(NOON + HOUR)
        assert last(it, 2) == [("expiry", -50, [(1, -50)]), ("rollover", 0, [(1, -100), (2, 100)])]
        assert columns(it, hours=1) == (100, 0, 0, 100, 100)
