"""A large ledger in seconds, for tests of query plans: a small one from ``seed_ledger``, copied under new ids.

The copies have the sizes and distributions of the original. Their hashes are those of the original, so only the
original passes the verification.
"""

from django.apps import apps
from django.db import connection

from fluxori.devtools.bench import seeding
from tests.support.database import as_owner

ORIGINAL = 4_000
_COPIED = (
    "identity.User",
    "identity.Organization",
    "identity.Membership",
    "credits.CreditBalance",
    "credits.CreditTransaction",
    "credits.CreditGrant",
    "credits.CreditEntry",
    "credits.CreditHold",
    "credits.CreditPin",
    "credits.CreditRequest",
    "tiers.Subscription",
    "tiers.MonthlyAllocation",
)
# References to rows that are not copied, and columns that PostgreSQL numbers.
_SHARED, _NUMBERED = {"price_id"}, {"number"}


def seed_ledger(transactions: int) -> None:
    """Write a ledger of about this many transactions, and analyze it."""
    seeding.fill(ORIGINAL, number=5)
    copies = transactions // ORIGINAL - 1
    with as_owner(), connection.cursor() as cursor:
        # The triggers of the ledger check what an operation writes, row by row.
        cursor.execute("SET session_replication_role = replica")
        try:
            for name in _COPIED:
                cursor.execute(_copy_statement(name), [copies])
        finally:
            cursor.execute("RESET session_replication_role")
    seeding.analyze()


def _copy_statement(name: str) -> str:
    """Return the statement that inserts each row of a table again, with ids that depend on the number of the copy."""
    fields = [field for field in apps.get_model(name)._meta.concrete_fields if field.column not in _NUMBERED]
    values = {field.column: f"t.{field.column}" for field in fields}
    for field in fields:
        column = field.column
        if column == "email":
            values[column] = f"n || '-' || t.{column}"
        elif field.target_field.get_internal_type() == "UUIDField" if field.is_relation else field.primary_key:
            values[column] = f"md5(t.{column}::text || n)::uuid" if column not in _SHARED else f"t.{column}"
    table = apps.get_model(name)._meta.db_table
    columns, selected = ", ".join(values), ", ".join(values.values())
    return f"INSERT INTO {table} ({columns}) SELECT {selected} FROM {table} AS t CROSS JOIN generate_series(1, %s) AS n"
