"""Change the credits or the tier of one account from the shell, as a staff action."""

import json as jsonlib
from argparse import ArgumentParser
from datetime import datetime
from typing import Any
from uuid import uuid4

from django.core.management.base import BaseCommand, CommandError

from fluxori.console.actions import operations
from fluxori.console.actions.base import ActionRequest
from fluxori.console.actions.catalogue import ACTIONS
from fluxori.console.actions.owners import find_organization, find_user
from fluxori.console.models import Reason
from fluxori.core import clock
from fluxori.core.command_line import EXIT_REJECTED, positive_argument, timestamp_argument
from fluxori.core.errors import DomainError

_TYPES = ("promotion", "purchase", "allocation")


class Command(BaseCommand):
    help = (
        "Add credits to one account, deduct available credits by an adjustment, or change the tier. The action is"
        " recorded as one of the member of staff who is named, with their permissions and ceiling. Exit status 0: done;"
        " 1: failed; 2: rejected, and nothing was changed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)

        add = verbs.add_parser("add", help="Add credits.")
        add.add_argument("--amount", type=positive_argument, required=True, help="Whole credits.")
        add.add_argument("--type", choices=_TYPES, default="promotion", help="Default: promotion.")
        add.add_argument("--description", default="", metavar="TEXT", help="The customer sees it in the history.")
        add.add_argument("--expires-at", type=timestamp_argument, metavar="TIME", help="Default: never.")

        deduct = verbs.add_parser("deduct", help="Deduct credits by an adjustment.")
        deduct.add_argument("--amount", type=positive_argument, required=True, help="Whole credits.")

        tier = verbs.add_parser("set-tier", help="Change the tier.")
        tier.add_argument("--tier", required=True, metavar="CODE")
        tier.add_argument("--effective", choices=("now", "nextPeriod"), default="now", help="Default: now.")
        tier.add_argument("--proration", choices=("none", "difference"), default="none", help="Default: none.")

        for verb in (add, deduct, tier):
            owner = verb.add_mutually_exclusive_group(required=True)
            owner.add_argument("--email", metavar="ADDRESS", help="The user whose account it is.")
            owner.add_argument("--organization", metavar="ID", help="The organization, by its id or its external id.")
            verb.add_argument("--staff", metavar="ADDRESS", required=True, help="The member of staff who acts.")
            verb.add_argument("--reason", choices=Reason.values, required=True, help="The customer can read it.")
            verb.add_argument("--note", default="", metavar="TEXT", help="Details for colleagues.")
            verb.add_argument("--ticket", default="", metavar="TEXT", help="The support ticket.")
            verb.add_argument("--key", metavar="TEXT", help="A second run with the same key changes nothing.")
            verb.add_argument("--dry-run", action="store_true", help="Print what would change; change nothing.")
            verb.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(
        self,
        *,
        verb: str,
        email: str | None,
        organization: str | None,
        staff: str,
        reason: str,
        note: str,
        ticket: str,
        key: str | None,
        dry_run: bool,
        json: bool,
        **options: Any,
    ) -> None:
        code, arguments = _action(verb, **options)
        try:
            request = ActionRequest(
                action=ACTIONS[code],
                owner=find_user(email) if email is not None else find_organization(organization or ""),
                arguments=arguments,
                actor=find_user(staff),
                at=clock.now(),
                reason=reason,
                note=note,
                ticket=ticket,
                idempotency_key=key or str(uuid4()),
            )
            summary, facts, replayed = _preview(request) if dry_run else _perform(request)
        except DomainError as error:
            raise CommandError(f"{error.code}: {error}", returncode=EXIT_REJECTED) from None
        if json:
            report = {"action": code, "dryRun": dry_run, "replayed": replayed, "summary": summary, "facts": facts}
            self.stdout.write(jsonlib.dumps(report))
            return
        self.stdout.write(f"{'Done before: ' if replayed else ''}{summary}")
        for label, text in facts.items():
            self.stdout.write(f"{label}: {text}")


def _action(
    verb: str,
    *,
    amount: int = 0,
    type: str = "",  # noqa: A002 - the name of the option
    description: str = "",
    expires_at: datetime | None = None,
    tier: str = "",
    effective: str = "",
    proration: str = "",
    **_: Any,
) -> tuple[str, dict[str, Any]]:
    """Return the code of the staff action and its arguments."""
    if verb == "add":
        terms = {"description": description, "expires_at": expires_at, "unit_price": None}
        return "add", {"amount": amount, "type": type, **terms}
    if verb == "deduct":
        return "adjust", {"amount": -amount}
    return "tier", {"tier": tier, "effective": effective, "proration": proration}


def _preview(request: ActionRequest) -> tuple[str, dict[str, str], bool]:
    preview = operations.preview(request)
    if preview.exceeded_ceiling is not None:
        raise preview.exceeded_ceiling
    return f"Would do: {preview.no_op_reason or preview.button}", dict(preview.facts), False


def _perform(request: ActionRequest) -> tuple[str, dict[str, str], bool]:
    performed = operations.perform(request)
    return performed.row.summary, {}, performed.replayed
