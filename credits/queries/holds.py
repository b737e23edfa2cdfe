"""Reads of holds, each with the status it has at an instant:

An open hold lapses at its ``expires_at`` without any job.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Case, F, Prefetch, Q, QuerySet, TextField, Value, When, prefetch_related_objects

from credits.arguments import resolve_timestamp
from credits.domain import errors
from credits.models import CreditHold, CreditPin
from credits.queries.owners import owner_from_ids
from fluxori.identity.owner import Owner, OwnerLike


def get_holds(*, at: datetime | None = None) -> QuerySet[CreditHold]:
    """Return all holds, newest first, with ``current_status``: the status at ``at``.

    :raises InvalidArgumentError: ``at`` has no time zone, or is more than five minutes ahead of the clock
    """
    at = resolve_timestamp(at)
    lapsed = Q(status=CreditHold.Status.OPEN, expires_at__lte=at)
    status = Case(When(lapsed, then=Value(CreditHold.Status.LAPSED)), default=F("status"), output_field=TextField())
    return CreditHold.objects.annotate(current_status=status).order_by("-id")


def settle_holds(holds: Iterable[CreditHold], *, at: datetime) -> None:
    """Set the ``status`` that the holds have at ``at``, and ``closed_at``, in memory."""
    for hold in holds:
        if hold.status == CreditHold.Status.OPEN and hold.expires_at <= at:
            hold.status, hold.closed_at = CreditHold.Status.LAPSED, hold.expires_at


def get_hold(
    *, hold_id: UUID, at: datetime | None = None, visible: Q | None = None, with_pins: bool = True
) -> CreditHold:
    """Return one hold with its balance, its pins and its ``current_status`` at ``at``.

    :raises InvalidArgumentError: ``at`` has no time zone, or is more than five minutes ahead of the clock
    :raises HoldNotFoundError: there is none, or none within ``visible``
    """
    hold = get_holds(at=at).filter(visible or Q(), pk=hold_id).select_related("balance").first()
    if hold is None:
        raise errors.HoldNotFoundError(hold_id=hold_id)
    if not with_pins:
        return hold
    pins = CreditPin.objects.filter(balance=hold.balance_id).order_by("position")
    prefetch_related_objects([hold], Prefetch("pins", pins))
    return hold


def hold_status(*, hold_id: UUID, at: datetime) -> str:
    """Return the status of an existing hold at ``at``."""
    hold: Any = get_holds(at=at).get(pk=hold_id)
    return str(hold.current_status)


def with_pins(holds: QuerySet[CreditHold], *, owner: OwnerLike) -> QuerySet[CreditHold]:
    """Return the owner's holds with their pins; none without a balance."""
    balance_id = Owner.of(owner).id
    pins = CreditPin.objects.filter(balance=balance_id).order_by("position")
    return holds.filter(balance=balance_id).prefetch_related(Prefetch("pins", pins))


def owner_of_hold(*, hold_id: UUID) -> Owner:
    """Return the owner of the balance that the hold is on.

    :raises HoldNotFoundError: there is no such hold
    """
    row = CreditHold.objects.filter(pk=hold_id).values_list("balance__user", "balance__organization").first()
    if row is None:
        raise errors.HoldNotFoundError(hold_id=hold_id)
    return owner_from_ids(*row)
