"""The results that operations return: frozen objects with the records, the balance after them, and the tier facts.

The first response and every replay are built here, from records planned in memory or from the stored rows, so that both
are equal. ``replayed`` is the only difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any
from uuid import UUID

from django.db.models import Prefetch
from django.db.transaction import on_commit

from credits.domain.limits import LimitStatus
from credits.domain.records import BalanceSnapshot, Entry, Grant, Hold, Transaction, TransactionDetails
from credits.engine.locked_balance import OperationResult
from credits.models import CreditEntry, CreditGrant, CreditHold, CreditPin, CreditTransaction
from credits.tier_registry import TierFacts
from fluxori.core import request_context

_DETAILS = tuple(each.name for each in fields(TransactionDetails))
_GRANT = tuple(each.name for each in fields(Grant))
_HOLD = tuple(each.name for each in fields(Hold) if each.name != "pins")


@dataclass(frozen=True, slots=True)
class TransactionResult:
    """One transaction with its entries, the balance right after it, and the tier facts of the balance."""

    transaction: Transaction
    balance: BalanceSnapshot
    tier_facts: TierFacts
    replayed: bool = False

    @property
    def grant(self) -> Grant | None:
        """The grant that the transaction created, right after it; None if it created none.

        Added credits always have a grant. Where debt took all of them, nothing of it remains.
        """
        return self.transaction.opened[0] if self.transaction.opened else None


@dataclass(frozen=True, slots=True)
class RefundResult:
    """A refund, and how many of its credits can be spent: those of expired grants left at once, others repaid debt."""

    transaction: Transaction
    made_available: int
    balance: BalanceSnapshot
    tier_facts: TierFacts
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class HoldResult:
    """A hold with its pins as the request left it, and the balance right after."""

    hold: Hold
    balance: BalanceSnapshot
    tier_facts: TierFacts
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class CaptureResult:
    """A closed hold and its usage; ``transaction`` is None if 0 credits were captured, which releases the hold."""

    hold: Hold
    transaction: Transaction | None
    balance: BalanceSnapshot
    tier_facts: TierFacts
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class VoidResult:
    """A voided grant; ``transaction`` is None if nothing remained, or if the grant was voided before."""

    transaction: Transaction | None
    balance: BalanceSnapshot
    tier_facts: TierFacts
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class TransferResult:
    """The two transactions of a transfer, each with the balance right after it."""

    source: TransactionResult
    target: TransactionResult
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class LimitResult:
    """A spending limit as the request left it, and the balance right after."""

    limit: LimitStatus
    balance: BalanceSnapshot
    replayed: bool = False


def transaction_result(result: OperationResult) -> TransactionResult:
    """Return the public result of an operation that writes a transaction."""
    return transaction_results([result])[0]


def transaction_results(results: Sequence[OperationResult]) -> list[TransactionResult]:
    """Return the public results of one balance; the stored transactions of replays are read at once."""
    stored = _stored_transactions(results)
    return [
        TransactionResult(_transaction(result, stored), result.snapshot, result.tier_facts, result.replayed)
        for result in results
    ]


def refund_extras(made_available: int) -> dict[str, Any]:
    """Return what the stored result of a refund contains in addition."""
    return {"made_available": made_available}


def refund_result(result: OperationResult) -> RefundResult:
    """Return the public result of a refund."""
    transaction = _transaction(result, _stored_transactions([result]))
    made_available = result.extras["made_available"]
    return RefundResult(transaction, made_available, result.snapshot, result.tier_facts, result.replayed)


def optional_transaction(result: OperationResult) -> Transaction | None:
    """Return the transaction of an operation that may write none."""
    if result.transaction is None and result.transaction_id is None:
        return None
    return _transaction(result, _stored_transactions([result]))


def hold_result(result: OperationResult) -> HoldResult:
    """Return the public result of an operation on a hold."""
    return HoldResult(_hold(result), result.snapshot, result.tier_facts, result.replayed)


def capture_result(result: OperationResult) -> CaptureResult:
    """Return the public result of a capture."""
    return CaptureResult(
        _hold(result), optional_transaction(result), result.snapshot, result.tier_facts, result.replayed
    )


def void_result(result: OperationResult) -> VoidResult:
    """Return the public result of a void."""
    return VoidResult(optional_transaction(result), result.snapshot, result.tier_facts, result.replayed)


def _transaction(result: OperationResult, stored: dict[UUID, Transaction]) -> Transaction:
    if result.transaction_id is not None:
        # After the commit: a preview that is rolled back has no transaction.
        on_commit(partial(request_context.add_transaction, result.transaction_id))
    if result.transaction is not None:
        return replace(result.transaction, opened=_as_created(result.transaction.opened, result.transaction.entries))
    assert result.transaction_id is not None
    return stored[result.transaction_id]


def _stored_transactions(results: Sequence[OperationResult]) -> dict[UUID, Transaction]:
    ids = [r.transaction_id for r in results if r.transaction is None and r.transaction_id is not None]
    if not ids:
        return {}
    # Every index of the ledger leads with the balance, so related rows are read by balance, too.
    balance_id = results[0].balance_id
    entries = CreditEntry.objects.filter(balance_id=balance_id).order_by("position")
    created = CreditGrant.objects.filter(balance_id=balance_id).order_by("pk")
    rows = CreditTransaction.objects.filter(balance_id=balance_id).prefetch_related(
        Prefetch("entries", entries), Prefetch("opened_grants", created)
    )
    return {row.pk: transaction_record(row) for row in rows.filter(pk__in=ids)}


def transaction_record(row: CreditTransaction) -> Transaction:
    """Return the record of a stored transaction with its entries and the grants that it created."""
    entries = [
        Entry(entry.pk, entry.grant_id, entry.position, entry.amount, entry.remaining_after)
        for entry in row.entries.all()
    ]
    created = [Grant(**{name: getattr(grant, name) for name in _GRANT}) for grant in row.opened_grants.all()]
    return Transaction(
        id=row.pk,
        balance_id=row.balance_id,
        sequence=row.sequence,
        type=row.type,
        amount=row.amount,
        balance_after=row.balance_after,
        timestamp=row.timestamp,
        recorded_at=row.recorded_at,
        details=TransactionDetails(**{name: getattr(row, name) for name in _DETAILS}),
        entries=entries,
        opened=_as_created(created, entries),
        previous_hash=bytes(row.previous_hash),
        hash_version=row.hash_version,
        hash=bytes(row.hash),
    )


def _as_created(grants: Sequence[Grant], entries: Sequence[Entry]) -> list[Grant]:
    """Return the grants as their transaction left them: later changes of a grant do not change a result."""
    remaining = {entry.grant_id: entry.remaining_after or 0 for entry in entries}
    return [
        replace(grant, remaining=remaining.get(grant.id, 0), held=0, voided_at=None)
        for grant in sorted(grants, key=lambda grant: grant.id)
    ]


def _hold(result: OperationResult) -> Hold:
    if result.hold is not None:
        return replace(result.hold)
    assert result.hold_id is not None
    pins = CreditPin.objects.filter(balance_id=result.balance_id).order_by("position")
    row = CreditHold.objects.prefetch_related(Prefetch("pins", pins)).get(
        balance_id=result.balance_id, pk=result.hold_id
    )
    columns = {name: getattr(row, name) for name in _HOLD} | (result.hold_state or {})
    return Hold(**columns, pins=[(pin.grant_id, pin.amount) for pin in row.pins.all()])
