"""Start-up checks of the database server: ``manage.py check --deploy --database default``.

A plain ``check`` asks no database. ``SILENCED_CHECKS`` names the checks that an installation accepts.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections

# Each setting with the values that keep every committed transaction, also after a crash.
DURABLE = {
    "fsync": {"on"},
    "full_page_writes": {"on"},
    "synchronous_commit": {"on", "local", "remote_write", "remote_apply"},
}


@register(Tags.database, deploy=True)
def check_durability(databases: Iterable[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Report the settings with which the server may lose or damage a committed transaction (``database.E001``)."""
    return [message for alias in databases or () for message in _durability_of(alias)]


def _durability_of(alias: str) -> Sequence[CheckMessage]:
    messages: list[CheckMessage] = []
    with connections[alias].cursor() as cursor:
        for name, accepted in DURABLE.items():
            cursor.execute("SELECT current_setting(%s)", [name])
            [value] = cursor.fetchone()
            if value not in accepted:
                messages.append(
                    Error(
                        f"The database server runs with {name} = {value} and may lose committed transactions.",
                        hint=f"Set {name} = on in postgresql.conf, or name database.E001 in SILENCED_CHECKS.",
                        id="database.E001",
                    )
                )
    return messages


@register(Tags.database, deploy=True)
def check_role(databases: Iterable[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Report a database role that can switch off the triggers of the ledger: an error in production.

    ``database.E002`` in production, ``database.W001`` in development, where one role does everything.
    """
    messages: list[CheckMessage] = []
    for alias in databases or ():
        with connections[alias].cursor() as cursor:
            cursor.execute(
                "SELECT EXISTS (SELECT FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
                " WHERE NOT t.tgisinternal AND pg_has_role(c.relowner, 'USAGE'))"
            )
            [owns] = cursor.fetchone()
        if owns:
            messages.append(
                CheckMessage(
                    checks.ERROR if settings.PRODUCTION else checks.WARNING,
                    "The database role owns tables of the ledger, so it can disable the triggers that protect history.",
                    hint="Let the application log in as a restricted role (docs/how-to/deploy.md), or name"
                    " database.E002 in SILENCED_CHECKS.",
                    id="database.E002" if settings.PRODUCTION else "database.W001",
                )
            )
    return messages
