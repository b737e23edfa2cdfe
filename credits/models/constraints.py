"""What several tables of the ledger share: rows that stay, and references that stay inside one balance."""

from collections.abc import Sequence
from typing import Any

import pgtrigger
from django.db import models


def never(*operations: Any, name: str) -> list[Any]:
    """Return triggers that refuse ``operations`` on every row, and TRUNCATE on the table."""
    refused = operations[0]
    for operation in operations[1:]:
        refused |= operation
    return [
        pgtrigger.Protect(name=f"{name}_stays", operation=refused),
        pgtrigger.Trigger(
            name=f"{name}_never_truncated",
            level=pgtrigger.Statement,
            when=pgtrigger.Before,
            operation=pgtrigger.Truncate,
            func="RAISE EXCEPTION 'pgtrigger: Cannot truncate rows from % table', TG_TABLE_NAME;",
        ),
    ]


def append_only(name: str) -> list[Any]:
    """Return triggers that refuse UPDATE, DELETE and TRUNCATE."""
    return never(pgtrigger.Update, pgtrigger.Delete, name=name)


def only_changes(fields: Sequence[str], *, model_fields: Sequence[str], name: str) -> Any:
    """Return a trigger that refuses an UPDATE of any column but ``fields``."""
    fixed = [field for field in model_fields if field not in fields]
    return pgtrigger.Protect(
        name=f"{name}_facts_stay", operation=pgtrigger.Update, condition=pgtrigger.AnyChange(*fixed)
    )


def inside(to: Any, related_name: str, **options: Any) -> Any:
    """Return a reference to another row of the same balance.

    The key that enforces it is (balance_id, id), which Django cannot spell: it stands in ``migrations/keys.sql``.
    """
    return models.ForeignKey(
        to, on_delete=models.PROTECT, related_name=related_name, db_constraint=False, db_index=False, **options
    )


def outside(to: Any, **options: Any) -> Any:
    """Return a reference to a row that no balance owns, without a database constraint: it may live elsewhere."""
    return models.ForeignKey(
        to, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False, null=True, **options
    )
