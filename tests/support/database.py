"""Reset the test database after a test that commits.

Django ends such a test with a flush, but the triggers of the ledger reject TRUNCATE and DELETE.
``restore_migrated_rows`` disables the triggers for its own statements only. It restores the rows that the migrations
wrote (features, prices, tiers), so that every test starts with the same data. ``conftest.py`` installs it in place of
the flush.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from django.db import DatabaseError, connection
from django.test import TransactionTestCase

from fluxori.db.privileges import grant_privileges

# The size of a table, in bytes, from which it is truncated.
LARGE = 256 * 1024

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

# A table is restored only if it changed, by DELETE: TRUNCATE of all tables takes five times as long.
# Dead rows would influence the plans of later tests, so TRUNCATE is used after a test that wrote much.
RESTORE = f"""
DO $$
DECLARE
    name text;
    is_changed boolean;
    changed text[] := '{{}}';
    is_large boolean := false;
BEGIN
    SET LOCAL session_replication_role = replica;
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'as_migrated' LOOP
        EXECUTE format(
            'WITH new AS (SELECT md5(t::text) FROM public.%1$I AS t),'
            ' old AS (SELECT md5(t::text) FROM as_migrated.%1$I AS t)'
            ' SELECT EXISTS (TABLE new EXCEPT ALL TABLE old) OR EXISTS (TABLE old EXCEPT ALL TABLE new)',
            name
        ) INTO is_changed;
        is_large := is_large OR pg_relation_size(format('public.%I', name)::regclass) > {LARGE};
        IF is_changed THEN
            changed := changed || name;
        END IF;
    END LOOP;
    IF is_large THEN
        SELECT array_agg(tablename) INTO changed FROM pg_tables WHERE schemaname = 'as_migrated';
        EXECUTE 'TRUNCATE ' || (SELECT string_agg(format('public.%I', t), ', ') FROM unnest(changed) t);
    END IF;
    FOREACH name IN ARRAY changed LOOP
        EXECUTE format('DELETE FROM public.%I', name);
        EXECUTE format('INSERT INTO public.%I OVERRIDING SYSTEM VALUE SELECT * FROM as_migrated.%I', name, name);
    END LOOP;
END
$$
"""


def save_migrated_rows() -> None:
    """Copy the rows that the migrations wrote into the schema ``as_migrated``, once per database."""
    _run(SAVE)


def restore_migrated_rows(test: TransactionTestCase | None = None) -> None:
    """Restore the rows of every table as the migrations wrote them; replaces Django's flush after a test."""
    with as_owner():
        _run(RESTORE)


@contextmanager
def restricted_role(unblock: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """Let every new connection use a role with the privileges of the application, as ``grant_privileges`` grants them.

    ``unblock`` permits the use of the database.
    """
    role = f"{connection.settings_dict['NAME']}_application"
    options = connection.settings_dict["OPTIONS"]
    as_configured = options["options"]
    with unblock():
        # A run that was killed leaves the role behind.
        _run(f"DO $$ BEGIN CREATE ROLE {role}; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
        grant_privileges(role)
        connection.close()
    options["options"] = f"{as_configured} -c role={role}"
    try:
        yield
    finally:
        options["options"] = as_configured
        with unblock():
            connection.close()
            _run(f"DROP OWNED BY {role}; DROP ROLE {role}")


def _run(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


@contextmanager
def as_owner() -> Iterator[None]:
    """Use the role that owns the tables while the block runs. With ``--restricted-role`` the tests have another one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('role'), set_config('role', 'none', false)")
        [role, _] = cursor.fetchone()
        try:
            yield
        finally:
            # In a transaction that failed this fails too, and its rollback restores the role.
            with suppress(DatabaseError):
                cursor.execute("SELECT set_config('role', %s, false)", [role])
