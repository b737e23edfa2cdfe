"""The burn order: which grants pay for usage, and in which order. Pure functions.

The order is written in four places on purpose, so that they check each other. Change all of them together: this module
(the rule that operations apply), ``credits/verification/rules/burn_order.sql``, ``tests/model/balance.py`` (the model)
and ``fluxori/devtools/bench/reference.sql`` (the benchmark reference). The verification rule contains the date from
which it applies.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Protocol, TypeVar
from uuid import UUID

NEVER = datetime.max.replace(tzinfo=UTC)


class Burnable(Protocol):
    """What the burn order looks at in a grant."""

    id: UUID
    source: str
    remaining: int
    priority: int
    effective_at: datetime
    expires_at: datetime | None


G = TypeVar("G", bound=Burnable)


def position(grant: Burnable) -> tuple[int, datetime, bool, datetime, UUID]:
    """Return the sort key of a grant: a total order, so that the same grants always pay the same way.

    Lower priority numbers first, then what expires first (never is last), then everything that was not bought before
    what was, then the older, then the smaller id.
    """
    return (
        grant.priority,
        grant.expires_at or NEVER,
        grant.source == "purchase",
        grant.effective_at,
        grant.id,
    )


def in_burn_order(grants: Iterable[G]) -> list[G]:
    """Return the grants, the one that pays first in front."""
    return sorted(grants, key=position)


def plan_deltas(amount: int, grants: Iterable[G]) -> list[tuple[G, int]]:
    """Return who pays how much of ``amount`` whole credits: (grant, credits) pairs in burn order.

    Grants with nothing remaining are passed over. The parts add up to ``amount`` or, where the grants hold less, to
    all they have: whether that is enough is the caller's question.

    >>> plan_deltas(0, [])
    []
    """
    draws = []
    for grant in in_burn_order(grant for grant in grants if grant.remaining > 0):
        if amount <= 0:
            break
        taken = min(amount, grant.remaining)
        draws.append((grant, taken))
        amount -= taken
    return draws
