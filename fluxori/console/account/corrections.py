"""Transactions together with the transactions that they correct and that correct them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from credits.models import CreditTransaction, Feature


@dataclass(slots=True)
class TransactionWithCorrections:
    """A transaction, the transaction that it corrects, and the refunds or reversals of it."""

    row: CreditTransaction
    feature: Feature | None
    corrects: CreditTransaction | None = None
    corrected_by: list[CreditTransaction] = field(default_factory=list)

    @property
    def uncorrected_amount(self) -> int:
        """How many credits of a usage are not refunded yet, or of a purchase not reversed yet."""
        return abs(self.row.amount) - sum(abs(row.amount) for row in self.corrected_by)


def load_corrections(
    transactions: Sequence[CreditTransaction], features: dict[str, Feature]
) -> list[TransactionWithCorrections]:
    """Return transactions of one balance with their corrections, in two queries for all of them."""
    if not transactions:
        return []
    loaded: dict[UUID, TransactionWithCorrections] = {
        row.pk: TransactionWithCorrections(row, features.get(row.feature_id or "")) for row in transactions
    }
    same_balance = CreditTransaction.objects.filter(balance=transactions[0].balance_id)
    corrected = same_balance.in_bulk([row.reverses_id for row in transactions if row.reverses_id])
    for transaction in loaded.values():
        transaction.corrects = corrected.get(transaction.row.reverses_id)
    for correction in same_balance.filter(reverses__in=list(loaded)).order_by("sequence"):
        if correction.reverses_id is not None:
            loaded[correction.reverses_id].corrected_by.append(correction)
    return list(loaded.values())
