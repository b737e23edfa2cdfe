"""How long the console's pages take to open, on the data there are."""

import json as jsonlib
import logging
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.core.management.base import BaseCommand, CommandError
from django.test import Client
from django.urls import reverse

from credits.models import CreditBalance, CreditTransaction
from fluxori.adminkit.changelist import ListAdmin
from fluxori.core.command_line import EXIT_REJECTED
from fluxori.identity.models import User

ROUNDS = 3


class Command(BaseCommand):
    help = (
        "Open every list of the console, each with its saved filters and a page in its depths, the dashboard, and the"
        " account and a transaction of the busiest balance, and say how long each took. It only reads."
        " Exit status: 0 all within the limit, 2 some were slower."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--as", dest="email", required=True, metavar="E-MAIL", help="Whose eyes: a superuser's.")
        parser.add_argument("--limit", type=float, default=1.0, metavar="SECONDS", help="Default: 1.")
        parser.add_argument("--json", action="store_true", help="One JSON object on stdout.")

    def handle(self, *, email: str, limit: float, json: bool, **_: Any) -> None:
        staff = User.objects.filter(email=email.lower(), is_superuser=True, is_active=True).first()
        if staff is None:
            raise CommandError(f"There is no superuser {email!r}.")
        # Each request would be told in a line of its own, between the lines that were asked for.
        logging.getLogger("django_structlog").setLevel(logging.WARNING)
        client = Client(SERVER_NAME="localhost", HTTP_X_FORWARDED_PROTO="https")
        client.force_login(staff)
        taken = {name: self._open(client, url) for name, url in pages()}
        client.logout()
        slow = [name for name, seconds in taken.items() if max(seconds) > limit]
        if json:
            self.stdout.write(jsonlib.dumps({name: {"first": s[0], "best": min(s)} for name, s in taken.items()}))
        else:
            for name, seconds in sorted(taken.items(), key=lambda item: -max(item[1])):
                self.stdout.write(f"{seconds[0] * 1000:7.0f} ms first, {min(seconds) * 1000:6.0f} ms best  {name}")
        if slow:
            raise CommandError(f"Slower than {limit:g} s: {', '.join(slow)}", returncode=EXIT_REJECTED)

    def _open(self, client: Client, url: str) -> list[float]:
        seconds = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            answer = client.get(url)
            seconds.append(round(time.perf_counter() - began, 4))
            if answer.status_code != 200:
                raise CommandError(f"{url} answered {answer.status_code}.")
        return seconds


def pages() -> Iterator[tuple[str, str]]:
    """Yield every page to open: its name, and its address."""
    yield "dashboard", reverse("admin:index")
    busiest = CreditBalance.objects.order_by("-sequence").first()
    if busiest is not None:
        yield "busiest account", reverse("admin:credits_creditbalance_change", args=[busiest.pk])
        last = CreditTransaction.objects.get(balance=busiest.pk, sequence=busiest.sequence)
        yield "its last transaction", reverse("admin:credits_credittransaction_change", args=[last.pk])
        yield "its transactions", f"{reverse('admin:credits_credittransaction_changelist')}?balance={busiest.pk}"
        for words in (str(busiest.user or busiest.organization)[:6], last.reference_id or "no such reference"):
            yield f"find {words}", f"{reverse('find')}?suggest=1&q={words}"
    for model, page in admin.site._registry.items():  # noqa: SLF001 - the admin has no other list of itself
        if not isinstance(page, ListAdmin):
            continue
        name, url = (
            str(page.opts.verbose_name_plural),
            reverse(f"admin:{page.opts.app_label}_{page.opts.model_name}_changelist"),
        )
        yield name, url
        for words, query in page.saved:
            yield f"{name}: {words}", f"{url}?{query}"
        oldest = model._default_manager.order_by("pk")  # noqa: SLF001 - likewise
        deep = oldest.values_list("pk", flat=True).first()
        if deep is not None:
            yield f"{name}: the last page", f"{url}?after={deep}"
