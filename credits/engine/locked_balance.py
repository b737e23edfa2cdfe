"""Opening balances to change them: lock, read, settle, let the caller plan, and write everything at once.

The only SQL that writes the ledger is run here. Three statements serve one request or five hundred: the lock, the read
of all that depends on it, the write. The first two go together, the last goes with the commit. Who would not wait for
the lock takes it with the read.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from credits import queries
from credits.domain import errors
from credits.domain.balance_state import BalanceSnapshot, BalanceState, Hold, Price, Transaction, TransactionDetails
from credits.domain.due_events import apply_due_events
from credits.engine import rows
from credits.engine.idempotency import Request, read_answer, spell_answer
from credits.engine.validation import instant
from credits.models import CreditBalance
from credits.queries import Loaded, Remembered
from fluxori.core.errors import DomainError
from fluxori.core.ids import uuid7
from fluxori.db import statements
from fluxori.identity import queries as identity
from fluxori.identity.owner import Owner

_WRITE = (Path(__file__).parent / "sql" / "write.sql").read_text(encoding="utf-8")
_PART = re.compile(r"^\), (\w+) AS \(\n.*?\n(?=\))", re.MULTILINE | re.DOTALL)


Teller = Callable[[Collection[UUID]], dict[UUID, dict[str, Any]]]
# Facts that an answer keeps beside the balance, for its replay; or who asks for those of some balances, all at once.
Alongside = dict[str, Any] | Teller


@dataclass(slots=True)
class Answer:
    """What a request was answered: the balance right after it, and what it wrote, here in memory or named by id."""

    balance_id: UUID
    after: BalanceSnapshot
    alongside: dict[str, Any]
    transaction: Transaction | None = None
    hold: Hold | None = None
    transaction_id: UUID | None = None
    hold_id: UUID | None = None
    hold_state: dict[str, Any] | None = None
    replayed: bool = False


@dataclass(slots=True)
class Page:
    """One balance, locked and settled up to ``at``, for planning. What is recorded on it is written when it closes."""

    book: BalanceState
    at: datetime
    known: dict[tuple[UUID | None, str], Remembered] = field(default_factory=dict)
    requests: list[dict[str, Any]] = field(default_factory=list)
    prices: dict[str, Price] = field(default_factory=dict)
    told: dict[Teller, dict[str, Any]] = field(default_factory=dict)
    recorded: int = 0

    def replay(self, request: Request) -> Answer | None:
        """Return the earlier answer to the same request, or None for a new one.

        :raises IdempotencyKeyReusedError: if the key names another request of this caller
        """
        remembered = self.known.get((request.caller, request.key)) if request.key is not None else None
        if remembered is None:
            return None
        if remembered.fingerprint != request.fingerprint:
            raise errors.IdempotencyKeyReusedError()
        after, alongside, hold_state = read_answer(remembered.answer)
        return Answer(
            self.book.id,
            after,
            alongside,
            transaction_id=remembered.transaction_id,
            hold_id=remembered.hold_id,
            hold_state=hold_state,
            replayed=True,
        )

    def record(
        self,
        request: Request,
        *,
        transaction: Transaction | None = None,
        transaction_id: UUID | None = None,
        hold: Hold | None = None,
        alongside: Alongside | None = None,
    ) -> Answer:
        """Count the change, and remember its answer under the request's key.

        The answer's transaction is one planned on this page, or an earlier one, named by its id.
        """
        self.touch()
        answer = Answer(
            self.book.id,
            self.book.snapshot(),
            self._facts(alongside),
            transaction,
            hold,
            transaction.id if transaction else transaction_id,
            hold.id if hold else None,
        )
        if request.key is not None:
            self._remember(request, answer)
        return answer

    def repeat(self, request: Request, *, transaction_id: UUID | None, alongside: Alongside | None) -> Answer:
        """Answer with an earlier transaction: nothing is written but the request's key, where it has one."""
        if request.key is not None:
            return self.record(request, transaction_id=transaction_id, alongside=alongside)
        return Answer(self.book.id, self.book.snapshot(), self._facts(alongside), transaction_id=transaction_id)

    def _facts(self, alongside: Alongside | None) -> dict[str, Any]:
        if not callable(alongside):
            return alongside or {}
        if alongside not in self.told:
            self.told[alongside] = alongside([self.book.id])[self.book.id]
        return self.told[alongside]

    def _remember(self, request: Request, answer: Answer) -> None:
        assert request.key is not None
        spelled = spell_answer(answer.after, answer.alongside, answer.hold)
        remembered = Remembered(request.fingerprint, spelled, answer.transaction_id, answer.hold_id)
        row = {
            "id": uuid7(),
            "balance_id": self.book.id,
            "caller_id": request.caller,
            "key": request.key,
            "operation": request.operation,
            "created_at": self.book.recorded_at,
        }
        self.requests.append(row | remembered._asdict())
        self.known[request.caller, request.key] = remembered

    def answer(self, request: Request, plan: Callable[["Page"], Answer]) -> Answer | DomainError:
        """Return the earlier answer, what ``plan`` records now, or the refusal; a refusal has changed nothing."""
        try:
            return self.replay(request) or plan(self)
        except DomainError as refusal:
            return refusal

    def touch(self) -> None:
        """Count a change, so that the page is written; alone, it writes what settling found."""
        self.book.version += 1
        self.recorded += 1

    def drop(self) -> None:
        """Let nothing of the page be written, whatever was recorded on it."""
        self.recorded = 0


class Pages(dict[UUID, Page]):
    """Open pages by the balance's id."""

    def of(self, owner: Owner) -> Page:
        """:raises BalanceNotFoundError: if nobody opened such a balance"""
        page = self.get(owner.id)
        if page is None or (page.book.user_id if owner.kind == "user" else page.book.organization_id) != owner.id:
            raise errors.BalanceNotFoundError()
        return page


def said(request: Request, **details: Any) -> TransactionDetails:
    """Return a transaction's particulars: those given, and who asked."""
    return TransactionDetails(
        actor_id=request.caller,
        idempotency_key=request.key,
        request_id=request.request_id,
        **details,
    )


@contextmanager
def opened(
    owner: Owner,
    *,
    at: datetime | None,
    requests: Sequence[Request] = (),
    create: bool = False,
    features: Iterable[str] = (),
    hold_ids: Iterable[UUID] = (),
    grant_ids: Iterable[UUID] = (),
    member_ids: Iterable[UUID | None] = (),
) -> Iterator[Page]:
    """Open one owner's balance for planning, and write what was recorded when the block ends.

    With ``create``, a balance nobody opened yet is opened. Without an ``at`` the clock is read. ``member_ids`` are
    those for whom credits are used or come back, so that their limits count it.

    :raises InvalidArgumentError: ``wrong_type`` if ``at`` has no time zone
    :raises UserNotFoundError: with ``create``, if there is no such user to open it for
    :raises OrganizationNotFoundError: likewise for an organization
    :raises BalanceNotFoundError: if nobody opened such a balance
    """
    at = instant(at)
    reading = Reading(
        [owner.id],
        at,
        requests=requests,
        features=features,
        hold_ids=hold_ids,
        grant_ids=grant_ids,
        member_ids=member_ids,
    )
    pages = reading.locked()
    if create and owner.id not in pages:
        _open_balance(owner, at)
        pages = reading.locked()
    with written(pages):
        yield pages.of(owner)


@contextmanager
def lock_balances(balance_ids: Iterable[UUID], *, at: datetime) -> Iterator[Pages]:
    """Open many balances for planning, locked in order of id, and write all that was recorded in one statement."""
    with written(Reading(list(balance_ids), at).locked()) as pages:
        yield pages


def _open_balance(owner: Owner, at: datetime) -> None:
    identity.require_owner(owner)
    row = CreditBalance(
        id=owner.id, user_id=owner.user_id, organization_id=owner.organization_id, last_at=at, created_at=at
    )
    CreditBalance.objects.bulk_create([row], ignore_conflicts=True)


def lock(balance_ids: Iterable[UUID], *, skip_locked: bool = False) -> set[UUID]:
    """Lock the balances that exist, in order of id, and return their ids.

    What depends on a balance is read in a later statement: under READ COMMITTED a statement that waited for a lock sees
    the new version of the locked row only. ``skip_locked`` leaves out balances that another transaction has locked.
    """
    balances = CreditBalance.objects.select_for_update(no_key=True, skip_locked=skip_locked)
    return set(balances.filter(pk__in=balance_ids).order_by("pk").values_list("pk", flat=True))


class Reading:
    """Balances to be opened, and all that is asked of the database for planning on them.

    ``named`` are the names that :func:`opened` takes. ``tellers`` are asked for their facts along with it.
    """

    def __init__(
        self,
        balance_ids: Collection[UUID],
        at: datetime,
        *,
        requests: Sequence[Request] = (),
        tellers: Collection[Teller] = (),
        **named: Any,
    ) -> None:
        self._ids = balance_ids
        self._at = at
        self._tellers = tellers
        keyed = [request for request in requests if request.key is not None]
        self._named = named | {
            "keys": {request.key for request in keyed},
            "caller_ids": {request.caller for request in keyed},
        }

    def locked(self) -> Pages:
        """Lock the balances, in order of id, and open those that there are."""
        return self._load(lock(self._ids))

    def opened(self) -> Pages:
        """Open balances whose locks this transaction has taken already."""
        return self._load(self._ids)

    def free(self) -> Pages:
        """Lock those of the balances that nobody else has locked, without waiting, and open them."""
        return self._load(lock(self._ids, skip_locked=True))

    def _load(self, balance_ids: Collection[UUID]) -> Pages:
        if not balance_ids:
            return Pages()
        found = queries.loading(balance_ids, at=self._at, **self._named)
        return self._pages(found, [tell(balance_ids) for tell in self._tellers])

    def _pages(self, found: Iterable[Loaded], facts: Sequence[Mapping[UUID, dict[str, Any]]]) -> Pages:
        pages = Pages()
        for loaded in found:
            book = loaded.book
            told = {tell: of_all[book.id] for tell, of_all in zip(self._tellers, facts, strict=True)}
            page = Page(book, max(self._at, book.last_at), loaded.remembered, prices=loaded.prices, told=told)
            apply_due_events(book, page.at)
            pages[book.id] = page
        return pages


@contextmanager
def written(pages: Pages) -> Iterator[Pages]:
    """Write what was recorded on the pages when the block ends."""
    yield pages
    document = _document()
    for page in pages.values():
        if page.recorded:
            _add_history(document, page)
            rows.add_changed(document, page.book)
    if document["balances"]:
        statements.execute(*_writing(document))


_Document = dict[str, list[dict[str, Any]]]


def _document() -> _Document:
    return {part: [] for part in rows.PARTS}


def _add_history(document: _Document, page: Page) -> None:
    rows.add_new(document, page.book)
    document["requests"] += page.requests


def _writing(document: _Document) -> tuple[str, dict[str, Any]]:
    """Return the statement that writes these rows, and its parameters."""
    parameters: dict[str, Any] = {part: statements.to_json(found) for part, found in document.items() if found}
    sql = _statement(tuple(parameters))
    for part in rows.CHANGED & parameters.keys():
        parameters[f"{part}_ids"] = statements.array(row["id"] for row in document[part])
    return sql, parameters


@cache
def _statement(parts: tuple[str, ...]) -> str:
    """Return write.sql with these parts only: to plan one that writes nothing costs as much as one that does."""
    return _PART.sub(lambda part: part[0] if part[1] in parts else "", _WRITE)
