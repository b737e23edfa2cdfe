"""What the page of one account says: a balance seen whole, from what it has now to who did what to it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from credits import queries
from credits.admin.owners import name_of
from credits.admin.refused import numbers_of, words_of
from credits.domain.balance_state import BalanceState
from credits.domain.burn_order import in_burn_order
from credits.domain.records import Grant
from credits.models import CreditBalance, CreditHold, CreditTransaction, Feature, RejectedAttempt
from credits.queries import usage
from fluxori.console import queries as console
from fluxori.console.dashboard.charts import usage_by_day, usage_chart
from fluxori.console.links import rows
from fluxori.identity import queries as people
from fluxori.identity.models import User
from tiers import queries as tiers

LAST = 20
MEMBERS = 12
REFUSED = 10
ACTS = 10


def account(balance: CreditBalance, *, at: datetime) -> dict[str, Any]:
    """Return the context of the page, with everything due by ``at`` settled in memory."""
    book = queries.load_settled_balance(balance.owner, at=at)
    ahead = _forecast(balance, at)
    names = {feature.pk: feature for feature in Feature.objects.all()}
    return {
        "title": name_of(balance),
        "balance": balance,
        "now": book.snapshot(),
        "read_at": at,
        "due": len(book.transactions),
        "subscription": tiers.subscription_of(owner=balance.owner),
        "members": _members(balance),
        "grants": grants(book),
        "holds": _holds(balance, at, names),
        "limits": _limits(balance, at),
        "usage": usage_chart(usage_by_day(balance, at=at), names, at=at),
        "forecast": ahead,
        "burn": f"{float(ahead.burn_per_day):.1f}" if ahead.burn_per_day is not None else "",
        "transactions": _transactions(balance, names),
        "acts": list(console.staff_acts_of(balance.pk)[:ACTS]),
        "waiting": console.pending_of(balance.pk),
        "refused": _refused(balance, names),
        "lists": {
            "grants": rows("credits_creditgrant", balance=balance.pk),
            "transactions": rows("credits_credittransaction", balance=balance.pk),
            "holds": rows("credits_credithold", balance=balance.pk),
            "allocations": rows("tiers_monthlyallocation", balance=balance.pk),
            "acts": rows("console_staffaction", balance=balance.pk),
            "refused": rows("credits_rejectedattempt", balance=balance.pk),
        },
    }


def _members(balance: CreditBalance) -> dict[str, Any] | None:
    """Return who may spend from a pool, the first few; None for a person's own balance."""
    if balance.organization_id is None:
        return None
    order = ("owner", "manager", "member", "viewer")
    seats = list(people.members_of(balance.organization_id)[: 10 * MEMBERS])
    seats.sort(key=lambda seat: (order.index(seat.role), seat.user.email))
    return {"seats": seats[:MEMBERS], "more": len(seats) > MEMBERS}


@dataclass(frozen=True, slots=True)
class GrantShown:
    """One grant that still holds credits; the shares are percent of what was given."""

    grant: Grant
    free_share: int
    held_share: int
    value: Decimal | None


def grants(book: BalanceState) -> list[GrantShown]:
    """Return the grants that hold credits, in the order in which they are spent."""
    live = [grant for grant in book.grants.values() if grant.remaining or grant.held]
    return [
        GrantShown(
            grant,
            100 * grant.remaining // grant.amount,
            100 * grant.held // grant.amount,
            None if grant.unit_price is None else grant.unit_price * (grant.remaining + grant.held),
        )
        for grant in in_burn_order(live)
    ]


def _holds(balance: CreditBalance, at: datetime, names: dict[str, Feature]) -> list[CreditHold]:
    open_ones = CreditHold.objects.filter(balance=balance.pk, status="open", expires_at__gt=at).order_by("expires_at")
    found = list(open_ones[:LAST])
    _name_people(found)
    for held in found:
        held.work = names.get(held.feature_id or "")  # type: ignore[attr-defined]
    return found


@dataclass(frozen=True, slots=True)
class LimitShown:
    """One limit in force: whose, how much of it is used, and when it begins anew. ``member`` is an e-mail, or empty."""

    id: UUID
    whom: str
    member: str
    amount: int
    period: str
    used: int
    resets_at: datetime

    @property
    def reached(self) -> bool:
        return self.used >= self.amount


def _limits(balance: CreditBalance, at: datetime) -> list[LimitShown]:
    found = queries.limit_statuses(queries.get_limits(owner=balance.owner), at=at)
    members = User.objects.in_bulk([standing.member_id for standing in found if standing.member_id])
    shown = []
    for standing in found:
        member = members.get(standing.member_id) if standing.member_id else None
        whom = str(member or standing.member_id or "Everybody together")
        told = (standing.amount, standing.period, standing.used, standing.resets_at)
        shown.append(LimitShown(standing.id, whom, member.email if member else "", *told))
    return shown


def _forecast(balance: CreditBalance, at: datetime) -> usage.Forecast:
    coming = tiers.upcoming_allocations(owner=balance.owner, at=at, until=at + usage.HORIZON)
    return usage.forecast(owner=balance.owner, at=at, coming=coming)


@dataclass(slots=True)
class Movement:
    """One transaction as the page lists it, with what it corrects and what corrected it."""

    row: CreditTransaction
    feature: Feature | None
    corrects: CreditTransaction | None = None
    corrected_by: list[CreditTransaction] = field(default_factory=list)

    @property
    def left(self) -> int:
        """How many credits of a usage were not refunded yet, or of a purchase not taken back."""
        return abs(self.row.amount) - sum(abs(row.amount) for row in self.corrected_by)


def movements(found: Sequence[CreditTransaction], names: dict[str, Feature]) -> list[Movement]:
    """Return transactions of one balance with their links both ways, read at once."""
    shown = {row.pk: Movement(row, names.get(row.feature_id or "")) for row in found}
    if not shown:
        return []
    here = CreditTransaction.objects.filter(balance=found[0].balance_id)
    targets = here.in_bulk([row.reverses_id for row in found if row.reverses_id])
    for movement in shown.values():
        movement.corrects = targets.get(movement.row.reverses_id)
    for later in here.filter(reverses__in=list(shown)).order_by("sequence"):
        if later.reverses_id is not None:
            shown[later.reverses_id].corrected_by.append(later)
    return list(shown.values())


def _transactions(balance: CreditBalance, names: dict[str, Feature]) -> list[Movement]:
    last = list(queries.get_transaction_history(owner=balance.owner)[:LAST])
    _name_people(last)
    return movements(last, names)


def _refused(balance: CreditBalance, names: dict[str, Feature]) -> list[RejectedAttempt]:
    found = list(RejectedAttempt.objects.filter(balance=balance.pk).order_by("-hour", "code", "feature")[:REFUSED])
    _name_people(found)
    for attempt in found:
        attempt.work = names.get(attempt.feature)  # type: ignore[attr-defined]
        attempt.words = words_of(attempt)  # type: ignore[attr-defined]
        attempt.numbers = numbers_of(attempt)  # type: ignore[attr-defined]
    return found


def _name_people(found: Iterable[Any]) -> None:
    """Give each row the users that it names, without a query for each."""
    found = list(found)
    ids: set[UUID] = {key for row in found for key in (row.actor_id, row.member_id) if key}
    users = User.objects.in_bulk(ids)
    for row in found:
        row.by, row.whom = users.get(row.actor_id), users.get(row.member_id)
