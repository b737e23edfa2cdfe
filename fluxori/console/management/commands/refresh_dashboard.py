"""Look at all balances for the first page of the console."""

import json as jsonlib
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from fluxori.console.dashboard.snapshot import take_standing
from fluxori.core import clock


class Command(BaseCommand):
    help = "Look at all balances for the first page of the console. Safe to run twice, and twice at once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="One line of JSON on stdout.")

    def handle(self, *, json: bool, **_: Any) -> None:
        taken = take_standing(at=clock.now())
        balances = sum(count for _, _, count in taken.tiers["by_tier"]) + taken.tiers["none"]
        soon, late = len(taken.running_out), taken.late["count"]
        if json:
            facts = {"at": taken.taken_at.isoformat(), "balances": balances, "runningOut": soon, "late": late}
            self.stdout.write(jsonlib.dumps(facts))
        else:
            self.stdout.write(f"{balances:,} balances looked at, {soon} of them soon empty, {late:,} allocations late")
