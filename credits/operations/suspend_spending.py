from datetime import datetime
from typing import Any
from uuid import UUID

from credits.domain import constants
from credits.domain.balance_state import BalanceSnapshot
from credits.engine.idempotency import Request, ask
from credits.engine.locked_balance import Answer, opened
from credits.engine.validation import Arguments
from fluxori.db.transactions import whole
from fluxori.identity.models import User
from fluxori.identity.owner import Owner, OwnerLike


def suspend_spending(
    *,
    owner: OwnerLike,
    reason: str = "",
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
) -> BalanceSnapshot:
    """Let nobody spend from the balance until it is resumed; credits still arrive. Suspending it again changes nothing.

    Who asked and the ``reason`` stay on the balance until spending is resumed.

    :raises InvalidArgumentError: for arguments that could never be right
    :raises BalanceNotFoundError: if nobody opened such a balance
    :raises IdempotencyKeyReusedError: if the key already names a different request
    """
    request = _asked("suspend_spending", reason, actor=actor, key=idempotency_key)
    return _set(Owner.of(owner), request, at, reason, suspended=True).after


def resume_spending(
    *,
    owner: OwnerLike,
    reason: str = "",
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
) -> BalanceSnapshot:
    """Let the balance be spent from again. Resuming one that is not suspended changes nothing.

    Who asked and the ``reason`` stay on the balance until spending is suspended again.

    :raises InvalidArgumentError: for arguments that could never be right
    :raises BalanceNotFoundError: if nobody opened such a balance
    :raises IdempotencyKeyReusedError: if the key already names a different request
    """
    request = _asked("resume_spending", reason, actor=actor, key=idempotency_key)
    return _set(Owner.of(owner), request, at, reason, suspended=False).after


def _asked(operation: str, reason: str, *, actor: User | UUID | None, key: str | None) -> Request:
    arguments = Arguments()
    arguments.text("reason", reason, maximum=constants.MAX_REASON)
    arguments.refuse()
    return ask(operation, actor=actor, key=key, reason=reason)


@whole
def _set(owner: Owner, request: Request, at: datetime | None, reason: str, *, suspended: bool) -> Answer:
    with opened(owner, at=at, requests=[request]) as page:
        replayed = page.replay(request)
        if replayed is not None:
            return replayed
        book = page.book
        nothing: dict[str, Any] = {}
        if (book.suspended_at is not None) == suspended:
            return page.repeat(request, transaction_id=None, alongside=nothing)
        book.suspended_at = page.at if suspended else None
        book.suspension_actor_id, book.suspension_reason = request.caller, reason
        book.last_at = page.at
        return page.record(request)
