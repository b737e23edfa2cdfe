"""Add credits: an allocation, a purchase or a promotion."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from credits.arguments import Validator, resolve_timestamp
from credits.domain import constants
from credits.engine.idempotency import build_request
from credits.engine.operation_queue import run_in_group
from credits.engine.plan_grants import AddRequest
from credits.engine.results import TransactionResult, transaction_result
from fluxori.core.input_rules import canonical_json
from fluxori.db.measured import measured
from fluxori.identity.models import User
from fluxori.identity.owner import Owner, OwnerLike

TYPES = ("allocation", "purchase", "promotion")
_UNIT_PRICE_STEP = Decimal(1).scaleb(-constants.UNIT_PRICE_PLACES)


@measured
def add_credits(
    *,
    owner: OwnerLike,
    amount: int,
    type: str,  # noqa: A002 - the name in the API
    description: str = "",
    reference_id: str = "",
    expires_at: datetime | None = None,
    priority: int = constants.DEFAULT_PRIORITY,
    unit_price: Decimal | None = None,
    metadata: dict[str, Any] | None = None,
    reason: str = "",
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
) -> TransactionResult:
    """Grant ``amount`` whole credits, spendable in ``[at, expires_at)``.

    Opens a balance without a tier if the owner has none. Debt is repaid first. ``priority`` is the place in the burn
    order (0 first, default 50); ``unit_price`` is what one credit was sold for, in rand.

    ``at`` is the instant of the request. If the balance has changed since, it takes effect at the last change; see
    docs/explanation/back-dated-operations.md.

    Concurrent requests share a transaction (group commit), except inside a transaction of the caller.

    :raises InvalidArgumentError: an argument is not valid
    :raises BusyError: too many requests wait, or this one waited too long for a lock; nothing was written
    :raises UserNotFoundError: there is no such user to open a balance for
    :raises OrganizationNotFoundError: there is no such organization to open a balance for
    :raises IdempotencyKeyReusedError: the key was used for a different request
    :raises InvalidArgumentError: ``in_past``: the credits would expire at or before the instant they take effect
    """
    validator = Validator()
    validator.integer("amount", amount)
    validator.choice("type", type, TYPES)
    validator.string("description", description, maximum=constants.MAX_DESCRIPTION)
    validator.string("reference_id", reference_id, maximum=constants.MAX_REFERENCE_ID)
    validator.string("reason", reason, maximum=constants.MAX_REASON)
    validator.integer("priority", priority, minimum=0, maximum=constants.MAX_PRIORITY)
    if expires_at is not None:
        validator.timestamp("expires_at", expires_at)
    if unit_price is not None:
        validator.unit_price("unit_price", unit_price)
    if metadata is not None:
        validator.metadata("metadata", metadata)
    validator.raise_if_invalid()
    if unit_price is not None:
        # One representation, so that R0.1 and R0.10 have the same fingerprint.
        unit_price = unit_price.quantize(_UNIT_PRICE_STEP)
    identity = build_request(
        "add_credits",
        actor=actor,
        key=idempotency_key,
        amount=amount,
        type=type,
        description=description,
        reference_id=reference_id,
        expires_at=expires_at,
        priority=priority,
        unit_price=unit_price,
        metadata=metadata,
        reason=reason,
    )
    details = {
        "description": description,
        "reference_id": reference_id,
        "reason": reason,
        "metadata": None if metadata is None else canonical_json(metadata),
    }
    terms = {"expires_at": expires_at, "priority": priority, "unit_price": unit_price}
    request = AddRequest(amount, type, terms, details, identity, resolve_timestamp(at))
    return transaction_result(run_in_group(Owner.of(owner), request))
