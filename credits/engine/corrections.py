"""What corrections share:

The transaction or grant that is corrected, under the lock of its balance, and the refund planner.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from credits import queries
from credits.arguments import Validator
from credits.domain import burn_order, constants, errors
from credits.domain.due_events import normalize
from credits.domain.records import Grant, GrantDelta, Transaction, TransactionDetails
from credits.engine.idempotency import RequestIdentity
from credits.engine.locked_balance import LockedBalance, OperationResult, lock_balance
from credits.models import CreditTransaction
from fluxori.core.ids import uuid7
from fluxori.db.transactions import transaction_with_retry


@dataclass(frozen=True, slots=True)
class Original:
    """A transaction that is being corrected, and the whole credits of it that were corrected before."""

    row: CreditTransaction
    corrected: int

    @property
    def correctable(self) -> int:
        """The whole credits that can still be corrected."""
        return abs(self.row.amount) - self.corrected

    def details(self, reason: str) -> dict[str, Any]:
        """Return the details of the correcting transaction: a link to this one, with its description and member."""
        return {
            "description": self.row.description,
            "reference_id": self.row.reference_id,
            "member_id": self.row.member_id,
            "reverses_id": self.row.pk,
            "reason": reason,
        }


def load_original(transaction_id: UUID) -> Original:
    """Return the transaction and what was corrected of it. Call it under the lock:

    Concurrent corrections are then visible.
    """
    row, corrected = queries.get_correction_state(transaction_id=transaction_id)
    return Original(row, corrected)


def correction_validator(reason: str, amount: int | None = None) -> Validator:
    """Return a validator with the errors of the arguments that all corrections have."""
    validator = Validator()
    validator.string("reason", reason, maximum=constants.MAX_REASON, required=True)
    if amount is not None:
        validator.integer("amount", amount)
    return validator


def check_in_future(balance: LockedBalance, expires_at: datetime | None) -> None:
    """Return if an expiry is after the effective instant.

    :raises InvalidArgumentError: ``in_past``
    """
    if expires_at is not None and expires_at <= balance.at:
        raise errors.InvalidArgumentError.field("expires_at", "in_past", "Credits cannot expire before they begin.")


@transaction_with_retry
def run_on_transaction(
    transaction_id: UUID,
    request: RequestIdentity,
    at: datetime | None,
    plan: Callable[[LockedBalance], OperationResult],
) -> OperationResult:
    """Lock the balance of a transaction, with the grants that it changed, and plan.

    :raises TransactionNotFoundError: there is no such transaction
    :raises IdempotencyKeyReusedError: the key was used for a different request
    """
    owner, grant_ids, member = queries.locate_transaction(transaction_id=transaction_id)
    with lock_balance(owner, at=at, requests=[request], grant_ids=grant_ids, member_ids=[member]) as balance:
        return balance.find_result(request) or plan(balance)


@transaction_with_retry
def run_on_grant(
    grant_id: UUID,
    request: RequestIdentity,
    at: datetime | None,
    plan: Callable[[LockedBalance, Grant], OperationResult],
) -> OperationResult:
    """Lock the balance of a grant and plan.

    :raises GrantNotFoundError: there is no such grant
    :raises IdempotencyKeyReusedError: the key was used for a different request
    """
    owner = queries.owner_of_grant(grant_id=grant_id)
    with lock_balance(owner, at=at, requests=[request], grant_ids=[grant_id]) as balance:
        return balance.find_result(request) or plan(balance, balance.state.grants[grant_id])


def take_from(amount: int, grants: Iterable[Grant]) -> list[GrantDelta]:
    """Return the deltas that take ``amount`` from the grants in the given order, or all that they have."""
    deltas = []
    for grant in grants:
        taken = min(amount, grant.remaining)
        if taken > 0:
            deltas.append(GrantDelta(grant, -taken))
            amount -= taken
    return deltas


def refund_shares(balance: LockedBalance, original: Original, amount: int) -> tuple[list[tuple[Grant, int]], int]:
    """Return how many credits each grant gets back, and how many the usage took as debt.

    The entries of the usage are refunded from the last, past earlier refunds. An entry on debt is the last.
    """
    shares = []
    owed = 0
    to_skip = original.corrected
    for entry in sorted(original.row.entries.all(), key=lambda entry: -entry.position):
        used = -entry.amount
        skipped = min(to_skip, used)
        to_skip -= skipped
        share = min(amount, used - skipped)
        amount -= share
        if share > 0 and entry.grant_id is None:
            owed += share
        elif share > 0 and entry.grant_id is not None:
            shares.append((balance.state.grants[entry.grant_id], share))
    return shares, owed


def plan_refund(
    balance: LockedBalance,
    shares: list[tuple[Grant, int]],
    details: TransactionDetails,
    expires_at: datetime | None,
    *,
    taken_as_debt: int = 0,
) -> Transaction:
    """Plan a refund: credits that can be spent again repay debt first; those of expired or voided grants leave at once.

    Credits of a grant that was extended follow it to a copy with the expiry of its longest copy. With ``expires_at``
    the credits of expired grants come back as one new ``adjustment`` grant. Voided grants stay voided.

    What the usage took as debt repays debt. If other credits have repaid that debt since, it comes back as an
    ``adjustment`` grant, which expires at ``expires_at`` or never.
    """
    state = balance.state
    copies = queries.extended_copies([grant.id for grant, _ in shares], balance_ids=[state.id])
    # Where the credits of each grant end up.
    targets = {grant.id: grant if grant.voided_at else copies.get(grant.id, grant) for grant, _ in shares}
    owed = state.debt - min(state.debt, taken_as_debt)
    revived = taken_as_debt - (state.debt - owed)
    returned = shares
    if expires_at is not None:
        returned = [
            (grant, share)
            for grant, share in shares
            if targets[grant.id].voided_at is not None or not targets[grant.id].expired(balance.at)
        ]
        revived += sum(share for _, share in shares) - sum(share for _, share in returned)
    created = [_revived_grant(revived, expires_at, balance.at)] if revived else []
    deltas = []
    receivers = [(grant, targets[grant.id], share) for grant, share in returned]
    receivers += [(grant, grant, grant.amount) for grant in created]
    for grant, target, share in sorted(receivers, key=lambda receiver: burn_order.position(receiver[1])):
        is_spendable = target.voided_at is None and not target.expired(balance.at)
        repaid = min(owed, share) if is_spendable else 0
        owed -= repaid
        if share > repaid:
            deltas.append(GrantDelta(grant, share - repaid))
    if state.debt > owed:
        deltas.append(GrantDelta(None, state.debt - owed))
    transaction = state.post("refund", balance.at, deltas, details, opened=created)
    state.extensions |= copies
    normalize(state, balance.at)
    return transaction


def copy_with_expiry(grant: Grant, expires_at: datetime, at: datetime) -> Grant:
    """Return the copy of a grant that an extension creates. A rollover that would end by then is dropped."""
    rolls_over = grant.roll_cap is not None and (grant.roll_until is None or grant.roll_until > expires_at)
    return replace(
        grant,
        id=uuid7(),
        parent_id=grant.id,
        amount=grant.remaining,
        remaining=0,
        held=0,
        effective_at=at,
        expires_at=expires_at,
        roll_cap=grant.roll_cap if rolls_over else None,
        roll_until=grant.roll_until if rolls_over else None,
        transaction_id=None,
    )


def _revived_grant(amount: int, expires_at: datetime | None, at: datetime) -> Grant:
    return Grant(
        id=uuid7(),
        source="adjustment",
        amount=amount,
        remaining=0,
        held=0,
        priority=constants.DEFAULT_PRIORITY,
        effective_at=at,
        expires_at=expires_at,
    )
