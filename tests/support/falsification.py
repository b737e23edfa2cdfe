"""Change stored rows in ways that the database forbids, to test that verification reports them."""

from collections.abc import Iterable
from types import SimpleNamespace
from uuid import UUID

from django.db import connection

from credits.verification import Difference, verify_balance
from tests.support.database import as_owner


def falsify(ids: SimpleNamespace, sql: str, without: Iterable[str] = ()) -> None:
    """Change one row of the ledger with triggers disabled and the constraints ``without`` dropped."""
    with as_owner(), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for constraint in without:
            cursor.execute("SELECT conrelid::regclass FROM pg_constraint WHERE conname = %s", [constraint])
            [(table,)] = cursor.fetchall()
            cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {constraint}")
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(sql, vars(ids))
        assert cursor.rowcount == 1
        cursor.execute("SET LOCAL session_replication_role = origin")


def falsify_without_triggers(sql: str, **parameters: UUID | bytes) -> None:
    """Run statements that change any rows of the ledger, with triggers and foreign keys disabled."""
    with as_owner(), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET LOCAL session_replication_role = replica")
        for statement in sql.split(";"):
            cursor.execute(statement, parameters)
        cursor.execute("SET LOCAL session_replication_role = origin")


def differences_of(*balance_ids: UUID) -> list[Difference]:
    """Return what verification reports for these balances."""
    return [difference for balance_id in balance_ids for difference in verify_balance(balance_id).differences]
