"""Putting things right: each correction is a new transaction, linked to what it corrects; nothing is edited."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from credits import queries
from credits.domain import burn_order, constants, errors
from credits.domain.balance_state import Grant, GrantDelta, Transaction, TransactionDetails
from credits.domain.due_events import normalize
from credits.engine.idempotency import Request, ask
from credits.engine.locked_balance import Alongside, Answer, Page, opened, said
from credits.engine.results import transaction_of
from credits.engine.validation import Arguments
from credits.models import CreditTransaction
from credits.operations.add_credits import plan_grant
from fluxori.core.ids import uuid7
from fluxori.db.transactions import whole
from fluxori.identity.models import User
from fluxori.identity.owner import Owner, OwnerLike


@dataclass(frozen=True, slots=True)
class Original:
    """A transaction that is being corrected, and what was corrected before."""

    row: CreditTransaction
    corrected: int

    @property
    def left(self) -> int:
        """The whole credits that can still be corrected."""
        return abs(self.row.amount) - self.corrected


@dataclass(frozen=True, slots=True)
class VoidResult:
    """What a void did; ``transaction`` is None where nothing was free to take, or the grant was voided before."""

    answer: Answer
    transaction: CreditTransaction | None


def refund_usage(
    *,
    transaction_id: UUID,
    amount: int | None = None,
    reason: str,
    expires_at: datetime | None = None,
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
    alongside: Alongside | None = None,
) -> CreditTransaction:
    """Give back what a usage took: ``amount`` whole credits, or all that was not refunded yet.

    They return to the grants that paid, the last one first, and keep those grants' expiry: what has expired meanwhile
    leaves at once, unless ``expires_at`` is given; then it comes back as a new grant that lasts until then. Limits that
    counted the usage have room again, as long as its window lasts.

    :raises InvalidArgumentError: for arguments that could never be right
    :raises TransactionNotFoundError: if there is no such transaction
    :raises IdempotencyKeyReusedError: if the key already names a different request
    :raises NotRefundableError: if it is not a usage
    :raises RefundExceedsUsageError: if it is more than was used and not yet refunded
    :raises InvalidArgumentError: ``in_past`` if ``expires_at`` is not after the refund
    """
    arguments = _about(reason, amount)
    if expires_at is not None:
        arguments.instant("expires_at", expires_at)
    arguments.refuse()
    request = ask(
        "refund_usage",
        actor=actor,
        key=idempotency_key,
        transaction_id=transaction_id,
        amount=amount,
        reason=reason,
        expires_at=expires_at,
    )

    def plan(page: Page) -> Answer:
        original = _original(transaction_id)
        if original.row.type != CreditTransaction.Type.USAGE:
            raise errors.NotRefundableError()
        wanted = original.left if amount is None else amount
        if not 0 < wanted <= original.left:
            raise errors.RefundExceedsUsageError(refundable=original.left)
        _after(page, expires_at)
        parts = _backwards(page, original, wanted)
        recorded = refunded(page, parts, said(request, **_link(original, reason)), expires_at)
        page.book.count(-wanted, original.row.member_id, original.row.timestamp)
        return page.record(request, transaction=recorded, alongside=alongside)

    return transaction_of(_on_transaction(transaction_id, request, at, plan))


def reverse_purchase(
    *,
    transaction_id: UUID,
    amount: int | None = None,
    reason: str,
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
    alongside: Alongside | None = None,
) -> CreditTransaction:
    """Take back what a purchase gave, as after a chargeback: ``amount`` whole credits, or all not yet reversed.

    From the purchase's own grant first, extended or not, then from the others in burn order; what was spent already
    becomes debt, which whatever can be spent next repays first. Pinned credits are not touched.

    :raises InvalidArgumentError: for arguments that could never be right
    :raises TransactionNotFoundError: if there is no such transaction
    :raises IdempotencyKeyReusedError: if the key already names a different request
    :raises NotReversibleError: if it is not a purchase
    :raises ReversalExceedsPurchaseError: if it is more than was bought and not yet reversed
    """
    _about(reason, amount).refuse()
    request = ask(
        "reverse_purchase",
        actor=actor,
        key=idempotency_key,
        transaction_id=transaction_id,
        amount=amount,
        reason=reason,
    )

    def plan(page: Page) -> Answer:
        original = _original(transaction_id)
        if original.row.type != CreditTransaction.Type.PURCHASE:
            raise errors.NotReversibleError()
        wanted = original.left if amount is None else amount
        if not 0 < wanted <= original.left:
            raise errors.ReversalExceedsPurchaseError(reversible=original.left)
        given = queries.grants_from(original.row)
        # Sorting is stable, so the burn order stands within each half.
        draws = _taken(wanted, sorted(page.book.spendable(), key=lambda grant: grant.id not in given))
        owed = wanted + sum(draw.amount for draw in draws)
        if owed:
            draws.append(GrantDelta(None, -owed))
        recorded = page.book.post("reversal", page.at, draws, said(request, **_link(original, reason)))
        return page.record(request, transaction=recorded, alongside=alongside)

    return transaction_of(_on_transaction(transaction_id, request, at, plan))


def void_grant(
    *,
    grant_id: UUID,
    reason: str,
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
    alongside: Alongside | None = None,
) -> VoidResult:
    """Take what the grant has remaining, for good; pinned credits leave when their hold ends, unless it is captured.

    Voiding it again succeeds and writes nothing.

    :raises InvalidArgumentError: for arguments that could never be right
    :raises GrantNotFoundError: if there is no such grant
    :raises IdempotencyKeyReusedError: if the key already names a different request
    :raises GrantNotVoidableError: if it is spent or has expired
    """
    _about(reason).refuse()
    request = ask("void_grant", actor=actor, key=idempotency_key, grant_id=grant_id, reason=reason)

    def plan(page: Page, grant: Grant) -> Answer:
        if grant.voided_at is not None:
            return page.repeat(request, transaction_id=None, alongside=alongside)
        if grant.expired(page.at) or grant.remaining + grant.held == 0:
            raise errors.GrantNotVoidableError()
        recorded = None
        if grant.remaining:
            facts = said(request, description="Credits voided", reason=reason)
            recorded = page.book.post("void", page.at, [GrantDelta(grant, -grant.remaining)], facts)
        page.book.void(grant, page.at)
        return page.record(request, transaction=recorded, alongside=alongside)

    answer = _on_grant(grant_id, request, at, plan)
    return VoidResult(answer, transaction_of(answer) if answer.transaction_id else None)


def extend_grant(
    *,
    grant_id: UUID,
    expires_at: datetime,
    reason: str,
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
    alongside: Alongside | None = None,
) -> CreditTransaction:
    """Let what the grant has remaining last until ``expires_at``: it moves to a copy with the new expiry, amount 0.

    :raises InvalidArgumentError: for arguments that could never be right
    :raises GrantNotFoundError: if there is no such grant
    :raises IdempotencyKeyReusedError: if the key already names a different request
    :raises GrantNotExtendableError: if it never expires, has expired, was voided, or has nothing remaining
    :raises InvalidArgumentError: ``in_past`` if ``expires_at`` is not after now, ``out_of_range`` if not after the old
    """
    arguments = _about(reason)
    arguments.instant("expires_at", expires_at)
    arguments.refuse()
    request = ask(
        "extend_grant", actor=actor, key=idempotency_key, grant_id=grant_id, expires_at=expires_at, reason=reason
    )

    def plan(page: Page, grant: Grant) -> Answer:
        if grant.expires_at is None or grant.expired(page.at) or grant.voided_at is not None or not grant.remaining:
            raise errors.GrantNotExtendableError()
        _after(page, expires_at)
        if expires_at <= grant.expires_at:
            raise errors.InvalidArgumentError.field("expires_at", "out_of_range", "It must be later than it is now.")
        copy = _copy(grant, expires_at, page.at)
        facts = said(request, description="Expiry extended", reason=reason)
        draws = [GrantDelta(grant, -grant.remaining), GrantDelta(copy, grant.remaining)]
        recorded = page.book.post("adjustment", page.at, draws, facts, opened=[copy])
        return page.record(request, transaction=recorded, alongside=alongside)

    return transaction_of(_on_grant(grant_id, request, at, plan))


def adjust_credits(
    *,
    owner: OwnerLike,
    amount: int,
    reason: str,
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
    alongside: Alongside | None = None,
) -> CreditTransaction:
    """Put a balance right by hand: ``amount`` whole credits up, as a new grant, or down, in burn order, never to debt.

    :raises InvalidArgumentError: for arguments that could never be right; an amount of 0 included
    :raises BalanceNotFoundError: if nobody opened such a balance
    :raises IdempotencyKeyReusedError: if the key already names a different request
    :raises InsufficientCreditsError: if it would take more than is available
    """
    arguments = _about(reason)
    arguments.whole("amount", amount, minimum=-constants.MAX_CREDITS)
    if amount == 0 and type(amount) is int:
        arguments.fault("amount", "out_of_range", "It must not be 0.")
    arguments.refuse()
    request = ask("adjust_credits", actor=actor, key=idempotency_key, amount=amount, reason=reason)
    return transaction_of(_adjust(Owner.of(owner), amount, reason, request, at, alongside=alongside))


@whole
def _adjust(
    owner: Owner,
    amount: int,
    reason: str,
    request: Request,
    at: datetime | None,
    *,
    alongside: Alongside | None,
) -> Answer:
    with opened(owner, at=at, requests=[request]) as page:
        replayed = page.replay(request)
        if replayed is not None:
            return replayed
        facts = {"description": "Adjustment", "reason": reason}
        if amount > 0:
            recorded = plan_grant(page, request, amount=amount, kind="adjustment", terms={}, facts=facts)
        else:
            book = page.book
            if book.available < -amount:
                raise errors.InsufficientCreditsError(required=-amount, available=book.available, held=book.held)
            recorded = book.post("adjustment", page.at, _taken(-amount, book.spendable()), said(request, **facts))
        return page.record(request, transaction=recorded, alongside=alongside)


def _about(reason: str, amount: int | None = None) -> Arguments:
    arguments = Arguments()
    arguments.text("reason", reason, maximum=constants.MAX_REASON, required=True)
    if amount is not None:
        arguments.whole("amount", amount)
    return arguments


def _after(page: Page, expires_at: datetime | None) -> None:
    if expires_at is not None and expires_at <= page.at:
        raise errors.InvalidArgumentError.field("expires_at", "in_past", "Credits cannot expire before they begin.")


@whole
def _on_transaction(
    transaction_id: UUID, request: Request, at: datetime | None, plan: Callable[[Page], Answer]
) -> Answer:
    owner, grant_ids, member = queries.locate_transaction(transaction_id=transaction_id)
    with opened(owner, at=at, requests=[request], grant_ids=grant_ids, member_ids=[member]) as page:
        return page.replay(request) or plan(page)


@whole
def _on_grant(grant_id: UUID, request: Request, at: datetime | None, plan: Callable[[Page, Grant], Answer]) -> Answer:
    owner = queries.owner_of_grant(grant_id=grant_id)
    with opened(owner, at=at, requests=[request], grant_ids=[grant_id]) as page:
        return page.replay(request) or plan(page, page.book.grants[grant_id])


def _original(transaction_id: UUID) -> Original:
    # Under the lock: a correction that was under way has committed by now.
    row, corrected = queries.corrected(transaction_id=transaction_id)
    return Original(row, corrected)


def _link(original: Original, reason: str) -> dict[str, Any]:
    return {
        "description": original.row.description,
        "reference_id": original.row.reference_id,
        "member_id": original.row.member_id,
        "reverses_id": original.row.pk,
        "reason": reason,
    }


def _taken(amount: int, grants: Iterable[Grant]) -> list[GrantDelta]:
    """Return the draws that take ``amount`` from the grants in the order given, or all they have."""
    draws = []
    for grant in grants:
        taken = min(amount, grant.remaining)
        if taken > 0:
            draws.append(GrantDelta(grant, -taken))
            amount -= taken
    return draws


def _backwards(page: Page, original: Original, wanted: int) -> list[tuple[Grant, int]]:
    """Return which grants get how much back: the usage's entries from the last, past what was refunded before."""
    parts = []
    passed = original.corrected
    for entry in sorted(original.row.entries.all(), key=lambda entry: -entry.position):
        used = -entry.amount
        skipped = min(passed, used)
        passed -= skipped
        part = min(wanted, used - skipped)
        wanted -= part
        if part > 0:
            assert entry.grant_id is not None
            parts.append((page.book.grants[entry.grant_id], part))
    return parts


def refunded(
    page: Page, parts: list[tuple[Grant, int]], facts: TransactionDetails, expires_at: datetime | None
) -> Transaction:
    """Post the refund: what can be spent again repays debt first, what has expired since leaves at once."""
    book = page.book
    kept, new = parts, []
    if expires_at is not None:
        # What was voided stays so, whether it has expired since or not.
        kept = [(grant, part) for grant, part in parts if grant.voided_at is not None or not grant.expired(page.at)]
        revived = sum(part for _, part in parts) - sum(part for _, part in kept)
        new = [_revival(revived, expires_at, page.at)] if revived else []
    owed = book.debt
    draws = []
    receivers = [*kept, *((grant, grant.amount) for grant in new)]
    for grant, part in sorted(receivers, key=lambda receiver: burn_order.position(receiver[0])):
        spendable = grant.voided_at is None and not grant.expired(page.at)
        repaid = min(owed, part) if spendable else 0
        owed -= repaid
        if part > repaid:
            draws.append(GrantDelta(grant, part - repaid))
    if book.debt > owed:
        draws.append(GrantDelta(None, book.debt - owed))
    recorded = book.post("refund", page.at, draws, facts, opened=new)
    normalize(book, page.at)
    return recorded


def _revival(amount: int, expires_at: datetime, at: datetime) -> Grant:
    return Grant(
        id=uuid7(),
        source="adjustment",
        amount=amount,
        remaining=0,
        held=0,
        priority=constants.DEFAULT_PRIORITY,
        effective_at=at,
        expires_at=expires_at,
    )


def _copy(grant: Grant, expires_at: datetime, at: datetime) -> Grant:
    rolls = grant.roll_cap is not None and (grant.roll_until is None or grant.roll_until > expires_at)
    return replace(
        grant,
        id=uuid7(),
        parent_id=grant.id,
        amount=grant.remaining,
        remaining=0,
        held=0,
        effective_at=at,
        expires_at=expires_at,
        roll_cap=grant.roll_cap if rolls else None,
        roll_until=grant.roll_until if rolls else None,
        transaction_id=None,
    )
