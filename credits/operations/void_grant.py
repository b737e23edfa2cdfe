"""Void a grant: take what it has remaining, permanently."""

from datetime import datetime
from uuid import UUID

from credits.domain import errors
from credits.domain.records import Grant, GrantDelta
from credits.engine.corrections import correction_validator, run_on_grant
from credits.engine.idempotency import build_request
from credits.engine.locked_balance import LockedBalance, OperationResult, transaction_details
from credits.engine.results import VoidResult, void_result
from fluxori.db.measured import measured
from fluxori.identity.models import User


@measured
def void_grant(
    *,
    grant_id: UUID,
    reason: str,
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
) -> VoidResult:
    """Take what the grant has remaining. Pinned credits leave when their hold ends, unless it is captured.

    Voiding a voided grant succeeds and writes nothing.

    ``at`` is the instant of the request. If the balance has changed since, it takes effect at the last change; see
    docs/explanation/back-dated-operations.md.

    :raises InvalidArgumentError: an argument is not valid
    :raises GrantNotFoundError: there is no such grant
    :raises IdempotencyKeyReusedError: the key was used for a different request
    :raises GrantNotVoidableError: the grant is spent or has expired
    """
    correction_validator(reason).raise_if_invalid()
    request = build_request("void_grant", actor=actor, key=idempotency_key, grant_id=grant_id, reason=reason)

    def plan(balance: LockedBalance, grant: Grant) -> OperationResult:
        if grant.voided_at is not None:
            return balance.record_no_change(request)
        if grant.expired(balance.at) or grant.remaining + grant.held == 0:
            raise errors.GrantNotVoidableError()
        transaction = None
        if grant.remaining:
            details = transaction_details(request, description="Credits voided", reason=reason)
            transaction = balance.state.post("void", balance.at, [GrantDelta(grant, -grant.remaining)], details)
        balance.state.void(grant, balance.at)
        return balance.record(request, transaction=transaction)

    return void_result(run_on_grant(grant_id, request, at, plan))
