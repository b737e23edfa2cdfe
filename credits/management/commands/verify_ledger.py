"""Verify the ledger and the tiers, for an operator or a scheduler. It changes neither."""

import os
from argparse import ArgumentParser
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError
from django.db import DatabaseError

from credits import operations, queries, verification
from credits.models import CreditBalance
from credits.verification import Anchor, Difference, Findings, run
from fluxori.core import clock
from fluxori.core.command_line import EXIT_FAILED, Progress, positive_argument
from fluxori.db.operator_command import OperatorCommand
from fluxori.db.sqlstates import INSUFFICIENT_PRIVILEGE, READ_ONLY_TRANSACTION, sqlstate_of

# Each job keeps one processor of the database server busy.
MAX_JOBS = 4

_AFTER_A_RESTORE = (
    "; what the anchor names is missing, as after a restore to an instant before the anchor: see"
    " docs/how-to/back-up-and-restore.md"
)


class Command(OperatorCommand):
    help = (
        "Verify every invariant of the ledger and the tiers, and the hash chain. Balances are read in ranges, each in"
        " one snapshot. Nothing is changed; the time and the result of a run over all balances are recorded for the"
        " metrics. Exit status 0: no difference; 1: differences were found, each is printed with its row, or the anchor"
        " cannot be used."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--balance", type=UUID, metavar="ID", help="Verify only this balance (the owner's id).")
        parser.add_argument(
            "--chunk", type=positive_argument, default=500, metavar="N", help="At most so many balances per range."
        )
        parser.add_argument(
            "--jobs",
            type=positive_argument,
            default=min(os.cpu_count() or 1, MAX_JOBS),
            metavar="N",
            help=f"Ranges verified at a time; default: one per processor, at most {MAX_JOBS}.",
        )
        parser.add_argument(
            "--anchor",
            type=Path,
            metavar="FILE",
            help="Also prove that nothing before this anchor has changed. anchor_ledger writes the file.",
        )
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, *, balance: UUID | None, chunk: int, jobs: int, anchor: Path | None, json: bool, **_: Any) -> None:
        started_at = clock.now()
        report = Report()
        try:
            if anchor is not None:
                # The file is checked completely before any result is printed.
                report.anchor = verification.read_anchor(anchor, at=started_at)
                report.compared = self._verify_anchor(anchor, report, balance, json)
            self._verify(report, balance, chunk, jobs, json)
        except verification.AnchorError as error:
            raise CommandError(str(error), returncode=EXIT_FAILED) from None
        if balance is None:
            self._record(report, started_at)
        elif not report.balances and not report.differences:
            raise CommandError(f"There is no balance {balance}.", returncode=EXIT_FAILED)
        if json:
            self.write_json(report.as_json(queries.account_names(report.balance_ids())))
        else:
            self.stdout.write(report.as_text(self.seconds))
        if report.differences:
            hint = _AFTER_A_RESTORE if any(_is_missing(each) for each in report.differences) else ""
            raise CommandError(f"{len(report.differences)} differences found{hint}", returncode=EXIT_FAILED)

    def _record(self, report: "Report", started_at: datetime) -> None:
        try:
            operations.record_verification(
                run_id=self.run_id,
                started_at=started_at,
                finished_at=clock.now(),
                balances=report.balances,
                transactions=report.transactions,
                differences=len(report.differences),
            )
        except DatabaseError as error:
            # A stand-by server or a role that may only read can be verified too.
            if sqlstate_of(error) not in {READ_ONLY_TRANSACTION, INSUFFICIENT_PRIVILEGE}:
                raise
            self.stderr.write("The run is not recorded: the database does not accept writes of this role.")

    def _verify_anchor(self, path: Path, report: "Report", balance: UUID | None, quiet: bool) -> int:
        assert report.anchor is not None
        compared = 0
        with Progress("anchored balances", stream=self.stderr, total=report.anchor.balances) as progress:
            for findings in verification.verify_anchor(path, report.anchor, balance_id=balance):
                compared += findings.balances
                self._add(report, findings, quiet)
                progress.advance(findings.balances)
        return compared

    def _verify(self, report: "Report", balance: UUID | None, chunk: int, jobs: int, quiet: bool) -> None:
        ranges: Iterable[Findings]
        if balance is not None:
            ranges, total = [run.verify_balance(balance)], 1
        else:
            ranges, total = run.verify_all(chunk=chunk, jobs=jobs), CreditBalance.objects.count()
        with Progress("balances", stream=self.stderr, total=total) as progress:
            for findings in ranges:
                report.balances += findings.balances
                report.transactions += findings.transactions
                self._add(report, findings, quiet)
                progress.advance(findings.balances)

    def _add(self, report: "Report", findings: Findings, quiet: bool) -> None:
        report.differences += findings.differences
        if quiet or not findings.differences:
            return
        names = queries.account_names({each.balance_id for each in findings.differences if each.balance_id})
        for difference in findings.differences:
            subject = f"{difference.kind} {difference.row_id}"
            if difference.balance_id and difference.kind != "balance":
                subject += f" of balance {difference.balance_id}"
            if difference.balance_id in names:
                subject += f" ({names[difference.balance_id]})"
            self.stdout.write(f"{difference.rule}: {subject}: {difference.details}")


def _is_missing(difference: Difference) -> bool:
    return difference.rule == "anchored_history_unchanged" and "missing" in difference.details


@dataclass(slots=True)
class Report:
    """What the command has read and found. ``compared`` is the number of balances compared with ``anchor``."""

    balances: int = 0
    transactions: int = 0
    differences: list[Difference] = field(default_factory=list)
    anchor: Anchor | None = None
    compared: int = 0

    def as_text(self, seconds: float) -> str:
        read = f"{self.balances:,} balances, {self.transactions:,} transactions"
        if self.anchor is not None:
            read += f", {self.compared:,} balances of the anchor of {self.anchor.anchored_at.isoformat()}"
        result = f"{len(self.differences):,} differences found" if self.differences else "no difference"
        return f"{read} in {seconds:.1f} s: {result}"

    def balance_ids(self) -> set[UUID]:
        return {difference.balance_id for difference in self.differences if difference.balance_id}

    def as_json(self, names: dict[UUID, str]) -> dict[str, Any]:
        report: dict[str, Any] = {
            "balances": self.balances,
            "transactions": self.transactions,
            "differences": [
                {
                    "rule": difference.rule,
                    "balanceId": str(difference.balance_id) if difference.balance_id else None,
                    "account": names.get(difference.balance_id) if difference.balance_id else None,
                    "row": difference.kind,
                    "id": str(difference.row_id),
                    "details": difference.details,
                }
                for difference in self.differences
            ],
        }
        if self.anchor is not None:
            report["anchor"] = {
                "ledgerId": str(self.anchor.ledger_id),
                "anchoredAt": self.anchor.anchored_at.isoformat(),
                "balances": self.compared,
                "digest": self.anchor.digest,
            }
        return report
