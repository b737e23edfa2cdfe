"""Questions about who is promised what. Nothing here writes or locks."""

from collections.abc import Collection, Iterable
from datetime import datetime
from decimal import Decimal
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Case, Count, F, Min, Q, QuerySet, When

from fluxori.identity.owner import Owner, OwnerLike
from fluxori.kernel import clock, fixed
from tiers.models import Subscription, Tier, TierChange
from tiers.periods import period_at
from tiers.tenure import Promise, Tenure, brought_up

RULES = tuple(
    path.read_text(encoding="utf-8") for path in sorted((Path(__file__).parent / "sql" / "verify").glob("*.sql"))
)
"""What must hold of the tiers, for ``credits.verification`` to try: SQL that returns the rows that break it."""

_DUE_AMONG = "balance_id = ANY(%s::uuid[]) AND status = 'active' AND next_allocation_at <= %s ORDER BY balance_id"
_CHANGES = "balance_id = ANY(%s::uuid[]) AND period >= %s ORDER BY balance_id, number"
_ALLOCATED = (
    "SELECT balance_id, period FROM tiers_monthlyallocation WHERE balance_id = ANY(%s::uuid[]) AND period >= %s"
)

NO_TIER: dict[str, Any] = {"tier": None, "pending_tier": None, "next_allocation_at": None}


def tier_facts(*, owner: OwnerLike, at: datetime | None = None) -> dict[str, Any]:
    """Return what a balance's answer says of its tier at ``at``, ready for JSON; all None where it has no tier.

    A scheduled change is in it from its instant on, whether or not it is written. ``next_allocation_at`` is when the
    first period begins that the monthly run has not yet looked after: it lies in the past while that run is due.
    Without an ``at`` the clock is read.
    """
    subscription = subscription_of(owner=owner, at=at)
    return facts(subscription) if subscription else dict(NO_TIER)


def facts(subscription: Subscription) -> dict[str, Any]:
    """Return the tier facts of a subscription at hand, brought up to date."""
    pending = None
    if subscription.scheduled_tier_id and subscription.scheduled_at:
        pending = {"tier": subscription.scheduled_tier_id, "at": subscription.scheduled_at.isoformat()}
    return {
        "tier": subscription.tier_id,
        "pending_tier": pending,
        "next_allocation_at": subscription.next_allocation_at.isoformat(),
    }


def subscription_of(*, owner: OwnerLike, at: datetime | None = None) -> Subscription | None:
    """Return the owner's subscription as it stands at ``at``, or None. Without an ``at`` the clock is read."""
    found = fixed.get(Subscription, Owner.of(owner).id)
    return found and brought_up(found, at or clock.now())


def on_tier(code: str, *, at: datetime) -> QuerySet[Subscription]:
    """Return the subscriptions that hold this tier at ``at``."""
    return Subscription.objects.alias(held_tier=_held(at)).filter(held_tier=code)


def _held(at: datetime) -> Case:
    return Case(When(scheduled_at__lte=at, then=F("scheduled_tier")), default=F("tier"))


def tier_changes(subscriptions: Collection[Subscription], *, period: int) -> dict[UUID, list[TierChange]]:
    """Return for each subscription its changes of tier from ``period`` on, in the order they were made."""
    found: dict[UUID, list[TierChange]] = {subscription.pk: [] for subscription in subscriptions}
    for change in fixed.select(TierChange, _CHANGES, [fixed.array(found), period]):
        found[change.balance_id].append(change)
    return found


def public_tiers() -> QuerySet[Tier]:
    """Return the tiers that are offered, the smallest first."""
    return Tier.objects.filter(is_public=True)


def is_tier(code: str) -> bool:
    """Return whether there is such a tier, offered or not."""
    return Tier.objects.filter(pk=code).exists()


def due(*, at: datetime, tier: str | None = None, after: UUID | None = None) -> QuerySet[Subscription]:
    """Return the active subscriptions with a period begun by ``at`` that the monthly run has not looked after.

    In order of the balance's id, from beyond ``after``; of ``tier`` are those that hold it at ``at``.
    """
    rows = on_tier(tier, at=at) if tier else Subscription.objects.all()
    beyond = Q(pk__gt=after) if after else Q()
    return rows.filter(beyond, status="active", next_allocation_at__lte=at).order_by("pk")


def due_among(balance_ids: Collection[UUID], *, at: datetime) -> list[Subscription]:
    """Return those of :func:`due` that belong to these balances, in order of the balance's id."""
    return fixed.select(Subscription, _DUE_AMONG, [fixed.array(balance_ids), at])


def due_by_tier(*, at: datetime, tier: str | None = None) -> dict[str, int]:
    """Return how many subscriptions of each tier are due."""
    held = due(at=at, tier=tier).order_by().annotate(held_tier=_held(at)).values_list("held_tier")
    return dict(held.annotate(Count("pk")).order_by("held_tier"))


def allocated_periods(subscriptions: Collection[Subscription]) -> set[tuple[UUID, int]]:
    """Return which (balance, period) pairs from each subscription's next period on are already recorded."""
    if not subscriptions:
        return set()
    earliest = min(subscription.next_period for subscription in subscriptions)
    ids = fixed.array(subscription.pk for subscription in subscriptions)
    return {(balance, period) for balance, period in fixed.fetch(_ALLOCATED, [ids, earliest])}


def tier_facts_of(balance_ids: Iterable[UUID], *, at: datetime | None = None) -> dict[UUID, dict[str, Any]]:
    """Return the tier facts of many balances at ``at``, read at once. Without an ``at`` the clock is read."""
    return fixed.ask(asking_tier_facts(balance_ids, at=at))


def asking_tier_facts(
    balance_ids: Iterable[UUID], *, at: datetime | None = None
) -> fixed.Question[dict[UUID, dict[str, Any]]]:
    """Ask for what :func:`tier_facts_of` returns."""
    ids, at = list(balance_ids), at or clock.now()

    def told(found: list[Subscription]) -> dict[UUID, dict[str, Any]]:
        known = {row.pk: facts(brought_up(row, at)) for row in found}
        return {key: known.get(key, NO_TIER) for key in ids}

    return fixed.all_of(Subscription, ids).then(told)


def value_per_credit(price: Decimal, monthly_credits: int) -> Decimal:
    """Return what one credit is worth at a monthly price, in rand, rounded half to even at six decimal places.

    >>> value_per_credit(Decimal(32), 400)
    Decimal('0.080000')
    """
    return (price / monthly_credits).quantize(Decimal("0.000001"))


def tenures(subscriptions: Collection[Subscription], *, at: datetime) -> dict[UUID, Tenure]:
    """Return the tenure of each of these subscriptions, brought up to ``at``; read, and not written."""
    tiers = Tier.objects.in_bulk()
    earliest = min(
        # Where one is due, its next period has begun.
        (each.next_period if each.next_allocation_at <= at else period_at(each.anchor, at) for each in subscriptions),
        default=0,
    )
    changes = tier_changes(subscriptions, period=earliest)
    found = {each.pk: Tenure(each, tiers, changes[each.pk]) for each in subscriptions}
    for tenure in found.values():
        tenure.reach(at)
    return found


def tenure_of(subscription: Subscription, *, at: datetime) -> Tenure:
    """Return the tenure of one subscription, brought up to ``at``; read, and not written."""
    return tenures([subscription], at=at)[subscription.pk]


class Coming(NamedTuple):
    """An allocation that lies ahead: ``amount`` whole credits at ``at``, and what becomes of what is left of them."""

    at: datetime
    amount: int
    expires_at: datetime | None
    roll_cap: int | None
    roll_until: datetime | None


def coming_allocations(*, owner: OwnerLike, at: datetime, until: datetime) -> list[Coming]:
    """Return the allocations that will be given before ``until``, as things stand at ``at``, the next one in front.

    Each follows the tier that will be in force, less what proration has given. The first is dated in the past while the
    monthly run is due; missed ones that bring nothing any more are left out. None without an active subscription.
    """
    subscription = Subscription.objects.filter(pk=Owner.of(owner).id, status="active").first()
    if subscription is None:
        return []
    waiting = tenure_of(subscription, at=at).waiting(allocated_periods([subscription]))
    ahead = takewhile(lambda promise: promise.starts_at < until, waiting)
    return [_coming(promise, at) for promise in ahead if promise.due(at) or not promise.over(at)]


def _coming(promise: Promise, at: datetime) -> Coming:
    if promise.over(at):
        # It will be rolled over as soon as it comes.
        return Coming(promise.starts_at, promise.due(at), promise.roll_until, None, None)
    return Coming(promise.starts_at, promise.credits, promise.expires_at, promise.roll_cap, promise.roll_until)


class Reach(NamedTuple):
    """Whom a change of a tier touches: active subscriptions, when the first of them is next given credits, and how many
    more are scheduled to change to it.
    """

    subscriptions: int
    next_allocation_at: datetime | None
    scheduled: int


def reach(*, tier: str) -> Reach:
    """Return whom a change of the tier touches."""
    active = Subscription.objects.filter(tier=tier, status="active").order_by()
    found = active.aggregate(count=Count("pk"), first=Min("next_allocation_at"))
    coming = Subscription.objects.filter(scheduled_tier=tier, status="active").exclude(tier=tier).order_by()
    return Reach(found["count"], found["first"], coming.count())
