"""Extend a grant: let what it has remaining expire later."""

from datetime import datetime
from uuid import UUID

from credits.domain import errors
from credits.domain.records import Grant, GrantDelta
from credits.engine.corrections import check_in_future, copy_with_expiry, correction_validator, run_on_grant
from credits.engine.idempotency import build_request
from credits.engine.locked_balance import LockedBalance, OperationResult, transaction_details
from credits.engine.results import TransactionResult, transaction_result
from fluxori.db.measured import measured
from fluxori.identity.models import User


@measured
def extend_grant(
    *,
    grant_id: UUID,
    expires_at: datetime,
    reason: str,
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
) -> TransactionResult:
    """Let what the grant has remaining last until ``expires_at``: it moves to a copy with the new expiry, amount 0.

    Credits that come back to the grant later, from a refund or a hold, follow the extension.

    ``at`` is the instant of the request. If the balance has changed since, it takes effect at the last change; see
    docs/explanation/back-dated-operations.md.

    :raises InvalidArgumentError: an argument is not valid
    :raises GrantNotFoundError: there is no such grant
    :raises IdempotencyKeyReusedError: the key was used for a different request
    :raises GrantNotExtendableError: the grant never expires, has expired, was voided, or has nothing remaining
    :raises InvalidArgumentError: ``in_past``: ``expires_at`` is not in the future; ``out_of_range``: it is not later
        than the current expiry
    """
    validator = correction_validator(reason)
    validator.timestamp("expires_at", expires_at)
    validator.raise_if_invalid()
    request = build_request(
        "extend_grant", actor=actor, key=idempotency_key, grant_id=grant_id, expires_at=expires_at, reason=reason
    )

    def plan(balance: LockedBalance, grant: Grant) -> OperationResult:
        if grant.expires_at is None or grant.expired(balance.at) or grant.voided_at is not None or not grant.remaining:
            raise errors.GrantNotExtendableError()
        check_in_future(balance, expires_at)
        if expires_at <= grant.expires_at:
            raise errors.InvalidArgumentError.field("expires_at", "out_of_range", "It must be later than it is now.")

        # No error below this line.
        copy = copy_with_expiry(grant, expires_at, balance.at)
        details = transaction_details(request, description="Expiry extended", reason=reason)
        deltas = [GrantDelta(grant, -grant.remaining), GrantDelta(copy, grant.remaining)]
        transaction = balance.state.post("adjustment", balance.at, deltas, details, opened=[copy])
        return balance.record(request, transaction=transaction)

    return transaction_result(run_on_grant(grant_id, request, at, plan))
