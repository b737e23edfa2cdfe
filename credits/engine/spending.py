"""What every way of spending shares: the cost, and the checks of state, limits and funds, in that order."""

from typing import Any
from uuid import UUID

from credits import queries
from credits.domain import errors
from credits.domain.limits import first_exceeded_limit
from credits.domain.records import Hold
from credits.engine.locked_balance import LockedBalance


def resolve_price(
    balance: LockedBalance, *, amount: int | None, feature: str | None, quantity: int
) -> tuple[int, dict[str, Any]]:
    """Return the cost in whole credits, and the price facts that the transaction or hold remembers.

    :raises FeatureNotFoundError: the feature does not exist, or has no price at the effective instant
    :raises InvalidArgumentError: ``out_of_range``: quantity times price exceeds 10**12
    """
    if feature is None:
        assert amount is not None
        return amount, {}
    price = balance.current_price(feature)
    cost = queries.cost_of(feature, quantity, price)
    assert price is not None
    return cost, {"feature_id": feature, "price_id": price.id, "quantity": quantity}


def check_spendable(
    balance: LockedBalance, amount: int, *, member_id: UUID | None, hold: Hold | None = None, max_debt: int = 0
) -> None:
    """Return if ``member_id`` may use ``amount`` whole credits, part of which ``hold`` may have set aside already.

    What is missing may become debt, as long as the debt of the balance does not exceed ``max_debt``.

    :raises SpendingSuspendedError: spending from the balance is suspended
    :raises SpendingLimitReachedError: a limit of the balance or the member would be exceeded
    :raises InsufficientCreditsError: the available credits do not cover what is not set aside
    """
    state = balance.state
    if state.suspended_at is not None:
        raise errors.SpendingSuspendedError(suspended_at=state.suspended_at)
    limit = first_exceeded_limit(
        state.limits.values(),
        amount,
        member_id=member_id,
        at=balance.at,
        released_hold=(hold.amount, hold.created_at) if hold else None,
    )
    if limit is not None:
        raise errors.SpendingLimitReachedError(limit=limit.amount, used=limit.used, resets_at=limit.resets_at)
    required = amount - (hold.amount if hold else 0)
    if state.available + max(max_debt - state.debt, 0) < required:
        raise errors.InsufficientCreditsError(required=required, available=state.available, held=state.held)
