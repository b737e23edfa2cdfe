"""Release a hold: give back what it set aside."""

from datetime import datetime
from uuid import UUID

from credits import queries
from credits.arguments import resolve_timestamp
from credits.engine.idempotency import build_request
from credits.engine.operation_queue import run_in_group
from credits.engine.plan_holds import ReleaseRequest
from credits.engine.results import HoldResult, hold_result
from fluxori.db.measured import measured
from fluxori.identity.models import User


@measured
def release_hold(
    *,
    hold_id: UUID,
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
) -> HoldResult:
    """Give back what the hold has set aside; credits that can no longer be spent leave at once.

    ``at`` is the instant of the request. If the balance has changed since, it takes effect at the last change; see
    docs/explanation/back-dated-operations.md.

    Concurrent requests share a transaction (group commit), except inside a transaction of the caller.

    :raises InvalidArgumentError: an argument is not valid
    :raises HoldNotFoundError: there is no such hold
    :raises BusyError: too many requests wait, or this one waited too long for a lock; nothing was written
    :raises IdempotencyKeyReusedError: the key was used for a different request
    :raises HoldClosedError: the hold was captured, released or has lapsed
    """
    identity = build_request("release_hold", actor=actor, key=idempotency_key, hold_id=hold_id)
    request = ReleaseRequest(hold_id, identity, resolve_timestamp(at))
    return hold_result(run_in_group(queries.owner_of_hold(hold_id=hold_id), request))
