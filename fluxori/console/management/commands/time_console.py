"""The command that measures how long the pages of the console take, on the data in the database."""

import logging
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.core.management.base import CommandError
from django.test import Client
from django.urls import reverse

from credits.models import CreditBalance, CreditTransaction
from fluxori.adminkit.changelist import ListAdmin
from fluxori.console.links import change_url, changelist_url
from fluxori.core.command_line import EXIT_REJECTED
from fluxori.db.operator_command import OperatorCommand
from fluxori.identity.models import User

ROUNDS = 3


class Command(OperatorCommand):
    help = (
        "Open every list of the console with its saved links and its last page, the dashboard, and the account and a"
        " transaction of the balance with the most transactions, and print how long each page took. It only reads."
        " Exit status: 0 all pages are within the limit, 2 some pages are slower."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--as", dest="email", required=True, metavar="E-MAIL", help="A superuser to log in as.")
        parser.add_argument("--limit", type=float, default=1.0, metavar="SECONDS", help="Default: 1.")
        parser.add_argument("--json", action="store_true", help="Print one JSON object on stdout.")

    def handle(self, *, email: str, limit: float, json: bool, **_: Any) -> None:
        staff = User.objects.filter(email=email, is_superuser=True, is_active=True).first()
        if staff is None:
            raise CommandError(f"There is no superuser {email!r}.")
        # Without this, a log line for each request would appear between the lines of the result.
        logging.getLogger("fluxori.request").setLevel(logging.WARNING)
        client = Client(SERVER_NAME="localhost", HTTP_X_FORWARDED_PROTO="https")
        client.force_login(staff)
        seconds_by_page = {name: self._measure(client, url) for name, url in pages()}
        client.logout()
        slow = [name for name, seconds in seconds_by_page.items() if max(seconds) > limit]
        if json:
            pages_json = {name: {"first": each[0], "best": min(each)} for name, each in seconds_by_page.items()}
            self.write_json({"pages": pages_json})
        else:
            for name, seconds in sorted(seconds_by_page.items(), key=lambda item: -max(item[1])):
                self.stdout.write(f"{seconds[0] * 1000:7.0f} ms first, {min(seconds) * 1000:6.0f} ms best  {name}")
        if slow:
            raise CommandError(f"Slower than {limit:g} s: {', '.join(slow)}", returncode=EXIT_REJECTED)

    def _measure(self, client: Client, url: str) -> list[float]:
        seconds = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            response = client.get(url)
            seconds.append(round(time.perf_counter() - started, 4))
            if response.status_code != 200:
                raise CommandError(f"{url} returned {response.status_code}.")
        return seconds


def pages() -> Iterator[tuple[str, str]]:
    """Yield the name and the address of every page to measure."""
    yield "dashboard", reverse("admin:index")
    yield from _account_pages()
    for model, model_admin in admin.site._registry.items():  # noqa: SLF001 - Django documents no other way
        if not isinstance(model_admin, ListAdmin):
            continue
        name = str(model_admin.opts.verbose_name_plural)
        url = reverse(f"admin:{model_admin.opts.app_label}_{model_admin.opts.model_name}_changelist")
        yield name, url
        for label, query in model_admin.saved_links:
            yield f"{name}: {label}", f"{url}?{query}"
        oldest = model._default_manager.order_by("pk").values_list("pk", flat=True).first()  # noqa: SLF001 - likewise
        if oldest is not None:
            yield f"{name}: the last page", f"{url}?after={oldest}"


def _account_pages() -> Iterator[tuple[str, str]]:
    """Yield the pages of the balance with the most transactions."""
    busiest = CreditBalance.objects.order_by("-sequence").first()
    if busiest is None:
        return
    latest = CreditTransaction.objects.get(balance=busiest.pk, sequence=busiest.sequence)
    yield "busiest account", change_url("credits_creditbalance", busiest.pk)
    yield "its latest transaction", change_url("credits_credittransaction", latest.pk)
    yield "its transactions", changelist_url("credits_credittransaction", balance=busiest.pk)
    for term in (str(busiest.user or busiest.organization)[:6], latest.reference_id or "no such reference"):
        yield f"search {term}", f"{reverse('console_search')}?suggest=1&q={term}"
