"""Reads of spending limits: the rows in force, and how much of each is used."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from uuid import UUID

from django.db.models import Q, QuerySet

from credits.arguments import resolve_timestamp
from credits.domain import errors
from credits.domain.limits import LimitStatus
from credits.models import SpendingLimit
from credits.queries.loading import load_states
from fluxori.db import statements
from fluxori.identity.owner import Owner, OwnerLike

_USED_SINCE = (Path(__file__).parent / "sql" / "used_since.sql").read_text(encoding="utf-8")


def get_limits(*, owner: OwnerLike) -> QuerySet[SpendingLimit]:
    """Return the limits in force on the owner's balance, newest first; none without a balance.

    ``used`` in a row is the stored counter; :func:`limit_statuses` returns what is used at an instant.
    """
    return SpendingLimit.objects.filter(balance_id=Owner.of(owner).id, removed_at__isnull=True).order_by("-id")


def limit_statuses(limits: Iterable[SpendingLimit], *, at: datetime | None = None) -> list[LimitStatus]:
    """Return the status of these limits of one balance at ``at``, in their order, with due events applied.

    A limit that was removed since it was read is left out.

    :raises InvalidArgumentError: ``at`` has no time zone, or is more than five minutes ahead of the clock
    """
    at = resolve_timestamp(at)
    rows = list(limits)
    if not rows:
        return []
    [state] = load_states([rows[0].balance_id], at=at, member_ids=[row.member_id for row in rows]).values()
    return [state.limits[row.pk].status(at) for row in rows if row.pk in state.limits]


def get_limit(*, limit_id: UUID, visible: Q | None = None) -> SpendingLimit:
    """Return one limit with its balance, in force or removed.

    :raises LimitNotFoundError: there is none, or none within ``visible``
    """
    limit = SpendingLimit.objects.filter(visible or Q(), pk=limit_id).select_related("balance").first()
    if limit is None:
        raise errors.LimitNotFoundError(limit_id=limit_id)
    return limit


def used_since(balance_id: UUID, member_id: UUID | None, *, since: datetime, at: datetime) -> int:
    """Return the whole credits used from ``since`` on, by one member or by all, computed from the ledger.

    Usage plus the holds still open at ``at``, less the refunds of that usage.
    """
    parameters = {"balance": balance_id, "member": member_id, "since": since, "at": at}
    [row] = statements.fetch(_USED_SINCE, parameters)
    return int(row["used"])
