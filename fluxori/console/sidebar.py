"""The sidebar of the admin: every model, grouped by task. An entry is visible to staff who may view the model."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.urls import reverse_lazy


def _page(title: str, icon: str, app: str, model: str) -> dict[str, Any]:
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{model}_changelist"),
        "permission": _may_view(app, model),
    }


def _may_view(app: str, model: str) -> Callable[[HttpRequest], bool]:
    def allowed(request: HttpRequest) -> bool:
        return any(request.user.has_perm(f"{app}.{verb}_{model}") for verb in ("view", "change"))

    return allowed


NAVIGATION: list[dict[str, Any]] = [
    {
        "title": "Credits",
        "items": [
            _page("Balances", "account_balance_wallet", "credits", "creditbalance"),
            _page("Transactions", "receipt_long", "credits", "credittransaction"),
            _page("Grants", "redeem", "credits", "creditgrant"),
            _page("Holds", "lock_clock", "credits", "credithold"),
            _page("Rejected attempts", "block", "credits", "rejectedattempt"),
        ],
    },
    {
        "title": "Tiers",
        "items": [
            _page("Subscriptions", "card_membership", "tiers", "subscription"),
            _page("Monthly allocations", "event_available", "tiers", "monthlyallocation"),
            _page("Allocation runs", "play_circle", "tiers", "allocationrun"),
            _page("Tiers", "stairs", "tiers", "tier"),
            _page("Recovery costs", "payments", "tiers", "recoverycost"),
        ],
    },
    {
        "title": "Features",
        "items": [
            _page("Features", "auto_awesome", "credits", "feature"),
            _page("Feature prices", "sell", "credits", "featureprice"),
        ],
    },
    {
        "title": "Staff",
        "items": [
            {
                **_page("Approval requests", "approval", "console", "approvalrequest"),
                "badge": "fluxori.console.dashboard.badges.pending_requests",
                "badge_variant": "warning",
            },
            _page("Staff actions", "history_edu", "console", "staffaction"),
            _page("Ceilings", "vertical_align_top", "console", "manualcreditceiling"),
        ],
    },
    {
        "title": "People",
        "items": [
            _page("Users", "person", "identity", "user"),
            _page("Organizations", "groups", "identity", "organization"),
            _page("Memberships", "badge", "identity", "membership"),
            _page("Staff groups", "admin_panel_settings", "auth", "group"),
        ],
    },
    {
        "title": "Operation",
        "items": [_page("Jobs", "schedule", "procrastinate", "procrastinatejob")],
    },
    {
        "title": "Ledger details",
        "separator": True,
        "collapsible": True,
        "items": [
            _page("Entries", "list", "credits", "creditentry"),
            _page("Pins", "keep", "credits", "creditpin"),
            _page("Idempotency keys", "key", "credits", "creditrequest"),
            _page("Repairs", "build", "credits", "balancerepair"),
        ],
    },
]
