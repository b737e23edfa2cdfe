"""The pages of an account and of a transaction, in the place of the plain rows; and the acts that fit other rows."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from credits import queries
from credits.admin.ledger import CreditBalanceAdmin, CreditGrantAdmin, CreditHoldAdmin, CreditTransactionAdmin
from credits.models import CreditBalance, CreditGrant, CreditHold, CreditTransaction
from fluxori.console.account.detail_pages import Button, OfferingActs, SeenWhole, offered
from fluxori.console.account.page import account
from fluxori.console.account.transaction_detail import explained
from fluxori.console.allocation.pages import RunAdmin
from fluxori.core import clock
from tiers.admin.subscriptions import SubscriptionAdmin
from tiers.models import AllocationRun, Subscription


class AccountAdmin(SeenWhole, CreditBalanceAdmin):
    page_template = "admin/console/account.html"

    def facts(self, request: HttpRequest, row: CreditBalance) -> dict[str, Any]:
        told = account(row, at=clock.now())
        suspended = told["now"].suspended_at is not None
        wanted = {
            "add": ("Add credits", True),
            "adjust": ("Adjust", True),
            **acts_on_tier(told["subscription"]),
            "limit": ("Set a limit", True),
            "suspend": ("Suspend spending", not suspended),
            "resume": ("Resume spending", suspended),
        }
        return {**told, "buttons": offered(request.user, row.pk, wanted, primary={"add", "resume"})}


class ExplainedAdmin(SeenWhole, CreditTransactionAdmin):
    page_template = "admin/console/transaction.html"

    def facts(self, request: HttpRequest, row: CreditTransaction) -> dict[str, Any]:
        told = explained(queries.get_transaction(transaction_id=row.pk))
        left = told["movement"].left > 0
        wanted = {
            "refund": ("Refund", left and row.type == "usage"),
            "reverse": ("Reverse", left and row.type == "purchase"),
        }
        return {
            **told,
            "buttons": offered(request.user, row.balance_id, wanted, primary=wanted, transaction=row.pk),
        }


class GrantAdmin(OfferingActs, CreditGrantAdmin):
    def buttons(self, request: HttpRequest, row: CreditGrant) -> list[Button]:
        fits = row.remaining > 0 and (row.expires_at is None or row.expires_at > clock.now())
        wanted = {"extend": ("Extend", fits and row.expires_at is not None), "void": ("Void", fits)}
        return offered(request.user, row.balance_id, wanted, grant=row.pk)


class HoldAdmin(OfferingActs, CreditHoldAdmin):
    def buttons(self, request: HttpRequest, row: CreditHold) -> list[Button]:
        fits = row.status == CreditHold.Status.OPEN and row.expires_at > clock.now()
        return offered(request.user, row.balance_id, {"release": ("Release", fits)}, hold=row.pk)


class PromiseAdmin(OfferingActs, SubscriptionAdmin):
    def buttons(self, request: HttpRequest, row: Subscription) -> list[Button]:
        return offered(request.user, row.pk, acts_on_tier(row))


def acts_on_tier(subscription: Subscription | None) -> dict[str, tuple[str, bool]]:
    """Return what may be done about a tier, and whether it fits as things are."""
    there = subscription is not None
    kept = f"Keep {subscription.tier}" if subscription else ""
    return {
        "tier": ("Change tier", there),
        "keep-tier": (kept, subscription is not None and subscription.scheduled_tier_id is not None),
        "allocate": ("Allocate the month", there),
    }


PAGES: list[tuple[Any, Any]] = [
    (CreditBalance, AccountAdmin),
    (CreditTransaction, ExplainedAdmin),
    (CreditGrant, GrantAdmin),
    (CreditHold, HoldAdmin),
    (Subscription, PromiseAdmin),
    (AllocationRun, RunAdmin),
]
for model, page in PAGES:
    admin.site.unregister(model)
    admin.site.register(model, page)
