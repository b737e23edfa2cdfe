"""What staff do, recorded in the database transaction in which it is done; and requests above a ceiling.

Locks are taken in one order: the request, the member of staff whose ceiling counts, the balance.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Sum

from credits import queries as balances
from credits.domain.records import BalanceSnapshot
from credits.engine.locked_balance import lock_balance
from credits.engine.validation import Validator
from credits.models import CreditGrant
from fluxori.adminkit.read_only import format_credits, format_timestamp
from fluxori.console import errors, queries
from fluxori.console.actions import constants
from fluxori.console.actions.catalogue import ACTS, Order, Outcome
from fluxori.console.models import ApprovalRequest, StaffAction
from fluxori.core import request_context
from fluxori.core.input_rules import canonical_json
from fluxori.db.transactions import transaction_with_retry
from fluxori.identity.models import Organization, User
from fluxori.identity.owner import Owner
from tiers import queries as promises

APPROVE_REQUESTS = "console.approve_requests"


@dataclass(frozen=True, slots=True)
class Done:
    """The record of an act; ``again`` where it had been done before and nothing happened now."""

    row: StaffAction
    again: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for an act; ``again`` where it had been asked before and nothing happened now."""

    row: ApprovalRequest
    again: bool = False


@dataclass(frozen=True, slots=True)
class Preview:
    """What an act would do now: the words on its button, and the facts to read before pressing it.

    ``nothing`` says why there is nothing to do; ``above`` which ceiling it exceeds. ``credits`` are those newly given.
    """

    button: str
    facts: Sequence[tuple[str, str]]
    credits: int
    nothing: str = ""
    above: errors.CeilingExceededError | None = None


@dataclass(frozen=True, slots=True)
class _Carried:
    outcome: Outcome
    before: dict[str, Any]
    after: dict[str, Any]
    expires: list[datetime | None]
    credits: int


@transaction_with_retry
def perform(order: Order) -> Done:
    """Carry out an act of staff and record it, both or neither. Sent again under the same key, it acts once.

    :raises StaffPermissionError: if the actor may not do this act
    :raises FormReusedError: if the key already names another act of this person on this balance
    :raises DomainError: whatever the act's own operation refuses
    :raises NothingToDoError: if it is so already
    :raises CeilingExceededError: if it gives more than this person may give by hand, in one act or in the rest of a day
    """
    _check_permission(order.actor, order.act.permission)
    _lock_staff(order.actor)
    earlier = StaffAction.objects.filter(
        balance=order.whom.pk, actor=order.actor, idempotency_key=order.key, on_request=None
    ).first()
    if earlier is not None:
        if not _same(earlier, order):
            raise errors.FormReusedError()
        return Done(earlier, again=True)
    carried = _carry_out(order)
    _within_ceiling(carried, order.actor, order.at)
    return Done(_record(order, carried, authority=order.actor))


@transaction_with_retry
def preview(order: Order, *, authority: User | None = None) -> Preview:
    """Return what :func:`perform` would do now, for the ceiling of ``authority`` or of whoever asks. Nothing is kept.

    :raises StaffPermissionError: if the actor of the order may not do this act
    :raises DomainError: whatever the act's own operation refuses
    """
    _check_permission(order.actor, order.act.permission)
    with transaction.atomic():
        carried = _carry_out(order, only_look=True)
        transaction.set_rollback(True)
    above = None
    try:
        _within_ceiling(carried, authority or order.actor, order.at)
    except errors.CeilingExceededError as exceeded:
        above = exceeded
    return Preview(
        button=carried.outcome.button,
        facts=_facts(order, carried),
        credits=carried.credits,
        nothing=carried.outcome.nothing,
        above=above,
    )


@transaction_with_retry
def request_act(order: Order) -> Asked:
    """Keep an act as a request that a second person decides on. Asked again under the same key, it is one request.

    :raises StaffPermissionError: if the actor may not do this act
    :raises FormReusedError: if the key already names another request of this person
    :raises DomainError: whatever the act's own operation refuses now
    :raises NothingToDoError: if it is so already
    """
    _check_permission(order.actor, order.act.permission)
    _lock_staff(order.actor)
    earlier = ApprovalRequest.objects.filter(asked_by=order.actor, idempotency_key=order.key).first()
    if earlier is not None:
        if earlier.owner_id != order.whom.pk or not _same(earlier, order):
            raise errors.FormReusedError()
        return Asked(earlier, again=True)
    with transaction.atomic():
        carried = _carry_out(order)
        transaction.set_rollback(True)
    row = ApprovalRequest(
        act=order.act.code,
        user=order.whom if isinstance(order.whom, User) else None,
        organization=order.whom if isinstance(order.whom, Organization) else None,
        arguments=_spelled(order),
        credits=carried.credits,
        reason=order.reason,
        note=order.note,
        ticket=order.ticket,
        idempotency_key=order.key,
        asked_by=order.actor,
        asked_at=order.at,
    )
    row.save(force_insert=True)
    return Asked(row)


def order_of(request: ApprovalRequest, *, at: datetime) -> Order:
    """Return the act that a request asks for, to be carried out at ``at`` in the name of whoever asked."""
    act = ACTS[request.act]
    subject = request.arguments.get("subject")
    return Order(
        act=act,
        whom=request.whom,
        asked=act.form.read(request.arguments),
        actor=request.asked_by,
        at=at,
        reason=request.reason,
        note=request.note,
        ticket=request.ticket,
        key=str(request.pk),
        subject=UUID(subject) if subject else None,
    )


@transaction_with_retry
def approve(*, request_id: UUID, approver: User, note: str = "", at: datetime) -> Done:
    """Carry out what a request asks for, in the name of who asked, on the ceiling of ``approver``; exactly once.

    The permissions of both people count as they are now: a request of a deactivated person is not carried out.

    :raises StaffPermissionError: if the approver may not approve requests
    :raises InvalidArgumentError: for a note that is too long
    :raises OwnRequestError: if it is the approver's own
    :raises RequestDecidedError: if another person decided, or it was withdrawn; the approver's own approval is repeated
    :raises StaffPermissionError: if the approver or the person who asked may not do this act
    :raises DomainError: whatever the act's own operation refuses now
    :raises NothingToDoError: if it is so already
    :raises CeilingExceededError: if it gives more than the approver may give by hand
    """
    _check_permission(approver, APPROVE_REQUESTS)
    _check_note(note)
    row = _locked_request(request_id)
    if row.asked_by_id == approver.pk:
        raise errors.OwnRequestError()
    if row.status == ApprovalRequest.Status.APPROVED and row.decided_by_id == approver.pk:
        return Done(StaffAction.objects.get(on_request=row), again=True)
    _still_pending(row)
    order = order_of(row, at=at)
    for staff in (approver, order.actor):
        _check_permission(staff, order.act.permission)
    _lock_staff(approver)
    carried = _carry_out(order)
    _within_ceiling(carried, approver, at)
    _decide(row, ApprovalRequest.Status.APPROVED, approver, note, at)
    return Done(_record(order, carried, authority=approver, request=row))


@transaction_with_retry
def decline(*, request_id: UUID, decider: User, note: str, at: datetime) -> ApprovalRequest:
    """Decline a request of somebody else, and say why.

    :raises StaffPermissionError: if the decider may not decide on requests
    :raises InvalidArgumentError: if the note is empty or too long
    :raises OwnRequestError: if it is the decider's own
    :raises RequestDecidedError: if it is not pending any more
    """
    _check_permission(decider, APPROVE_REQUESTS)
    _check_note(note, required=True)
    row = _locked_request(request_id)
    if row.asked_by_id == decider.pk:
        raise errors.OwnRequestError()
    _still_pending(row)
    return _decide(row, ApprovalRequest.Status.DECLINED, decider, note, at)


@transaction_with_retry
def withdraw(*, request_id: UUID, actor: User, note: str = "", at: datetime) -> ApprovalRequest:
    """Withdraw a request of one's own.

    :raises InvalidArgumentError: for a note that is too long
    :raises NotYourRequestError: if somebody else asked
    :raises RequestDecidedError: if it is not pending any more
    """
    _check_note(note)
    row = _locked_request(request_id)
    if row.asked_by_id != actor.pk:
        raise errors.NotYourRequestError()
    _still_pending(row)
    return _decide(row, ApprovalRequest.Status.WITHDRAWN, actor, note, at)


def _check_permission(staff: User, permission: str) -> None:
    # A deactivated user has no permissions.
    if not staff.has_perm(permission):
        raise errors.StaffPermissionError(staff=str(staff), permission=permission)


def _lock_staff(staff: User) -> None:
    # Whoever gives credits does so one after another, so that the day's sum is exact.
    User.objects.select_for_update(no_key=True).values_list("pk").get(pk=staff.pk)


def _locked_request(request_id: UUID) -> ApprovalRequest:
    return ApprovalRequest.objects.select_for_update(no_key=True).get(pk=request_id)


def _still_pending(row: ApprovalRequest) -> None:
    if row.status != ApprovalRequest.Status.PENDING:
        assert row.decided_at is not None
        raise errors.RequestDecidedError(status=row.status, by=str(row.decided_by), at=row.decided_at)


def _decide(row: ApprovalRequest, status: str, by: User, note: str, at: datetime) -> ApprovalRequest:
    row.status, row.decided_by, row.decided_at, row.decision_note = status, by, at, note
    row.save(update_fields=["status", "decided_by", "decided_at", "decision_note"])
    return row


def _check_note(note: str, *, required: bool = False) -> None:
    validator = Validator()
    validator.string("note", note, maximum=constants.MAX_NOTE, required=required)
    validator.raise_if_invalid()


def _carry_out(order: Order, *, only_look: bool = False) -> _Carried:
    """Do it, inside the caller's transaction, and say what it changed. The balance is locked from before to after."""
    owner = Owner.of(order.whom)
    with lock_balance(owner, at=order.at, create=order.act.opens_balance) as page:
        before = page.book.snapshot()
    tier, limits = promises.tier_facts(owner=owner, at=order.at), _limits(owner)
    outcome = order.act.carry_out(order)
    if outcome.nothing and not only_look:
        raise errors.NothingToDoError(why=outcome.nothing)
    after = balances.load_settled_balance(owner, at=order.at).snapshot()
    opened = CreditGrant.objects.none()
    if outcome.transaction is not None:
        opened = CreditGrant.objects.filter(balance=owner.id, transaction=outcome.transaction.pk)
    # Copies, like that of an extension, are of credits given before.
    given = opened.filter(parent=None).aggregate(given=Sum("amount"))["given"] or 0
    return _Carried(
        outcome,
        {**_standing(before, tier), "limits": limits},
        {**_standing(after, promises.tier_facts(owner=owner, at=order.at)), "limits": _limits(owner)},
        list(opened.order_by("expires_at").values_list("expires_at", flat=True)),
        given if order.act.by_hand else 0,
    )


def _standing(now: BalanceSnapshot, tier: dict[str, Any]) -> dict[str, Any]:
    return {
        "balance": now.balance,
        "available": now.available,
        "held": now.held,
        "debt": now.debt,
        "tier": tier["tier"],
        "pending_tier": tier["pending_tier"],
        "suspended_at": now.suspended_at and now.suspended_at.isoformat(),
    }


def _limits(owner: Owner) -> list[dict[str, Any]]:
    return [
        {"member": row.member_id and str(row.member_id), "period": row.period, "amount": row.amount}
        for row in balances.get_limits(owner=owner)
    ]


def _within_ceiling(carried: _Carried, staff: User, at: datetime) -> None:
    if not carried.credits:
        return
    ceiling = queries.ceiling_of(staff, at=at)
    if not ceiling.allows(carried.credits):
        raise errors.CeilingExceededError(
            credits=carried.credits,
            per_act=ceiling.per_act,
            per_day=ceiling.per_day,
            left_today=ceiling.left_today,
        )


def _record(order: Order, carried: _Carried, *, authority: User, request: ApprovalRequest | None = None) -> StaffAction:
    recorded = carried.outcome.transaction
    subject = {f"of_{order.act.about}_id": order.subject} if order.act.about else {}
    before, after = carried.before["balance"], carried.after["balance"]
    row = StaffAction(
        created_at=order.at,
        actor=order.actor,
        act=order.act.code,
        balance_id=order.whom.pk,
        arguments=_spelled(order),
        reason=order.reason,
        note=order.note,
        ticket=order.ticket,
        said=f"{carried.outcome.said}. Balance {_moved(before, after)}.",
        before=carried.before,
        after=carried.after,
        transaction=recorded,
        credits=carried.credits,
        authority=authority,
        approver=authority if request else None,
        on_request=request,
        idempotency_key=order.key,
        request_id=request_context.request_id.get(),
        **subject,
    )
    row.save(force_insert=True)
    return row


def _spelled(order: Order) -> dict[str, Any]:
    """Return what was asked as JSON has it, instants in UTC."""
    asked = {**order.asked, **({"subject": order.subject} if order.subject else {})}
    spelled: dict[str, Any] = json.loads(canonical_json(asked))
    return spelled


def _same(earlier: StaffAction | ApprovalRequest, order: Order) -> bool:
    words = (earlier.act, earlier.reason, earlier.note, earlier.ticket, earlier.arguments)
    return words == (order.act.code, order.reason, order.note, order.ticket, _spelled(order))


def _moved(before: int, after: int) -> str:
    return format_credits(after) if before == after else f"{format_credits(before)} → {format_credits(after)}"


def _facts(order: Order, carried: _Carried) -> list[tuple[str, str]]:
    before, after = carried.before, carried.after
    facts = [("Account", str(order.whom)), ("Balance", _moved(before["balance"], after["balance"]))]
    for name, label in (("available", "Available"), ("held", "Held"), ("debt", "Debt")):
        if before[name] != after[name]:
            facts.append((label, _moved(before[name], after[name])))
    if carried.expires:
        facts.append(("Expires", ", ".join(format_timestamp(at) if at else "Never" for at in carried.expires)))
    if before["tier"] != after["tier"]:
        facts.append(("Tier", f"{before['tier'] or 'none'} → {after['tier']}"))
    if before["pending_tier"] != after["pending_tier"]:
        facts.append(("Scheduled", f"{_scheduled(before['pending_tier'])} → {_scheduled(after['pending_tier'])}"))
    return [*facts, *carried.outcome.facts, ("Reason", order.why)] + [
        (label, words) for label, words in (("Note", order.note), ("Ticket", order.ticket)) if words
    ]


def _scheduled(pending: dict[str, Any] | None) -> str:
    if pending is None:
        return "nothing"
    return f"{pending['tier']} on {format_timestamp(datetime.fromisoformat(pending['at']))}"
