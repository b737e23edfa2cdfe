"""Compute one balance again from its history, show what differs, and repair it on request."""

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError
from django.db import OperationalError

from credits import operations, queries
from credits.operations import Change, RebuildResult
from credits.verification import Difference
from fluxori.core import clock
from fluxori.core.command_line import EXIT_FAILED, EXIT_REJECTED
from fluxori.db.chunked_work import is_busy
from fluxori.db.operator_command import OperatorCommand


class Command(OperatorCommand):
    help = (
        "Compute a balance again from its transactions, entries and holds: its row, what its grants have left, the"
        " counters of its limits, and its usage roll-ups. Print what differs; write it only with --apply, as the owner"
        " of the tables, together with a record of the repair. Exit status 0: nothing differs, or what differs can be"
        " or was repaired; 1: the history itself is damaged or the repair is not allowed, and nothing was written; 2:"
        " the balance is locked, try again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("balance", type=UUID, metavar="ID", help="The balance: the id of its owner.")
        parser.add_argument("--apply", action="store_true", help="Write the repair; needs --reason.")
        parser.add_argument("--reason", default="", metavar="TEXT", help="Why; stored with the repair.")
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, *, balance: UUID, apply: bool, reason: str, json: bool, **_: Any) -> None:
        result = self._rebuild(balance, apply, reason)
        account = queries.account_names([balance])[balance]
        if json:
            self.write_json({"account": account, **_as_json(result)})
        else:
            self.stdout.write(_as_text(result))
        if result.damage:
            raise CommandError(
                f"The history of balance {balance} ({account}) is damaged, so nothing was written: compare it with"
                " an anchor (verify_ledger --anchor), and restore a backup.",
                returncode=EXIT_FAILED,
            )

    def _rebuild(self, balance: UUID, apply: bool, reason: str) -> RebuildResult:
        try:
            return operations.rebuild_balance(balance_id=balance, apply=apply, reason=reason, at=clock.now())
        except operations.BalanceNotFoundError:
            message, status = f"There is no balance {balance}.", EXIT_FAILED
        except operations.InvalidArgumentError as error:
            message, status = f"--reason: {error.errors[0].detail}", EXIT_FAILED
        except operations.NotOwnerError:
            message, status = "Only the owner of the tables may repair a balance; set DATABASE_URL to it.", EXIT_FAILED
        except OperationalError as error:
            if not is_busy(error):
                raise
            account = queries.account_names([balance])[balance]
            message, status = f"The balance {balance} ({account}) is locked; try again.", EXIT_REJECTED
        raise CommandError(message, returncode=status)


def _as_text(result: RebuildResult) -> str:
    lines = [_change_line(change) for change in result.changes]
    lines += [_damage_line(difference) for difference in result.damage]
    if not result.damage:
        lines.append(f"Balance {result.balance_id}: {_outcome(result)}")
    return "\n".join(lines)


def _change_line(change: Change) -> str:
    return f"{change.row} {change.id}: {change.column} {change.before}, history has {change.after}"


def _damage_line(difference: Difference) -> str:
    return f"{difference.rule}: {difference.kind} {difference.row_id}: {difference.details}"


def _outcome(result: RebuildResult) -> str:
    if not result.changes:
        return "nothing to repair"
    if result.applied:
        return f"{len(result.changes)} values repaired"
    return f'{len(result.changes)} values differ; --apply --reason "..." repairs them'


def _as_json(result: RebuildResult) -> dict[str, Any]:
    return {
        "balanceId": str(result.balance_id),
        "applied": result.applied,
        "changes": [
            {
                "row": change.row,
                "id": str(change.id),
                "column": change.column,
                "before": change.before,
                "after": change.after,
            }
            for change in result.changes
        ],
        "damage": [
            {
                "rule": difference.rule,
                "row": difference.kind,
                "id": str(difference.row_id),
                "details": difference.details,
            }
            for difference in result.damage
        ],
    }
