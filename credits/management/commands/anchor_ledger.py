"""Write the last hash of every balance to a file to keep outside the database. Read-only."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from credits import verification
from credits.models import CreditBalance
from credits.verification import Anchor
from fluxori.core import clock
from fluxori.core.command_line import EXIT_FAILED, Progress
from fluxori.db.operator_command import OperatorCommand


class Command(OperatorCommand):
    help = (
        "Write an anchor: the sequence number and the hash of the last transaction of every balance, and a closing line"
        " with a digest. Keep the file outside the database; verify_ledger --anchor FILE proves that nothing before it"
        " has changed. Nothing is written to the database. Exit status 0: the file is complete; 1: there is no file,"
        " because it exists already, cannot be written, or a balance is damaged."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE", help="The file to create; an existing one is kept.")
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, *, file: Path, json: bool, **_: Any) -> None:
        try:
            with Progress("balances", stream=self.stderr, total=CreditBalance.objects.count()) as progress:
                anchor = verification.write_anchor(file, at=clock.now(), on_page=progress.advance)
        except verification.AnchorError as error:
            raise CommandError(str(error), returncode=EXIT_FAILED) from None
        if json:
            self.write_json(_as_json(anchor))
        else:
            self.stdout.write(_as_text(anchor, file))


def _as_text(anchor: Anchor, file: Path) -> str:
    return (
        f"{anchor.balances:,} balances, {anchor.transactions:,} transactions of ledger {anchor.ledger_id} anchored at"
        f" {anchor.anchored_at.isoformat()} in {file}, digest {anchor.digest}"
    )


def _as_json(anchor: Anchor) -> dict[str, Any]:
    return {
        "ledgerId": str(anchor.ledger_id),
        "anchoredAt": anchor.anchored_at.isoformat(),
        "balances": anchor.balances,
        "transactions": anchor.transactions,
        "digest": anchor.digest,
    }
