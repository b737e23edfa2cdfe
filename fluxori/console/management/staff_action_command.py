"""The base class of the commands that perform one staff action on one account."""

from argparse import ArgumentParser
from typing import Any
from uuid import uuid4

from django.core.management.base import CommandError

from fluxori.console.actions import operations
from fluxori.console.actions.base import ActionRequest
from fluxori.console.actions.catalogue import ACTIONS
from fluxori.console.actions.owners import find_organization, find_user
from fluxori.console.models import Reason
from fluxori.core import clock
from fluxori.core.command_line import EXIT_REJECTED
from fluxori.core.errors import DomainError
from fluxori.db.operator_command import OperatorCommand
from fluxori.identity.errors import OrganizationNotFoundError, UserNotFoundError
from fluxori.identity.models import Organization, User


class StaffActionCommand(OperatorCommand):
    """A command that performs a staff action as the member of staff who is named, or shows its preview."""

    def add_action_arguments(self, parser: ArgumentParser) -> None:
        """Add the options that every staff action has: the account, who acts and why, and how to report it."""
        owner = parser.add_mutually_exclusive_group(required=True)
        owner.add_argument("--email", metavar="ADDRESS", help="The user whose account it is.")
        owner.add_argument("--organization", metavar="ID", help="The organization, by its id or its external id.")
        parser.add_argument("--staff", metavar="ADDRESS", required=True, help="The member of staff who acts.")
        parser.add_argument("--reason", choices=Reason.values, required=True, help="The customer can read it.")
        parser.add_argument("--note", default="", metavar="TEXT", help="Details for colleagues.")
        parser.add_argument("--ticket", default="", metavar="TEXT", help="The support ticket.")
        parser.add_argument("--key", metavar="TEXT", help="A second run with the same key changes nothing.")
        parser.add_argument("--dry-run", action="store_true", help="Print what would change; change nothing.")
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def run_action(
        self,
        code: str,
        arguments: dict[str, Any],
        *,
        email: str | None,
        organization: str | None,
        staff: str,
        reason: str,
        note: str,
        ticket: str,
        key: str | None,
        dry_run: bool,
        json: bool,
        **_: Any,
    ) -> None:
        """Perform the staff action ``code`` or show its preview, and print the result.

        :raises CommandError: with status 2, if an account is unknown or the action is rejected; nothing was changed
        """
        request = ActionRequest(
            action=ACTIONS[code],
            owner=_user(email) if email is not None else _organization(organization or ""),
            arguments=arguments,
            actor=_user(staff),
            at=clock.now(),
            reason=reason,
            note=note,
            ticket=ticket,
            idempotency_key=key or str(uuid4()),
        )
        try:
            summary, facts, replayed = _preview(request) if dry_run else _perform(request)
        except DomainError as error:
            raise CommandError(f"{error.code}: {error}", returncode=EXIT_REJECTED) from None
        if json:
            self.write_json(
                {"action": code, "dryRun": dry_run, "replayed": replayed, "summary": summary, "facts": facts}
            )
            return
        self.stdout.write(f"{'Done before: ' if replayed else ''}{summary}")
        for label, text in facts.items():
            self.stdout.write(f"{label}: {text}")


def _preview(request: ActionRequest) -> tuple[str, dict[str, str], bool]:
    preview = operations.preview(request)
    if preview.exceeded_ceiling is not None:
        raise preview.exceeded_ceiling
    return f"Would do: {preview.no_op_reason or preview.button}", dict(preview.facts), False


def _perform(request: ActionRequest) -> tuple[str, dict[str, str], bool]:
    performed = operations.perform(request)
    return performed.row.summary, {}, performed.replayed


def _user(email: str) -> User:
    try:
        return find_user(email)
    except UserNotFoundError:
        raise CommandError(f"There is no user {email!r}.", returncode=EXIT_REJECTED) from None


def _organization(text: str) -> Organization:
    try:
        return find_organization(text)
    except OrganizationNotFoundError:
        raise CommandError(
            f"There is no organization with the id or the external id {text!r}.", returncode=EXIT_REJECTED
        ) from None
