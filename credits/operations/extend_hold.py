"""Extend a hold: let it lapse later."""

from datetime import datetime, timedelta
from uuid import UUID

from credits.arguments import Validator
from credits.domain import constants, errors
from credits.domain.records import Hold
from credits.engine.idempotency import build_request
from credits.engine.locked_balance import LockedBalance, OperationResult
from credits.engine.plan_holds import run_on_hold
from credits.engine.results import HoldResult, hold_result
from fluxori.db.measured import measured
from fluxori.identity.models import User


@measured
def extend_hold(
    *,
    hold_id: UUID,
    expires_in_seconds: int,
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
) -> HoldResult:
    """Let the open hold last until ``expires_in_seconds`` from now, at most 24 hours; never shorter than before.

    ``at`` is the instant of the request. If the balance has changed since, it takes effect at the last change; see
    docs/explanation/back-dated-operations.md.

    :raises InvalidArgumentError: an argument is not valid
    :raises HoldNotFoundError: there is no such hold
    :raises IdempotencyKeyReusedError: the key was used for a different request
    :raises HoldClosedError: the hold was captured, released or has lapsed
    :raises InvalidArgumentError: ``expires_in_seconds``: the hold would last more than seven days in all
    """
    validator = Validator()
    validator.integer("expires_in_seconds", expires_in_seconds, maximum=constants.MAX_HOLD_SECONDS)
    validator.raise_if_invalid()
    request = build_request(
        "extend_hold", actor=actor, key=idempotency_key, hold_id=hold_id, expires_in_seconds=expires_in_seconds
    )

    def plan(balance: LockedBalance, hold: Hold) -> OperationResult:
        expires_at = balance.at + timedelta(seconds=expires_in_seconds)
        if expires_at > hold.created_at + timedelta(seconds=constants.MAX_HOLD_TOTAL_SECONDS):
            days = constants.MAX_HOLD_TOTAL_SECONDS // (24 * 60 * 60)
            raise errors.InvalidArgumentError.field(
                "expires_in_seconds", "out_of_range", f"A hold lasts at most {days} days in all."
            )
        balance.state.move_expiry(hold, max(hold.expires_at, expires_at), balance.at)
        return balance.record(request, hold=hold)

    return hold_result(run_on_hold(hold_id, request, at, plan))
