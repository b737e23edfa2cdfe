"""Users and balances for tests.

Credits are added through the operations, so every ledger in a test is one that production could contain.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from credits import operations
from credits.domain import burn_order
from credits.domain.records import GrantDelta
from credits.engine.idempotency import build_request
from credits.engine.locked_balance import lock_balance, transaction_details
from credits.engine.plan_holds import plan_hold
from credits.models import CreditBalance, CreditHold, CreditTransaction
from credits.operations import TransactionResult
from fluxori.db.transactions import transaction_with_retry
from fluxori.identity.models import User
from fluxori.identity.owner import OwnerLike
from tests.support.times import DAY, HOUR, NOON


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


def deduct(balance: CreditBalance, amount: int, at: datetime = NOON, **details: Any) -> TransactionResult:
    """Take ``amount`` credits from ``balance`` and return the result."""
    return operations.deduct_credits(
        owner=balance.owner, amount=amount, at=at, **{"description": "Spent in a test", **details}
    )


def hold(balance: CreditBalance, amount: int, at: datetime = NOON, expires_in: timedelta = HOUR) -> CreditHold:
    """Place a hold of ``amount`` credits on ``balance`` and return its row."""
    if expires_in <= DAY:
        seconds = int(expires_in.total_seconds())
        placed = operations.place_hold(
            owner=balance.owner, amount=amount, description="Held in a test", expires_in_seconds=seconds, at=at
        )
        return CreditHold.objects.get(pk=placed.hold.id)
    return _long_hold(balance, amount, at, expires_in)


@transaction_with_retry
def _long_hold(balance: CreditBalance, amount: int, at: datetime, expires_in: timedelta) -> CreditHold:
    """Place a hold that lasts longer than an operation allows in one step, with the planner of the operation."""
    deduction = operations.Deduction(amount=amount, description="Held in a test")
    with lock_balance(balance.owner, at=at) as locked:
        result = plan_hold(locked, deduction, deduction.build_identity("place_hold"), expires_in)
    assert result.hold_id is not None
    return CreditHold.objects.get(pk=result.hold_id)


def capture(placed: CreditHold, amount: int, at: datetime = NOON) -> None:
    """Capture ``amount`` credits of an open hold and release the rest."""
    operations.capture_hold(hold_id=placed.pk, amount=amount, at=at)


def reverse(purchase: CreditTransaction, amount: int, at: datetime = NOON) -> None:
    """Reverse ``amount`` credits of a purchase: first from the remaining credits in burn order, then as debt."""
    owe(purchase.balance, amount, at=at, reverses=purchase)


@transaction_with_retry
def owe(balance: CreditBalance, amount: int, at: datetime = NOON, reverses: CreditTransaction | None = None) -> None:
    """Reverse ``amount`` credits without naming a purchase: first from the remaining credits, then as debt."""
    request = build_request("reverse_purchase", actor=None, key=None)
    with lock_balance(balance.owner, at=at) as locked:
        taken = burn_order.plan_payments(amount, locked.state.grants.values())
        deltas = [GrantDelta(grant, -part) for grant, part in taken]
        owed = amount - sum(part for _, part in taken)
        deltas += [GrantDelta(None, -owed)] if owed else []
        details = transaction_details(request, reverses_id=reverses.pk if reverses else None)
        locked.record(request, transaction=locked.state.post("reversal", locked.at, deltas, details))
