"""Release a hold: give back what it set aside."""

from datetime import datetime
from uuid import UUID

from credits.engine.idempotency import build_request
from credits.engine.plan_holds import plan_release, run_on_hold
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

    :raises HoldNotFoundError: there is no such hold
    :raises IdempotencyKeyReusedError: the key was used for a different request
    :raises HoldClosedError: the hold was captured, released or has lapsed
    """
    request = build_request("release_hold", actor=actor, key=idempotency_key, hold_id=hold_id)
    return hold_result(run_on_hold(hold_id, request, at, lambda balance, hold: plan_release(balance, hold, request)))
