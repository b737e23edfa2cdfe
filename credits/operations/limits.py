"""Limits on what may be used in a day or a month: set, changed, removed."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from credits import queries
from credits.domain import errors, limits
from credits.domain.balance_state import BalanceSnapshot
from credits.domain.limits import Limit, LimitStatus
from credits.engine.idempotency import Request, ask
from credits.engine.locked_balance import Answer, Page, opened
from credits.engine.validation import Arguments, id_of
from fluxori.core.ids import uuid7
from fluxori.db.transactions import whole
from fluxori.identity import queries as identity
from fluxori.identity.errors import UserNotFoundError
from fluxori.identity.models import User
from fluxori.identity.owner import Owner, OwnerLike


@dataclass(frozen=True, slots=True)
class LimitResult:
    """The limit as the request left it, the balance ``after`` it, and whether it is a replay."""

    limit: LimitStatus
    after: BalanceSnapshot
    replayed: bool


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
    """Let at most ``amount`` whole credits be used in each ``period``, a day or a month of the calendar, UTC.

    By one ``member`` of an organization or, without one, from the whole balance. There is one limit of each kind:
    setting it again changes its amount, and what is used of it stays; the same amount changes nothing. A new one counts
    what was used of its window already. A limit below what is used, 0 included, refuses whatever comes next. It stays
    when its member leaves.

    :raises InvalidArgumentError: for arguments that could never be right; a member of a user's balance included
    :raises BalanceNotFoundError: if nobody opened such a balance
    :raises IdempotencyKeyReusedError: if the key already names a different request
    :raises UserNotFoundError: if the member is none of the organization's
    """
    whose, member_id = Owner.of(owner), id_of(member)
    arguments = Arguments()
    arguments.whole("amount", amount, minimum=0)
    arguments.choice("period", period, limits.PERIODS)
    if member_id is not None and whose.organization_id is None:
        arguments.fault("member_id", "invalid_choice", "Only an organization has members.")
    arguments.refuse()
    request = ask("set_limit", actor=actor, key=idempotency_key, amount=amount, period=period, member=member_id)
    return _told(_set(whose, request, at, amount=amount, period=period, member_id=member_id))


def remove_limit(
    *,
    limit_id: UUID,
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
) -> LimitResult:
    """Let what the limit capped be used freely again.

    :raises LimitNotFoundError: if there was never such a limit
    :raises IdempotencyKeyReusedError: if the key already names a different request
    :raises LimitNotFoundError: if it is removed already
    """
    request = ask("remove_limit", actor=actor, key=idempotency_key, limit_id=limit_id)
    return _told(_remove(limit_id, request, at))


@whole
def _set(
    owner: Owner, request: Request, at: datetime | None, *, amount: int, period: str, member_id: UUID | None
) -> Answer:
    with opened(owner, at=at, requests=[request], member_ids=[member_id]) as page:
        replayed = page.replay(request)
        if replayed is not None:
            return replayed
        if member_id is not None:
            _require_member(owner.id, member_id)
        limit = _in_force(page, period, member_id)
        if limit is None:
            limit = _new(page, request, amount=amount, period=period, member_id=member_id)
        elif limit.amount == amount:
            return page.repeat(request, transaction_id=None, alongside=_alongside(limit, page))
        limit.amount, limit.set_by_id, limit.set_at = amount, request.caller, page.at
        page.book.set_limit(limit, page.at)
        return page.record(request, alongside=_alongside(limit, page))


@whole
def _remove(limit_id: UUID, request: Request, at: datetime | None) -> Answer:
    known = queries.get_limit(limit_id=limit_id)
    with opened(known.balance.owner, at=at, requests=[request], member_ids=[known.member_id]) as page:
        replayed = page.replay(request)
        if replayed is not None:
            return replayed
        limit = page.book.limits.get(limit_id)
        if limit is None:
            raise errors.LimitNotFoundError(limit_id=limit_id)
        page.book.remove_limit(limit, page.at)
        return page.record(request, alongside=_alongside(limit, page))


def _require_member(organization_id: UUID, user_id: UUID) -> None:
    membership = identity.look_up_membership(organization_id=organization_id, user_id=user_id)
    if membership is None or membership.role is None:
        raise UserNotFoundError


def _in_force(page: Page, period: str, member_id: UUID | None) -> Limit | None:
    kind = (period, member_id)
    return next((found for found in page.book.limits.values() if (found.period, found.member_id) == kind), None)


def _new(page: Page, request: Request, *, amount: int, period: str, member_id: UUID | None) -> Limit:
    since = limits.window_start(period, page.at)
    return Limit(
        id=uuid7(),
        member_id=member_id,
        period=period,
        amount=amount,
        window_starts_at=since,
        used=queries.used_since(page.book.id, member_id, since=since, at=page.at),
        set_by_id=request.caller,
        set_at=page.at,
    )


def _alongside(limit: Limit, page: Page) -> dict[str, Any]:
    return {"limit": asdict(limit.status(page.at))}


def _told(answer: Answer) -> LimitResult:
    said = dict(answer.alongside["limit"])
    if answer.replayed:
        # Remembered as JSON.
        said["id"] = UUID(said["id"])
        said["member_id"] = said["member_id"] and UUID(said["member_id"])
        said["resets_at"] = datetime.fromisoformat(said["resets_at"])
    return LimitResult(LimitStatus(**said), answer.after, answer.replayed)
