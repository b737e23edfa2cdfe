"""Grant the application's role what it needs on every table, and nothing else. Run it after each migration."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from fluxori.core.command_line import EXIT_FAILED
from fluxori.db.operator_command import OperatorCommand
from fluxori.db.privileges import PrivilegeError, grant_privileges


class Command(OperatorCommand):
    help = (
        "Grant a role the privileges of the application: no UPDATE or DELETE where a trigger of the table rejects it,"
        " no TRUNCATE, and no change of definitions. All other privileges on the tables are revoked from the role. Run"
        " it as the owner of the tables after each migration. Exit status 0: done; 1: there is no such role, it would"
        " have more privileges than these, or the current role does not own the tables; nothing was changed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("role", metavar="ROLE", help="The role as which the application logs in.")
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, *, role: str, json: bool, **_: Any) -> None:
        try:
            granted = grant_privileges(role)
        except PrivilegeError as error:
            raise CommandError(str(error), returncode=EXIT_FAILED) from None
        tables = {each.table: list(each.privileges) for each in granted}
        if json:
            self.write_json({"role": role, "tables": tables})
        else:
            self.stdout.write(_as_text(role, tables))


def _as_text(role: str, tables: dict[str, list[str]]) -> str:
    lines = [f"{table}: {', '.join(privileges)}" for table, privileges in tables.items()]
    return "\n".join([*lines, f"Granted to {role} on {len(tables)} tables"])
