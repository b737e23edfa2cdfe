from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from credits.domain import constants, errors
from credits.domain.balance_state import Grant, GrantDelta, Transaction
from credits.domain.due_events import enforce_rollover_cap, roll_over
from credits.engine.idempotency import Request, ask
from credits.engine.locked_balance import Alongside, Answer, Page, opened, said
from credits.engine.results import transaction_of
from credits.engine.validation import Arguments
from credits.models import CreditTransaction
from fluxori.core.ids import uuid7
from fluxori.core.input_rules import canonical_json
from fluxori.db.transactions import whole
from fluxori.identity.models import User
from fluxori.identity.owner import Owner, OwnerLike

UNIT_PRICE_STEP = Decimal(1).scaleb(-constants.UNIT_PRICE_PLACES)
TYPES = ("allocation", "purchase", "promotion")


def add_credits(
    *,
    owner: OwnerLike,
    amount: int,
    type: str,  # noqa: A002 - the word callers use
    description: str = "",
    reference_id: str = "",
    expires_at: datetime | None = None,
    priority: int = constants.DEFAULT_PRIORITY,
    unit_price: Decimal | None = None,
    metadata: dict[str, Any] | None = None,
    reason: str = "",
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
    alongside: Alongside | None = None,
) -> CreditTransaction:
    """Grant ``amount`` whole credits, spendable in ``[at, expires_at)``, and return the transaction with its entries.

    Opens a balance, without a tier, where the owner has none. Debt is repaid first. ``priority`` is the place in the
    burn order, 0 first, 50 unless told; ``unit_price`` what one credit was sold for, in rand.

    :raises InvalidArgumentError: for arguments that could never be right
    :raises IdempotencyKeyReusedError: if the key already names a different request
    :raises InvalidArgumentError: ``in_past`` if it would expire at or before the instant it takes effect
    """
    arguments = Arguments()
    arguments.whole("amount", amount)
    arguments.choice("type", type, TYPES)
    arguments.text("description", description, maximum=constants.MAX_DESCRIPTION)
    arguments.text("reference_id", reference_id, maximum=constants.MAX_REFERENCE_ID)
    arguments.text("reason", reason, maximum=constants.MAX_REASON)
    arguments.whole("priority", priority, minimum=0, maximum=constants.MAX_PRIORITY)
    if expires_at is not None:
        arguments.instant("expires_at", expires_at)
    if unit_price is not None:
        arguments.unit_price("unit_price", unit_price)
    if metadata is not None:
        arguments.metadata("metadata", metadata)
    arguments.refuse()
    if unit_price is not None:
        # One spelling, so that R0.1 and R0.10 are the same request.
        unit_price = unit_price.quantize(UNIT_PRICE_STEP)
    request = ask(
        "add_credits",
        actor=actor,
        key=idempotency_key,
        amount=amount,
        type=type,
        description=description,
        reference_id=reference_id,
        expires_at=expires_at,
        priority=priority,
        unit_price=unit_price,
        metadata=metadata,
        reason=reason,
    )
    facts = {
        "description": description,
        "reference_id": reference_id,
        "reason": reason,
        "metadata": None if metadata is None else canonical_json(metadata),
    }
    terms = {"expires_at": expires_at, "priority": priority, "unit_price": unit_price}
    return transaction_of(
        _add(Owner.of(owner), request, at, alongside, amount=amount, kind=type, terms=terms, facts=facts)
    )


@whole
def _add(owner: Owner, request: Request, at: datetime | None, alongside: Alongside | None, **gift: Any) -> Answer:
    with opened(owner, at=at, requests=[request], create=True) as page:
        replayed = page.replay(request)
        if replayed is not None:
            return replayed
        recorded = plan_grant(page, request, **gift)
        return page.record(request, transaction=recorded, alongside=alongside)


def plan_grant(
    page: Page, request: Request, *, amount: int, kind: str, terms: dict[str, Any], facts: dict[str, Any]
) -> Transaction:
    """Plan a grant of ``amount`` credits on an open page: debt takes its part first, the rest can be spent.

    :raises InvalidArgumentError: ``in_past`` if it would expire at or before the instant it takes effect
    """
    expires_at = terms.get("expires_at")
    if expires_at is not None and expires_at <= page.at:
        raise errors.InvalidArgumentError.field("expires_at", "in_past", "Credits cannot expire before they begin.")
    grant = Grant(
        id=uuid7(),
        source=kind,
        amount=amount,
        remaining=0,
        held=0,
        effective_at=page.at,
        **{"priority": constants.DEFAULT_PRIORITY, "expires_at": None, **terms},
    )
    repaid = min(page.book.debt, amount)
    draws = [GrantDelta(grant, amount - repaid)] if amount > repaid else []
    if repaid:
        draws.append(GrantDelta(None, repaid))
    return page.book.post(kind, page.at, draws, said(request, **facts), opened=[grant])


def plan_expired_period_grant(
    page: Page, request: Request, *, amount: int, cap: int, until: datetime | None, facts: dict[str, Any]
) -> Transaction:
    """Plan an allocation of a period that is over: at once it rolls over, spendable up to ``until``.

    Debt takes its part first; beyond ``cap`` the oldest rolled-over credits are trimmed, as at any rollover.
    """
    recorded = plan_grant(page, request, amount=amount, kind="allocation", terms={}, facts=facts)
    [grant] = recorded.opened
    if grant.remaining > 0:
        roll_over(page.book, grant, page.at, until=until)
        enforce_rollover_cap(page.book, cap, page.at)
    return recorded
