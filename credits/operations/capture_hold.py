"""Capture a hold: spend what it set aside."""

from datetime import datetime
from uuid import UUID

from credits import queries
from credits.arguments import Validator, resolve_timestamp
from credits.engine.idempotency import build_request
from credits.engine.operation_queue import run_in_group
from credits.engine.plan_holds import CaptureRequest
from credits.engine.results import CaptureResult, capture_result
from fluxori.db.measured import measured
from fluxori.identity.models import User


@measured
def capture_hold(
    *,
    hold_id: UUID,
    amount: int | None = None,
    allow_debt: bool = False,
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
) -> CaptureResult:
    """Spend what the hold has set aside: all of it, or ``amount`` whole credits; 0 releases it.

    A smaller amount gives the rest back to the grants that burn last; a larger amount takes the excess from the
    available credits. Pinned credits stay capturable though their grant has expired or was voided, and whatever limits
    were set since.

    With ``allow_debt`` an excess takes what is available, and the rest becomes debt. The debt of the balance may then
    be at most ``CAPTURE_DEBT_LIMIT``.

    ``at`` is the instant of the request. If the balance has changed since, it takes effect at the last change; see
    docs/explanation/back-dated-operations.md.

    Concurrent requests share a transaction (group commit), except inside a transaction of the caller.

    :raises InvalidArgumentError: an argument is not valid
    :raises HoldNotFoundError: there is no such hold
    :raises BusyError: too many requests wait, or this one waited too long for a lock; nothing was written
    :raises IdempotencyKeyReusedError: the key was used for a different request
    :raises HoldClosedError: the hold was captured, released or has lapsed
    :raises SpendingSuspendedError: for an excess: spending from the balance is suspended; the hold stays open
    :raises SpendingLimitReachedError: for an excess: a limit would be exceeded; the hold stays open
    :raises InsufficientCreditsError: for an excess: the available credits and the allowed debt do not cover it;
        the hold stays open
    """
    if amount is not None:
        validator = Validator()
        validator.integer("amount", amount, minimum=0)
        validator.raise_if_invalid()
    identity = build_request(
        "capture_hold", actor=actor, key=idempotency_key, hold_id=hold_id, amount=amount, allow_debt=allow_debt
    )
    request = CaptureRequest(hold_id, amount, identity, resolve_timestamp(at), allow_debt)
    return capture_result(run_in_group(queries.owner_of_hold(hold_id=hold_id), request))
