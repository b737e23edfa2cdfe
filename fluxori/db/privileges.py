"""The database privileges of the application, computed from what the models declare.

The application logs in as a role that owns nothing. It is not granted an operation that a trigger of the table rejects
on every row: the owner of a table can disable its triggers, and this role cannot. History tables, which have no
trigger, are written once. A table without a model is only read. Nothing else lists tables, so a new one cannot be
forgotten.
"""

from dataclasses import dataclass

import pgtrigger
from django.apps import apps
from django.db import connection, models, transaction
from psycopg import sql
from simple_history.models import HistoricalChanges

# The operations on rows, in the order in which they are granted. TRUNCATE and all definitions belong to the owner.
OPERATIONS = ("SELECT", "INSERT", "UPDATE", "DELETE")
_NEVER = ("TRUNCATE", "REFERENCES", "TRIGGER")

_RELATIONS = """
SELECT c.relname, pg_has_role(%(role)s, c.relowner, 'MEMBER'), pg_has_role(current_user, c.relowner, 'USAGE')
  FROM pg_class c
 WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
 ORDER BY c.relname
"""
_HELD = """
SELECT p.name FROM unnest(%(privileges)s::text[]) WITH ORDINALITY AS p (name, number)
 WHERE has_table_privilege(%(role)s, format('%%I.%%I', current_schema(), %(table)s), p.name)
 ORDER BY p.number
"""
# Two concurrent runs would change the same rows of the catalog, and one of them would fail.
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('fluxori.db.privileges'))"


class PrivilegeError(Exception):
    """The privileges cannot be granted. The message is one line for the operator."""


@dataclass(frozen=True, slots=True)
class TablePrivileges:
    table: str
    privileges: tuple[str, ...]


def privileges_of(model: type[models.Model]) -> tuple[str, ...]:
    """Return the operations on the table of ``model`` that the application may perform."""
    rejected = {"UPDATE", "DELETE"} if issubclass(model, HistoricalChanges) else set()
    for trigger in getattr(model._meta, "triggers", ()):  # noqa: SLF001 - Django documents it
        if isinstance(trigger, pgtrigger.Protect) and trigger.condition is None:
            rejected |= set(str(trigger.operation).split(" OR "))
    return tuple(operation for operation in OPERATIONS if operation not in rejected)


@transaction.atomic
def grant_privileges(role: str) -> list[TablePrivileges]:
    """Give ``role`` the privileges of the application on all tables, and take all others from it. Repeatable.

    :raises PrivilegeError: there is no such role, the current role does not own the tables, or ``role`` would have more
        than these privileges, because it is a superuser, owns a table, or inherits them
    """
    with connection.cursor() as cursor:
        cursor.execute(_LOCK)
        cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [role])
        if cursor.fetchone() is None:
            raise PrivilegeError(f"There is no role {role}. Create it: CREATE ROLE {role} LOGIN PASSWORD '...'")
        cursor.execute(_RELATIONS, {"role": role})
        relations = cursor.fetchall()
        for table, is_owner, is_owned in relations:
            if is_owner:
                raise PrivilegeError(f"The role {role} can act as the owner of {table}; name a role that owns nothing.")
            if not is_owned:
                raise PrivilegeError(f"The current role does not own {table}; run this as the owner of the tables.")
        _run("REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {role}", role)
        _run("REVOKE ALL ON ALL SEQUENCES IN SCHEMA {schema} FROM {role}", role)
        _run("REVOKE ALL ON SCHEMA {schema} FROM {role}", role)
        _run("GRANT USAGE ON SCHEMA {schema} TO {role}", role)
        _run("GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role}", role)
        wanted = _wanted_privileges([table for table, *_ in relations])
        for each in wanted:
            _run(f"GRANT {', '.join(each.privileges)} ON {{schema}}.{{table}} TO {{role}}", role, each.table)
        for each in wanted:
            cursor.execute(_HELD, {"role": role, "table": each.table, "privileges": [*OPERATIONS, *_NEVER]})
            excess = [name for (name,) in cursor.fetchall() if name not in each.privileges]
            if excess:
                raise PrivilegeError(
                    f"The role {role} inherits {', '.join(excess)} on {each.table}; revoke that first."
                )
        cursor.execute("SELECT has_schema_privilege(%s, current_schema(), 'CREATE')", [role])
        if cursor.fetchone() == (True,):
            raise PrivilegeError(f"The role {role} inherits CREATE on the schema; revoke that first.")
    return wanted


def _wanted_privileges(tables: list[str]) -> list[TablePrivileges]:
    every_model = apps.get_models(include_auto_created=True)
    by_table = {model._meta.db_table: privileges_of(model) for model in every_model}  # noqa: SLF001 - documented
    return [TablePrivileges(table, by_table.get(table, ("SELECT",))) for table in tables]


def _run(statement: str, role: str, table: str = "") -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        [schema] = cursor.fetchone()
        names = {"schema": sql.Identifier(schema), "role": sql.Identifier(role), "table": sql.Identifier(table or " ")}
        cursor.execute(sql.SQL(statement).format(**names))
