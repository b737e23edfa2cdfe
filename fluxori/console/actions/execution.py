"""The steps of executing a staff action: check permission and ceiling, lock, execute, record.

``actions.operations`` and ``approvals.operations`` compose these steps into operations. Locks are taken in one order:
the approval request, the member of staff with the ceiling, the balance.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Sum

from credits import queries as ledger_queries
from credits.arguments import Validator
from credits.domain.records import BalanceSnapshot
from credits.engine.locked_balance import lock_balance
from credits.models import CreditGrant
from credits.tier_registry import TierFacts
from fluxori.adminkit.formatting import format_credits, format_expiry, format_timestamp
from fluxori.console import errors, queries
from fluxori.console.actions import constants
from fluxori.console.actions.base import ActionRequest, Outcome
from fluxori.console.actions.subjects import get_subject
from fluxori.console.models import ApprovalRequest, Reason, StaffAction
from fluxori.core import request_context
from fluxori.core.input_rules import canonical_json
from fluxori.identity.models import User
from fluxori.identity.owner import Owner
from tiers import queries as tier_queries


@dataclass(frozen=True, slots=True)
class Execution:
    """An executed action: its outcome, the balance before and after, and what was newly granted.

    ``credits`` are the new credits that count toward a ceiling; ``expiries`` are those of the new grants.
    """

    outcome: Outcome
    before: dict[str, Any]
    after: dict[str, Any]
    expiries: list[datetime | None]
    credits: int


def check_permission(staff: User, permission: str) -> None:
    """Check that a member of staff has a permission. A deactivated user has none.

    :raises StaffPermissionError: the permission is missing
    """
    if not staff.has_perm(permission):
        raise errors.StaffPermissionError(staff=str(staff), permission=permission)


def check_record(request: ActionRequest) -> None:
    """Check what staff write about an action.

    :raises InvalidArgumentError: the reason is unknown, the note or the ticket is too long, or another reason has no
        note
    """
    validator = Validator()
    validator.choice("reason", request.reason, tuple(Reason.values))
    required = request.reason == Reason.OTHER
    validator.string("note", request.note, maximum=constants.MAX_NOTE_LENGTH, required=required)
    validator.string("ticket", request.ticket, maximum=constants.MAX_TICKET_LENGTH)
    validator.raise_if_invalid()


def lock_staff(staff: User) -> None:
    """Lock a member of staff, so that their actions are serialized and the sum of their day is exact."""
    User.objects.select_for_update(no_key=True).values_list("pk").get(pk=staff.pk)


def check_ceiling(execution: Execution, staff: User, *, at: datetime) -> None:
    """Check that a member of staff may give the credits of an executed action.

    :raises CeilingExceededError: the credits exceed the ceiling per action, or the rest of the ceiling per day
    """
    if not execution.credits:
        return
    ceiling = queries.get_ceiling(staff, at=at)
    if not ceiling.allows(execution.credits):
        raise errors.CeilingExceededError(
            credits=execution.credits,
            per_action=ceiling.per_action,
            per_day=ceiling.per_day,
            left_today=ceiling.left_today,
        )


def execute(request: ActionRequest, *, allow_no_op: bool = False) -> Execution:
    """Execute an action in the transaction of the caller. The balance stays locked between both snapshots.

    :raises DomainError: the row that the action is about does not belong to the balance of the owner
    :raises DomainError: the operation of the action rejects it
    :raises NothingToDoError: the action would change nothing, and ``allow_no_op`` is false
    """
    owner = Owner.of(request.owner)
    if request.action.subject_model:
        get_subject(request.action, owner_id=owner.id, subject_id=request.required_subject_id)
    with lock_balance(owner, at=request.at, create=request.action.opens_balance) as balance:
        before = balance.state.snapshot()
    tier, limits = tier_queries.tier_facts(owner=owner, at=request.at), _limits(owner)

    outcome = request.action.execute(request)
    if outcome.no_op_reason and not allow_no_op:
        raise errors.NothingToDoError(why=outcome.no_op_reason)

    after = ledger_queries.load_settled_balance(owner, at=request.at).snapshot()
    new_grants = CreditGrant.objects.none()
    if outcome.transaction is not None:
        new_grants = CreditGrant.objects.filter(balance=owner.id, transaction=outcome.transaction.id)
    # A grant with a parent is a copy, as of an extension: its credits were given before.
    given = new_grants.filter(parent=None).aggregate(given=Sum("amount"))["given"] or 0
    return Execution(
        outcome,
        {**_snapshot_facts(before, tier), "limits": limits},
        {**_snapshot_facts(after, tier_queries.tier_facts(owner=owner, at=request.at)), "limits": _limits(owner)},
        list(new_grants.order_by("expires_at").values_list("expires_at", flat=True)),
        given if request.action.counts_toward_ceiling else 0,
    )


def execute_and_roll_back(request: ActionRequest, *, allow_no_op: bool = False) -> Execution:
    """Execute an action in a savepoint and roll it back, to learn what it would do.

    :raises DomainError: the operation of the action rejects it
    :raises NothingToDoError: the action would change nothing, and ``allow_no_op`` is false
    """
    with transaction.atomic():
        execution = execute(request, allow_no_op=allow_no_op)
        transaction.set_rollback(True)
    return execution


def record_action(
    request: ActionRequest, execution: Execution, *, authority: User, approval_request: ApprovalRequest | None = None
) -> StaffAction:
    """Write the record of an executed action. It counts toward the ceiling of ``authority``."""
    subject_model = request.action.subject_model
    subject = {f"subject_{subject_model}_id": request.subject_id} if subject_model else {}
    balance = format_change(execution.before["balance"], execution.after["balance"])
    row = StaffAction(
        created_at=request.at,
        actor=request.actor,
        action=request.action.code,
        balance_id=request.owner.pk,
        arguments=serialize_arguments(request),
        reason=request.reason,
        note=request.note,
        ticket=request.ticket,
        summary=f"{execution.outcome.summary}. Balance {balance}.",
        before=execution.before,
        after=execution.after,
        transaction_id=execution.outcome.transaction.id if execution.outcome.transaction else None,
        credits=execution.credits,
        authority=authority,
        approver=authority if approval_request else None,
        approval_request=approval_request,
        idempotency_key=request.idempotency_key,
        request_id=request_context.request_id.get(),
        **subject,
    )
    row.save(force_insert=True)
    return row


def serialize_arguments(request: ActionRequest) -> dict[str, Any]:
    """Return the arguments of a request as JSON, with timestamps in UTC."""
    subject = {"subject": request.subject_id} if request.subject_id else {}
    arguments: dict[str, Any] = json.loads(canonical_json({**request.arguments, **subject}))
    return arguments


def is_same_request(row: StaffAction | ApprovalRequest, request: ActionRequest) -> bool:
    """Return whether a stored row came from a request with the same contents."""
    stored = (row.action, row.reason, row.note, row.ticket, row.arguments)
    contents = (request.action.code, request.reason, request.note, request.ticket, serialize_arguments(request))
    return stored == contents


def format_change(before: int, after: int) -> str:
    """Return a number of credits before and after, or once if it is unchanged."""
    return format_credits(after) if before == after else f"{format_credits(before)} → {format_credits(after)}"


def describe_execution(request: ActionRequest, execution: Execution) -> list[tuple[str, str]]:
    """Return labelled facts about an execution, for a page that shows them before the action is confirmed."""
    before, after = execution.before, execution.after
    facts = [("Account", str(request.owner)), ("Balance", format_change(before["balance"], after["balance"]))]
    for name, label in (("available", "Available"), ("held", "Held"), ("debt", "Debt")):
        if before[name] != after[name]:
            facts.append((label, format_change(before[name], after[name])))
    if execution.expiries:
        facts.append(("Expires", ", ".join(map(format_expiry, execution.expiries))))
    if before["tier"] != after["tier"]:
        facts.append(("Tier", f"{before['tier'] or 'none'} → {after['tier'] or 'none'}"))
    if before["pending_tier"] != after["pending_tier"]:
        scheduled = f"{_format_pending_tier(before['pending_tier'])} → {_format_pending_tier(after['pending_tier'])}"
        facts.append(("Scheduled", scheduled))
    if before["paused_at"] != after["paused_at"]:
        facts.append(("Monthly allocations", "paused" if after["paused_at"] else "resumed"))
    facts += [*execution.outcome.facts, ("Reason", request.reason_label)]
    return facts + [(label, text) for label, text in (("Note", request.note), ("Ticket", request.ticket)) if text]


def _snapshot_facts(balance: BalanceSnapshot, tier_facts: TierFacts) -> dict[str, Any]:
    tier = tier_facts.to_json()
    return {
        "balance": balance.balance,
        "available": balance.available,
        "held": balance.held,
        "debt": balance.debt,
        "tier": tier["tier"],
        "pending_tier": tier["pending_tier"],
        "paused_at": tier["paused_at"],
        "suspended_at": balance.suspended_at and balance.suspended_at.isoformat(),
    }


def _limits(owner: Owner) -> list[dict[str, Any]]:
    return [
        {"member": limit.member_id and str(limit.member_id), "period": limit.period, "amount": limit.amount}
        for limit in ledger_queries.get_limits(owner=owner)
    ]


def _format_pending_tier(pending: dict[str, Any] | None) -> str:
    if pending is None:
        return "none"
    return f"{pending['tier'] or 'end'} on {format_timestamp(datetime.fromisoformat(pending['at']))}"
