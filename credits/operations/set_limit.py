"""Set a spending limit of a balance or of one member."""

from datetime import datetime
from uuid import UUID

from credits import queries
from credits.arguments import Validator, id_of
from credits.domain import limits
from credits.domain.limits import Limit
from credits.engine.idempotency import RequestIdentity, build_request
from credits.engine.locked_balance import LockedBalance, OperationResult, lock_balance
from credits.engine.plan_limits import limit_extras, limit_result
from credits.engine.results import LimitResult
from credits.tier_registry import NO_TIER_FACTS
from fluxori.core.ids import uuid7
from fluxori.db.measured import measured
from fluxori.db.transactions import transaction_with_retry
from fluxori.identity import queries as identity
from fluxori.identity.errors import UserNotFoundError
from fluxori.identity.models import User
from fluxori.identity.owner import Owner, OwnerLike


@measured
def set_limit(
    *,
    owner: OwnerLike,
    amount: int,
    period: str,
    member: User | UUID | None = None,
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
) -> LimitResult:
    """Allow at most ``amount`` whole credits to be used in each ``period``, a UTC ``day`` or ``month``.

    The limit applies to one ``member`` of an organization or, without one, to the whole balance. There is one limit for
    each (member, period): setting it again changes its amount and keeps its counter; the same amount changes nothing. A
    new limit counts what was used in its current window already. A limit at or below what is used rejects further
    usage. It stays when its member leaves.

    ``at`` is the instant of the request. If the balance has changed since, it takes effect at the last change; see
    docs/explanation/back-dated-operations.md.

    :raises InvalidArgumentError: an argument is not valid; a member of a user's balance included
    :raises BalanceNotFoundError: the owner has no balance
    :raises IdempotencyKeyReusedError: the key was used for a different request
    :raises UserNotFoundError: the person is not a member of the organization
    """
    target, member_id = Owner.of(owner), id_of(member)
    validator = Validator()
    validator.integer("amount", amount, minimum=0)
    validator.choice("period", period, limits.PERIODS)
    if member_id is not None and target.organization_id is None:
        validator.add_error("member_id", "invalid_choice", "Only an organization has members.")
    validator.raise_if_invalid()
    request = build_request(
        "set_limit", actor=actor, key=idempotency_key, amount=amount, period=period, member=member_id
    )
    return limit_result(_set(target, request, at, amount=amount, period=period, member_id=member_id))


@transaction_with_retry
def _set(
    owner: Owner,
    request: RequestIdentity,
    at: datetime | None,
    *,
    amount: int,
    period: str,
    member_id: UUID | None,
) -> OperationResult:
    with lock_balance(owner, at=at, requests=[request], member_ids=[member_id]) as balance:
        if (previous := balance.find_result(request)) is not None:
            return previous
        if member_id is not None:
            _require_member(owner.id, member_id)
        limit = _limit_in_force(balance, period, member_id)
        if limit is None:
            limit = _new_limit(balance, request, amount=amount, period=period, member_id=member_id)
        elif limit.amount == amount:
            return balance.record_no_change(request, tier_facts=NO_TIER_FACTS, extras=limit_extras(limit, balance))
        limit.amount, limit.set_by_id, limit.set_at = amount, request.caller, balance.at
        balance.state.set_limit(limit, balance.at)
        return balance.record(request, tier_facts=NO_TIER_FACTS, extras=limit_extras(limit, balance))


def _require_member(organization_id: UUID, user_id: UUID) -> None:
    membership = identity.look_up_membership(organization_id=organization_id, user_id=user_id)
    if membership is None or membership.role is None:
        raise UserNotFoundError


def _limit_in_force(balance: LockedBalance, period: str, member_id: UUID | None) -> Limit | None:
    for limit in balance.state.limits.values():
        if (limit.period, limit.member_id) == (period, member_id):
            return limit
    return None


def _new_limit(
    balance: LockedBalance, request: RequestIdentity, *, amount: int, period: str, member_id: UUID | None
) -> Limit:
    since = limits.window_start(period, balance.at)
    return Limit(
        id=uuid7(),
        member_id=member_id,
        period=period,
        amount=amount,
        window_starts_at=since,
        used=queries.used_since(balance.state.id, member_id, since=since, at=balance.at),
        set_by_id=request.caller,
        set_at=balance.at,
    )
