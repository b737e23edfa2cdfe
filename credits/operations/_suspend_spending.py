from datetime import datetime
from typing import Any
from uuid import UUID

from credits.book import Snapshot
from credits.operations._ledger import Answer, opened
from credits.operations._requests import Request, ask
from credits.operations._whole import whole
from fluxori.identity.models import User
from fluxori.identity.owner import Owner, OwnerLike


def suspend_spending(
    *,
    owner: OwnerLike,
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
) -> Snapshot:
    """Let nobody spend from the balance until it is resumed; credits still arrive. Suspending it again changes nothing.

    :raises BalanceNotFoundError: if nobody opened such a balance
    :raises IdempotencyKeyReusedError: if the key already names a different request
    """
    request = ask("suspend_spending", actor=actor, key=idempotency_key)
    return _set(Owner.of(owner), request, at, suspended=True).after


def resume_spending(
    *,
    owner: OwnerLike,
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
) -> Snapshot:
    """Let the balance be spent from again. Resuming one that is not suspended changes nothing.

    :raises BalanceNotFoundError: if nobody opened such a balance
    :raises IdempotencyKeyReusedError: if the key already names a different request
    """
    request = ask("resume_spending", actor=actor, key=idempotency_key)
    return _set(Owner.of(owner), request, at, suspended=False).after


@whole
def _set(owner: Owner, request: Request, at: datetime | None, *, suspended: bool) -> Answer:
    with opened(owner, at=at, requests=[request]) as page:
        replayed = page.replay(request)
        if replayed is not None:
            return replayed
        nothing: dict[str, Any] = {}
        if (page.book.suspended_at is not None) == suspended:
            return page.repeat(request, transaction_id=None, alongside=nothing)
        page.book.suspended_at = page.at if suspended else None
        page.book.last_at = page.at
        return page.record(request)
