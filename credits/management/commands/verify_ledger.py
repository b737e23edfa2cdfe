"""Verify the ledger and the tiers, for an operator or a scheduler. It changes neither."""

import json
import time
from argparse import ArgumentParser
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from credits import operations
from credits.models import CreditBalance
from credits.verification import Difference, Findings, run
from fluxori.core import clock
from fluxori.core.command_line import EXIT_FAILED, Progress, positive_argument
from fluxori.db.sqlstates import INSUFFICIENT_PRIVILEGE, READ_ONLY_TRANSACTION, sqlstate_of


class Command(BaseCommand):
    help = (
        "Verify every invariant of the ledger and the tiers, and the hash chain. Balances are read in ranges, each in"
        " one snapshot. Nothing is changed; the time and the result of a run over all balances are recorded for the"
        " metrics. Exit status 0: no difference; 1: differences were found, each is printed with its row."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--balance", type=UUID, metavar="ID", help="Verify only this balance (the owner's id).")
        parser.add_argument("--chunk", type=positive_argument, default=2000, metavar="N", help="Balances per range.")
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, *, balance: UUID | None, chunk: int, json: bool, **_: Any) -> None:
        started, started_at = time.monotonic(), clock.now()
        if balance is not None:
            findings: Iterable[Findings] = [run.verify_balance(balance)]
            balances, transactions, differences = self._collect(findings, 1, json)
            if not balances and not differences:
                raise CommandError(f"There is no balance {balance}.", returncode=EXIT_FAILED)
        else:
            findings = run.verify_all(chunk=chunk)
            balances, transactions, differences = self._collect(findings, CreditBalance.objects.count(), json)
            self._record(started_at, balances, transactions, len(differences))
        seconds = time.monotonic() - started
        if json:
            self._print_json(balances, transactions, differences, seconds)
        else:
            result = f"{len(differences):,} differences found" if differences else "no difference"
            self.stdout.write(f"{balances:,} balances, {transactions:,} transactions in {seconds:.1f} s: {result}")
        if differences:
            raise CommandError(f"{len(differences)} differences found", returncode=EXIT_FAILED)

    def _record(self, started_at: datetime, balances: int, transactions: int, differences: int) -> None:
        try:
            operations.record_verification(
                started_at=started_at,
                finished_at=clock.now(),
                balances=balances,
                transactions=transactions,
                differences=differences,
            )
        except DatabaseError as error:
            # A stand-by server or a role that may only read can be verified too.
            if sqlstate_of(error) not in {READ_ONLY_TRANSACTION, INSUFFICIENT_PRIVILEGE}:
                raise
            self.stderr.write("The run is not recorded: the database does not accept writes of this role.")

    def _collect(self, ranges: Iterable[Findings], total: int, quiet: bool) -> tuple[int, int, list[Difference]]:
        balances = transactions = 0
        differences: list[Difference] = []
        with Progress("balances", stream=self.stderr, total=total) as progress:
            for findings in ranges:
                balances += findings.balances
                transactions += findings.transactions
                differences += findings.differences
                for difference in () if quiet else findings.differences:
                    balance = f" of balance {difference.balance_id}" if difference.balance_id else ""
                    self.stdout.write(
                        f"{difference.rule}: {difference.kind} {difference.row_id}{balance}: {difference.details}"
                    )
                progress.advance(findings.balances)
        return balances, transactions, differences

    def _print_json(self, balances: int, transactions: int, found: list[Difference], seconds: float) -> None:
        differences = [
            {
                "rule": difference.rule,
                "balanceId": str(difference.balance_id) if difference.balance_id else None,
                "row": difference.kind,
                "id": str(difference.row_id),
                "details": difference.details,
            }
            for difference in found
        ]
        report = {
            "balances": balances,
            "transactions": transactions,
            "seconds": round(seconds, 3),
            "differences": differences,
        }
        self.stdout.write(json.dumps(report))
