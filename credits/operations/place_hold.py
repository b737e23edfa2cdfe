"""Place a hold: set credits aside for work under way."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from credits.arguments import resolve_timestamp
from credits.domain import constants
from credits.engine.deductions import Deduction
from credits.engine.operation_queue import run_in_group
from credits.engine.plan_holds import PlaceHoldRequest
from credits.engine.results import HoldResult, hold_result
from fluxori.db.measured import measured
from fluxori.identity.models import User
from fluxori.identity.owner import Owner, OwnerLike


@measured
def place_hold(
    *,
    owner: OwnerLike,
    amount: int | None = None,
    feature: str | None = None,
    quantity: int = 1,
    description: str = "",
    expires_in_seconds: int = constants.DEFAULT_HOLD_SECONDS,
    actor: User | UUID | None = None,
    member: User | UUID | None = None,
    reference_id: str = "",
    metadata: dict[str, Any] | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
) -> HoldResult:
    """Set credits aside for work under way, and return the open hold with its pins.

    The price is fixed now. The credits are pinned on grants, in burn order; nothing else can spend them until the hold
    is captured or released, or lapses after ``expires_in_seconds`` (default 15 minutes, at most 24 hours).

    ``at`` is the instant of the request. If the balance has changed since, it takes effect at the last change; see
    docs/explanation/back-dated-operations.md.

    Concurrent requests share a transaction (group commit), except inside a transaction of the caller.

    :raises InvalidArgumentError: an argument is not valid
    :raises BusyError: too many requests wait, or this one waited too long for a lock; nothing was written
    :raises BalanceNotFoundError: the owner has no balance
    :raises IdempotencyKeyReusedError: the key was used for a different request
    :raises FeatureNotFoundError: the feature does not exist, or has no price at that instant
    :raises SpendingSuspendedError: spending from the balance is suspended
    :raises SpendingLimitReachedError: a limit of the balance or the member would be exceeded
    :raises InsufficientCreditsError: the available credits do not cover the amount
    """
    deduction = Deduction(
        amount=amount,
        feature=feature,
        quantity=quantity,
        description=description,
        actor=actor,
        member=member,
        reference_id=reference_id,
        metadata=metadata,
        idempotency_key=idempotency_key,
    )
    validator = deduction.validator()
    validator.integer("expires_in_seconds", expires_in_seconds, maximum=constants.MAX_HOLD_SECONDS)
    validator.raise_if_invalid()
    identity = deduction.build_identity("place_hold", expires_in_seconds=expires_in_seconds)
    lifetime = timedelta(seconds=expires_in_seconds)
    request = PlaceHoldRequest(deduction, lifetime, identity, resolve_timestamp(at))
    return hold_result(run_in_group(Owner.of(owner), request))
