"""Where the credits went, and how long the rest will last. Questions only; nothing here writes or locks."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import F, Q

from credits import queries
from credits.domain import errors
from credits.domain.forecasting import Arrival, simulate_burn
from credits.models import AggregationRun, CreditBalance, CreditTotal, CreditTransaction
from fluxori.identity.owner import Owner, OwnerLike

DAY = timedelta(days=1)
GROUPS = ("day", "feature", "member", "type")
PERIOD = 30 * DAY
LONGEST = 366 * DAY
LEAST_HISTORY = 7
HORIZON = 366 * DAY

_TICK = timedelta(microseconds=1)
_EARLIEST = datetime.min.replace(tzinfo=UTC) + PERIOD  # the calendar begins there
_USAGE = (Path(__file__).parent / "sql" / "usage.sql").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Share:
    """What one day, feature, member or type came to, in whole credits; ``count`` leaves refunds out."""

    key: str | None
    used: int = 0
    refunded: int = 0
    count: int = 0

    @property
    def net(self) -> int:
        return self.used - self.refunded


@dataclass(frozen=True, slots=True)
class Usage:
    """The usage of one balance in ``[from_, to)``, by one dimension, and all of it together."""

    from_: datetime
    to: datetime
    group_by: str
    results: list[Share]

    @property
    def total(self) -> Share:
        return Share(
            None,
            sum(share.used for share in self.results),
            sum(share.refunded for share in self.results),
            sum(share.count for share in self.results),
        )


def get_usage(
    *,
    owner: OwnerLike,
    group_by: str = "day",
    from_: datetime | None = None,
    to: datetime | None = None,
    at: datetime,
) -> Usage:
    """Return what the owner used in ``[from_, to)`` and what of usage was refunded, in whole credits.

    The period is the 30 days before ``to``, and ``to`` is ``at``, unless told; at most 366 days. A refund counts when
    it happened, on the feature and the member of the usage it gives back, so ``net`` = used - refunded may be negative.
    ``count`` is how many usages there were.

    - ``day``: every day in UTC that the period touches, in order, those without usage with zeros.
    - ``feature``, ``member``: the most used first. The key is None where no feature, or nobody in particular, was
      named; in a user's own balance nobody in particular is that user.
    - ``type``: every type of transaction that there was: ``used`` is what left by it, ``refunded`` what came, and
      ``count`` the transactions; so the total's ``net`` is by how much the balance fell.

    It is exact whether or not anything is folded. What has expired counts from when it is written, as in the history.
    Without a balance there is no usage.

    :raises InvalidArgumentError: ``invalid_choice`` for another dimension; ``wrong_type`` for an instant without a time
        zone; ``in_future`` for a period that has not begun; ``out_of_range`` if ``to`` is not after ``from_``, or the
        period is longer than 366 days
    """
    if group_by not in GROUPS:
        raise errors.InvalidArgumentError.field("group_by", "invalid_choice", f"It is one of {', '.join(GROUPS)}.")
    to, from_ = _period(from_, to, at)
    whose = Owner.of(owner)
    shares = _shares(whose, group_by, from_, to)
    if group_by == "day":
        last = _midnight(to - _TICK)
        days = [str((_midnight(from_) + n * DAY).date()) for n in range((last - _midnight(from_)).days + 1)]
        return Usage(from_, to, group_by, [shares.get(day, Share(day)) for day in days])
    ordered = sorted(shares.values(), key=lambda share: (-share.used, share.key is None, share.key or ""))
    return Usage(from_, to, group_by, ordered)


def _period(from_: datetime | None, to: datetime | None, at: datetime) -> tuple[datetime, datetime]:
    for name, instant in (("from_", from_), ("to", to)):
        if instant is not None and instant.utcoffset() is None:
            raise errors.InvalidArgumentError.field(name, "wrong_type", "An aware instant is needed.")
    to = to or at
    if from_ is None:
        from_ = max(to, _EARLIEST) - PERIOD
    if from_ > at:
        raise errors.InvalidArgumentError.field("from_", "in_future", "The period has not begun.")
    if to <= from_:
        raise errors.InvalidArgumentError.field("to", "out_of_range", "It must be later than the beginning.")
    if to - from_ > LONGEST:
        raise errors.InvalidArgumentError.field("from_", "out_of_range", "A period has at most 366 days.")
    return to, from_


def _shares(owner: Owner, group_by: str, from_: datetime, to: datetime) -> dict[str | None, Share]:
    edges = [_midnight(from_), _midnight(from_ + DAY - _TICK), _midnight(to), _midnight(to + DAY - _TICK)]
    parameters: dict[str, Any] = {
        "balance": owner.id,
        "person": owner.user_id,
        "group_by": group_by,
        "instants": [from_, to, *edges],
        **dict(zip(("first_day", "second_day", "last_day", "next_day"), (e.date() for e in edges), strict=True)),
    }
    with connection.cursor() as cursor:
        cursor.execute(_USAGE, parameters)
        return {row[0]: Share(*row) for row in cursor.fetchall()}


def _midnight(at: datetime) -> datetime:
    return datetime.combine(at.astimezone(UTC).date(), time(), UTC)


@dataclass(frozen=True, slots=True)
class Expiring:
    """Whole credits of a grant that will expire unused, rounded down."""

    grant_id: UUID
    amount: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Forecast:
    """How long the credits last at the pace of the last ``window_days``; ``reason`` says why there is no answer."""

    as_of: datetime
    window_days: int
    burn_per_day: Fraction | None
    runs_out_at: datetime | None
    runs_out_at_with_allocations: datetime | None
    expiring_unused: list[Expiring]
    next_allocation: Arrival | None
    reason: str | None


def forecast(*, owner: OwnerLike, at: datetime, coming: Iterable[Arrival] = ()) -> Forecast:
    """Return how long the owner's credits will last from ``at`` on, if they are used as before.

    The pace is the usage less the refunds of the last 30 days or, where the balance is younger, of its whole days since
    its first transaction, spread evenly over that time. At that pace the available credits are burned in burn order,
    from one expiry or arrival to the next, 366 days ahead; see ``credits.domain.forecasting``. Credits that open holds have
    set aside are taken as spent.

    - ``runs_out_at``: when nothing would be available any more if nothing were added, expiries included; ``at`` where
      nothing is now. ``runs_out_at_with_allocations``: the same with the allocations that are ``coming``. None: not
      within 366 days.
    - ``expiring_unused``: which of today's grants lose how much, and when, with the allocations coming, since those may
      be burned first. Whole credits, rounded down; less than one is left out.
    - ``reason``: ``not_enough_history`` with less than seven days of it: there is no pace and nothing is said that
      depends on it; ``no_usage``: the pace is 0, nothing runs out, and what has an expiry expires.

    :raises BalanceNotFoundError: if nobody opened such a balance
    """
    whose = Owner.of(owner)
    book = queries.load_settled_balance(whose, at=at)
    arrivals = list(coming)
    upcoming = arrivals[0] if arrivals else None
    days = min(PERIOD.days, _days_of_history(whose, at))
    if days < LEAST_HISTORY:
        return Forecast(at, days, None, None, None, [], upcoming, "not_enough_history")
    window = days * DAY
    spent = max(get_usage(owner=whose, group_by="feature", from_=at - window, to=at, at=at).total.net, 0)
    ahead = partial(simulate_burn, book.spendable(), at=at, until=at + HORIZON, spent=spent, window=window)
    alone, topped_up = ahead(), ahead(arrivals=arrivals)
    return Forecast(
        as_of=at,
        window_days=days,
        burn_per_day=Fraction(spent, days),
        runs_out_at=alone.runs_out_at if spent else None,
        runs_out_at_with_allocations=topped_up.runs_out_at if spent else None,
        expiring_unused=[
            Expiring(book.persisted_ancestor(book.grants[unused.grant_id]).id, int(unused.amount), unused.at)
            for unused in topped_up.unused
            if unused.amount >= 1
        ],
        next_allocation=upcoming,
        reason=None if spent else "no_usage",
    )


def _days_of_history(owner: Owner, at: datetime) -> int:
    first = CreditTransaction.objects.filter(balance=owner.id, sequence=1).values_list("timestamp", flat=True).first()
    return 0 if first is None else max((at - first).days, 0)


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over all balances. They hold all that was written before ``as_of``, and some of what was written since.

    None: no fold has come to its end yet.
    """

    as_of: datetime | None
    rows: list[CreditTotal]


def totals(*, from_: date, to: date) -> Totals:
    """Return what all balances together came to in the days ``[from_, to)``, in UTC, by day, type and feature.

    As far as ``aggregate_usage`` has come. A row's credits are whole; its ``value`` is in rand: what the credits that
    moved were sold for, negative where they left. So the value of what was spent is -``value`` of the rows of type
    ``usage``, and -``unpriced`` is how many of those credits were never sold.
    """
    # Read first: what is folded between the two questions is then in the rows, and not missing from them.
    complete = (
        AggregationRun.objects.filter(busy=0).order_by("-started_at").values_list("started_at", flat=True).first()
    )
    rows = CreditTotal.objects.filter(day__gte=from_, day__lt=to).order_by("day", "type", "feature")
    return Totals(complete, list(rows))


def unaggregated_balances(*, after: UUID | None, limit: int) -> list[UUID]:
    """Return up to ``limit`` balances, by id from beyond ``after``, with transactions that are not folded yet."""
    beyond = Q(pk__gt=after) if after else Q()
    behind = Q(fold__isnull=True, sequence__gt=0) | Q(sequence__gt=F("fold__sequence"))
    return list(CreditBalance.objects.filter(beyond, behind).order_by("pk").values_list("pk", flat=True)[:limit])
