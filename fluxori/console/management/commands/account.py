"""Change the credits or the tier of one account from the shell, as a staff action."""

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from fluxori.console.management.staff_action_command import StaffActionCommand
from fluxori.core.command_line import positive_argument, timestamp_argument

_TYPES = ("promotion", "purchase", "allocation")


class Command(StaffActionCommand):
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
            self.add_action_arguments(verb)

    def handle(self, *, verb: str, **options: Any) -> None:
        code, arguments = _action(verb, **options)
        self.run_action(code, arguments, **options)


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
