"""Approval requests: requesting, approving, declining and withdrawing a staff action above a ceiling.

An approved action is executed on behalf of the requester and counts toward the ceiling of the approver. A requester
cannot decide on their own request; the database enforces that too.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from credits.arguments import Validator
from fluxori.console import errors
from fluxori.console.actions import constants
from fluxori.console.actions.base import ActionRequest
from fluxori.console.actions.catalogue import ACTIONS
from fluxori.console.actions.execution import (
    check_ceiling,
    check_permission,
    check_record,
    execute,
    execute_and_roll_back,
    is_same_request,
    lock_staff,
    record_action,
    serialize_arguments,
)
from fluxori.console.actions.operations import ActionPerformed
from fluxori.console.models import ApprovalRequest, StaffAction
from fluxori.db.transactions import transaction_with_retry
from fluxori.identity.models import Organization, User

APPROVE_REQUESTS = "console.approve_requests"


@dataclass(frozen=True, slots=True)
class ApprovalRequested:
    """An approval request. ``replayed`` is true if it was stored by an earlier request."""

    row: ApprovalRequest
    replayed: bool = False


@transaction_with_retry
def request_approval(request: ActionRequest) -> ApprovalRequested:
    """Store an action as an approval request. The same request with the same key is stored once.

    :raises StaffPermissionError: the actor may not perform this action
    :raises InvalidArgumentError: the reason, the note or the ticket is invalid
    :raises FormReusedError: the key belongs to a different approval request of this actor
    :raises DomainError: the operation of the action rejects it now
    :raises NothingToDoError: the action would change nothing
    """
    check_permission(request.actor, request.action.permission)
    check_record(request)
    lock_staff(request.actor)

    earlier = ApprovalRequest.objects.filter(
        requested_by=request.actor, idempotency_key=request.idempotency_key
    ).first()
    if earlier is not None:
        if earlier.owner_id != request.owner.pk or not is_same_request(earlier, request):
            raise errors.FormReusedError()
        return ApprovalRequested(earlier, replayed=True)

    execution = execute_and_roll_back(request)
    row = ApprovalRequest(
        action=request.action.code,
        user=request.owner if isinstance(request.owner, User) else None,
        organization=request.owner if isinstance(request.owner, Organization) else None,
        arguments=serialize_arguments(request),
        credits=execution.credits,
        reason=request.reason,
        note=request.note,
        ticket=request.ticket,
        idempotency_key=request.idempotency_key,
        requested_by=request.actor,
        requested_at=request.at,
    )
    row.save(force_insert=True)
    return ApprovalRequested(row)


def action_request_from(row: ApprovalRequest, *, at: datetime) -> ActionRequest:
    """Return the stored action, to be executed at ``at`` on behalf of the requester."""
    action = ACTIONS[row.action]
    subject_id = row.arguments.get("subject")
    return ActionRequest(
        action=action,
        owner=row.owner,
        arguments=action.form.arguments_from_json(row.arguments),
        actor=row.requested_by,
        at=at,
        reason=row.reason,
        note=row.note,
        ticket=row.ticket,
        idempotency_key=str(row.pk),
        subject_id=UUID(subject_id) if subject_id else None,
    )


@transaction_with_retry
def approve(*, request_id: UUID, approver: User, note: str = "", at: datetime) -> ActionPerformed:
    """Approve a request: execute its action once, on behalf of the requester, on the ceiling of ``approver``.

    The permissions of both people are checked as they are now: the request of a deactivated user is not executed. A
    repeated approval by the same approver returns the first result.

    :raises StaffPermissionError: the approver may not approve requests
    :raises InvalidArgumentError: the note is too long
    :raises OwnRequestError: the approver is the requester
    :raises RequestDecidedError: another person has decided, or the request was withdrawn
    :raises StaffPermissionError: the approver or the requester may not perform this action
    :raises DomainError: the operation of the action rejects it now
    :raises NothingToDoError: the action would change nothing
    :raises CeilingExceededError: the credits exceed the ceiling of the approver
    """
    check_permission(approver, APPROVE_REQUESTS)
    _check_note(note)
    row = _lock_request(request_id)
    if row.requested_by_id == approver.pk:
        raise errors.OwnRequestError()
    if row.status == ApprovalRequest.Status.APPROVED and row.decided_by_id == approver.pk:
        return ActionPerformed(StaffAction.objects.get(approval_request=row), replayed=True)
    _check_pending(row)
    request = action_request_from(row, at=at)
    for staff in (approver, request.actor):
        check_permission(staff, request.action.permission)
    lock_staff(approver)

    execution = execute(request)
    check_ceiling(execution, approver, at=at)
    _decide(row, ApprovalRequest.Status.APPROVED, approver, note, at)
    return ActionPerformed(record_action(request, execution, authority=approver, approval_request=row))


@transaction_with_retry
def decline(*, request_id: UUID, decider: User, note: str, at: datetime) -> ApprovalRequest:
    """Decline the request of another person, with a note.

    :raises StaffPermissionError: the decider may not decide on requests
    :raises InvalidArgumentError: the note is empty or too long
    :raises OwnRequestError: the decider is the requester
    :raises RequestDecidedError: the request is not pending
    """
    check_permission(decider, APPROVE_REQUESTS)
    _check_note(note, required=True)
    row = _lock_request(request_id)
    if row.requested_by_id == decider.pk:
        raise errors.OwnRequestError()
    _check_pending(row)
    return _decide(row, ApprovalRequest.Status.DECLINED, decider, note, at)


@transaction_with_retry
def withdraw(*, request_id: UUID, actor: User, note: str = "", at: datetime) -> ApprovalRequest:
    """Withdraw a request of the actor.

    :raises InvalidArgumentError: the note is too long
    :raises NotYourRequestError: another person is the requester
    :raises RequestDecidedError: the request is not pending
    """
    _check_note(note)
    row = _lock_request(request_id)
    if row.requested_by_id != actor.pk:
        raise errors.NotYourRequestError()
    _check_pending(row)
    return _decide(row, ApprovalRequest.Status.WITHDRAWN, actor, note, at)


def _lock_request(request_id: UUID) -> ApprovalRequest:
    return ApprovalRequest.objects.select_for_update(no_key=True).get(pk=request_id)


def _check_pending(row: ApprovalRequest) -> None:
    if row.status != ApprovalRequest.Status.PENDING:
        assert row.decided_at is not None
        raise errors.RequestDecidedError(status=row.status, by=str(row.decided_by), at=row.decided_at)


def _decide(row: ApprovalRequest, status: str, by: User, note: str, at: datetime) -> ApprovalRequest:
    row.status, row.decided_by, row.decided_at, row.decision_note = status, by, at, note
    row.save(update_fields=["status", "decided_by", "decided_at", "decision_note"])
    return row


def _check_note(note: str, *, required: bool = False) -> None:
    validator = Validator()
    validator.string("note", note, maximum=constants.MAX_NOTE_LENGTH, required=required)
    validator.raise_if_invalid()
