"""A large ledger to measure on, and to look around in."""

import json as jsonlib
import time
from argparse import ArgumentParser
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from credits.models import CreditBalance
from fluxori.core import clock
from fluxori.core.command_line import EXIT_FAILED, Progress, positive_argument, timestamp_argument
from fluxori.devtools.bench import seeding
from fluxori.devtools.bench.seeding import Written
from fluxori.identity.models import Organization, User

_DAYS_A_MONTH = 30


class Command(BaseCommand):
    help = (
        "Fill the database with a large, believable, valid ledger: users and organizations, months of allocations,"
        " purchases, promotions, usage of every feature, holds, refunds and expiries. The same --seed and --at give the"
        " same people, movements, amounts and instants; ids of the ledger's rows are new each time. Never in"
        " production, and only beside other data where --beside says so."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--transactions", type=positive_argument, required=True, metavar="N", help="About how many, all together."
        )
        parser.add_argument(
            "--balances", type=positive_argument, metavar="N", help="Among how many; default: one for each hundred."
        )
        parser.add_argument(
            "--hot", type=positive_argument, default=0, metavar="N", help="One more balance, with so many of its own."
        )
        parser.add_argument("--months", type=positive_argument, default=6, metavar="N", help="How far back; default 6.")
        parser.add_argument("--at", type=timestamp_argument, metavar="TIME", help="Up to when; default now.")
        parser.add_argument("--seed", type=int, default=1, metavar="N", help="Another number is another history.")
        parser.add_argument("--processes", type=positive_argument, metavar="N", help="Default: one for each processor.")
        parser.add_argument("--beside", action="store_true", help="Beside whatever the database holds already.")
        parser.add_argument("--json", action="store_true", help="One JSON object on stdout.")

    def handle(
        self,
        *,
        transactions: int,
        balances: int | None,
        hot: int,
        months: int,
        at: datetime | None,
        seed: int,
        processes: int | None,
        beside: bool,
        json: bool,
        **_: Any,
    ) -> None:
        self._refuse(seed, beside)
        until = (at or clock.now()).replace(microsecond=0)
        work = list(
            seeding.parts(
                transactions=transactions,
                balances=balances or max(transactions // 100, 1),
                hot=hot,
                seed=seed,
                begin=until - timedelta(days=_DAYS_A_MONTH * months),
                until=until,
            )
        )
        processes = min(processes or seeding.processors(), len(work))
        began = time.monotonic()
        written = Written()
        with Progress("transactions", stream=self.stderr, total=transactions + hot) as progress:
            for done in seeding.seed(work, processes=processes):
                written.add(done)
                progress.advance(done.transactions)
        seconds = time.monotonic() - began
        seeding.analyze()
        self._tell(written, seconds, hot_email=f"{seed}-hot@{seeding.DOMAIN}" if hot else None, as_json=json)

    def _refuse(self, seed: int, beside: bool) -> None:
        if settings.PRODUCTION:
            raise CommandError("No made-up ledger in production.", returncode=EXIT_FAILED)
        if seeding.already_there(seed):
            raise CommandError(f"The seed {seed} is in this database already; another one goes beside it.")
        if not beside and any(model.objects.exists() for model in (User, Organization, CreditBalance)):
            raise CommandError("This database holds other data. Name an empty one in DATABASE_URL, or say --beside.")

    def _tell(self, written: Written, seconds: float, *, hot_email: str | None, as_json: bool) -> None:
        rate = round(written.transactions / seconds)
        if as_json:
            facts = {**written.as_json(), "seconds": round(seconds, 3), "perSecond": rate, "hot": hot_email}
            self.stdout.write(jsonlib.dumps(facts))
            return
        self.stdout.write(
            f"{written.balances:,} balances, {written.transactions:,} transactions, {written.entries:,} entries,"
            f" {written.grants:,} grants, {written.holds:,} holds in {seconds:.1f} s: {rate:,} transactions/s"
        )
        if hot_email:
            self.stdout.write(f"The hot one belongs to {hot_email}")
