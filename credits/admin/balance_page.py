"""What the page of one balance says: what there is now, where it came from, and what happened last."""

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils.safestring import SafeString, mark_safe

from credits import queries
from credits.admin.owners import name_of
from credits.admin.read_only import NOTHING, credits_said, instant_said, link, listing
from credits.book import Book, Grant, Snapshot
from credits.burn_order import in_burn_order
from credits.models import CreditBalance, CreditTransaction
from tiers import queries as tiers

LAST = 20


def balance_page(request: HttpRequest, balance: CreditBalance, *, at: datetime) -> dict[str, Any]:
    """Return the context of the page, with everything due by ``at`` settled in memory."""
    book = queries.settled(balance.owner, at=at)
    now = book.snapshot()
    return {
        "title": f"Balance of {name_of(balance)}",
        "name": name_of(balance),
        "now": now,
        "figures": [
            ("Available now", credits_said(now.available)),
            ("Balance", credits_said(now.balance)),
            ("Held for work under way", credits_said(now.held)),
            ("Debt", credits_said(now.debt)),
        ],
        "read_at": instant_said(at),
        "due": len(book.transactions),
        "next_expiry": _next_expiry(now),
        "subscription": tiers.subscription_of(owner=balance.owner),
        "grants": _grants(book),
        "transactions": _transactions(balance),
        "all_grants": listing("credits_creditgrant", "All grants", balance=balance.pk),
        "all_transactions": listing("credits_credittransaction", "All transactions", balance=balance.pk),
        "all_holds": listing("credits_credithold", "All holds", balance=balance.pk),
        "may_add_credits": request.user.has_perm("console.add_credits"),
        "may_allocate": request.user.has_perm("console.allocate_month"),
    }


def _next_expiry(now: Snapshot) -> str:
    if now.next_expiry is None:
        return NOTHING
    amount, at = now.next_expiry
    return f"{credits_said(amount)} on {instant_said(at)}"


def _grants(book: Book) -> dict[str, Any]:
    """Return the grants that still hold credits, in the order in which they are spent."""
    live = [grant for grant in book.grants.values() if grant.remaining or grant.held]
    return {
        "headers": ["Source", "Given", "Remaining", "Held", "Effective at", "Expires at", "Priority"],
        "rows": [_grant(grant) for grant in in_burn_order(live)],
    }


def _grant(grant: Grant) -> list[str]:
    return [
        link("credits.creditgrant", grant.id, grant.source.capitalize()),
        credits_said(grant.amount),
        credits_said(grant.remaining),
        credits_said(grant.held),
        instant_said(grant.effective_at),
        instant_said(grant.expires_at) if grant.expires_at else "Never",
        str(grant.priority),
    ]


def _transactions(balance: CreditBalance) -> dict[str, Any]:
    last = queries.get_transaction_history(owner=balance.owner).select_related("actor")[:LAST]
    return {
        "headers": ["#", "When", "Type", "Credits", "Balance after", "Description", "By"],
        "rows": [_transaction(row) for row in last],
    }


def _transaction(row: CreditTransaction) -> list[str | SafeString]:
    return [
        link("credits.credittransaction", row.pk, str(row.sequence)),
        instant_said(row.timestamp),
        row.get_type_display(),
        mark_safe(f'<span class="tabular-nums">{row.amount:+,}</span>'),  # noqa: S308 - a number
        credits_said(row.balance_after),
        row.description or NOTHING,
        str(row.actor) if row.actor else NOTHING,
    ]
