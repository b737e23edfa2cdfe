"""Ceilings of groups: a decrease takes effect at once, an increase when a second person confirms it."""

from dataclasses import dataclass
from uuid import UUID

from django.contrib.auth.models import Group
from django.db import transaction

from fluxori.console import errors
from fluxori.console.actions.execution import check_permission
from fluxori.console.models import ManualCreditCeiling
from fluxori.identity.models import User

ADD_CEILINGS = "console.add_manualcreditceiling"
CHANGE_CEILINGS = "console.change_manualcreditceiling"


@dataclass(frozen=True, slots=True)
class Raise:
    """The proposed ceiling: whole credits per action and per day."""

    per_action: int
    per_day: int


@transaction.atomic
def add_ceiling(*, group: Group, per_action: int, per_day: int, actor: User, reason: str) -> ManualCreditCeiling:
    """Create the ceiling of a group. It is zero until a second person confirms the proposed values.

    :raises StaffPermissionError: the actor may not add ceilings
    """
    check_permission(actor, ADD_CEILINGS)
    ceiling = ManualCreditCeiling(group=group, per_action=0, per_day=0)
    _change(ceiling, Raise(per_action, per_day), actor, reason)
    return ceiling


@transaction.atomic
def change_ceiling(*, ceiling_id: int, per_action: int, per_day: int, actor: User, reason: str) -> ManualCreditCeiling:
    """Change the ceiling of a group. What decreases changes at once; an increase waits for a second person.

    A change replaces an increase that is still waiting.

    :raises StaffPermissionError: the actor may not change ceilings
    """
    check_permission(actor, CHANGE_CEILINGS)
    ceiling = _lock(ceiling_id)
    _change(ceiling, Raise(per_action, per_day), actor, reason)
    return ceiling


@transaction.atomic
def confirm_raise(*, ceiling_id: int, expected: Raise, proposed_by: UUID, actor: User) -> ManualCreditCeiling:
    """Confirm the increase that another person proposed. ``expected`` and ``proposed_by`` are what the actor has seen.

    The permission of the proposer is checked as it is now: the proposal of a deactivated user is not confirmed.

    :raises StaffPermissionError: the actor or the proposer may not change ceilings
    :raises RaiseChangedError: no increase is waiting, or a different one
    :raises OwnRequestError: the actor proposed the increase
    """
    check_permission(actor, CHANGE_CEILINGS)
    ceiling = _lock_proposal(ceiling_id, expected, proposed_by)
    if ceiling.proposed_by_id == actor.pk:
        raise errors.OwnRequestError()
    check_permission(ceiling.proposed_by, CHANGE_CEILINGS)
    ceiling.per_action, ceiling.per_day = expected.per_action, expected.per_day
    _end_proposal(ceiling)
    _save(ceiling, actor, "Confirmed the increase")
    return ceiling


@transaction.atomic
def reject_raise(*, ceiling_id: int, expected: Raise, proposed_by: UUID, actor: User) -> ManualCreditCeiling:
    """Reject an increase that is waiting. The proposer may do so too.

    :raises StaffPermissionError: the actor may not change ceilings
    :raises RaiseChangedError: no increase is waiting, or a different one
    """
    check_permission(actor, CHANGE_CEILINGS)
    ceiling = _lock_proposal(ceiling_id, expected, proposed_by)
    _end_proposal(ceiling)
    _save(ceiling, actor, "Rejected the increase")
    return ceiling


def _change(ceiling: ManualCreditCeiling, new: Raise, actor: User, reason: str) -> None:
    increases = new.per_action > ceiling.per_action or new.per_day > ceiling.per_day
    ceiling.per_action = min(ceiling.per_action, new.per_action)
    ceiling.per_day = min(ceiling.per_day, new.per_day)
    _end_proposal(ceiling)
    if increases:
        ceiling.proposed_per_action, ceiling.proposed_per_day = new.per_action, new.per_day
        ceiling.proposed_by = actor
    _save(ceiling, actor, reason)


def _lock(ceiling_id: int) -> ManualCreditCeiling:
    return ManualCreditCeiling.objects.select_for_update(of=("self",), no_key=True).get(pk=ceiling_id)


def _lock_proposal(ceiling_id: int, expected: Raise, proposed_by: UUID) -> ManualCreditCeiling:
    ceiling = _lock(ceiling_id)
    waiting = (ceiling.proposed_per_action, ceiling.proposed_per_day, ceiling.proposed_by_id)
    if waiting != (expected.per_action, expected.per_day, proposed_by):
        raise errors.RaiseChangedError()
    return ceiling


def _end_proposal(ceiling: ManualCreditCeiling) -> None:
    ceiling.proposed_per_action = ceiling.proposed_per_day = ceiling.proposed_by = None


def _save(ceiling: ManualCreditCeiling, actor: User, reason: str) -> None:
    ceiling._change_reason = reason  # type: ignore[attr-defined]  # noqa: SLF001 - simple-history documents both names
    ceiling._history_user = actor  # type: ignore[attr-defined]  # noqa: SLF001
    ceiling.save()
