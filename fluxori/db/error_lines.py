"""Errors of the database as one line for an operator: what happened, and what to do.

``manage.py`` prints it instead of a traceback. ``--traceback`` prints both.
"""

from django.db import Error, InterfaceError, OperationalError

from fluxori.db.sqlstates import (
    DISK_FULL,
    INSUFFICIENT_PRIVILEGE,
    LOCK_NOT_AVAILABLE,
    QUERY_CANCELED,
    READ_ONLY_TRANSACTION,
    TOO_MANY_CONNECTIONS,
    UNDEFINED_COLUMN,
    UNDEFINED_TABLE,
    sqlstate_of,
)

_REPEAT = "what was committed before is kept, and the command can be repeated"
_LINES = {
    DISK_FULL: f"The disk of the database server is full ({{}}). Free space there; {_REPEAT}.",
    READ_ONLY_TRANSACTION: "The database is read-only ({}). DATABASE_URL must name the primary server, and its"
    " default_transaction_read_only must be off.",
    INSUFFICIENT_PRIVILEGE: "The database role lacks a privilege ({}). Run this command with the DATABASE_URL of the"
    " owner of the tables, or let the owner run: manage.py grant_privileges ROLE",
    UNDEFINED_TABLE: "The database lacks migrations of this version ({}). As the owner of the tables run: manage.py"
    " migrate",
    UNDEFINED_COLUMN: "The database lacks migrations of this version ({}). As the owner of the tables run: manage.py"
    " migrate",
    LOCK_NOT_AVAILABLE: f"Another session held a lock for longer than LOCK_TIMEOUT_MS ({{}}); {_REPEAT}.",
    QUERY_CANCELED: f"A statement was ended: STATEMENT_TIMEOUT_MS passed, or a person canceled it ({{}}); {_REPEAT}.",
    TOO_MANY_CONNECTIONS: "The database server has no free connection ({}). End some sessions or raise"
    " max_connections, then repeat the command.",
}
_UNREACHABLE = f"The database cannot be used ({{}}). Check DATABASE_URL and the server; {_REPEAT}."


def error_line(error: Error) -> str | None:
    """Return the line for an error that an operator can remove, or None for an error of the program."""
    line = _LINES.get(sqlstate_of(error) or "")
    if line is None and isinstance(error, OperationalError | InterfaceError):
        line = _UNREACHABLE
    return None if line is None else line.format(_message(error))


def _message(error: Error) -> str:
    """Return the message of PostgreSQL in one line, without the statement that it quotes."""
    text = str(error).split("\nLINE ")[0]
    return " ".join(text.split()).rstrip(".")
