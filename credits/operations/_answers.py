"""From what was recorded, or remembered, to what the caller is given: the row itself, with the balance beside it."""

from typing import Any, TypeVar

from django.db.models import Model

from credits.models import CreditEntry, CreditTransaction
from credits.operations import _rows as rows
from credits.operations._ledger import Answer

M = TypeVar("M", bound=Model)


def transaction_of(answer: Answer) -> CreditTransaction:
    """Return the answer's transaction with its entries, the balance ``after`` it, and whether it is a replay."""
    if answer.remembered is not None:
        found = CreditTransaction.objects.prefetch_related("entries").get(
            balance_id=answer.remembered.balance_id, pk=answer.remembered.transaction_id
        )
    else:
        assert answer.transaction is not None
        found = _stored(CreditTransaction, rows.transaction(answer.transaction))
        entries = [_stored(CreditEntry, rows.entry(answer.transaction, part)) for part in answer.transaction.entries]
        prefetched(found, "entries", entries)
    found.after = answer.after
    found.alongside = answer.alongside
    found.replayed = answer.remembered is not None
    return found


def _stored(model: type[M], columns: dict[str, Any]) -> M:
    made = model(**columns)
    made._state.adding = False
    return made


def prefetched(row: Model, relation: str, related: list[M]) -> None:
    """Let ``row.<relation>.all()`` answer with ``related`` instead of asking the database."""
    found = getattr(row, relation).all()
    found._result_cache = related
    found._prefetch_done = True
    row._prefetched_objects_cache = {relation: found}  # type: ignore[attr-defined]
