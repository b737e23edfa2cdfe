"""Users and balances for tests.

Credits are added through the operations, so every ledger in a test is one that production could contain.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from credits import operations
from credits.domain import burn_order
from credits.domain.balance_state import GrantDelta, Hold
from credits.models import CreditBalance, CreditHold, CreditTransaction
from fluxori.core.ids import uuid7
from fluxori.identity.models import User
from fluxori.identity.owner import OwnerLike
from tests.support.times import HOUR, NOON


def make_user(**fields: Any) -> User:
    """Return a new user without a usable password."""
    return User.objects.create_user(f"{uuid4()}@example.test", **fields)


def make_balance(
    owner: OwnerLike | None = None,
    grants: Iterable[tuple[int, timedelta | None]] = ((100, None),),
    at: datetime = NOON,
    **terms: Any,
) -> CreditBalance:
    """Return the balance of ``owner``, or of a new user, after adding ``grants``: pairs of (credits, expires in).

    ``terms`` are passed to ``add_credits``; the type is ``promotion`` by default.
    """
    balance_owner = operations.Owner.of(owner or make_user())
    for amount, expires_in in grants:
        expires_at = None if expires_in is None else at + expires_in
        operations.add_credits(
            owner=balance_owner, amount=amount, expires_at=expires_at, at=at, **{"type": "promotion", **terms}
        )
    return CreditBalance.objects.get(pk=balance_owner.id)


def deduct(balance: CreditBalance, amount: int, at: datetime = NOON, **details: Any) -> Any:
    """Take ``amount`` credits from ``balance`` and return the transaction."""
    return operations.deduct_credits(
        owner=balance.owner, amount=amount, at=at, **{"description": "Spent in a test", **details}
    )


@operations.whole
def hold(balance: CreditBalance, amount: int, at: datetime = NOON, expires_in: timedelta = HOUR) -> CreditHold:
    """Place a hold of ``amount`` credits on ``balance`` and return it."""
    request = operations.ask("place_hold", actor=None, key=None)
    with operations.opened(balance.owner, at=at) as page:
        pins = burn_order.plan_deltas(amount, page.book.grants.values())
        placed = Hold(
            id=uuid7(),
            amount=amount,
            created_at=page.at,
            expires_at=page.at + expires_in,
            pins=[(grant.id, pinned) for grant, pinned in pins],
        )
        page.book.open_hold(placed)
        page.record(request, hold=placed)
    return CreditHold.objects.get(pk=placed.id)


@operations.whole
def capture(placed: CreditHold, amount: int, at: datetime = NOON) -> None:
    """Capture ``amount`` credits of an open hold and release the rest."""
    request = operations.ask("capture_hold", actor=None, key=None)
    with operations.opened(placed.balance.owner, at=at, hold_ids=[placed.pk]) as page:
        book = page.book
        taken = book.holds[placed.pk]
        book.close_hold(taken, "captured", page.at)
        draws, left = [], amount
        for grant_id, pinned in taken.pins:
            spent = min(left, pinned)
            draws += [GrantDelta(book.grants[grant_id], -spent)] if spent else []
            left -= spent
        recorded = book.post("usage", page.at, draws, operations.said(request, hold_id=placed.pk))
        taken.captured = amount
        page.record(request, transaction=recorded, hold=taken)


def reverse(purchase: CreditTransaction, amount: int, at: datetime = NOON) -> None:
    """Reverse ``amount`` credits of a purchase: first from the remaining credits in burn order, then as debt."""
    owe(purchase.balance, amount, at=at, reverses=purchase)


@operations.whole
def owe(balance: CreditBalance, amount: int, at: datetime = NOON, reverses: CreditTransaction | None = None) -> None:
    """Reverse ``amount`` credits without naming a purchase: first from the remaining credits, then as debt."""
    request = operations.ask("reverse_purchase", actor=None, key=None)
    with operations.opened(balance.owner, at=at) as page:
        taken = burn_order.plan_deltas(amount, page.book.grants.values())
        draws = [GrantDelta(grant, -part) for grant, part in taken]
        owed = amount - sum(part for _, part in taken)
        draws += [GrantDelta(None, -owed)] if owed else []
        said = operations.said(request, reverses_id=reverses.pk if reverses else None)
        recorded = page.book.post("reversal", page.at, draws, said)
        page.record(request, transaction=recorded)
