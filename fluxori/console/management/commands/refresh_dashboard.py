"""The command that computes the dashboard snapshot. The worker runs it every five minutes."""

from argparse import ArgumentParser
from typing import Any

from fluxori.console.dashboard.snapshot import refresh_snapshot
from fluxori.core import clock
from fluxori.db.operator_command import OperatorCommand


class Command(OperatorCommand):
    help = "Compute the figures of the dashboard over all balances. Safe to run twice, or twice at once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="Print one line of JSON on stdout.")

    def handle(self, *, json: bool, **_: Any) -> None:
        snapshot = refresh_snapshot(at=clock.now())
        balances = sum(count for _, _, count in snapshot.tiers["by_tier"]) + snapshot.tiers["none"]
        running_out, late = len(snapshot.running_out), snapshot.late["count"]
        if json:
            result = {
                "at": snapshot.taken_at.isoformat(),
                "balances": balances,
                "runningOut": running_out,
                "late": late,
            }
            self.write_json(result)
        else:
            self.stdout.write(f"{balances:,} balances, {running_out} of them running out, {late:,} allocations late")
