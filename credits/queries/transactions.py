"""Reads of transactions: the history of a balance, one transaction explained, and what a correction needs to know of
it.

Every index of the ledger leads with the balance, so what belongs to a transaction is read by (balance, id).
"""

from collections.abc import Collection
from dataclasses import fields
from datetime import datetime
from uuid import UUID

from django.db.models import Prefetch, Q, QuerySet, Sum, prefetch_related_objects
from django.db.models.functions import Coalesce

from credits.domain import burn_order, errors
from credits.domain.records import Grant
from credits.models import CreditEntry, CreditGrant, CreditTransaction
from fluxori.identity.owner import Owner, OwnerLike

_GRANT = tuple(each.name for each in fields(Grant))


def get_transaction_history(*, owner: OwnerLike) -> QuerySet[CreditTransaction]:
    """Return the owner's transactions, newest first; none without a balance. Slice or filter it further."""
    return CreditTransaction.objects.filter(balance_id=Owner.of(owner).id).order_by("-sequence")


def get_transaction(*, transaction_id: UUID, visible: Q | None = None) -> CreditTransaction:
    """Return one transaction with its entries, their grants, its price and the transactions that reverse it.

    :raises TransactionNotFoundError: there is none, or none within ``visible``
    """
    transaction = (
        CreditTransaction.objects.filter(visible or Q(), pk=transaction_id)
        .select_related("balance", "price", "actor")
        .first()
    )
    if transaction is None:
        raise errors.TransactionNotFoundError(transaction_id=transaction_id)
    balance_id = transaction.balance_id
    prefetch_related_objects(
        [transaction],
        Prefetch("entries", CreditEntry.objects.filter(balance=balance_id).order_by("position")),
        Prefetch("entries__grant", CreditGrant.objects.filter(balance=balance_id)),
        Prefetch("reversed_by", CreditTransaction.objects.filter(balance=balance_id).order_by("sequence")),
    )
    return transaction


def locate_transaction(*, transaction_id: UUID) -> tuple[Owner, list[UUID], UUID | None]:
    """Return the owner of a transaction, the grants that it changed or created, and the member it was for.

    None of these ever change.

    :raises TransactionNotFoundError: there is no such transaction
    """
    transaction = CreditTransaction.objects.select_related("balance").filter(pk=transaction_id).first()
    if transaction is None:
        raise errors.TransactionNotFoundError(transaction_id=transaction_id)
    balance_id = transaction.balance_id
    changed = CreditEntry.objects.filter(balance=balance_id, transaction=transaction_id, grant__isnull=False)
    created = CreditGrant.objects.filter(balance=balance_id, transaction=transaction_id)
    grants = {*changed.values_list("grant", flat=True), *created.values_list("pk", flat=True)}
    return transaction.balance.owner, [grant for grant in grants if grant is not None], transaction.member_id


def get_correction_state(*, transaction_id: UUID) -> tuple[CreditTransaction, int]:
    """Return a transaction with its entries, and how many whole credits of it were refunded or reversed before."""
    transaction = CreditTransaction.objects.get(pk=transaction_id)
    entries = CreditEntry.objects.filter(balance=transaction.balance_id).order_by("position")
    prefetch_related_objects([transaction], Prefetch("entries", entries))
    linked = CreditTransaction.objects.filter(balance=transaction.balance_id, reverses=transaction_id)
    total: int = linked.aggregate(total=Coalesce(Sum("amount"), 0))["total"]
    return transaction, abs(total)


def expired_at_once(refund: CreditTransaction) -> int:
    """Return how many whole credits of a refund left at once, because their grants had expired.

    The expiries follow the refund directly, at the same instant.
    """
    grants = {entry.grant_id for entry in refund.entries.all()}
    following = CreditEntry.objects.filter(
        balance=refund.balance_id,
        transaction__balance=refund.balance_id,
        transaction__sequence__gt=refund.sequence,
        transaction__timestamp=refund.timestamp,
    ).order_by("transaction__sequence")
    expired = 0
    for type_, grant_id, amount in following.values_list("transaction__type", "grant", "amount"):
        if type_ not in {CreditTransaction.Type.EXPIRY, CreditTransaction.Type.ROLLOVER}:
            break
        if type_ == CreditTransaction.Type.EXPIRY and grant_id in grants:
            expired -= amount
    return expired


def extended_copies(
    grants: Collection[UUID], *, balance_ids: Collection[UUID], at: datetime | None = None
) -> dict[UUID, Grant]:
    """Return, for each of these grants that was extended, the copy that lasts longest, as of ``at`` or now."""
    copies = CreditGrant.objects.filter(balance__in=balance_ids).exclude(source="rollover")
    if at is not None:
        copies = copies.filter(effective_at__lte=at)
    result: dict[UUID, Grant] = {}
    origins = {grant: grant for grant in grants}
    while rows := list(copies.filter(parent__in=origins)):
        origins = {row.pk: origins[row.parent_id] for row in rows if row.parent_id is not None}
        for row in rows:
            copy = Grant(**{name: getattr(row, name) for name in _GRANT})
            if at is not None and copy.voided_at is not None and copy.voided_at > at:
                copy.voided_at = None
            known = result.get(origins[copy.id])
            if known is None or _lasts(known) < _lasts(copy):
                result[origins[copy.id]] = copy
    return result


def _lasts(grant: Grant) -> tuple[datetime, UUID]:
    return grant.expires_at or burn_order.NEVER, grant.id


def lost_credits(grants: set[UUID], *, balance_id: UUID) -> int:
    """Return how many whole credits of these grants left unused: by expiry, void or an adjustment downwards."""
    entries = CreditEntry.objects.filter(balance=balance_id, grant__in=grants)
    left = Q(transaction__type__in=("expiry", "void")) | Q(transaction__type="adjustment", transaction__amount__lt=0)
    total: int = entries.filter(left).aggregate(total=Coalesce(Sum("amount"), 0))["total"]
    return -total


def grants_from(transaction: CreditTransaction) -> set[UUID]:
    """Return the grants that a transaction created, and all grants that their credits were moved to afterwards."""
    grants = CreditGrant.objects.filter(balance=transaction.balance_id)
    result: set[UUID] = set()
    newest = set(grants.filter(transaction=transaction.pk).values_list("pk", flat=True))
    while newest:
        result |= newest
        newest = set(grants.filter(parent__in=newest).values_list("pk", flat=True))
    return result
