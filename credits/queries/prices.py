"""Prices of features, and the check whether a deduction would be allowed.

``cost_of`` is the one place that multiplies a price: deductions, holds and checks use it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import OuterRef, QuerySet, Subquery

from credits.arguments import Validator, id_of, resolve_timestamp
from credits.domain import constants, errors
from credits.domain.limits import LimitStatus, first_exceeded_limit
from credits.domain.records import Price
from credits.models import Feature, FeaturePrice
from credits.queries.loading import load_settled_balance
from fluxori.identity.models import User
from fluxori.identity.owner import Owner, OwnerLike


def get_features(*, at: datetime | None = None) -> QuerySet[Feature]:
    """Return the features that have a price in force at ``at``; ``price`` is in whole credits for one unit.

    :raises InvalidArgumentError: ``at`` has no time zone, or is more than five minutes ahead of the clock
    """
    at = resolve_timestamp(at)
    current = FeaturePrice.objects.filter(feature=OuterRef("pk"), effective_from__lte=at).order_by("-effective_from")
    return Feature.objects.annotate(price=Subquery(current.values("credits")[:1])).filter(price__isnull=False)


def prices(features: Iterable[str], *, at: datetime) -> dict[str, Price]:
    """Return the price in force at ``at`` for each of ``features`` that has one."""
    rows = (
        FeaturePrice.objects.filter(feature__in=set(features), effective_from__lte=at)
        .order_by("feature_id", "-effective_from")
        .distinct("feature_id")
        .values_list("feature_id", "id", "credits", "effective_from")
    )
    return {feature: Price(price_id, credits, since) for feature, price_id, credits, since in rows}


def cost_of(feature: str, quantity: int, price: Price | None) -> int:
    """Return the cost of ``quantity`` units of a feature at ``price``, in whole credits.

    :raises FeatureNotFoundError: the feature does not exist or has no price
    :raises InvalidArgumentError: ``out_of_range``: quantity times price exceeds 10**12
    """
    if price is None:
        raise errors.FeatureNotFoundError(feature=feature)
    cost = price.credits * quantity
    if cost > constants.MAX_CREDITS:
        raise errors.InvalidArgumentError.field(
            "quantity", "out_of_range", f"Quantity times price must not exceed {constants.MAX_CREDITS}."
        )
    return cost


@dataclass(frozen=True, slots=True)
class Check:
    """Whether a deduction would be allowed, and the first reason if not. Whole credits.

    ``limit`` is the exceeded limit if that is the reason.
    """

    allowed: bool
    cost: int
    available: int
    reason: str | None
    limit: LimitStatus | None = None


def check_spending(
    *,
    owner: OwnerLike,
    amount: int | None = None,
    feature: str | None = None,
    quantity: int = 1,
    member: User | UUID | None = None,
    permitted: bool = True,
    at: datetime | None = None,
) -> Check:
    """Return whether the owner's balance would pay for ``amount`` credits, or ``quantity`` of a ``feature``, at ``at``.

    Give exactly one of ``amount`` and ``feature``; in a pool ``member`` is the person it would be for. The rules for
    the arguments are those of a deduction. ``reason`` is the first that applies of permission_denied (the caller is not
    ``permitted`` to spend), balance_not_found, spending_suspended, spending_limit_reached and insufficient_credits: the
    order of checks of a deduction. Like a deduction, the check is made at ``at`` or at the last change of the balance,
    whichever is later.

    :raises InvalidArgumentError: an argument is not valid
    :raises FeatureNotFoundError: the feature does not exist, or has no price at that instant
    :raises InvalidArgumentError: ``out_of_range``: quantity times price exceeds 10**12
    """
    validator = Validator()
    validator.cost(amount=amount, feature=feature, quantity=quantity)
    validator.raise_if_invalid()
    at, member_id = resolve_timestamp(at), id_of(member)
    try:
        state = load_settled_balance(Owner.of(owner), at=at, member_ids=[member_id])
    except errors.BalanceNotFoundError as missing:
        cost = _cost(amount, feature, quantity, at)
        return Check(False, cost, 0, missing.code if permitted else "permission_denied")
    at = max(at, state.last_at)
    cost = _cost(amount, feature, quantity, at)
    limit = first_exceeded_limit(state.limits.values(), cost, member_id=member_id, at=at)
    reasons = {
        "permission_denied": not permitted,
        errors.SpendingSuspendedError.code: state.suspended_at is not None,
        errors.SpendingLimitReachedError.code: limit is not None,
        errors.InsufficientCreditsError.code: state.available < cost,
    }
    reason = next((code for code, applies in reasons.items() if applies), None)
    return Check(
        reason is None,
        cost,
        state.available,
        reason,
        limit if reason == errors.SpendingLimitReachedError.code else None,
    )


def _cost(amount: int | None, feature: str | None, quantity: int, at: datetime) -> int:
    if amount is not None:
        return amount
    assert feature is not None
    return cost_of(feature, quantity, prices([feature], at=at).get(feature))
