import json
from argparse import ArgumentParser
from collections import Counter
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError

from credits import operations, queries
from fluxori.kernel import clock
from fluxori.kernel.commands import REFUSED, Progress, instant_argument, positive_argument, refuse_future

_LOCK_NOT_AVAILABLE = "55P03"


class Command(BaseCommand):
    help = (
        "Write what has fallen due: expired credits, lapsed holds, rollovers. Nobody waits for it: what has expired can"
        " be neither spent nor seen. It completes the history of balances that nobody touches. Safe to run twice, or"
        " twice at once. Exit status 0: done; 1: a fault; 2: some balances were busy and are left for the next run."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--at", type=instant_argument, metavar="TIME", help="Due by when, like 2026-03-01T12:00:00Z; default now."
        )
        parser.add_argument("--dry-run", action="store_true", help="Say what would be written; write nothing.")
        parser.add_argument("--chunk", type=positive_argument, default=500, metavar="N", help="Balances in a commit.")
        parser.add_argument("--json", action="store_true", help="One JSON object on stdout.")

    def handle(self, *, at: datetime | None, dry_run: bool, chunk: int, json: bool, **_: Any) -> None:
        at = at or clock.now()
        refuse_future(at, dry_run=dry_run)
        done: Counter[str] = Counter(balances=0, transactions=0, credits=0, refused=0)
        after: UUID | None = None
        with Progress("balances", stream=self.stderr) as progress:
            while ids := queries.due_balances(at=at, after=after, limit=chunk):
                done.update(self._each(ids, at, dry_run))
                after = ids[-1]
                progress.advance(len(ids))
        self._answer(done, at, dry_run, json)
        if done["refused"]:
            raise CommandError(f"{done['refused']} balances were busy; the next run takes them", returncode=REFUSED)

    def _each(self, ids: list[UUID], at: datetime, dry_run: bool) -> dict[str, int]:
        try:
            return operations.expire_credits(balance_ids=ids, at=at, dry_run=dry_run)
        except OperationalError as fault:
            if getattr(fault.__cause__, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            if len(ids) == 1:
                self.stderr.write(f"balance {ids[0]}: busy")
                return {"refused": 1}
        # Somebody holds one of them: halve until the others are through.
        middle = len(ids) // 2
        return Counter(self._each(ids[:middle], at, dry_run)) + Counter(self._each(ids[middle:], at, dry_run))

    def _answer(self, done: Counter[str], at: datetime, dry_run: bool, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps({"at": at.isoformat(), "dryRun": dry_run, **done}))
            return
        verb = "would expire" if dry_run else "expired"
        self.stdout.write(
            f"Due by {at.isoformat()}: {done['credits']:,} credits {verb}, {done['balances']:,} balances,"
            f" {done['transactions']:,} transactions"
        )
