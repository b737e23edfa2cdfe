"""``manage.py bench``: run the benchmarks in a throw-away database and print the figures."""

import json as jsonlib
import os
import platform
import signal
from argparse import ArgumentParser
from dataclasses import replace
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from fluxori.core.command_line import EXIT_FAILED, positive_argument
from fluxori.devtools.bench import databases
from fluxori.devtools.bench.figures import Figures, format_table
from fluxori.devtools.bench.goals import compare
from fluxori.devtools.bench.load import NoResponseError
from fluxori.devtools.bench.sections import NOT_BY_DEFAULT, SECTIONS
from fluxori.devtools.bench.session import QUICK, BenchSession, Sizes, UnexpectedResultError
from fluxori.devtools.demo.server import GRANIAN, SERVERS, ServerError


class Command(BaseCommand):
    help = (
        "Measure the speed of the system and of comparable implementations in one run: HTTP and a naive application,"
        " SQL, Python, holds, history, the monthly allocation, growth, verification. It uses a throw-away database on"
        " the server in DATABASE_URL, which must be durable. A complete run takes about an hour. --quick takes about a"
        " minute and only checks that the benchmarks work."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("sections", nargs="*", choices=[[], *SECTIONS], metavar="SECTION", help=", ".join(SECTIONS))
        parser.add_argument("--quick", action="store_true", help="Small sizes, one repeat, fractions of a second.")
        parser.add_argument("--repeats", type=positive_argument, metavar="N", help="How often each figure is measured.")
        parser.add_argument("--seconds", type=float, metavar="S", help="Duration of one measurement.")
        parser.add_argument(
            "--balances",
            type=positive_argument,
            metavar="N",
            help="Number of balances in the figures of many balances.",
        )
        parser.add_argument(
            "--history", type=positive_argument, metavar="N", help="Number of transactions of the long history."
        )
        parser.add_argument(
            "--subscriptions",
            type=positive_argument,
            nargs="+",
            metavar="N",
            help="Numbers of subscriptions to allocate.",
        )
        parser.add_argument(
            "--growth",
            type=positive_argument,
            nargs="+",
            metavar="N",
            help="Numbers of transactions of the ledgers that are compared.",
        )
        parser.add_argument(
            "--ledgers",
            nargs="+",
            default=[],
            metavar="DATABASE",
            help="Compare these databases of the same server, filled by seed_ledger, instead of creating some.",
        )
        parser.add_argument("--minutes", type=positive_argument, metavar="N", help="Duration of the section soak.")
        parser.add_argument("--server", choices=SERVERS, default=GRANIAN, help="The HTTP server. Default: granian.")
        parser.add_argument("--keep", action="store_true", help="Keep the database, and print its name.")
        parser.add_argument(
            "--json", action="store_true", help="Print one JSON object on stdout; progress goes to stderr."
        )

    def handle(
        self,
        *,
        sections: list[str],
        quick: bool,
        ledgers: list[str],
        keep: bool,
        json: bool,
        server: str,
        **options: Any,
    ) -> None:
        if settings.PRODUCTION:
            raise CommandError("The benchmarks do not run with ENVIRONMENT=production.", returncode=EXIT_FAILED)
        if "DATABASE_URL" not in os.environ:
            raise CommandError("DATABASE_URL is not set. manage.py sets it if it starts the server.")
        # SIGTERM stops the server and drops the database.
        signal.signal(signal.SIGTERM, _interrupt)
        sizes = _sizes(QUICK if quick else Sizes(), options)
        figures = Figures(self._print_progress)
        databases.drop_stale()
        try:
            with (
                databases.throw_away(keep=keep) as name,
                BenchSession(sizes, figures, tuple(ledgers), server) as session,
            ):
                session.fill()
                for section in sections or [name for name in SECTIONS if name not in NOT_BY_DEFAULT]:
                    self._print_progress(f"\n{section}")
                    SECTIONS[section](session)
                facts = _facts(sizes)
        except KeyboardInterrupt:
            raise CommandError("Stopped.", returncode=EXIT_FAILED) from None
        except (databases.NotDurableError, ServerError, NoResponseError, UnexpectedResultError) as error:
            raise CommandError(f"{type(error).__name__}: {error}", returncode=EXIT_FAILED) from error
        compare(figures, subscriptions=sizes.subscriptions)
        if keep:
            self._print_progress(f"\nKept: {name}")
        self._print_results(figures, facts, as_json=json)

    def _print_progress(self, text: str) -> None:
        self.stderr.write(text, style_func=str)
        self.stderr.flush()

    def _print_results(self, figures: Figures, facts: dict[str, Any], *, as_json: bool) -> None:
        if as_json:
            items = [figure.as_json() for figure in figures.items]
            self.stdout.write(jsonlib.dumps({**facts, "figures": items, "notes": figures.notes}))
            return
        conditions = ", ".join(f"{name} {value}" for name, value in facts.items())
        self.stdout.write(f"{conditions}\nMedian of the repeats ± half of the range.")
        self.stdout.write(format_table(figures.items))
        self.stdout.write("\n".join(["", *figures.notes]))


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _sizes(sizes: Sizes, options: dict[str, Any]) -> Sizes:
    given = {name: options[name] for name in ("repeats", "seconds", "balances", "history", "minutes") if options[name]}
    given |= {name: tuple(options[name]) for name in ("subscriptions", "growth") if options[name]}
    return replace(sizes, **given)


def _facts(sizes: Sizes) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        (version,) = cursor.fetchone()
    return {
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "postgresql": version,
        "repeats": sizes.repeats,
        "seconds": sizes.seconds,
    }
