"""End, pause or resume one subscription from the shell, as a staff action."""

import json as jsonlib
from argparse import ArgumentParser
from typing import Any
from uuid import uuid4

from django.core.management.base import BaseCommand, CommandError

from fluxori.console.actions import operations
from fluxori.console.actions.base import ActionRequest
from fluxori.console.actions.catalogue import ACTIONS
from fluxori.console.models import Reason
from fluxori.core import clock
from fluxori.core.command_line import EXIT_REJECTED
from fluxori.core.errors import DomainError
from fluxori.core.ids import id_from_text
from fluxori.identity.models import Organization, User
from tiers.operations import EFFECTIVE

# The staff action of each sub-command.
_ACTIONS = {
    "end": "end_subscription",
    "pause": "pause_subscription",
    "resume": "resume_subscription",
    "cancel": "cancel_tier_change",
}


class Command(BaseCommand):
    help = (
        "End, pause or resume the subscription of one account, or cancel what is scheduled for it. The action is"
        " recorded as one of the member of staff who is named, with their permissions. Exit status 0: done; 1: failed;"
        " 2: rejected, and nothing was changed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("verb", choices=sorted(_ACTIONS), help="What to do; cancel: what is scheduled.")
        owner = parser.add_mutually_exclusive_group(required=True)
        owner.add_argument("--email", metavar="ADDRESS", help="The user whose subscription it is.")
        owner.add_argument("--organization", metavar="ID", help="The organization, by its id or its external id.")
        parser.add_argument("--staff", metavar="ADDRESS", required=True, help="The member of staff who acts.")
        parser.add_argument("--reason", choices=Reason.values, required=True, help="The customer can read it.")
        parser.add_argument("--note", default="", metavar="TEXT", help="Details for colleagues.")
        parser.add_argument("--ticket", default="", metavar="TEXT", help="The support ticket.")
        parser.add_argument("--effective", choices=EFFECTIVE, help="Of an end. Default: nextPeriod.")
        parser.add_argument("--dry-run", action="store_true", help="Print what would change; change nothing.")
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

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
        effective: str | None,
        dry_run: bool,
        json: bool,
        **_: Any,
    ) -> None:
        if effective is not None and verb != "end":
            raise CommandError("--effective is an option of end only.")
        request = ActionRequest(
            action=ACTIONS[_ACTIONS[verb]],
            owner=_user(email) if email is not None else _organization(organization or ""),
            arguments={"effective": effective or "nextPeriod"} if verb == "end" else {},
            actor=_user(staff),
            at=clock.now(),
            reason=reason,
            note=note,
            ticket=ticket,
            idempotency_key=str(uuid4()),
        )
        try:
            if dry_run:
                preview = operations.preview(request)
                summary, facts = f"Would do: {preview.button}", dict(preview.facts)
            else:
                performed = operations.perform(request)
                summary, facts = performed.row.summary, {}
        except DomainError as error:
            raise CommandError(f"{error.code}: {error}", returncode=EXIT_REJECTED) from None
        if json:
            report = {"action": request.action.code, "dryRun": dry_run, "summary": summary, "facts": facts}
            self.stdout.write(jsonlib.dumps(report))
            return
        self.stdout.write(summary)
        for label, text in facts.items():
            self.stdout.write(f"{label}: {text}")


def _user(email: str) -> User:
    user = User.objects.filter(email=email).first()
    if user is None:
        raise CommandError(f"There is no user {email!r}.")
    return user


def _organization(name: str) -> Organization:
    organization_id = id_from_text(name)
    by_id = Organization.objects.filter(pk=organization_id).first() if organization_id else None
    organization = by_id or Organization.objects.filter(external_id=name).first()
    if organization is None:
        raise CommandError(f"There is no organization with the id or the external id {name!r}.")
    return organization
