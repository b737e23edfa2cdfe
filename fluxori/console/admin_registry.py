"""Replaces admin classes of the ledger and the tiers with classes that have detail pages or action buttons."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from credits import queries
from credits.admin.ledger import CreditBalanceAdmin, CreditGrantAdmin, CreditHoldAdmin, CreditTransactionAdmin
from credits.models import CreditBalance, CreditGrant, CreditHold, CreditTransaction
from fluxori.adminkit.formatting import is_never
from fluxori.console.account.detail_pages import ActionButton, ActionButtonsMixin, DetailPageMixin, action_buttons
from fluxori.console.account.page import account_context
from fluxori.console.account.transaction_detail import transaction_context
from fluxori.console.allocation.pages import AllocationRunDetailAdmin
from fluxori.core import clock
from tiers.admin.subscriptions import SubscriptionAdmin
from tiers.models import AllocationRun, Subscription


class AccountAdmin(DetailPageMixin, CreditBalanceAdmin):
    page_template = "admin/console/account.html"

    def page_context(self, request: HttpRequest, row: CreditBalance) -> dict[str, Any]:
        context = account_context(row, at=clock.now())
        suspended = context["now"].suspended_at is not None
        candidates = {
            "add": ("Add credits", True),
            "adjust": ("Adjust", True),
            "transfer": ("Transfer", True),
            **tier_action_candidates(context["subscription"]),
            "set_limit": ("Set a limit", True),
            "suspend": ("Suspend spending", not suspended),
            "resume": ("Resume spending", suspended),
        }
        return {**context, "buttons": action_buttons(request.user, row.pk, candidates, primary={"add", "resume"})}


class TransactionDetailAdmin(DetailPageMixin, CreditTransactionAdmin):
    page_template = "admin/console/transaction.html"

    def page_context(self, request: HttpRequest, row: CreditTransaction) -> dict[str, Any]:
        context = transaction_context(queries.get_transaction(transaction_id=row.pk))
        correctable = context["corrections"].uncorrected_amount > 0
        candidates = {
            "refund": ("Refund", correctable and row.type == "usage"),
            "reverse": ("Reverse", correctable and row.type == "purchase"),
        }
        buttons = action_buttons(request.user, row.balance_id, candidates, primary=candidates, transaction=row.pk)
        return {**context, "buttons": buttons}


class GrantWithActionsAdmin(ActionButtonsMixin, CreditGrantAdmin):
    def get_action_buttons(self, request: HttpRequest, row: CreditGrant) -> list[ActionButton]:
        live = row.remaining > 0
        expires = row.expires_at is not None and not is_never(row.expires_at)
        candidates = {"extend": ("Extend", live and expires), "void": ("Void", live)}
        return action_buttons(request.user, row.balance_id, candidates, grant=row.pk)


class HoldWithActionsAdmin(ActionButtonsMixin, CreditHoldAdmin):
    def get_action_buttons(self, request: HttpRequest, row: CreditHold) -> list[ActionButton]:
        is_open = row.status == CreditHold.Status.OPEN
        return action_buttons(request.user, row.balance_id, {"release": ("Release", is_open)}, hold=row.pk)


class SubscriptionWithActionsAdmin(ActionButtonsMixin, SubscriptionAdmin):
    def get_action_buttons(self, request: HttpRequest, row: Subscription) -> list[ActionButton]:
        return action_buttons(request.user, row.pk, tier_action_candidates(row))


def tier_action_candidates(subscription: Subscription | None) -> dict[str, tuple[str, bool]]:
    """Return the staff actions on a tier, as (label, applies) by code."""
    subscribed = subscription is not None and subscription.status == Subscription.Status.ACTIVE
    scheduled = subscription is not None and subscription.scheduled_at is not None
    paused = subscription is not None and subscription.paused_at is not None
    return {
        "tier": ("Change tier", subscribed),
        "cancel_tier_change": ("Cancel what is scheduled", scheduled),
        "allocate": ("Allocate the month", subscribed),
        "pause_subscription": ("Pause subscription", subscribed and not paused),
        "resume_subscription": ("Resume subscription", subscribed and paused),
        "end_subscription": ("End subscription", subscribed),
    }


REPLACEMENTS: list[tuple[Any, Any]] = [
    (CreditBalance, AccountAdmin),
    (CreditTransaction, TransactionDetailAdmin),
    (CreditGrant, GrantWithActionsAdmin),
    (CreditHold, HoldWithActionsAdmin),
    (Subscription, SubscriptionWithActionsAdmin),
    (AllocationRun, AllocationRunDetailAdmin),
]
for model, admin_class in REPLACEMENTS:
    admin.site.unregister(model)
    admin.site.register(model, admin_class)
