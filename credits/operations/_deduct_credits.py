from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from credits import bounds, burn_order, errors, queries
from credits.book import Draw, Hold
from credits.limits import refusing
from credits.models import CreditTransaction
from credits.operations._answers import transactions_of
from credits.operations._arguments import Arguments, canonical_json, id_of
from credits.operations._ledger import Answer, Page, opened, said
from credits.operations._requests import Request, ask
from credits.operations._whole import whole
from fluxori.identity.models import User
from fluxori.identity.owner import Owner, OwnerLike
from fluxori.kernel.errors import DomainError


@dataclass(frozen=True, slots=True, kw_only=True)
class Deduction:
    """What is to be taken, and for what: ``amount`` whole credits with a description, or ``quantity`` of a feature.

    ``member`` is the person it is for where a pool pays; ``alongside`` are facts kept with the answer, for its replay.
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
    alongside: dict[str, Any] | None = None

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
            maximum=bounds.MAX_DESCRIPTION,
            required=self.amount is not None and self.feature is None,
        )
        arguments.text("reference_id", self.reference_id, maximum=bounds.MAX_REFERENCE_ID)
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
    alongside: dict[str, Any] | None = None,
) -> CreditTransaction:
    """Take credits from the balance, in burn order, all or nothing, and return the transaction with its entries.

    Either ``amount`` whole credits, with a description, or ``quantity`` units of a ``feature`` at the price in force.
    In a pool ``member`` is the person it was for. Repeating a call with the same key returns the first transaction.
    ``at`` is when the usage happened: only credits that could be spent then may pay for it.

    :raises InvalidArgumentError: for arguments that could never be right
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
    [outcome] = deduct_many(owner=owner, deductions=[deduction], at=at)
    if isinstance(outcome, DomainError):
        raise outcome
    return outcome


def deduct_many(
    *, owner: OwnerLike, deductions: Sequence[Deduction], at: datetime | None = None
) -> list[CreditTransaction | DomainError]:
    """Answer many deductions of one balance, in order, in one transaction and as many statements as one takes.

    Each gets its own result: the transaction, or the refusal that :func:`deduct_credits` would have raised. A refusal
    touches no other deduction.

    :raises BalanceNotFoundError: if nobody opened such a balance
    """
    asked: list[Request | DomainError] = [_asked(deduction) for deduction in deductions]
    if not any(isinstance(request, Request) for request in asked):
        return [request for request in asked if isinstance(request, DomainError)]
    outcomes = _deduct(Owner.of(owner), list(deductions), asked, at)
    recorded = iter(transactions_of([outcome for outcome in outcomes if isinstance(outcome, Answer)]))
    return [outcome if isinstance(outcome, DomainError) else next(recorded) for outcome in outcomes]


def _asked(deduction: Deduction) -> Request | DomainError:
    try:
        deduction.check()
        return deduction.request()
    except DomainError as refusal:
        return refusal


@whole
def _deduct(
    owner: Owner, deductions: list[Deduction], asked: list[Request | DomainError], at: datetime | None
) -> list[Answer | DomainError]:
    requests = [request for request in asked if isinstance(request, Request)]
    # Only what passed its checks may reach the database: one faulty deduction must not fail the others.
    features = {
        deduction.feature
        for deduction, request in zip(deductions, asked, strict=True)
        if isinstance(request, Request) and deduction.feature is not None
    }
    members = {id_of(deduction.member) for deduction in deductions}
    with opened(owner, at=at, requests=requests, features=features, member_ids=members) as page:
        return [
            request if isinstance(request, DomainError) else page.answer(request, Spending(deduction, request))
            for deduction, request in zip(deductions, asked, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Spending:
    """Plans one deduction on an open page."""

    deduction: Deduction
    request: Request

    def __call__(self, page: Page) -> Answer:
        asked = self.deduction
        amount, priced = price(page, asked)
        member_id = id_of(asked.member)
        afford(page, amount, member_id=member_id)
        # From here on the deduction must succeed.
        draws = burn_order.plan_draws(amount, page.book.grants.values())
        recorded = page.book.post(
            "usage",
            page.at,
            [Draw(grant, -taken) for grant, taken in draws],
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
    freed = (hold.amount, hold.created_at) if hold else None
    limit = refusing(book.limits.values(), amount, member_id=member_id, at=page.at, freed=freed)
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
