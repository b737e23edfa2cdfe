"""The burn order: which grants pay for a usage, and in which order. Pure arithmetic.

The order is total, so the same grants always pay in the same way. The same rule is written again, on purpose, in
``credits/verification/rules/burn_order.sql`` (to check stored history), in ``tests/model/balance.py`` (to check this
code), in ``credits/queries/sql/balance_states.sql`` (to load the first grants) and in
``fluxori/devtools/bench/reference.sql`` (to compare speed): change all five together.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Protocol, TypeVar
from uuid import UUID

NEVER = datetime.max.replace(tzinfo=UTC)


class Burnable(Protocol):
    """The attributes of a grant that the burn order depends on."""

    id: UUID
    source: str
    remaining: int
    priority: int
    effective_at: datetime
    expires_at: datetime | None


G = TypeVar("G", bound=Burnable)
Position = tuple[int, bool, datetime, bool, datetime, UUID]


def position(grant: Burnable) -> Position:
    """Return the sort key of a grant in the burn order.

    Lower priority numbers first; then the earlier expiry, never last; then every other source before purchases; then
    the earlier ``effective_at``; then the smaller id.
    """
    return (
        grant.priority,
        grant.expires_at is None,
        grant.expires_at or NEVER,
        grant.source == "purchase",
        grant.effective_at,
        grant.id,
    )


def in_burn_order(grants: Iterable[G]) -> list[G]:
    """Return the grants in burn order: the first one pays first."""
    return sorted(grants, key=position)


def plan_payments(amount: int, grants: Iterable[G]) -> list[tuple[G, int]]:
    """Return the (grant, credits) pairs that pay ``amount`` whole credits, in burn order.

    Grants with nothing remaining are skipped. If the grants hold less than ``amount``, the pairs add up to all they
    hold; the caller has to check the funds before.

    >>> plan_payments(5, [])
    []
    """
    payments = []
    for grant in in_burn_order(grant for grant in grants if grant.remaining > 0):
        if amount <= 0:
            break
        paid = min(amount, grant.remaining)
        payments.append((grant, paid))
        amount -= paid
    return payments
