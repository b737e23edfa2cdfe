"""The test database between tests that commit: emptied, and as the migrations left it.

Such tests end with a flush, and the ledger refuses TRUNCATE. Here the refusal is set aside for exactly that statement;
then every row the migrations wrote is put back, so that the next test finds features, prices and tiers.
"""

from django.db import connection
from django.test import TransactionTestCase

KEEP = """
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
    every text;
BEGIN
    SET LOCAL session_replication_role = replica;
    SELECT string_agg(format('public.%I', tablename), ', ') INTO every FROM pg_tables WHERE schemaname = 'as_migrated';
    EXECUTE 'TRUNCATE ' || every;
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'as_migrated' LOOP
        EXECUTE format('INSERT INTO public.%I OVERRIDING SYSTEM VALUE SELECT * FROM as_migrated.%I', name, name);
    END LOOP;
END
$$
"""


def save_migrated_rows() -> None:
    """Remember what the migrations wrote, once per database."""
    _run(KEEP)


def restore_migrated_rows(test: TransactionTestCase | None = None) -> None:
    """Empty every table and put back what the migrations wrote; it stands in for Django's flush after a test."""
    _run(RESTORE)


def _run(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)
