"""``manage.py demo``: sample data, a tour of the API, and a server and a worker that run until Ctrl-C."""

import json as jsonlib
import signal
from argparse import ArgumentParser
from io import StringIO
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from fluxori.core import clock
from fluxori.core.command_line import Progress
from fluxori.devtools.demo import accounts, history, role, server
from fluxori.devtools.demo.accounts import DemoAccounts, FormerSchemaError
from fluxori.devtools.demo.models import DemoMark
from fluxori.devtools.demo.tour import TourFailedError, run_tour
from fluxori.devtools.embedded_postgres import provision


class Command(BaseCommand):
    help = "Create sample data, run a tour of the API over HTTP, and serve the application until Ctrl-C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--port", type=int, metavar="N", help="Port of the server; default: the first free one from 8000 on."
        )
        parser.add_argument("--exit", action="store_true", help="Exit after the tour, with status 0 if it succeeds.")
        parser.add_argument("--json", action="store_true", help="Print one line of JSON when the server is ready.")
        parser.add_argument("--fresh", action="store_true", help="Drop the data of an earlier demo first.")

    def handle(self, *, port: int | None, exit: bool, json: bool, fresh: bool, **_: Any) -> None:  # noqa: A002
        if settings.PRODUCTION:
            raise CommandError("The demo does not run with ENVIRONMENT=production.")
        signal.signal(signal.SIGTERM, _interrupt)
        self._out = self.stderr if json else self.stdout
        self._out.style_func = None
        try:
            self._run(port, stay=not exit, as_json=json, fresh=fresh)
        except KeyboardInterrupt:
            self._print("\nStopped.")
        except (server.ServerError, TourFailedError) as error:
            raise CommandError(str(error)) from error

    def _run(self, requested_port: int | None, *, stay: bool, as_json: bool, fresh: bool) -> None:
        port = server.free_port(requested_port)
        self._print("Preparing the database ...")
        try:
            mark = accounts.claim(fresh=fresh)
        except FormerSchemaError as error:
            raise CommandError(_former_schema_message(is_demo=error.is_demo)) from None
        except accounts.ForeignDataError:
            raise CommandError(
                "This database contains data that the demo did not create. The demo does not change it."
                " Set DATABASE_URL to an empty database, or unset it."
            ) from None
        demo_accounts = accounts.get_accounts(mark)
        self._seed(mark, demo_accounts)
        if requested_port is None and port != server.FIRST_PORT:
            self._print(f"Port {server.FIRST_PORT} is in use; using {port}.")
        # Another server has the roles that its operator gave it.
        environ = {"DATABASE_URL": role.application_url()} if provision.is_wanted() else {}
        with server.serving(port, environ=environ) as running, server.working(environ=environ):
            self._print("\nA tour of the API over HTTP:")
            run_tour(demo_accounts, port, self._print)
            url = f"http://127.0.0.1:{port}"
            if as_json:
                self.stdout.write(jsonlib.dumps(_as_json(demo_accounts, url)))
                self.stdout.flush()
            if stay:
                self._print(_overview(demo_accounts, url))
                status = running.wait()
                raise CommandError(f"The server stopped with status {status}.")
            self._print("\nAll steps succeeded.")

    def _seed(self, mark: DemoMark, demo_accounts: DemoAccounts) -> None:
        if mark.seeded:
            return
        self._print(f"Writing {history.MONTHS} months of history ...")
        with Progress("days", stream=self.stderr, total=30 * history.MONTHS, every=2.0) as progress:
            for _ in history.seed(demo_accounts, until=clock.now()):
                progress.advance()
        # The worker runs these commands every few minutes. The console shows their results.
        for command in ("expire_credits", "aggregate_usage", "refresh_dashboard"):
            call_command(command, stdout=StringIO(), stderr=self.stderr)
        mark.seeded = True
        mark.save(update_fields=["seeded"])

    def _print(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _former_schema_message(*, is_demo: bool) -> str:
    if is_demo:
        remedy = "python3 manage.py demo --fresh"
    elif provision.is_wanted():
        folder = provision.cluster_of("dev").folder
        remedy = f"rm -r {folder}"
    else:
        remedy = "set DATABASE_URL to an empty database"
    return f"This database has the schema of an earlier version. To begin again: {remedy}"


def _as_json(demo_accounts: DemoAccounts, url: str) -> dict[str, Any]:
    names = ("admin", "user", "owner", "member", "viewer", "service", "support", "lead")
    return {
        "url": url,
        **{name: getattr(demo_accounts, name).as_json() for name in names},
        "organizationId": str(demo_accounts.organization.pk),
        "userId": str(demo_accounts.user.user.pk),
    }


def _overview(demo_accounts: DemoAccounts, url: str) -> str:
    organization = demo_accounts.organization
    rows = "\n".join(
        f"  {name:<8} {account.user.email:<32} {account.password}   {description}"
        for name, account, description in (
            ("admin", demo_accounts.admin, "admin role in the API, superuser in the console"),
            ("user", demo_accounts.user, "four months of history"),
            ("owner", demo_accounts.owner, f"owner of {organization.name}"),
            ("member", demo_accounts.member, "may spend the organization's credits"),
            ("viewer", demo_accounts.viewer, "sees the organization's balance, cannot spend"),
            ("service", demo_accounts.service, "back end of a feature"),
            ("support", demo_accounts.support, "console: adds up to 500 credits at once"),
            ("lead", demo_accounts.lead, "console: approves larger amounts"),
        )
    )
    return f"""
Ready:
  API docs  {url}/api/docs
  Console   {url}/admin/

Log in as:
{rows}
  organization {organization.name}: {organization.pk}

Get a balance:
  {_curl(demo_accounts, url)}

Press Ctrl-C to stop.
"""


def _curl(demo_accounts: DemoAccounts, url: str) -> str:
    login = jsonlib.dumps({"email": demo_accounts.user.user.email, "password": demo_accounts.user.password})
    token = f"curl -s {url}/api/auth/token -H 'Content-Type: application/json' -d '{login}'"
    access = "python3 -c 'import json, sys; print(json.load(sys.stdin)[\"access\"])'"
    return f'curl -s {url}/api/credits/balance -H "Authorization: Bearer $({token} | {access})"'
