"""Reads of grants as they are at an instant, with due events applied in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import BigIntegerField, Case, DateTimeField, F, Field, QuerySet, TextField, Value, When

from credits.arguments import resolve_timestamp
from credits.domain import errors
from credits.domain.balance_state import BalanceState
from credits.models import CreditGrant
from credits.queries.balances import due_balances
from credits.queries.loading import load_states
from credits.queries.owners import owner_from_ids
from fluxori.identity.owner import Owner, OwnerLike

_CHUNK = 500


def get_grants(*, owner: OwnerLike, at: datetime | None = None) -> QuerySet[CreditGrant]:
    """Return all grants of the owner, newest first, as they are at ``at``; none without a balance.

    Due events count, written or not. ``free`` is what remains and ``pinned`` what open holds pin, both in whole
    credits; ``until`` is the expiry; ``status`` is active, spent, expired or voided. A rollover that is due but not
    written is shown in the row of the grant that rolls over.

    :raises InvalidArgumentError: ``at`` has no time zone, or is more than five minutes ahead of the clock
    """
    at = resolve_timestamp(at)
    balance_id = Owner.of(owner).id
    grants = CreditGrant.objects.filter(balance_id=balance_id).order_by("-id")
    changed: dict[UUID, _SettledGrant] = {}
    for state in load_states([balance_id], at=at).values():
        at = max(at, state.last_at)
        changed = _changed_by_due_events(state)

    def settled_column(name: str, field: type[Field[Any, Any]]) -> Case:
        cases = [When(pk=grant_id, then=Value(getattr(settled, name))) for grant_id, settled in changed.items()]
        return Case(*cases, default=F(name), output_field=field())

    ended = [When(voided_at__isnull=False, then=Value("voided")), When(until__lte=at, then=Value("expired"))]
    return (
        grants.annotate(
            free=settled_column("remaining", BigIntegerField),
            pinned=settled_column("held", BigIntegerField),
            until=settled_column("expires_at", DateTimeField),
        )
        .annotate(credits=F("free") + F("pinned"))
        .annotate(
            status=Case(
                *ended,
                When(credits__gt=0, then=Value("active")),
                default=Value("spent"),
                output_field=TextField(),
            )
        )
    )


def settle_grants(grants: Sequence[CreditGrant], *, at: datetime) -> None:
    """Set what the grants have at ``at``, in memory: ``remaining``, ``held``, ``expires_at``, ``live`` and ``status``.

    The rows may belong to several balances. The values are those of :func:`get_grants`.
    """
    states = load_states({grant.balance_id for grant in grants}, at=at)
    changed = {key: row for state in states.values() for key, row in _changed_by_due_events(state).items()}
    for grant in grants:
        if (settled := changed.get(grant.pk)) is not None:
            grant.remaining, grant.held, grant.expires_at = settled.remaining, settled.held, settled.expires_at
            grant.live = settled.remaining + settled.held > 0
        ended = grant.expires_at is not None and grant.expires_at <= max(at, states[grant.balance_id].last_at)
        grant.status = (  # type: ignore[attr-defined]
            "voided" if grant.voided_at else "expired" if ended else "active" if grant.live else "spent"
        )


def emptied_grants(*, at: datetime) -> list[UUID]:
    """Return the ids of stored live grants that have no credits at ``at``, because due events are not written yet."""
    emptied: list[UUID] = []
    after: UUID | None = None
    while ids := due_balances(at=at, after=after, limit=_CHUNK):
        after = ids[-1]
        for state in load_states(ids, at=at).values():
            changed = _changed_by_due_events(state)
            emptied += [key for key, row in changed.items() if row.remaining + row.held == 0]
    return emptied


def owner_of_grant(*, grant_id: UUID) -> Owner:
    """Return the owner of the balance that the grant belongs to.

    :raises GrantNotFoundError: there is no such grant
    """
    row = CreditGrant.objects.filter(pk=grant_id).values_list("balance__user", "balance__organization").first()
    if row is None:
        raise errors.GrantNotFoundError(grant_id=grant_id)
    return owner_from_ids(*row)


@dataclass(slots=True)
class _SettledGrant:
    """Columns that replace the stored ones of a grant."""

    remaining: int
    held: int
    expires_at: datetime | None


def _changed_by_due_events(state: BalanceState) -> dict[UUID, _SettledGrant]:
    unwritten = {grant.id for grant in state.opened_grants}
    changed = [state.grants[grant_id] for grant_id in state.changed_grants - unwritten]
    settled = {grant.id: _SettledGrant(grant.remaining, grant.held, grant.expires_at) for grant in changed}
    for grant in state.opened_grants:
        if grant.remaining > 0:
            row = settled[state.persisted_ancestor(grant).id]
            row.remaining += grant.remaining
            row.expires_at = grant.expires_at
    return settled
