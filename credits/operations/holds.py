"""Credits set aside for work under way: placed, captured, released, extended."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from credits import queries
from credits.domain import burn_order, constants, errors
from credits.domain.balance_state import GrantDelta, Hold
from credits.domain.due_events import normalize
from credits.engine.idempotency import Request, ask
from credits.engine.locked_balance import Alongside, Answer, Page, opened, said
from credits.engine.rejected_attempts import SPENDING, Refused, record_rejected_attempts
from credits.engine.results import hold_of, transaction_of
from credits.engine.validation import Arguments, id_of
from credits.models import CreditHold, CreditTransaction
from credits.operations.deduct_credits import Deduction, afford, price
from fluxori.core import clock
from fluxori.core.ids import uuid7
from fluxori.core.input_rules import canonical_json
from fluxori.db.transactions import whole
from fluxori.identity.models import User
from fluxori.identity.owner import Owner, OwnerLike


@dataclass(frozen=True, slots=True)
class CaptureResult:
    """What a capture did: the closed hold, and the usage, None where 0 was captured and the hold released."""

    hold: CreditHold
    transaction: CreditTransaction | None


def place_hold(
    *,
    owner: OwnerLike,
    amount: int | None = None,
    feature: str | None = None,
    quantity: int = 1,
    description: str = "",
    expires_in_seconds: int = constants.DEFAULT_HOLD_SECONDS,
    actor: User | UUID | None = None,
    member: User | UUID | None = None,
    reference_id: str = "",
    metadata: dict[str, Any] | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
    alongside: Alongside | None = None,
) -> CreditHold:
    """Set credits aside for work under way, and return the open hold with its pins.

    The price is fixed now. The credits are pinned on concrete grants, in burn order; nobody else can spend them until
    the hold is captured or released, or lapses after ``expires_in_seconds`` (15 minutes unless told, at most 24 hours).

    :raises InvalidArgumentError: for arguments that could never be right
    :raises BalanceNotFoundError: if nobody opened such a balance
    :raises IdempotencyKeyReusedError: if the key already names a different request
    :raises FeatureNotFoundError: if there is no such feature, or it has no price at that instant
    :raises SpendingSuspendedError: if spending from the balance is suspended
    :raises SpendingLimitReachedError: if it would go beyond a limit of the balance or the member
    :raises InsufficientCreditsError: if what is available does not cover it
    """
    asked = Deduction(
        amount=amount,
        feature=feature,
        quantity=quantity,
        description=description,
        actor=actor,
        member=member,
        reference_id=reference_id,
        metadata=metadata,
        idempotency_key=idempotency_key,
        alongside=alongside,
    )
    _lasting(expires_in_seconds, asked.arguments()).refuse()
    request = ask(
        "place_hold",
        actor=actor,
        key=idempotency_key,
        amount=amount,
        feature=feature,
        quantity=quantity,
        description=description,
        member=id_of(member),
        reference_id=reference_id,
        metadata=metadata,
        expires_in_seconds=expires_in_seconds,
    )
    whose = Owner.of(owner)
    try:
        return hold_of(_place(whose, asked, request, timedelta(seconds=expires_in_seconds), at))
    except SPENDING as refusal:
        record_rejected_attempts(whose.id, [Refused(refusal, feature, id_of(actor), id_of(member))], at)
        raise


def capture_hold(
    *,
    hold_id: UUID,
    amount: int | None = None,
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
    alongside: Alongside | None = None,
) -> CaptureResult:
    """Spend what the hold has set aside: all of it, or ``amount`` whole credits; 0 releases it.

    Less than was held gives the rest back, to the grants that would have burned last; more takes the excess from what
    is available. Pinned credits stay capturable though their grant has expired or was voided meanwhile, and whatever
    the limits say: what was set aside was counted when it was.

    :raises InvalidArgumentError: for arguments that could never be right
    :raises HoldNotFoundError: if there is no such hold
    :raises IdempotencyKeyReusedError: if the key already names a different request
    :raises HoldClosedError: if it was captured, released or has lapsed
    :raises SpendingSuspendedError: for an excess, if spending from the balance is suspended; the hold stays
    :raises SpendingLimitReachedError: if with the excess it would go beyond a limit; the hold stays
    :raises InsufficientCreditsError: if what is available does not cover the excess; the hold stays
    """
    if amount is not None:
        arguments = Arguments()
        arguments.whole("amount", amount, minimum=0)
        arguments.refuse()
    request = ask("capture_hold", actor=actor, key=idempotency_key, hold_id=hold_id, amount=amount)

    def plan(page: Page, hold: Hold) -> Answer:
        wanted = hold.amount if amount is None else amount
        if wanted == 0:
            return released(page, hold, request, alongside)
        return captured(page, hold, wanted, request, alongside)

    try:
        answer = _on_hold(hold_id, request, at, plan)
    except SPENDING as refusal:
        held = queries.get_hold(hold_id=hold_id, at=at or clock.now())
        record_rejected_attempts(held.balance_id, [Refused(refusal, held.feature_id, id_of(actor), held.member_id)], at)
        raise
    return CaptureResult(hold_of(answer), transaction_of(answer) if answer.transaction_id else None)


def release_hold(
    *,
    hold_id: UUID,
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
    alongside: Alongside | None = None,
) -> CreditHold:
    """Give back what the hold has set aside; what may no longer be spent leaves at once.

    :raises HoldNotFoundError: if there is no such hold
    :raises IdempotencyKeyReusedError: if the key already names a different request
    :raises HoldClosedError: if it was captured, released or has lapsed
    """
    request = ask("release_hold", actor=actor, key=idempotency_key, hold_id=hold_id)
    return hold_of(_on_hold(hold_id, request, at, lambda page, hold: released(page, hold, request, alongside)))


def extend_hold(
    *,
    hold_id: UUID,
    expires_in_seconds: int,
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
    alongside: Alongside | None = None,
) -> CreditHold:
    """Let the open hold last until ``expires_in_seconds`` from now, at most 24 hours; never shorter than it would.

    :raises InvalidArgumentError: for arguments that could never be right
    :raises HoldNotFoundError: if there is no such hold
    :raises IdempotencyKeyReusedError: if the key already names a different request
    :raises HoldClosedError: if it was captured, released or has lapsed
    """
    _lasting(expires_in_seconds, Arguments()).refuse()
    request = ask(
        "extend_hold", actor=actor, key=idempotency_key, hold_id=hold_id, expires_in_seconds=expires_in_seconds
    )

    def plan(page: Page, hold: Hold) -> Answer:
        until = page.at + timedelta(seconds=expires_in_seconds)
        page.book.move_expiry(hold, max(hold.expires_at, until), page.at)
        return page.record(request, hold=hold, alongside=alongside)

    return hold_of(_on_hold(hold_id, request, at, plan))


def _lasting(seconds: int, arguments: Arguments) -> Arguments:
    arguments.whole("expires_in_seconds", seconds, maximum=constants.MAX_HOLD_SECONDS)
    return arguments


@whole
def _place(owner: Owner, asked: Deduction, request: Request, lasts: timedelta, at: datetime | None) -> Answer:
    features = [asked.feature] if asked.feature is not None else []
    members = [id_of(asked.member)]
    with opened(owner, at=at, requests=[request], features=features, member_ids=members) as page:
        replayed = page.replay(request)
        if replayed is not None:
            return replayed
        return placed(page, asked, request, lasts)


def placed(page: Page, asked: Deduction, request: Request, lasts: timedelta) -> Answer:
    """Plan a hold on an open page. Refuses as :func:`place_hold` does from the price on."""
    amount, priced = price(page, asked)
    member_id = id_of(asked.member)
    afford(page, amount, member_id=member_id)
    hold = Hold(
        id=uuid7(),
        amount=amount,
        created_at=page.at,
        expires_at=page.at + lasts,
        pins=[(grant.id, taken) for grant, taken in burn_order.plan_deltas(amount, page.book.grants.values())],
        description=asked.description,
        reference_id=asked.reference_id,
        metadata=None if asked.metadata is None else canonical_json(asked.metadata),
        actor_id=request.caller,
        member_id=member_id,
        request_id=request.request_id,
        **priced,
    )
    page.book.open_hold(hold)
    return page.record(request, hold=hold, alongside=asked.alongside)


@whole
def _on_hold(hold_id: UUID, request: Request, at: datetime | None, plan: Callable[[Page, Hold], Answer]) -> Answer:
    owner = queries.owner_of_hold(hold_id=hold_id)
    with opened(owner, at=at, requests=[request], hold_ids=[hold_id]) as page:
        replayed = page.replay(request)
        if replayed is not None:
            return replayed
        hold = page.book.holds.get(hold_id)
        if hold is None:
            raise errors.HoldClosedError()
        return plan(page, hold)


def released(page: Page, hold: Hold, request: Request, alongside: Alongside | None) -> Answer:
    """Plan the release of an open hold on its page."""
    page.book.close_hold(hold, "released", page.at)
    normalize(page.book, page.at)
    return page.record(request, hold=hold, alongside=alongside)


def captured(page: Page, hold: Hold, amount: int, request: Request, alongside: Alongside | None) -> Answer:
    """Plan the capture of ``amount`` of an open hold on its page. Refuses an excess as :func:`capture_hold` does."""
    book = page.book
    excess = max(amount - hold.amount, 0)
    if excess:
        afford(page, amount, member_id=hold.member_id, hold=hold)
    # From here on the capture must succeed.
    extra = burn_order.plan_deltas(excess, book.grants.values())
    used = {grant.id: taken for grant, taken in extra}
    wanted = amount - excess
    for grant_id, pinned in hold.pins:
        taken = min(wanted, pinned)
        used[grant_id] = used.get(grant_id, 0) + taken
        wanted -= taken
    # All of it comes back first, so that each entry says what its grant has left when the capture is done.
    book.close_hold(hold, "captured", page.at)
    payers = burn_order.in_burn_order(book.grants[key] for key, taken in used.items() if taken)
    draws = [GrantDelta(grant, -used[grant.id]) for grant in payers]
    recorded = book.post("usage", page.at, draws, said(request, **_particulars(hold)))
    hold.captured = amount
    normalize(book, page.at)
    return page.record(request, transaction=recorded, hold=hold, alongside=alongside)


def _particulars(hold: Hold) -> dict[str, Any]:
    return {
        "description": hold.description,
        "reference_id": hold.reference_id,
        "feature_id": hold.feature_id,
        "price_id": hold.price_id,
        "quantity": hold.quantity,
        "member_id": hold.member_id,
        "metadata": hold.metadata,
        "hold_id": hold.id,
    }
