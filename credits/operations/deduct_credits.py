from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import Error as DatabaseFault

from credits import queries
from credits.domain import burn_order, constants, errors
from credits.domain.balance_state import GrantDelta, Hold
from credits.domain.limits import first_exceeded_limit
from credits.engine.idempotency import Request, ask
from credits.engine.locked_balance import Alongside, Answer, Page, Pages, Reading, lock, said, written
from credits.engine.rejected_attempts import Refused, record_rejected_attempts
from credits.engine.results import transaction_of, transactions_of
from credits.engine.validation import Arguments, id_of, instant
from credits.models import CreditTransaction
from fluxori.core.errors import DomainError
from fluxori.core.input_rules import canonical_json
from fluxori.db.group_commit import Gather, GroupCommitQueue
from fluxori.db.transactions import whole
from fluxori.identity.models import User
from fluxori.identity.owner import Owner, OwnerLike


@dataclass(frozen=True, slots=True, kw_only=True)
class Deduction:
    """What is to be taken, and for what: ``amount`` whole credits with a description, or ``quantity`` of a feature.

    ``member`` is the person it is for where a pool pays; ``alongside`` are facts kept with the answer, for its replay,
    or a function that asks for those of the balances whose ids it is given.
    """

    amount: int | None = None
    feature: str | None = None
    quantity: int = 1
    description: str = ""
    actor: User | UUID | None = None
    member: User | UUID | None = None
    reference_id: str = ""
    metadata: dict[str, Any] | None = None
    idempotency_key: str | None = None
    alongside: Alongside | None = None

    def check(self) -> None:
        """:raises InvalidArgumentError: naming every field that could never be right"""
        self.arguments().refuse()

    def arguments(self) -> Arguments:
        """Return what is wrong with the fields, for the caller to add to and to refuse."""
        arguments = Arguments()
        if (self.amount is None) == (self.feature is None):
            code = "required" if self.amount is None else "invalid_choice"
            arguments.fault("amount", code, "Exactly one of amount and feature is needed.")
        elif self.feature is None:
            arguments.whole("amount", self.amount)
        else:
            arguments.text("feature", self.feature, maximum=64, required=True)
        arguments.whole("quantity", self.quantity)
        arguments.text(
            "description",
            self.description,
            maximum=constants.MAX_DESCRIPTION,
            required=self.amount is not None and self.feature is None,
        )
        arguments.text("reference_id", self.reference_id, maximum=constants.MAX_REFERENCE_ID)
        if self.amount is not None and self.quantity != 1:
            arguments.fault("quantity", "invalid_choice", "A quantity goes with a feature.")
        if self.metadata is not None:
            arguments.metadata("metadata", self.metadata)
        return arguments

    def request(self) -> Request:
        """:raises InvalidArgumentError: if the idempotency key could never be one"""
        return ask(
            "deduct_credits",
            actor=self.actor,
            key=self.idempotency_key,
            amount=self.amount,
            feature=self.feature,
            quantity=self.quantity,
            description=self.description,
            member=id_of(self.member),
            reference_id=self.reference_id,
            metadata=self.metadata,
        )


def deduct_credits(
    *,
    owner: OwnerLike,
    amount: int | None = None,
    feature: str | None = None,
    quantity: int = 1,
    description: str = "",
    actor: User | UUID | None = None,
    member: User | UUID | None = None,
    reference_id: str = "",
    metadata: dict[str, Any] | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
    alongside: Alongside | None = None,
) -> CreditTransaction:
    """Take credits from the balance, in burn order, all or nothing, and return the transaction with its entries.

    Either ``amount`` whole credits, with a description, or ``quantity`` units of a ``feature`` at the price in force.
    In a pool ``member`` is the person it was for. Repeating a call with the same key returns the first transaction.
    ``at`` is when the usage happened: only credits that could be spent then may pay for it.

    Deductions that come at the same time share a transaction, unless they are in one of the caller's.

    :raises InvalidArgumentError: for arguments that could never be right
    :raises BusyError: if too many wait already, or it has waited too long; nothing is taken
    :raises BalanceNotFoundError: if nobody opened such a balance
    :raises IdempotencyKeyReusedError: if the key already names a different request
    :raises FeatureNotFoundError: if there is no such feature, or it has no price at that instant
    :raises InvalidArgumentError: ``out_of_range`` if quantity times price is beyond 10**12
    :raises SpendingSuspendedError: if spending from the balance is suspended
    :raises SpendingLimitReachedError: if it would go beyond a limit of the balance or the member
    :raises InsufficientCreditsError: if what is available does not cover it; nothing is taken
    """
    deduction = Deduction(
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
    deduction.check()
    plan = DeductionPlan(deduction, deduction.request())
    whose, when = Owner.of(owner), instant(at)
    outcome = DEDUCTION_QUEUE.answer(whose, plan, when)
    if isinstance(outcome, DomainError):
        record_rejected_attempts(whose.id, [_refused(deduction, outcome)], when)
        raise outcome
    return transaction_of(outcome)


def deduct_many(
    *,
    owner: OwnerLike,
    deductions: Sequence[Deduction | DomainError],
    atomic: bool = False,
    at: datetime | None = None,
) -> list[CreditTransaction | DomainError]:
    """Answer many deductions of one balance, in order, in one transaction and as many statements as one takes.

    Each gets its own result: the transaction, or the refusal that :func:`deduct_credits` would have raised. What its
    door has refused already may stand in its place; the refusal is its result.

    A refusal touches no other deduction, unless they are ``atomic``: then it keeps the others from being written, too,
    and each that would have been gets BatchAbortedError. What an earlier request wrote under the same key stands, and
    is answered again.
    """
    asked = [_asked(deduction) for deduction in deductions]
    if not any(isinstance(plan, DeductionPlan) for plan in asked):
        return [plan for plan in asked if isinstance(plan, DomainError)]
    whose = Owner.of(owner)
    try:
        when = instant(at)
        outcomes = _deduct(whose, asked, when, atomic=atomic)
    except DomainError as refusal:
        # Of the balance itself, so of every deduction that was not refused before anybody looked for it.
        return [plan if isinstance(plan, DomainError) else refusal for plan in asked]
    refused = [
        _refused(deduction, outcome)
        for deduction, outcome in zip(deductions, outcomes, strict=True)
        if isinstance(deduction, Deduction) and isinstance(outcome, DomainError)
    ]
    record_rejected_attempts(whose.id, refused, when)
    recorded = iter(transactions_of([outcome for outcome in outcomes if isinstance(outcome, Answer)]))
    return [outcome if isinstance(outcome, DomainError) else next(recorded) for outcome in outcomes]


def deduct_batch(
    *,
    items: Sequence[tuple[OwnerLike | None, Deduction | DomainError]],
    atomic: bool = False,
    at: datetime | None = None,
) -> list[CreditTransaction | DomainError | DatabaseFault]:
    """Answer deductions of one balance or of several, in their order; see :func:`deduct_many` for ``atomic``.

    The balances come one after another, in order of id, each in a transaction of its own: what is refused or fails on
    one leaves the others as they are. A fault of the database is the result of each deduction of its balance that was
    not refused before it. Whose balance a refused one names may be unknown: None.
    """
    places: dict[Owner, list[int]] = {}
    results: dict[int, CreditTransaction | DomainError | DatabaseFault] = {}
    for place, (owner, deduction) in enumerate(items):
        if owner is None:
            assert isinstance(deduction, DomainError)
            results[place] = deduction
        else:
            places.setdefault(Owner.of(owner), []).append(place)
    for whose in sorted(places, key=lambda owner: owner.id):
        deductions = [items[place][1] for place in places[whose]]
        results |= zip(places[whose], _deduct_or_fault(whose, deductions, atomic, at), strict=True)
    return [results[place] for place in range(len(items))]


def _deduct_or_fault(
    owner: Owner, deductions: list[Deduction | DomainError], atomic: bool, at: datetime | None
) -> Sequence[CreditTransaction | DomainError | DatabaseFault]:
    try:
        return deduct_many(owner=owner, deductions=deductions, atomic=atomic, at=at)
    except DatabaseFault as fault:
        asked = [_asked(deduction) for deduction in deductions]
        return [plan if isinstance(plan, DomainError) else fault for plan in asked]


def _refused(deduction: Deduction, refusal: DomainError) -> Refused:
    return Refused(refusal, deduction.feature, id_of(deduction.actor), id_of(deduction.member))


def _asked(deduction: Deduction | DomainError) -> "DeductionPlan | DomainError":
    if isinstance(deduction, DomainError):
        return deduction
    try:
        deduction.check()
        return DeductionPlan(deduction, deduction.request())
    except DomainError as refusal:
        return refusal


@whole
def _deduct(
    owner: Owner, asked: "Sequence[DeductionPlan | DomainError]", at: datetime, *, atomic: bool
) -> list[Answer | DomainError]:
    """Plan and write what one balance is asked."""
    # Only what passed its checks may reach the database: one faulty deduction must not fail the others.
    plans = [plan for plan in asked if isinstance(plan, DeductionPlan)]
    with written(_reading([owner.id], plans, at).locked()) as pages:
        page = pages.of(owner)
        answers = iter([page.answer(plan.request, plan) for plan in plans])
        outcomes = [plan if isinstance(plan, DomainError) else next(answers) for plan in asked]
        return _together(page, outcomes) if atomic else outcomes


def _spend(awaited: Owner | None, gather: "Gather[Owner, DeductionPlan]") -> "list[Answer | DomainError | None]":
    """Plan and write what ``gather`` returns, as :class:`Together` asks for it."""
    there = awaited is not None and bool(lock([awaited.id]))
    asked, at = gather()
    reading = _reading({owner.id for owner, _ in asked}, [plan for _, plan in asked], at)
    pages = reading.free() if awaited is None else reading.opened() if there else Pages()
    with written(pages):
        return [
            None if awaited is None and owner.id not in pages else _answer(pages, owner, plan) for owner, plan in asked
        ]


DEDUCTION_QUEUE: "GroupCommitQueue[Owner, DeductionPlan, Answer | DomainError]" = GroupCommitQueue(_spend)


def _reading(balance_ids: Collection[UUID], plans: "Sequence[DeductionPlan]", at: datetime) -> Reading:
    return Reading(
        balance_ids,
        at,
        requests=[plan.request for plan in plans],
        tellers={plan.deduction.alongside for plan in plans if callable(plan.deduction.alongside)},
        features={plan.deduction.feature for plan in plans if plan.deduction.feature is not None},
        member_ids={id_of(plan.deduction.member) for plan in plans},
    )


def _answer(pages: Pages, owner: Owner, plan: "DeductionPlan") -> Answer | DomainError:
    try:
        page = pages.of(owner)
    except DomainError as refusal:
        return refusal
    return page.answer(plan.request, plan)


def _together(page: Page, outcomes: list[Answer | DomainError]) -> list[Answer | DomainError]:
    """Return the outcomes, or, where one is a refusal, what becomes of them when nothing is written."""
    if not any(isinstance(outcome, DomainError) for outcome in outcomes):
        return outcomes
    dropped = {recorded.id for recorded in page.book.transactions}
    page.drop()
    return [
        errors.BatchAbortedError() if isinstance(outcome, Answer) and outcome.transaction_id in dropped else outcome
        for outcome in outcomes
    ]


@dataclass(frozen=True, slots=True)
class DeductionPlan:
    """Plans one deduction on an open page."""

    deduction: Deduction
    request: Request

    def __call__(self, page: Page) -> Answer:
        asked = self.deduction
        amount, priced = price(page, asked)
        member_id = id_of(asked.member)
        afford(page, amount, member_id=member_id)
        # From here on the deduction must succeed.
        draws = burn_order.plan_deltas(amount, page.book.grants.values())
        recorded = page.book.post(
            "usage",
            page.at,
            [GrantDelta(grant, -taken) for grant, taken in draws],
            said(
                self.request,
                description=asked.description,
                reference_id=asked.reference_id,
                member_id=member_id,
                metadata=None if asked.metadata is None else canonical_json(asked.metadata),
                **priced,
            ),
        )
        assert recorded.amount == -amount
        return page.record(self.request, transaction=recorded, alongside=asked.alongside)


def afford(page: Page, amount: int, *, member_id: UUID | None, hold: Hold | None = None) -> None:
    """Return if ``member_id`` may use ``amount`` whole credits, of which ``hold`` has set some aside already.

    :raises SpendingSuspendedError: if spending from the balance is suspended
    :raises SpendingLimitReachedError: if it would go beyond a limit
    :raises InsufficientCreditsError: if what is available does not cover what is not set aside
    """
    book = page.book
    if book.suspended_at is not None:
        raise errors.SpendingSuspendedError(suspended_at=book.suspended_at)
    released_hold = (hold.amount, hold.created_at) if hold else None
    limit = first_exceeded_limit(
        book.limits.values(), amount, member_id=member_id, at=page.at, released_hold=released_hold
    )
    if limit is not None:
        raise errors.SpendingLimitReachedError(limit=limit.amount, used=limit.used, resets_at=limit.resets_at)
    required = amount - (hold.amount if hold else 0)
    if book.available < required:
        raise errors.InsufficientCreditsError(required=required, available=book.available, held=book.held)


def price(page: Page, asked: Deduction) -> tuple[int, dict[str, Any]]:
    """Return what the deduction costs in whole credits, and the price facts its transaction remembers."""
    if asked.feature is None:
        assert asked.amount is not None
        return asked.amount, {}
    current = page.prices.get(asked.feature)
    amount = queries.cost_of(asked.feature, asked.quantity, current)
    assert current is not None
    return amount, {"feature_id": asked.feature, "price_id": current.id, "quantity": asked.quantity}
