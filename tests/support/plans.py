"""Query plans of the statements that a block of code runs: which of them read a large table without an index.

The statements are recorded by an execute wrapper of Django and explained afterwards. Prepared statements are explained
with parameters instead of values, because the sessions of the project use generic plans.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from django.db import connection

from fluxori.db.statements import _PreparedCursor

# These grow with the number of requests. The others have a row for each owner, tier, feature or price at most: a small
# table is read completely because that is faster.
LEDGER = (
    "credits_credittransaction",
    "credits_creditentry",
    "credits_creditgrant",
    "credits_credithold",
    "credits_creditpin",
    "credits_creditrequest",
    "tiers_monthlyallocation",
)
_EXPLAINABLE = re.compile(r"^(--[^\n]*\n|\s)*(SELECT|INSERT|UPDATE|DELETE|WITH|\()", re.IGNORECASE)
_PARAMETER = re.compile(r"%\((\w+)\)s|%s|%%")


class Statement(NamedTuple):
    """A statement as it was sent, with its values unless it is a prepared one."""

    sql: str
    values: Any
    is_prepared: bool


@contextmanager
def recorded_statements() -> Iterator[list[Statement]]:
    """Record each statement of the block once."""
    recorded: dict[str, Statement] = {}

    def record(execute: Any, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if _EXPLAINABLE.match(sql):
            is_prepared = isinstance(context["cursor"].cursor, _PreparedCursor)
            recorded.setdefault(sql, Statement(sql, params, is_prepared))
        return execute(sql, params, many, context)

    statements: list[Statement] = []
    with connection.execute_wrapper(record):
        yield statements
    statements += recorded.values()


def reads_without_index(statement: Statement) -> list[str]:
    """Return the ledger tables that the plan reads from the beginning to the end, each with its kind of node."""
    [[[explained]]] = _explain(statement)
    return sorted(set(_complete_reads(explained["Plan"])))


def _explain(statement: Statement) -> Any:
    with connection.cursor() as cursor:
        if statement.is_prepared:
            cursor.execute(f"EXPLAIN (FORMAT JSON, GENERIC_PLAN) {_numbered(statement.sql)}")
        else:
            cursor.execute(f"EXPLAIN (FORMAT JSON) {statement.sql}", statement.values)
        rows = cursor.fetchall()
    return [[json.loads(value) if isinstance(value, str) else value for value in row] for row in rows]


def _numbered(sql: str) -> str:
    """Return the statement with the parameters of PostgreSQL, ``$1``, in place of those of psycopg."""
    numbers: dict[str, int] = {}

    def number(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        return f"${numbers.setdefault(match[1] or str(len(numbers)), len(numbers) + 1)}"

    return _PARAMETER.sub(number, sql)


def _complete_reads(node: dict[str, Any], *, is_limited: bool = False) -> Iterator[str]:
    table = node.get("Relation Name")
    if table in LEDGER:
        has_condition = "Index Cond" in node
        is_index_scan = node["Node Type"] in ("Index Scan", "Index Only Scan")
        if node["Node Type"] == "Seq Scan" or (is_index_scan and not has_condition and not is_limited):
            yield f"{node['Node Type']} of {table}"
    is_limited = node["Node Type"] == "Limit" or (is_limited and node["Node Type"] not in ("Sort", "Aggregate", "Hash"))
    for child in node.get("Plans", ()):
        yield from _complete_reads(child, is_limited=is_limited)
