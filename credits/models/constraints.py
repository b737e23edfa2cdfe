"""Triggers and foreign keys that several tables share: append-only rows, immutable columns, references in one balance.

PostgreSQL enforces the triggers for every client that does not disable them. Composite foreign keys over
``(balance_id, id)`` cannot be declared in Django; ``credits/migrations/sql/constraints.sql`` creates them.
"""

from collections.abc import Sequence
from typing import Any

import pgtrigger
from django.db import models


def forbid(*operations: Any, name: str) -> list[Any]:
    """Return triggers that reject ``operations`` on every row of the table, and TRUNCATE."""
    combined = operations[0]
    for operation in operations[1:]:
        combined |= operation
    return [
        pgtrigger.Protect(name=f"{name}_forbid", operation=combined),
        pgtrigger.Trigger(
            name=f"{name}_forbid_truncate",
            level=pgtrigger.Statement,
            when=pgtrigger.Before,
            operation=pgtrigger.Truncate,
            func="RAISE EXCEPTION 'pgtrigger: Cannot truncate rows from % table', TG_TABLE_NAME;",
        ),
    ]


def append_only(name: str) -> list[Any]:
    """Return triggers that reject UPDATE, DELETE and TRUNCATE."""
    return forbid(pgtrigger.Update, pgtrigger.Delete, name=name)


def immutable_except(fields: Sequence[str], *, model_fields: Sequence[str], name: str) -> Any:
    """Return a trigger that rejects an UPDATE of any of ``model_fields`` that is not in ``fields``."""
    immutable = [field for field in model_fields if field not in fields]
    return pgtrigger.Protect(
        name=f"{name}_immutable_columns", operation=pgtrigger.Update, condition=pgtrigger.AnyChange(*immutable)
    )


def same_balance_fk(to: Any, related_name: str, **options: Any) -> Any:
    """Return a foreign key to a row of the same balance.

    The database constraint is composite, ``(balance_id, id)``; see ``credits/migrations/sql/constraints.sql``.
    """
    return models.ForeignKey(
        to, on_delete=models.PROTECT, related_name=related_name, db_constraint=False, db_index=False, **options
    )


def unconstrained_fk(to: Any, **options: Any) -> Any:
    """Return a nullable foreign key without a database constraint, for a row that does not belong to a balance.

    Such a row (a user, a feature, a price) may be on another shard when the ledger is distributed by balance.
    """
    return models.ForeignKey(
        to, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False, null=True, **options
    )
