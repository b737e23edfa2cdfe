"""The pages of an account and of a transaction, in the place of the plain rows."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from credits import queries
from credits.admin.ledger import CreditBalanceAdmin, CreditTransactionAdmin
from credits.models import CreditBalance, CreditTransaction
from fluxori.console.account import Movement, account
from fluxori.console.acts import allowed
from fluxori.console.allocation import RunAdmin
from fluxori.console.explained import explained
from fluxori.console.links import Button, act
from fluxori.console.seen import SeenWhole
from fluxori.kernel import clock
from tiers.models import AllocationRun


class AccountAdmin(SeenWhole, CreditBalanceAdmin):
    page_template = "admin/console/account.html"

    def facts(self, request: HttpRequest, row: CreditBalance) -> dict[str, Any]:
        told = account(row, at=clock.now())
        return {**told, "buttons": self._buttons(request, row, told)}

    def _buttons(self, request: HttpRequest, row: CreditBalance, told: dict[str, Any]) -> list[Button]:
        may, suspended = allowed(request.user), told["now"].suspended_at is not None
        subscribed = told["subscription"] is not None
        wanted = [
            ("add", "Add credits", "add", True),
            ("adjust", "Adjust", "balance", True),
            ("tier", "Change tier", "stairs", subscribed),
            ("allocate", "Allocate the month", "event_repeat", subscribed),
            ("suspend", "Suspend spending", "pause_circle", not suspended),
            ("resume", "Resume spending", "play_circle", suspended),
        ]
        return [
            Button(words, act(name, row.pk), icon, primary=name == "add")
            for name, words, icon, fits in wanted
            if fits and may.get(name)
        ]


class ExplainedAdmin(SeenWhole, CreditTransactionAdmin):
    page_template = "admin/console/transaction.html"

    def facts(self, request: HttpRequest, row: CreditTransaction) -> dict[str, Any]:
        told = explained(queries.get_transaction(transaction_id=row.pk))
        return {**told, "buttons": self._buttons(request, told["movement"])}

    def _buttons(self, request: HttpRequest, movement: Movement) -> list[Button]:
        row, may = movement.row, allowed(request.user)
        wanted = {"usage": ("refund", "Refund", "undo"), "purchase": ("reverse", "Reverse", "undo")}
        if row.type not in wanted or not movement.left:
            return []
        name, words, icon = wanted[row.type]
        return (
            [Button(words, act(name, row.balance_id, transaction=row.pk), icon, primary=True)] if may.get(name) else []
        )


for model, page in ((CreditBalance, AccountAdmin), (CreditTransaction, ExplainedAdmin), (AllocationRun, RunAdmin)):
    admin.site.unregister(model)
    admin.site.register(model, page)
