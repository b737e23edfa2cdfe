"""Reads of usage: what was used in a period, a forecast of how long the credits last, and totals over all balances.

Nothing here writes or locks. Usage is exact at any time: the roll-ups supply the transactions up to the watermark, and
the ledger the transactions after it. ``credits.domain.forecasting`` simulates the forecast.
"""

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
from credits.arguments import resolve_timestamp
from credits.domain import errors
from credits.domain.forecasting import Arrival, simulate_burn
from credits.models import AggregationRun, CreditBalance, CreditTotal, CreditTransaction
from fluxori.identity.owner import Owner, OwnerLike

DAY = timedelta(days=1)
GROUPS = ("day", "feature", "member", "type")
PERIOD = 30 * DAY
MAX_PERIOD = 366 * DAY
MIN_HISTORY_DAYS = 7
HORIZON = 366 * DAY

_MICROSECOND = timedelta(microseconds=1)
_EARLIEST = datetime.min.replace(tzinfo=UTC) + PERIOD  # the first instant with a full period before it
_USAGE = (Path(__file__).parent / "sql" / "usage.sql").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class UsageGroup:
    """The usage of one day, feature, member or type, in whole credits; ``count`` does not include refunds.

    By type, ``amount`` is the sum of the amounts of all transactions of the type, and ``count`` their number.
    """

    key: str | None
    used: int = 0
    refunded: int = 0
    count: int = 0
    amount: int | None = None

    @property
    def net(self) -> int:
        return self.used - self.refunded


@dataclass(frozen=True, slots=True)
class Usage:
    """The usage of one balance in ``[from_, to)``, grouped by one dimension, and its total."""

    from_: datetime
    to: datetime
    group_by: str
    results: list[UsageGroup]

    @property
    def total(self) -> UsageGroup:
        return UsageGroup(
            None,
            sum(group.used for group in self.results),
            sum(group.refunded for group in self.results),
            sum(group.count for group in self.results),
            sum(group.amount or 0 for group in self.results) if self.group_by == "type" else None,
        )


def get_usage(
    *,
    owner: OwnerLike,
    group_by: str = "day",
    from_: datetime | None = None,
    to: datetime | None = None,
    at: datetime | None = None,
) -> Usage:
    """Return the credits that the owner used, and those that were refunded, in ``[from_, to)``. Whole credits.

    ``to`` defaults to ``at``, ``from_`` to 30 days before ``to``; a period has at most 366 days. A refund counts at its
    own time, for the feature and the member of the usage that it refunds, so ``net`` = used - refunded may be negative.
    ``count`` is the number of usages.

    - ``day``: every UTC day of the period, in order; days without usage have zeros.
    - ``feature``, ``member``: the most used first. The key is None for usage without a feature or a member. In the
      balance of a user, usage without a member counts for the user.
    - ``type``: every type of transaction in the period, with the sum of its amounts and the number of its transactions.
      Only usage is used and only refunds are refunded, so the total has the same usage for every dimension. The amount
      of the total is the change of the balance.

    The result is exact however far the aggregation has progressed. Expired credits count from when the expiry is
    stored, as in the history. An owner without a balance has no usage.

    :raises InvalidArgumentError: ``invalid_choice``: unknown dimension; ``wrong_type``: an instant without a time zone;
        ``in_future``: the period has not begun, or ``at`` is more than five minutes ahead of the clock;
        ``out_of_range``: ``to`` is not after ``from_``, or the period is longer than 366 days
    """
    if group_by not in GROUPS:
        raise errors.InvalidArgumentError.field(
            "group_by", "invalid_choice", f"The value must be one of {', '.join(GROUPS)}."
        )
    to, from_ = _period(from_, to, resolve_timestamp(at))
    groups = _load_groups(Owner.of(owner), group_by, from_, to)
    if group_by == "day":
        last = _midnight(to - _MICROSECOND)
        days = [str((_midnight(from_) + n * DAY).date()) for n in range((last - _midnight(from_)).days + 1)]
        return Usage(from_, to, group_by, [groups.get(day, UsageGroup(day)) for day in days])
    ordered = sorted(
        groups.values(), key=lambda group: (-group.used, group.amount or 0, group.key is None, group.key or "")
    )
    return Usage(from_, to, group_by, ordered)


def _period(from_: datetime | None, to: datetime | None, at: datetime) -> tuple[datetime, datetime]:
    for name, instant in (("from_", from_), ("to", to)):
        if instant is not None and instant.utcoffset() is None:
            raise errors.InvalidArgumentError.field(name, "wrong_type", "A time zone is required.")
        if instant is not None and not _exists_in_utc(instant):
            raise errors.InvalidArgumentError.field(name, "out_of_range", "It must be in the years 1 to 9999, in UTC.")
    to = to or at
    if from_ is None:
        from_ = max(to, _EARLIEST) - PERIOD
    if from_ > at:
        raise errors.InvalidArgumentError.field("from_", "in_future", "The period has not begun.")
    if to <= from_:
        raise errors.InvalidArgumentError.field("to", "out_of_range", "The end must be later than the start.")
    if to - from_ > MAX_PERIOD:
        raise errors.InvalidArgumentError.field("from_", "out_of_range", "A period has at most 366 days.")
    return to, from_


def _exists_in_utc(instant: datetime) -> bool:
    try:
        instant.astimezone(UTC)
    except OverflowError:
        return False
    return True


def _load_groups(owner: Owner, group_by: str, from_: datetime, to: datetime) -> dict[str | None, UsageGroup]:
    edges = [_midnight(from_), _midnight(from_ + DAY - _MICROSECOND), _midnight(to), _midnight(to + DAY - _MICROSECOND)]
    parameters: dict[str, Any] = {
        "balance": owner.id,
        "person": owner.user_id,
        "group_by": group_by,
        "instants": [from_, to, *edges],
        **dict(zip(("first_day", "second_day", "last_day", "next_day"), (e.date() for e in edges), strict=True)),
    }
    with connection.cursor() as cursor:
        cursor.execute(_USAGE, parameters)
        return {row[0]: UsageGroup(*row) for row in cursor.fetchall()}


def _midnight(at: datetime) -> datetime:
    return datetime.combine(at.astimezone(UTC).date(), time(), UTC)


@dataclass(frozen=True, slots=True)
class Expiring:
    """Whole credits of one grant that will expire unused, rounded down."""

    grant_id: UUID
    amount: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Forecast:
    """How long the credits last at the burn rate of the last ``window_days``.

    ``reason`` is the reason why no run-out can be given, or None.
    """

    as_of: datetime
    window_days: int
    burn_per_day: Fraction | None
    runs_out_at: datetime | None
    runs_out_at_with_allocations: datetime | None
    expiring_unused: list[Expiring]
    next_allocation: Arrival | None
    reason: str | None


def forecast(*, owner: OwnerLike, at: datetime | None = None, coming: Iterable[Arrival] = ()) -> Forecast:
    """Return how long the owner's credits last from ``at`` on at a constant burn rate.

    The burn rate is the usage less the refunds of the last 30 days, or of the whole days since the first transaction if
    the balance is younger. At that rate the available credits are burned in burn order, from one expiry or arrival to
    the next, for 366 days; see ``credits.domain.forecasting``. Credits of open holds count as spent.

    - ``runs_out_at``: when nothing is available any more, expiries included, if no credits are added; ``at`` if nothing
      is available now. ``runs_out_at_with_allocations``: the same, with the allocations in ``coming``. None means not
      within 366 days.
    - ``expiring_unused``: the credits of current grants that expire unused, with the allocations in ``coming``, which
      may be burned first. Whole credits, rounded down; amounts below 1 are left out.
    - ``reason``: ``not_enough_history`` with less than seven days of history: there is no burn rate and no run-out;
      ``no_usage``: the burn rate is 0, nothing runs out, and credits with an expiry expire.

    :raises InvalidArgumentError: ``at`` has no time zone, or is more than five minutes ahead of the clock
    :raises BalanceNotFoundError: the owner has no balance
    """
    owner, at = Owner.of(owner), resolve_timestamp(at)
    state = queries.load_settled_balance(owner, at=at)
    arrivals = list(coming)
    upcoming = arrivals[0] if arrivals else None
    days = min(PERIOD.days, _days_of_history(owner, at))
    if days < MIN_HISTORY_DAYS:
        return Forecast(at, days, None, None, None, [], upcoming, "not_enough_history")
    window = days * DAY
    spent = max(get_usage(owner=owner, group_by="feature", from_=at - window, to=at, at=at).total.net, 0)
    simulate = partial(simulate_burn, state.spendable(), at=at, until=at + HORIZON, spent=spent, window=window)
    without_arrivals, with_arrivals = simulate(), simulate(arrivals=arrivals)
    return Forecast(
        as_of=at,
        window_days=days,
        burn_per_day=Fraction(spent, days),
        runs_out_at=without_arrivals.runs_out_at if spent else None,
        runs_out_at_with_allocations=with_arrivals.runs_out_at if spent else None,
        expiring_unused=[
            Expiring(state.persisted_ancestor(state.grants[unused.grant_id]).id, int(unused.amount), unused.at)
            for unused in with_arrivals.unused
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
    """Sums over all balances. They include every transaction stored before ``as_of`` and some stored later.

    ``as_of`` is None until a run of the aggregation has completed without busy balances.
    """

    as_of: datetime | None
    rows: list[CreditTotal]


def totals(*, from_: date, to: date) -> Totals:
    """Return the sums of all balances for the days ``[from_, to)`` in UTC, by day, type and feature.

    The sums are as current as the last run of ``aggregate_usage``. Credits are whole. ``value`` is what the credits
    were sold for, in rand, negative for credits that left: the value of usage is -``value`` of the rows of type
    ``usage``, and -``unpriced`` is the number of those credits that were never sold.
    """
    # Read before the rows: an aggregation between the two queries can then only add to the rows.
    complete = (
        AggregationRun.objects.filter(busy=0).order_by("-started_at").values_list("started_at", flat=True).first()
    )
    rows = CreditTotal.objects.filter(day__gte=from_, day__lt=to).order_by("day", "type", "feature")
    return Totals(complete, list(rows))


def unaggregated_balances(*, after: UUID | None, limit: int) -> list[UUID]:
    """Return the ids of up to ``limit`` balances with transactions beyond their watermark: by id, after ``after``."""
    after_key = Q(pk__gt=after) if after else Q()
    behind = Q(usage_watermark__isnull=True, sequence__gt=0) | Q(sequence__gt=F("usage_watermark__sequence"))
    return list(CreditBalance.objects.filter(after_key, behind).order_by("pk").values_list("pk", flat=True)[:limit])
