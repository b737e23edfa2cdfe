"""Deduct credits for one usage."""

from datetime import datetime
from typing import Any
from uuid import UUID

from credits.arguments import resolve_timestamp
from credits.engine.deductions import Deduction, DeductionRequest
from credits.engine.operation_queue import run_in_group
from credits.engine.results import TransactionResult, transaction_result
from fluxori.db.measured import measured
from fluxori.identity.models import User
from fluxori.identity.owner import Owner, OwnerLike


@measured
def deduct_credits(
    *,
    owner: OwnerLike,
    amount: int | None = None,
    feature: str | None = None,
    quantity: int = 1,
    description: str = "",
    actor: User | UUID | None = None,
    member: User | UUID | None = None,
    reference_id: str = "",
    metadata: dict[str, Any] | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
) -> TransactionResult:
    """Take credits from the balance in burn order, all or nothing.

    Give either ``amount`` whole credits with a description, or ``quantity`` units of a ``feature`` at its current
    price. In a pool ``member`` is the person it is for. A retry with the same key returns the first transaction.

    ``at`` is the instant of the usage. If the balance has changed since, the deduction takes effect at the last change,
    with the price and the grants of that instant: credits that arrived between the two can pay, and those whose expiry
    is recorded cannot. See docs/explanation/back-dated-operations.md.

    Concurrent requests share a transaction (group commit), except inside a transaction of the caller.

    :raises InvalidArgumentError: an argument is not valid; later ``out_of_range``: quantity times price exceeds 10**12
    :raises BusyError: too many requests wait, or this one waited too long for a lock; nothing was written
    :raises BalanceNotFoundError: the owner has no balance
    :raises IdempotencyKeyReusedError: the key was used for a different request
    :raises FeatureNotFoundError: the feature does not exist, or has no price at that instant
    :raises SpendingSuspendedError: spending from the balance is suspended
    :raises SpendingLimitReachedError: a limit of the balance or the member would be exceeded
    :raises InsufficientCreditsError: the available credits do not cover the amount
    :raises django.db.Error: the database is unavailable, or it rejects the write
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
    request = DeductionRequest.of(deduction, resolve_timestamp(at))
    return transaction_result(run_in_group(Owner.of(owner), request))
