"""End, pause or resume one subscription from the shell, as a staff action."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from fluxori.console.management.staff_action_command import StaffActionCommand
from tiers.operations import EFFECTIVE

# The staff action of each sub-command.
_ACTIONS = {
    "end": "end_subscription",
    "pause": "pause_subscription",
    "resume": "resume_subscription",
    "cancel": "cancel_tier_change",
}


class Command(StaffActionCommand):
    help = (
        "End, pause or resume the subscription of one account, or cancel what is scheduled for it. The action is"
        " recorded as one of the member of staff who is named, with their permissions. Exit status 0: done; 1: failed;"
        " 2: rejected, and nothing was changed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("verb", choices=sorted(_ACTIONS), help="What to do; cancel: what is scheduled.")
        parser.add_argument("--effective", choices=EFFECTIVE, help="Of an end. Default: nextPeriod.")
        self.add_action_arguments(parser)

    def handle(self, *, verb: str, effective: str | None, **options: Any) -> None:
        if effective is not None and verb != "end":
            raise CommandError("--effective is an option of end only.")
        arguments = {"effective": effective or "nextPeriod"} if verb == "end" else {}
        self.run_action(_ACTIONS[verb], arguments, **options)
