"""Questions to the ledger. Nothing here writes or locks; what has fallen due is settled in memory only."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import (
    BigIntegerField,
    Case,
    DateTimeField,
    F,
    Field,
    OuterRef,
    Prefetch,
    Q,
    QuerySet,
    Subquery,
    Sum,
    TextField,
    Value,
    When,
    prefetch_related_objects,
)
from django.db.models.functions import Coalesce

from credits.domain import constants, errors
from credits.domain.balance_state import BalanceSnapshot, BalanceState, Grant, Hold, Price
from credits.domain.due_events import apply_due_events
from credits.domain.limits import Limit, LimitStatus, first_exceeded_limit
from credits.models import (
    CreditBalance,
    CreditEntry,
    CreditGrant,
    CreditHold,
    CreditPin,
    CreditTransaction,
    Feature,
    FeaturePrice,
    SpendingLimit,
)
from fluxori.core import clock
from fluxori.db import statements
from fluxori.identity.owner import Owner, OwnerLike

_SQL = Path(__file__).parent / "sql"
BOOKS = (_SQL / "books.sql").read_text(encoding="utf-8")
_BOOK_AT = (_SQL / "book_at.sql").read_text(encoding="utf-8")
_CHUNK = 500
_USED_SINCE = (_SQL / "used_since.sql").read_text(encoding="utf-8")


def get_balance(*, owner: OwnerLike, at: datetime | None = None) -> BalanceSnapshot:
    """Return the owner's balance as it stands, or as a read at the past instant ``at`` would have said it.

    Whole credits. Credits that have expired by then are not in it, whether or not their expiry has been written.
    Before the balance existed every count is zero.

    :raises InvalidArgumentError: ``in_future`` if ``at`` has not come yet
    :raises BalanceNotFoundError: if nobody opened such a balance
    """
    if at is not None and at.utcoffset() is None:
        raise errors.InvalidArgumentError.field("at", "wrong_type", "An aware instant is needed.")
    now = clock.now()
    whose = Owner.of(owner)
    if at is None:
        return settled(whose, at=now).snapshot()
    if at > now:
        raise errors.InvalidArgumentError.field("at", "in_future", "A balance can be told up to now, not ahead.")
    return _settled(whose, _first(_rows(_BOOK_AT, {"balance": whose.id, "at": at})), at=at).snapshot()


def settled(owner: Owner, *, at: datetime) -> BalanceState:
    """Return the owner's book with everything due by ``at`` settled in memory.

    :raises BalanceNotFoundError: if nobody opened such a balance
    """
    return _settled(owner, _first_row(statements.fetch(BOOKS, _of([owner.id], at=at))), at=at)


def books(
    balance_ids: Iterable[UUID], *, at: datetime, member_ids: Iterable[UUID | None] = ()
) -> dict[UUID, BalanceState]:
    """Return the books of these balances, not settled: their live grants, the holds due by ``at``, their own limits.

    Members whose limits matter are named; those of members whose holds are in the book come of themselves.
    """
    found = loading(balance_ids, at=at, member_ids=member_ids)
    return {loaded.book.id: loaded.book for loaded in found}


class Remembered(NamedTuple):
    """What a request was answered under its key."""

    fingerprint: bytes
    answer: str
    transaction_id: UUID | None
    hold_id: UUID | None


class Loaded(NamedTuple):
    """A book, what is remembered by (caller, key) of the requests named, and the price of each feature that has one."""

    book: BalanceState
    remembered: dict[tuple[UUID | None, str], Remembered]
    prices: dict[str, Price]


def loading(balance_ids: Iterable[UUID], *, at: datetime, **named: Any) -> list[Loaded]:
    """Return these books as :func:`books` does, with what else is needed to plan their changes.

    Open holds that are wanted too are named, so are grants that may be empty. What is remembered under the ``keys`` is
    found for each of these callers, and for nobody. Prices are those at ``at`` or, if it is later, at the last change.
    """
    rows = statements.fetch(BOOKS, _of(balance_ids, at=at, **named))
    # Read after the answer has come, and so after any wait for a lock: what is recorded is recorded now.
    recorded_at = clock.now()
    return [_loaded(tuple(row.values()), recorded_at) for row in rows]


def _of(
    balance_ids: Iterable[UUID],
    *,
    at: datetime,
    hold_ids: Iterable[UUID | None] = (),
    grant_ids: Iterable[UUID | None] = (),
    member_ids: Iterable[UUID | None] = (),
    keys: Iterable[str] = (),
    caller_ids: Iterable[UUID | None] = (),
    features: Iterable[str] = (),
) -> dict[str, Any]:
    return {
        "balances": statements.array(balance_ids),
        "at": at,
        "holds": statements.array(hold_ids),
        "grants": statements.array(grant_ids),
        "members": statements.array(member_ids),
        "keys": statements.array(keys),
        "callers": statements.array(caller_ids),
        "features": statements.array(features),
    }


def get_transaction_history(*, owner: OwnerLike) -> QuerySet[CreditTransaction]:
    """Return the owner's transactions, newest first; none where no balance was opened. Slice or filter it further."""
    return CreditTransaction.objects.filter(balance_id=Owner.of(owner).id).order_by("-sequence")


def get_transaction(*, transaction_id: UUID, visible: Q | None = None) -> CreditTransaction:
    """Return one transaction with its entries, their grants, its price and what reversed it.

    :raises TransactionNotFoundError: if there is none, or none within ``visible``
    """
    found = (
        CreditTransaction.objects.filter(visible or Q(), pk=transaction_id)
        .select_related("balance", "price", "actor")
        .first()
    )
    if found is None:
        raise errors.TransactionNotFoundError(transaction_id=transaction_id)
    # Every index of the ledger leads with the balance, so what belongs to the row is read by balance and id.
    here = found.balance_id
    prefetch_related_objects(
        [found],
        Prefetch("entries", CreditEntry.objects.filter(balance=here).order_by("position")),
        Prefetch("entries__grant", CreditGrant.objects.filter(balance=here)),
        Prefetch("reversed_by", CreditTransaction.objects.filter(balance=here).order_by("sequence")),
    )
    return found


def get_grants(*, owner: OwnerLike, at: datetime) -> QuerySet[CreditGrant]:
    """Return every grant the owner was ever given, newest first, as it stands at ``at``; none without a balance.

    What has fallen due counts, written or not: ``free`` is what remains, ``pinned`` what open holds keep, both in whole
    credits, ``until`` when it expires, and ``status`` one of active, spent, expired and voided. What rolls over is a
    grant of its own once that is written; until then it is shown with the grant it rolls over from.
    """
    whose = Owner.of(owner).id
    grants = CreditGrant.objects.filter(balance_id=whose).order_by("-id")
    changed: dict[UUID, _Settled] = {}
    for book in books([whose], at=at).values():
        at = max(at, book.last_at)
        changed = _settle_grants(book, at)

    def told(name: str, kind: type[Field[Any, Any]]) -> Case:
        cases = [When(pk=key, then=Value(getattr(settled, name))) for key, settled in changed.items()]
        return Case(*cases, default=F(name), output_field=kind())

    gone = [When(voided_at__isnull=False, then=Value("voided")), When(until__lte=at, then=Value("expired"))]
    return (
        grants.annotate(
            free=told("remaining", BigIntegerField),
            pinned=told("held", BigIntegerField),
            until=told("expires_at", DateTimeField),
        )
        .annotate(credits=F("free") + F("pinned"))
        .annotate(
            status=Case(
                *gone,
                When(credits__gt=0, then=Value("active")),
                default=Value("spent"),
                output_field=TextField(),
            )
        )
    )


@dataclass(slots=True)
class _Settled:
    """What is to be shown in a grant's row instead of what is written there."""

    remaining: int
    held: int
    expires_at: datetime | None


def _settle_grants(book: BalanceState, at: datetime) -> dict[UUID, _Settled]:
    apply_due_events(book, at)
    opened = {made.id for made in book.opened_grants}
    changed = [book.grants[key] for key in book.changed_grants - opened]
    shown = {grant.id: _Settled(grant.remaining, grant.held, grant.expires_at) for grant in changed}
    for made in book.opened_grants:
        if made.remaining > 0:
            row = shown[book.persisted_ancestor(made).id]
            row.remaining += made.remaining
            row.expires_at = made.expires_at
    return shown


def prices(features: Iterable[str], *, at: datetime) -> dict[str, Price]:
    """Return the price in force at ``at`` for each of ``features`` that has one."""
    rows = (
        FeaturePrice.objects.filter(feature__in=set(features), effective_from__lte=at)
        .order_by("feature_id", "-effective_from")
        .distinct("feature_id")
        .values_list("feature_id", "id", "credits")
    )
    return {feature: Price(price, credits) for feature, price, credits in rows}


def cost_of(feature: str, quantity: int, current: Price | None) -> int:
    """Return what ``quantity`` units of a feature cost at its current price, in whole credits.

    :raises FeatureNotFoundError: if it has no price
    :raises InvalidArgumentError: ``out_of_range`` if quantity times price exceeds 10**12
    """
    if current is None:
        raise errors.FeatureNotFoundError(feature=feature)
    cost = current.credits * quantity
    if cost > constants.MAX_CREDITS:
        raise errors.InvalidArgumentError.field(
            "quantity", "out_of_range", f"Quantity times price must not exceed {constants.MAX_CREDITS}."
        )
    return cost


@dataclass(frozen=True, slots=True)
class Check:
    """Whether a deduction would be allowed now, and the first reason if not. Credits are whole.

    ``limit`` is the one that refuses, where that is the reason.
    """

    allowed: bool
    cost: int
    available: int
    reason: str | None
    limit: LimitStatus | None = None


def check_spending(
    *,
    owner: OwnerLike,
    amount: int | None = None,
    feature: str | None = None,
    quantity: int = 1,
    member: UUID | None = None,
    permitted: bool = True,
    at: datetime,
) -> Check:
    """Return whether the owner's balance would pay for ``amount`` credits, or ``quantity`` of a ``feature``, at ``at``.

    Exactly one of ``amount`` and ``feature`` is given; in a pool ``member`` is the person it would be for. ``reason``
    is the first of permission_denied (the member who asks is not ``permitted`` to spend), balance_not_found,
    spending_suspended, spending_limit_reached and insufficient_credits: the order in which the deduction refuses.

    :raises FeatureNotFoundError: if there is no such feature, or it has no price at that instant
    :raises InvalidArgumentError: ``out_of_range`` if quantity times price exceeds 10**12
    """
    cost = amount or 0
    if feature is not None:
        cost = cost_of(feature, quantity, prices([feature], at=at).get(feature))
    whose = Owner.of(owner)
    row = _first_row(statements.fetch(BOOKS, _of([whose.id], at=at, member_ids=[member])))
    try:
        book = _settled(whose, row, at=at)
    except errors.BalanceNotFoundError as missing:
        return Check(False, cost, 0, missing.code if permitted else "permission_denied")
    limit = first_exceeded_limit(book.limits.values(), cost, member_id=member, at=max(at, book.last_at))
    reasons = {
        "permission_denied": not permitted,
        errors.SpendingSuspendedError.code: book.suspended_at is not None,
        errors.SpendingLimitReachedError.code: limit is not None,
        errors.InsufficientCreditsError.code: book.available < cost,
    }
    reason = next((code for code, applies in reasons.items() if applies), None)
    named = limit if reason == errors.SpendingLimitReachedError.code else None
    return Check(reason is None, cost, book.available, reason, named)


def get_limits(*, owner: OwnerLike) -> QuerySet[SpendingLimit]:
    """Return the limits in force on the owner's balance, newest first; none where no balance was opened.

    What the rows say is used is what was written last; :func:`limit_statuses` says what is used now.
    """
    return SpendingLimit.objects.filter(balance_id=Owner.of(owner).id, removed_at__isnull=True).order_by("-id")


def limit_statuses(limits: Iterable[SpendingLimit], *, at: datetime) -> list[LimitStatus]:
    """Return how these limits of one balance stand at ``at``, in their order: all settled, windows that have begun too.

    One that was removed meanwhile is left out.
    """
    rows = list(limits)
    if not rows:
        return []
    [book] = books([rows[0].balance_id], at=at, member_ids=[row.member_id for row in rows]).values()
    apply_due_events(book, max(at, book.last_at))
    return [book.limits[row.pk].status(at) for row in rows if row.pk in book.limits]


def get_limit(*, limit_id: UUID, visible: Q | None = None) -> SpendingLimit:
    """Return one limit with its balance, in force or removed.

    :raises LimitNotFoundError: if there is none, or none within ``visible``
    """
    found = SpendingLimit.objects.filter(visible or Q(), pk=limit_id).select_related("balance").first()
    if found is None:
        raise errors.LimitNotFoundError(limit_id=limit_id)
    return found


def used_since(balance_id: UUID, member: UUID | None, *, since: datetime, at: datetime) -> int:
    """Return what was used from ``since`` on, by one member or, without one, by all, from the ledger itself.

    That is usage and the holds still open at ``at``, less the refunds of that usage, in whole credits.
    """
    [[used]] = _rows(_USED_SINCE, {"balance": balance_id, "member": member, "since": since, "at": at})
    return int(used)


def get_features(*, at: datetime) -> QuerySet[Feature]:
    """Return the features that have a price in force at ``at``; ``price`` is in whole credits for one unit."""
    current = FeaturePrice.objects.filter(feature=OuterRef("pk"), effective_from__lte=at).order_by("-effective_from")
    return Feature.objects.annotate(price=Subquery(current.values("credits")[:1])).filter(price__isnull=False)


def get_balances() -> QuerySet[CreditBalance]:
    """Return every balance. What has fallen due is not in the rows; :func:`snapshots` tells it."""
    return CreditBalance.objects.all()


def having_at_most(balances: QuerySet[CreditBalance], available: int, *, at: datetime) -> QuerySet[CreditBalance]:
    """Narrow ``balances`` to those that have at most so many whole credits available at ``at``.

    Where nothing is due the rows say it; every other balance is settled in memory, as in :func:`snapshots`. So it costs
    as much as the sweep has left to write.
    """
    due: list[UUID] = []
    poor: list[UUID] = []
    while ids := due_balances(at=at, after=due[-1] if due else None, limit=_CHUNK):
        due += ids
        poor += [key for key, told in snapshots(ids, at=at).items() if told.available <= available]
    written = Q(balance__lte=F("held") - F("debt") + available)
    return balances.filter((written & ~Q(pk__in=due)) | Q(pk__in=poor))


def snapshots(balance_ids: Iterable[UUID], *, at: datetime) -> dict[UUID, BalanceSnapshot]:
    """Return these balances as they stand at ``at``, all read at once."""
    found = books(balance_ids, at=at)
    for book in found.values():
        apply_due_events(book, max(at, book.last_at))
    return {key: book.snapshot() for key, book in found.items()}


def find_balance(owner: OwnerLike) -> CreditBalance | None:
    """Return the balance row of the owner, or None where nobody opened one."""
    whose = Owner.of(owner)
    return CreditBalance.objects.filter(pk=whose.id, user=whose.user_id, organization=whose.organization_id).first()


def get_holds(*, at: datetime) -> QuerySet[CreditHold]:
    """Return every hold, newest first, each with the ``standing`` it has at ``at``: it lapses at its instant."""
    lapsed = Q(status=CreditHold.Status.OPEN, expires_at__lte=at)
    standing = Case(When(lapsed, then=Value(CreditHold.Status.LAPSED)), default=F("status"), output_field=TextField())
    return CreditHold.objects.annotate(standing=standing).order_by("-id")


def get_hold(*, hold_id: UUID, at: datetime, visible: Q | None = None) -> CreditHold:
    """Return one hold with its pins and its ``standing`` at ``at``.

    :raises HoldNotFoundError: if there is none, or none within ``visible``
    """
    found = get_holds(at=at).filter(visible or Q(), pk=hold_id).select_related("balance").first()
    if found is None:
        raise errors.HoldNotFoundError(hold_id=hold_id)
    pins = CreditPin.objects.filter(balance=found.balance_id).order_by("position")
    prefetch_related_objects([found], Prefetch("pins", pins))
    return found


def get_pinned(holds: QuerySet[CreditHold], *, owner: OwnerLike) -> QuerySet[CreditHold]:
    """Return the owner's holds with their pins; none where no balance was opened."""
    whose = Owner.of(owner).id
    pins = CreditPin.objects.filter(balance=whose).order_by("position")
    return holds.filter(balance=whose).prefetch_related(Prefetch("pins", pins))


def owner_of_hold(*, hold_id: UUID) -> Owner:
    """:raises HoldNotFoundError: if there is no such hold"""
    row = CreditHold.objects.filter(pk=hold_id).values_list("balance__user", "balance__organization").first()
    if row is None:
        raise errors.HoldNotFoundError(hold_id=hold_id)
    return _owner(*row)


def owner_of_grant(*, grant_id: UUID) -> Owner:
    """:raises GrantNotFoundError: if there is no such grant"""
    row = CreditGrant.objects.filter(pk=grant_id).values_list("balance__user", "balance__organization").first()
    if row is None:
        raise errors.GrantNotFoundError(grant_id=grant_id)
    return _owner(*row)


def locate_transaction(*, transaction_id: UUID) -> tuple[Owner, list[UUID], UUID | None]:
    """Return whose transaction it is, which grants it touched or opened, and which member it was for.

    None of it ever changes.

    :raises TransactionNotFoundError: if there is none
    """
    found = CreditTransaction.objects.select_related("balance").filter(pk=transaction_id).first()
    if found is None:
        raise errors.TransactionNotFoundError(transaction_id=transaction_id)
    touched = CreditEntry.objects.filter(balance=found.balance_id, transaction=transaction_id, grant__isnull=False)
    opened = CreditGrant.objects.filter(balance=found.balance_id, transaction=transaction_id)
    grants = {*touched.values_list("grant", flat=True), *opened.values_list("pk", flat=True)}
    return found.balance.owner, [key for key in grants if key is not None], found.member_id


def corrected(*, transaction_id: UUID) -> tuple[CreditTransaction, int]:
    """Return a transaction with its entries, and how many credits of it were refunded or reversed already."""
    found = CreditTransaction.objects.prefetch_related("entries").get(pk=transaction_id)
    linked = CreditTransaction.objects.filter(balance=found.balance_id, reverses=transaction_id)
    total: int = linked.aggregate(total=Coalesce(Sum("amount"), 0))["total"]
    return found, abs(total)


def grants_from(recorded: CreditTransaction) -> set[UUID]:
    """Return the grants that a transaction opened, and those that their credits were moved to since."""
    grants = CreditGrant.objects.filter(balance=recorded.balance_id)
    found: set[UUID] = set()
    newest = set(grants.filter(transaction=recorded.pk).values_list("pk", flat=True))
    while newest:
        found |= newest
        newest = set(grants.filter(parent__in=newest).values_list("pk", flat=True))
    return found


def _owner(user_id: UUID | None, organization_id: UUID | None) -> Owner:
    if user_id is not None:
        return Owner.user(user_id)
    assert organization_id is not None
    return Owner.organization(organization_id)


def due_balances(*, at: datetime, after: UUID | None, limit: int) -> list[UUID]:
    """Return up to ``limit`` balances, by id from beyond ``after``, with a grant or a hold due by ``at``."""
    grants = Q(grants__live=True, grants__remaining__gt=0, grants__expires_at__lte=at)
    holds = Q(holds__status="open", holds__expires_at__lte=at)
    beyond = Q(pk__gt=after) if after else Q()
    due: set[UUID] = set()
    for kind in (grants, holds):
        # Asked one after another, so that each finds its own index.
        found = CreditBalance.objects.filter(kind, beyond).order_by("pk").values_list("pk", flat=True).distinct()
        due.update(found[:limit])
    return sorted(due)[:limit]


def _settled(owner: Owner, row: Sequence[Any] | None, *, at: datetime) -> BalanceState:
    if row is None or (row[1] if owner.kind == "user" else row[2]) != owner.id:
        raise errors.BalanceNotFoundError()
    book = _book(row, recorded_at=at)
    # A clock that lags behind the last change must not bring expired credits back.
    apply_due_events(book, max(at, book.last_at))
    return book


def _first(rows: list[tuple[Any, ...]]) -> Sequence[Any] | None:
    return next(iter(rows), None)


def _rows(sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def _book(row: Sequence[Any], recorded_at: datetime) -> BalanceState:
    key, user, organization, balance, held, debt, sequence, version, head_hash, last_at, *others = row
    suspended_at, suspension_actor, suspension_reason, *lists = others
    # A list without elements is null.
    grants, holds, limits = (found or () for found in lists[:3])
    return BalanceState(
        id=key,
        user_id=user,
        organization_id=organization,
        balance=balance,
        held=held,
        debt=debt,
        sequence=sequence,
        version=version,
        head_hash=bytes(head_hash),
        last_at=last_at,
        suspended_at=suspended_at,
        grants={grant.id: grant for grant in map(_grant, grants)},
        holds={hold.id: hold for hold in map(_hold, holds)},
        recorded_at=recorded_at,
        limits={limit.id: limit for limit in map(_limit, limits)},
        suspension_actor_id=suspension_actor,
        suspension_reason=suspension_reason,
    )


def _loaded(row: Sequence[Any], recorded_at: datetime) -> Loaded:
    requests, prices = row[-2:]
    book = _book(row, recorded_at)
    return Loaded(
        book,
        {
            (_uuid(caller), key): Remembered(bytes.fromhex(fingerprint), answer, _uuid(transaction), _uuid(hold))
            for caller, key, fingerprint, answer, transaction, hold in requests or ()
        },
        {feature: Price(UUID(price), credits) for feature, price, credits in prices or ()},
    )


def _grant(fields: list[Any]) -> Grant:
    key, source, amount, remaining, held, priority, effective_at, expires_at, voided_at, *terms = fields
    roll_cap, roll_until, feature, unit_price, transaction = terms
    return Grant(
        id=UUID(key),
        source=source,
        amount=amount,
        remaining=remaining,
        held=held,
        priority=priority,
        effective_at=datetime.fromisoformat(effective_at),
        expires_at=_time(expires_at),
        voided_at=_time(voided_at),
        roll_cap=roll_cap,
        roll_until=_time(roll_until),
        feature_id=feature,
        unit_price=None if unit_price is None else Decimal(unit_price),
        transaction_id=UUID(transaction),
    )


def _hold(fields: list[Any]) -> Hold:
    key, amount, created_at, expires_at, pins, feature, price, quantity, description, reference, metadata, *who = fields
    actor, member, request_id = who
    return Hold(
        id=UUID(key),
        amount=amount,
        created_at=datetime.fromisoformat(created_at),
        expires_at=datetime.fromisoformat(expires_at),
        pins=[(UUID(grant), pinned) for grant, pinned in pins],
        feature_id=feature,
        price_id=_uuid(price),
        quantity=quantity,
        description=description,
        reference_id=reference,
        metadata=metadata,
        actor_id=_uuid(actor),
        member_id=_uuid(member),
        request_id=request_id,
    )


def _limit(fields: list[Any]) -> Limit:
    key, member, period, amount, window_starts_at, used, set_by, set_at = fields
    return Limit(
        id=UUID(key),
        member_id=_uuid(member),
        period=period,
        amount=amount,
        window_starts_at=datetime.fromisoformat(window_starts_at),
        used=used,
        set_by_id=_uuid(set_by),
        set_at=datetime.fromisoformat(set_at),
    )


def _time(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value) if value else None


def _uuid(value: str | None) -> UUID | None:
    return UUID(value) if value else None


def _first_row(rows: list[dict[str, Any]]) -> tuple[Any, ...] | None:
    return tuple(rows[0].values()) if rows else None
