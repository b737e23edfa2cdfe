"""Reset the test database after a test that commits.

Django ends such a test with a flush, but the triggers of the ledger reject TRUNCATE. ``restore_migrated_rows`` disables
the triggers for its own TRUNCATE only. Then it inserts the rows that the migrations wrote (features, prices, tiers), so
that every test starts with the same data. ``conftest.py`` installs it in place of the flush.
"""

from django.db import connection
from django.test import TransactionTestCase

SAVE = """
DO $$
DECLARE
    name text;
BEGIN
    IF to_regnamespace('as_migrated') IS NOT NULL THEN
        RETURN;
    END IF;
    CREATE SCHEMA as_migrated;
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        EXECUTE format('CREATE TABLE as_migrated.%I AS TABLE public.%I', name, name);
    END LOOP;
END
$$
"""

RESTORE = """
DO $$
DECLARE
    name text;
    tables text;
BEGIN
    SET LOCAL session_replication_role = replica;
    SELECT string_agg(format('public.%I', tablename), ', ') INTO tables FROM pg_tables WHERE schemaname = 'as_migrated';
    EXECUTE 'TRUNCATE ' || tables;
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'as_migrated' LOOP
        EXECUTE format('INSERT INTO public.%I OVERRIDING SYSTEM VALUE SELECT * FROM as_migrated.%I', name, name);
    END LOOP;
END
$$
"""


def save_migrated_rows() -> None:
    """Copy the rows that the migrations wrote into the schema ``as_migrated``, once per database."""
    _run(SAVE)


def restore_migrated_rows(test: TransactionTestCase | None = None) -> None:
    """Truncate every table and insert the rows that the migrations wrote; replaces Django's flush after a test."""
    _run(RESTORE)


def _run(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)
