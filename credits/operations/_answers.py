"""From what was recorded, or remembered, to what the caller is given: the row itself, with the balance beside it."""

from typing import Any, TypeVar

from django.db.models import Model, Prefetch

from credits.models import CreditEntry, CreditTransaction
from credits.operations import _rows as rows
from credits.operations._ledger import Answer

M = TypeVar("M", bound=Model)


def transaction_of(answer: Answer) -> CreditTransaction:
    """Return the answer's transaction with its entries, the balance ``after`` it, and whether it is a replay."""
    if answer.transaction is not None:
        found = _stored(CreditTransaction, rows.transaction(answer.transaction))
        entries = [_stored(CreditEntry, rows.entry(answer.transaction, part)) for part in answer.transaction.entries]
        _prefetched(found, "entries", entries)
    else:
        assert answer.transaction_id is not None
        # Every index of the entries leads with the balance, so the balance must be said.
        entries_of = CreditEntry.objects.filter(balance_id=answer.balance_id).order_by("position")
        found = CreditTransaction.objects.prefetch_related(Prefetch("entries", entries_of)).get(
            balance_id=answer.balance_id, pk=answer.transaction_id
        )
    found.after = answer.after
    found.alongside = answer.alongside
    found.replayed = answer.replayed
    return found


def _stored(model: type[M], columns: dict[str, Any]) -> M:
    made = model(**columns)
    made._state.adding = False  # noqa: SLF001 - Django has no public way to say that a row is in the database
    return made


def _prefetched(row: Model, relation: str, related: list[M]) -> None:
    """Let ``row.<relation>.all()`` answer with ``related`` instead of asking the database."""
    found = getattr(row, relation).all()
    found._result_cache = related  # noqa: SLF001 - what prefetch_related does
    found._prefetch_done = True  # noqa: SLF001 - what prefetch_related does
    row._prefetched_objects_cache = {relation: found}  # type: ignore[attr-defined]  # noqa: SLF001 - likewise
