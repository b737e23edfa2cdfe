import json
import time
from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from credits.models import CreditBalance
from credits.verification import Difference, Findings, run
from fluxori.core.command_line import FAULT, Progress, positive_argument
from tiers.verification import RULES


class Command(BaseCommand):
    help = (
        "Check every invariant of the ledger and the tiers, and the hash chain, by ranges of balances, each in one"
        " snapshot. It only reads. Exit status 0: all is well; 1: differences were found, and each is named by its row."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--balance", type=UUID, metavar="ID", help="Only this balance: its owner's id.")
        parser.add_argument("--chunk", type=positive_argument, default=2000, metavar="N", help="Balances in a range.")
        parser.add_argument("--json", action="store_true", help="One JSON object on stdout.")

    def handle(self, *, balance: UUID | None, chunk: int, json: bool, **_: Any) -> None:
        began = time.monotonic()
        if balance is not None:
            balances, transactions, found = self._walk([run.verify_balance(balance, also=RULES)], 1, json)
            if not balances and not found:
                raise CommandError(f"Nobody opened a balance {balance}.", returncode=FAULT)
        else:
            total = CreditBalance.objects.count()
            balances, transactions, found = self._walk(run.verify_all(chunk=chunk, also=RULES), total, json)
        seconds = time.monotonic() - began
        if json:
            self._answer(balances, transactions, found, seconds)
        else:
            said = f"{len(found):,} differences found" if found else "no difference"
            self.stdout.write(f"{balances:,} balances, {transactions:,} transactions in {seconds:.1f} s: {said}")
        if found:
            raise CommandError(f"{len(found)} differences found", returncode=FAULT)

    def _walk(self, ranges: Iterable[Findings], total: int, quiet: bool) -> tuple[int, int, list[Difference]]:
        balances = transactions = 0
        found: list[Difference] = []
        with Progress("balances", stream=self.stderr, total=total) as progress:
            for findings in ranges:
                balances += findings.balances
                transactions += findings.transactions
                found += findings.differences
                for difference in () if quiet else findings.differences:
                    whose = f" of balance {difference.balance_id}" if difference.balance_id else ""
                    self.stdout.write(
                        f"{difference.rule}: {difference.kind} {difference.row_id}{whose}: {difference.words}"
                    )
                progress.advance(findings.balances)
        return balances, transactions, found

    def _answer(self, balances: int, transactions: int, found: list[Difference], seconds: float) -> None:
        differences = [
            {
                "rule": difference.rule,
                "balanceId": str(difference.balance_id) if difference.balance_id else None,
                "row": difference.kind,
                "id": str(difference.row_id),
                "words": difference.words,
            }
            for difference in found
        ]
        answer = {
            "balances": balances,
            "transactions": transactions,
            "seconds": round(seconds, 3),
            "differences": differences,
        }
        self.stdout.write(json.dumps(answer))
