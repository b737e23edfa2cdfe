"""Performing and previewing staff actions.

An action and its record are written in one database transaction. An action above the ceiling of the actor is rejected;
``approvals.operations`` stores it as a request that a second person decides on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fluxori.console import errors
from fluxori.console.actions.base import ActionRequest
from fluxori.console.actions.execution import (
    check_ceiling,
    check_permission,
    check_record,
    describe_execution,
    execute,
    execute_and_roll_back,
    is_same_request,
    lock_staff,
    record_action,
)
from fluxori.console.models import StaffAction
from fluxori.db.transactions import transaction_with_retry
from fluxori.identity.models import User


@dataclass(frozen=True, slots=True)
class ActionPerformed:
    """The record of a performed action. ``replayed`` is true if it was performed by an earlier request."""

    row: StaffAction
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Preview:
    """What an action would do now: the text of its button and the facts to show before it is confirmed.

    ``no_op_reason`` says why it would change nothing, ``exceeded_ceiling`` which ceiling it exceeds. ``credits`` are
    the new credits that count toward the ceiling.
    """

    button: str
    facts: Sequence[tuple[str, str]]
    credits: int
    no_op_reason: str = ""
    exceeded_ceiling: errors.CeilingExceededError | None = None


@transaction_with_retry
def perform(request: ActionRequest) -> ActionPerformed:
    """Execute a staff action and record it, both or neither. The same request with the same key is performed once.

    :raises StaffPermissionError: the actor may not perform this action
    :raises InvalidArgumentError: the reason, the note or the ticket is invalid
    :raises FormReusedError: the key belongs to a different action of this actor on this balance
    :raises DomainError: the operation of the action rejects it
    :raises NothingToDoError: the action would change nothing
    :raises CeilingExceededError: the credits exceed the ceiling of the actor, per action or for the rest of the day
    """
    check_permission(request.actor, request.action.permission)
    check_record(request)
    lock_staff(request.actor)

    earlier = StaffAction.objects.filter(
        balance=request.owner.pk,
        actor=request.actor,
        idempotency_key=request.idempotency_key,
        approval_request=None,
    ).first()
    if earlier is not None:
        if not is_same_request(earlier, request):
            raise errors.FormReusedError()
        return ActionPerformed(earlier, replayed=True)

    execution = execute(request)
    check_ceiling(execution, request.actor, at=request.at)
    return ActionPerformed(record_action(request, execution, authority=request.actor))


@transaction_with_retry
def preview(request: ActionRequest, *, authority: User | None = None) -> Preview:
    """Return what :func:`perform` would do now. The action is executed and rolled back, so nothing is stored.

    The ceiling is that of ``authority``, by default that of the actor.

    :raises StaffPermissionError: the actor may not perform this action
    :raises InvalidArgumentError: the reason, the note or the ticket is invalid
    :raises DomainError: the operation of the action rejects it
    """
    check_permission(request.actor, request.action.permission)
    check_record(request)
    execution = execute_and_roll_back(request, allow_no_op=True)
    exceeded = None
    try:
        check_ceiling(execution, authority or request.actor, at=request.at)
    except errors.CeilingExceededError as error:
        exceeded = error
    return Preview(
        button=execution.outcome.button,
        facts=describe_execution(request, execution),
        credits=execution.credits,
        no_op_reason=execution.outcome.no_op_reason,
        exceeded_ceiling=exceeded,
    )
