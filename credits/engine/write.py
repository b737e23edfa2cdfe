"""Writing the changes of locked balances: one statement for all of them, with one common table expression a table.

``sql/write`` has one file for each block; a block without rows is left out, because planning an empty one costs as much
as planning a full one. Each block reads its rows by column name from one JSON parameter. Foreign keys are checked when
the statement ends, so the order of the blocks does not matter.
"""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from credits.engine.rows import Rows
from fluxori.db import statements

BLOCKS = (
    "balances",
    "transactions",
    "entries",
    "grants",
    "changed_grants",
    "holds",
    "changed_holds",
    "pins",
    "limits",
    "requests",
)
# PostgreSQL assumes that a JSON list has a hundred rows. The ids keep it from scanning a table to update that many.
_UPDATES_BY_ID = frozenset({"balances", "changed_grants", "changed_holds"})
_SQL = {name: (Path(__file__).parent / "sql" / "write" / f"{name}.sql").read_text(encoding="utf-8") for name in BLOCKS}


def empty_rows() -> Rows:
    """Return no rows for each block."""
    return {block: [] for block in BLOCKS}


def write_rows(rows: Rows) -> None:
    """Write the rows in one statement."""
    blocks = tuple(block for block in BLOCKS if rows[block])
    if not blocks:
        return
    parameters: dict[str, Any] = {block: statements.to_json(rows[block]) for block in blocks}
    for block in _UPDATES_BY_ID.intersection(blocks):
        parameters[f"{block}_ids"] = statements.array(row["id"] for row in rows[block])
    statements.execute(write_statement(blocks), parameters)


@cache
def write_statement(blocks: Iterable[str]) -> str:
    """Return the statement that writes these blocks."""
    expressions = ",\n".join(f"{block} AS (\n{_SQL[block]})" for block in blocks)
    return f"WITH {expressions}\nSELECT 1"
