"""Remove a spending limit."""

from datetime import datetime
from uuid import UUID

from credits import queries
from credits.domain import errors
from credits.engine.idempotency import RequestIdentity, build_request
from credits.engine.locked_balance import OperationResult, lock_balance
from credits.engine.plan_limits import limit_extras, limit_result
from credits.engine.results import LimitResult
from credits.tier_registry import NO_TIER_FACTS
from fluxori.db.measured import measured
from fluxori.db.transactions import transaction_with_retry
from fluxori.identity.models import User


@measured
def remove_limit(
    *,
    limit_id: UUID,
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
) -> LimitResult:
    """Remove a limit from force.

    ``at`` is the instant of the request. If the balance has changed since, it takes effect at the last change; see
    docs/explanation/back-dated-operations.md.

    :raises LimitNotFoundError: there never was such a limit
    :raises IdempotencyKeyReusedError: the key was used for a different request
    :raises LimitNotFoundError: the limit was removed before
    """
    request = build_request("remove_limit", actor=actor, key=idempotency_key, limit_id=limit_id)
    return limit_result(_remove(limit_id, request, at))


@transaction_with_retry
def _remove(limit_id: UUID, request: RequestIdentity, at: datetime | None) -> OperationResult:
    row = queries.get_limit(limit_id=limit_id)
    with lock_balance(row.balance.owner, at=at, requests=[request], member_ids=[row.member_id]) as balance:
        if (previous := balance.find_result(request)) is not None:
            return previous
        limit = balance.state.limits.get(limit_id)
        if limit is None:
            raise errors.LimitNotFoundError(limit_id=limit_id)
        balance.state.remove_limit(limit, balance.at)
        return balance.record(request, tier_facts=NO_TIER_FACTS, extras=limit_extras(limit, balance))
