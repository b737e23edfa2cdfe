"""The account page: one balance with its grants, holds, limits, usage, transactions and staff actions.

Due events are applied in memory, so the page shows the balance as of now and writes nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from credits import queries
from credits.admin.owners import owner_name
from credits.admin.rejected_attempts import format_facts, reason_label
from credits.domain.balance_state import BalanceState
from credits.domain.burn_order import in_burn_order
from credits.domain.records import Grant
from credits.models import CreditBalance, CreditHold, Feature, RejectedAttempt
from credits.queries import usage
from fluxori.console import queries as console_queries
from fluxori.console.account.corrections import TransactionWithCorrections, load_corrections
from fluxori.console.dashboard.charts import usage_by_day, usage_chart
from fluxori.console.links import changelist_url
from fluxori.identity import queries as identity_queries
from fluxori.identity.models import User
from tiers import queries as tier_queries

# How many rows each section shows at most.
MAX_ROWS = 20
MAX_MEMBERS = 12
MAX_REJECTED_ATTEMPTS = 10
MAX_STAFF_ACTIONS = 10


def account_context(balance: CreditBalance, *, at: datetime) -> dict[str, Any]:
    """Return the template context of the account page as of ``at``."""
    state = queries.load_settled_balance(balance.owner, at=at)
    forecast = _forecast(balance, at)
    features = {feature.pk: feature for feature in Feature.objects.all()}
    return {
        "title": owner_name(balance),
        "balance": balance,
        "now": state.snapshot(),
        "read_at": at,
        "due": len(state.transactions),
        "subscription": tier_queries.subscription_of(owner=balance.owner, at=at),
        "next_allocation_at": tier_queries.tier_facts(owner=balance.owner, at=at).next_allocation_at,
        "members": _members(balance),
        "grants": grant_rows(state),
        "holds": _holds(balance, at, features),
        "limits": _limits(balance, at),
        "usage": usage_chart(usage_by_day(balance, at=at), features, at=at),
        "forecast": forecast,
        "burn": f"{float(forecast.burn_per_day):.1f}" if forecast.burn_per_day is not None else "",
        "transactions": _transactions(balance, features),
        "staff_actions": list(console_queries.staff_actions_on(balance.pk)[:MAX_STAFF_ACTIONS]),
        "pending_requests": console_queries.pending_requests_for(balance.pk),
        "rejected_attempts": _rejected_attempts(balance, features),
        "lists": {
            "grants": changelist_url("credits_creditgrant", balance=balance.pk),
            "transactions": changelist_url("credits_credittransaction", balance=balance.pk),
            "holds": changelist_url("credits_credithold", balance=balance.pk),
            "allocations": changelist_url("tiers_monthlyallocation", balance=balance.pk),
            "staff_actions": changelist_url("console_staffaction", balance=balance.pk),
            "rejected_attempts": changelist_url("credits_rejectedattempt", balance=balance.pk),
        },
    }


def _members(balance: CreditBalance) -> dict[str, Any] | None:
    """Return the first members of an organization; None for the balance of a user."""
    if balance.organization_id is None:
        return None
    order = ("owner", "manager", "member", "viewer")
    memberships = list(identity_queries.members_of(balance.organization_id)[: 10 * MAX_MEMBERS])
    memberships.sort(key=lambda membership: (order.index(membership.role), membership.user.email))
    return {"memberships": memberships[:MAX_MEMBERS], "more": len(memberships) > MAX_MEMBERS}


@dataclass(frozen=True, slots=True)
class GrantRow:
    """A grant that has credits. Shares are percentages of the granted amount; ``value`` is in rand."""

    grant: Grant
    free_share: int
    held_share: int
    value: Decimal | None


def grant_rows(state: BalanceState) -> list[GrantRow]:
    """Return the grants that have credits, in burn order."""
    live = [grant for grant in state.grants.values() if grant.remaining or grant.held]
    return [
        GrantRow(
            grant,
            100 * grant.remaining // grant.amount,
            100 * grant.held // grant.amount,
            None if grant.unit_price is None else grant.unit_price * (grant.remaining + grant.held),
        )
        for grant in in_burn_order(live)
    ]


def _holds(balance: CreditBalance, at: datetime, features: dict[str, Feature]) -> list[CreditHold]:
    open_holds = CreditHold.objects.filter(balance=balance.pk, status="open", expires_at__gt=at).order_by("expires_at")
    holds = list(open_holds[:MAX_ROWS])
    _attach_users(holds)
    for hold in holds:
        hold.feature_name = features.get(hold.feature_id or "")  # type: ignore[attr-defined]
    return holds


@dataclass(frozen=True, slots=True)
class LimitRow:
    """A limit in force: its holder, how much of it is used, and when its period ends.

    ``member`` is the e-mail of the member that it limits; it is empty for a limit of the whole balance.
    """

    id: UUID
    holder: str
    member: str
    amount: int
    period: str
    used: int
    resets_at: datetime

    @property
    def reached(self) -> bool:
        return self.used >= self.amount


def _limits(balance: CreditBalance, at: datetime) -> list[LimitRow]:
    statuses = queries.limit_statuses(queries.get_limits(owner=balance.owner), at=at)
    members = User.objects.in_bulk([status.member_id for status in statuses if status.member_id])
    rows = []
    for status in statuses:
        member = members.get(status.member_id) if status.member_id else None
        rows.append(
            LimitRow(
                id=status.id,
                holder=str(member or status.member_id or "Whole balance"),
                member=member.email if member else "",
                amount=status.amount,
                period=status.period,
                used=status.used,
                resets_at=status.resets_at,
            )
        )
    return rows


def _forecast(balance: CreditBalance, at: datetime) -> usage.Forecast:
    coming = tier_queries.upcoming_allocations(owner=balance.owner, at=at, until=at + usage.HORIZON)
    return usage.forecast(owner=balance.owner, at=at, coming=coming)


def _transactions(balance: CreditBalance, features: dict[str, Feature]) -> list[TransactionWithCorrections]:
    latest = list(queries.get_transaction_history(owner=balance.owner)[:MAX_ROWS])
    _attach_users(latest)
    return load_corrections(latest, features)


def _rejected_attempts(balance: CreditBalance, features: dict[str, Feature]) -> list[RejectedAttempt]:
    attempts = list(
        RejectedAttempt.objects.filter(balance=balance.pk).order_by("-hour", "code", "feature")[:MAX_REJECTED_ATTEMPTS]
    )
    _attach_users(attempts)
    for attempt in attempts:
        attempt.feature_name = features.get(attempt.feature)  # type: ignore[attr-defined]
        attempt.explanation = reason_label(attempt)  # type: ignore[attr-defined]
        attempt.numbers = format_facts(attempt)  # type: ignore[attr-defined]
    return attempts


def _attach_users(rows: Iterable[Any]) -> None:
    """Set ``actor_user`` and ``member_user`` of each row, in one query for all rows."""
    rows = list(rows)
    ids: set[UUID] = {key for row in rows for key in (row.actor_id, row.member_id) if key}
    users = User.objects.in_bulk(ids)
    for row in rows:
        row.actor_user, row.member_user = users.get(row.actor_id), users.get(row.member_id)
