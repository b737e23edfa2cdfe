"""Planners of holds and their requests: place, capture and release. One hold ends in exactly one of captured, released
or lapsed.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings

from credits import queries
from credits.arguments import id_of
from credits.domain import burn_order, errors
from credits.domain.due_events import normalize
from credits.domain.records import GrantDelta, Hold
from credits.engine.deductions import Deduction
from credits.engine.idempotency import RequestIdentity
from credits.engine.locked_balance import LockedBalance, OperationResult, lock_balance, transaction_details
from credits.engine.operation_queue import GroupRequest
from credits.engine.rejected_attempts import Rejection
from credits.engine.spending import check_spendable, resolve_price
from fluxori.core.errors import DomainError
from fluxori.core.ids import uuid7
from fluxori.core.input_rules import canonical_json
from fluxori.db.transactions import transaction_with_retry


def plan_hold(
    balance: LockedBalance, deduction: Deduction, request: RequestIdentity, lifetime: timedelta
) -> OperationResult:
    """Plan a hold. The errors are those of a deduction, from the price on."""
    amount, price_facts = resolve_price(
        balance, amount=deduction.amount, feature=deduction.feature, quantity=deduction.quantity
    )
    member_id = id_of(deduction.member)
    check_spendable(balance, amount, member_id=member_id)

    # No error below this line.
    payments = balance.state.payments(amount)
    hold = Hold(
        id=uuid7(),
        amount=amount,
        created_at=balance.at,
        expires_at=balance.at + lifetime,
        pins=[(grant.id, pinned) for grant, pinned in payments],
        description=deduction.description,
        reference_id=deduction.reference_id,
        metadata=None if deduction.metadata is None else canonical_json(deduction.metadata),
        actor_id=request.caller,
        member_id=member_id,
        request_id=request.request_id,
        **price_facts,
    )
    balance.state.open_hold(hold)
    return balance.record(request, hold=hold)


def plan_release(balance: LockedBalance, hold: Hold, request: RequestIdentity) -> OperationResult:
    """Plan the release of an open hold; pinned credits that can no longer be spent leave at once."""
    balance.state.close_hold(hold, "released", balance.at)
    normalize(balance.state, balance.at)
    return balance.record(request, hold=hold)


def plan_capture(
    balance: LockedBalance, hold: Hold, amount: int, request: RequestIdentity, *, allow_debt: bool = False
) -> OperationResult:
    """Plan the capture of ``amount`` of an open hold.

    The checks of a deduction apply to an amount above the hold only. With ``allow_debt`` the part of it that is not
    available becomes debt, up to ``CAPTURE_DEBT_LIMIT``.
    """
    state = balance.state
    excess = max(amount - hold.amount, 0)
    if excess:
        max_debt = settings.CAPTURE_DEBT_LIMIT if allow_debt else 0
        check_spendable(balance, amount, member_id=hold.member_id, hold=hold, max_debt=max_debt)

    # No error below this line.
    owed = max(excess - state.available, 0)
    used = {grant.id: paid for grant, paid in state.payments(excess - owed)}
    from_pins = amount - excess
    for grant_id, pinned in hold.pins:
        paid = min(from_pins, pinned)
        used[grant_id] = used.get(grant_id, 0) + paid
        from_pins -= paid
    # All pins return to their grants first, so that each entry records what its grant has left after the capture.
    state.close_hold(hold, "captured", balance.at)
    payers = burn_order.in_burn_order(state.grants[grant_id] for grant_id, paid in used.items() if paid)
    deltas = [GrantDelta(grant, -used[grant.id]) for grant in payers]
    if owed:
        deltas.append(GrantDelta(None, -owed))
    transaction = state.post("usage", balance.at, deltas, transaction_details(request, **_details_of(hold)))
    hold.captured = amount
    normalize(state, balance.at)
    return balance.record(request, transaction=transaction, hold=hold)


def _details_of(hold: Hold) -> dict[str, Any]:
    return {
        "description": hold.description,
        "reference_id": hold.reference_id,
        "feature_id": hold.feature_id,
        "price_id": hold.price_id,
        "quantity": hold.quantity,
        "member_id": hold.member_id,
        "metadata": hold.metadata,
        "hold_id": hold.id,
    }


@dataclass(frozen=True, slots=True)
class PlaceHoldRequest(GroupRequest):
    """One valid hold at ``at``, with the identity of its request."""

    deduction: Deduction
    lifetime: timedelta
    identity: RequestIdentity
    at: datetime

    @property
    def features(self) -> Collection[str]:
        return self.deduction.features

    @property
    def member_ids(self) -> Collection[UUID | None]:
        return (id_of(self.deduction.member),)

    def apply_to(self, balance: LockedBalance) -> OperationResult:
        return plan_hold(balance, self.deduction, self.identity, self.lifetime)

    def rejection(self, balance: LockedBalance, error: DomainError) -> Rejection:
        return self.deduction.rejected(error, balance_id=balance.state.id, at=self.at)


@dataclass(frozen=True, slots=True)
class ReleaseRequest(GroupRequest):
    """The release of one hold at ``at``, with the identity of its request."""

    hold_id: UUID
    identity: RequestIdentity
    at: datetime

    @property
    def hold_ids(self) -> Collection[UUID]:
        return (self.hold_id,)

    def apply_to(self, balance: LockedBalance) -> OperationResult:
        return plan_release(balance, open_hold(balance, self.hold_id), self.identity)


@dataclass(frozen=True, slots=True)
class CaptureRequest(GroupRequest):
    """The capture of one hold at ``at``: of ``amount`` credits, or of all that it holds; 0 releases it."""

    hold_id: UUID
    amount: int | None
    identity: RequestIdentity
    at: datetime
    allow_debt: bool = False

    @property
    def hold_ids(self) -> Collection[UUID]:
        return (self.hold_id,)

    def apply_to(self, balance: LockedBalance) -> OperationResult:
        hold = open_hold(balance, self.hold_id)
        amount = hold.amount if self.amount is None else self.amount
        if amount == 0:
            return plan_release(balance, hold, self.identity)
        return plan_capture(balance, hold, amount, self.identity, allow_debt=self.allow_debt)

    def rejection(self, balance: LockedBalance, error: DomainError) -> Rejection:
        hold = balance.state.holds.get(self.hold_id)
        return Rejection(
            balance.state.id,
            error,
            self.at,
            feature=hold.feature_id if hold else None,
            actor_id=self.identity.caller,
            member_id=hold.member_id if hold else None,
        )


def open_hold(balance: LockedBalance, hold_id: UUID) -> Hold:
    """Return an existing hold of the balance if it is open.

    :raises HoldClosedError: the hold was captured, released or has lapsed
    """
    hold = balance.state.holds.get(hold_id)
    if hold is None:
        # It may have been closed by due events, or by an earlier request of the same group.
        closed = balance.state.changed_holds.get(hold_id)
        raise errors.HoldClosedError(
            hold_status=closed.status if closed else queries.hold_status(hold_id=hold_id, at=balance.at)
        )
    return hold


@transaction_with_retry
def run_on_hold(
    hold_id: UUID,
    request: RequestIdentity,
    at: datetime | None,
    plan: Callable[[LockedBalance, Hold], OperationResult],
) -> OperationResult:
    """Lock the balance of a hold and plan on the open hold.

    :raises HoldNotFoundError: there is no such hold
    :raises IdempotencyKeyReusedError: the key was used for a different request
    :raises HoldClosedError: the hold was captured, released or has lapsed
    """
    owner = queries.owner_of_hold(hold_id=hold_id)
    with lock_balance(owner, at=at, requests=[request], hold_ids=[hold_id]) as balance:
        return balance.find_result(request) or plan(balance, open_hold(balance, hold_id))
