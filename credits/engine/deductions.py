"""Deductions inside the engine: the input of one, how it is planned, and how concurrent ones share a transaction.

``deduction_queue`` is the group commit of all deductions of this process: one lock, one load, one write and one COMMIT
serve every request that waits. Each request is planned at its own instant, in order of time: the result is that of the
same requests one after another. Next: ``fluxori.db.group_commit`` for the queue, ``docs/explanation/group-commit.md``
for why it exists.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings

from credits.arguments import Validator, id_of
from credits.domain import burn_order, constants, errors
from credits.domain.records import GrantDelta
from credits.engine.idempotency import RequestIdentity, build_request
from credits.engine.locked_balance import (
    BalanceLoader,
    LockedBalance,
    LockedBalances,
    OperationResult,
    flush_on_exit,
    lock,
    transaction_details,
)
from credits.engine.spending import check_spendable, resolve_price
from fluxori.core.errors import DomainError
from fluxori.core.input_rules import canonical_json
from fluxori.db.group_commit import GroupCommitQueue, TakeGroup
from fluxori.identity.models import User
from fluxori.identity.owner import Owner


@dataclass(frozen=True, slots=True, kw_only=True)
class Deduction:
    """The input of a deduction: ``amount`` whole credits with a description, or ``quantity`` units of a feature.

    ``member`` is the person it is for if a pool pays.
    """

    amount: int | None = None
    feature: str | None = None
    quantity: int = 1
    description: str = ""
    actor: User | UUID | None = None
    member: User | UUID | None = None
    reference_id: str = ""
    metadata: dict[str, Any] | None = None
    idempotency_key: str | None = None

    def validate(self) -> None:
        """Check the fields without reading stored data.

        :raises InvalidArgumentError: with an error for every wrong field
        """
        self.validator().raise_if_invalid()

    def validator(self) -> Validator:
        """Return a validator with the errors of the fields, for a caller that validates more fields."""
        validator = Validator()
        validator.cost(amount=self.amount, feature=self.feature, quantity=self.quantity)
        validator.string(
            "description",
            self.description,
            maximum=constants.MAX_DESCRIPTION,
            required=self.amount is not None and self.feature is None,
        )
        validator.string("reference_id", self.reference_id, maximum=constants.MAX_REFERENCE_ID)
        if self.metadata is not None:
            validator.metadata("metadata", self.metadata)
        return validator

    def build_identity(self, operation: str = "deduct_credits", **more: Any) -> RequestIdentity:
        """Return the identity of a request with this input; ``more`` are further arguments of the operation.

        :raises InvalidArgumentError: the idempotency key is not valid
        """
        return build_request(
            operation,
            actor=self.actor,
            key=self.idempotency_key,
            amount=self.amount,
            feature=self.feature,
            quantity=self.quantity,
            description=self.description,
            member=id_of(self.member),
            reference_id=self.reference_id,
            metadata=self.metadata,
            **more,
        )


@dataclass(frozen=True, slots=True)
class DeductionRequest:
    """One valid deduction at ``at``, with the identity of its request."""

    deduction: Deduction
    identity: RequestIdentity
    at: datetime

    @classmethod
    def of(cls, deduction: Deduction, at: datetime) -> "DeductionRequest":
        """Return the request of a deduction.

        :raises InvalidArgumentError: with an error for every wrong field, or for the idempotency key
        """
        deduction.validate()
        return cls(deduction, deduction.build_identity(), at)

    def apply_to(self, balance: LockedBalance) -> OperationResult:
        """Plan the usage on a locked balance whose due events are applied.

        :raises FeatureNotFoundError: the feature does not exist, or has no price at the effective instant
        :raises InvalidArgumentError: ``out_of_range``: quantity times price exceeds 10**12
        :raises SpendingSuspendedError: spending from the balance is suspended
        :raises SpendingLimitReachedError: a limit of the balance or the member would be exceeded
        :raises InsufficientCreditsError: the available credits do not cover the amount
        """
        deduction = self.deduction
        amount, price_facts = resolve_price(
            balance, amount=deduction.amount, feature=deduction.feature, quantity=deduction.quantity
        )
        member_id = id_of(deduction.member)
        check_spendable(balance, amount, member_id=member_id)

        # No domain error below this line.
        payments = burn_order.plan_payments(amount, balance.state.grants.values())
        transaction = balance.state.post(
            "usage",
            balance.at,
            [GrantDelta(grant, -paid) for grant, paid in payments],
            transaction_details(
                self.identity,
                description=deduction.description,
                reference_id=deduction.reference_id,
                member_id=member_id,
                metadata=None if deduction.metadata is None else canonical_json(deduction.metadata),
                **price_facts,
            ),
        )
        assert transaction.amount == -amount
        return balance.record(self.identity, transaction=transaction)


def loader_for(balance_ids: set[UUID], requests: Sequence[DeductionRequest]) -> BalanceLoader:
    """Return the loader of everything that these requests need."""
    return BalanceLoader(
        balance_ids,
        max(request.at for request in requests),
        earliest=min(request.at for request in requests),
        requests=[request.identity for request in requests],
        features={request.deduction.feature for request in requests if request.deduction.feature is not None},
        member_ids={id_of(request.deduction.member) for request in requests},
    )


def plan_in_order(balance: LockedBalance, requests: Sequence[DeductionRequest]) -> list[OperationResult | DomainError]:
    """Plan deductions of one balance in order of their instants, then of arrival, and return the results in
    order of arrival.
    """
    results: dict[int, OperationResult | DomainError] = {}
    for index, request in sorted(enumerate(requests), key=lambda each: (each[1].at, each[0])):
        results[index] = balance.attempt(request.identity, request.at, request.apply_to)
    return [results[index] for index in range(len(requests))]


def process_group(
    wait_for: Owner | None, take_group: TakeGroup[Owner, DeductionRequest]
) -> list[OperationResult | DomainError | None]:
    """Lock, load, plan and write one group of deductions, in the transaction of the caller.

    For the first queue ``wait_for`` is None: balances that another transaction has locked are skipped, and their
    requests get None. For the queue of one contended balance its lock is waited for before the group is taken, so that
    everything that arrives during the wait joins.
    """
    if wait_for is None:
        group = take_group()
        loader = loader_for({owner.id for owner, _ in group}, [request for _, request in group])
        balances = loader.lock_and_load(skip_locked=True)
    else:
        locked = lock([wait_for.id])
        group = take_group()
        loader = loader_for({wait_for.id}, [request for _, request in group])
        balances = loader.load() if locked else LockedBalances()

    with flush_on_exit(balances):
        results: dict[int, OperationResult | DomainError | None] = {}
        for owner in dict.fromkeys(owner for owner, _ in group):
            indexes = [index for index, (other, _) in enumerate(group) if other == owner]
            planned = _plan_for_owner(balances, owner, [group[index][1] for index in indexes], wait_for)
            results |= zip(indexes, planned, strict=True)
        return [results[index] for index in range(len(group))]


def _plan_for_owner(
    balances: LockedBalances, owner: Owner, requests: list[DeductionRequest], wait_for: Owner | None
) -> Sequence[OperationResult | DomainError | None]:
    if wait_for is None and owner.id not in balances:
        # Locked elsewhere, or missing: the queue of the balance waits for the lock and finds out.
        return [None] * len(requests)
    try:
        balance = balances.of(owner)
    except errors.BalanceNotFoundError:
        # One error for each request: several threads raise them, and raising an exception changes it.
        return [errors.BalanceNotFoundError() for _ in requests]
    return plan_in_order(balance, requests)


deduction_queue: GroupCommitQueue[Owner, DeductionRequest, OperationResult | DomainError] = GroupCommitQueue(
    process_group, busy_error=errors.BusyError, queue_limit=lambda: settings.DEDUCTION_QUEUE_LIMIT
)
