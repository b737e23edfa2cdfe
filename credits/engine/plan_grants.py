"""Planners that create grants: credits given now, with their request, and the allocation of a period that is over."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from credits.domain import constants, errors
from credits.domain.due_events import enforce_rollover_cap, roll_over
from credits.domain.records import Grant, Transaction
from credits.engine.idempotency import RequestIdentity
from credits.engine.locked_balance import LockedBalance, OperationResult, transaction_details
from credits.engine.operation_queue import GroupRequest
from fluxori.core.ids import uuid7


def plan_grant(
    balance: LockedBalance,
    request: RequestIdentity,
    *,
    amount: int,
    kind: str,
    terms: dict[str, Any],
    details: dict[str, Any],
) -> Transaction:
    """Plan a grant of ``amount`` credits: debt is repaid first, the rest remains.

    ``terms`` are columns of the grant (expires_at, priority, unit_price, roll_cap, roll_until), ``details`` of the
    transaction.

    :raises InvalidArgumentError: ``in_past``: the grant would expire at or before the instant it takes effect
    """
    expires_at = terms.get("expires_at")
    if expires_at is not None and expires_at <= balance.at:
        raise errors.InvalidArgumentError.field("expires_at", "in_past", "Credits cannot expire before they begin.")
    grant = Grant(
        id=uuid7(),
        source=kind,
        amount=amount,
        remaining=0,
        held=0,
        effective_at=balance.at,
        **{"priority": constants.DEFAULT_PRIORITY, "expires_at": None, **terms},
    )
    return balance.state.open_grant(grant, balance.at, transaction_details(request, **details))


def plan_expired_period_grant(
    balance: LockedBalance,
    request: RequestIdentity,
    *,
    amount: int,
    cap: int,
    until: datetime | None,
    details: dict[str, Any],
) -> Transaction:
    """Plan the allocation of a period that is over: it rolls over at once and is spendable up to ``until``.

    Debt is repaid first. The oldest rolled-over credits beyond ``cap`` expire, as at any rollover.
    """
    transaction = plan_grant(balance, request, amount=amount, kind="allocation", terms={}, details=details)
    [grant] = transaction.opened
    if grant.remaining > 0:
        roll_over(balance.state, grant, balance.at, until=until)
        enforce_rollover_cap(balance.state, cap, balance.at)
    return transaction


@dataclass(frozen=True, slots=True)
class AddRequest(GroupRequest):
    """A grant of ``amount`` credits at ``at``, with the identity of its request; see :func:`plan_grant`."""

    amount: int
    kind: str
    terms: dict[str, Any]
    details: dict[str, Any]
    identity: RequestIdentity
    at: datetime
    creates_balance: ClassVar[bool] = True

    def apply_to(self, balance: LockedBalance) -> OperationResult:
        transaction = plan_grant(
            balance, self.identity, amount=self.amount, kind=self.kind, terms=self.terms, details=self.details
        )
        return balance.record(self.identity, transaction=transaction)
