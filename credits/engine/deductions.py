"""Deductions inside the engine: the input of one, and how it is planned. Next: ``operation_queue``."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from credits.arguments import Validator, id_of
from credits.domain import constants
from credits.domain.records import GrantDelta
from credits.engine.idempotency import RequestIdentity, build_request
from credits.engine.locked_balance import LockedBalance, OperationResult, transaction_details
from credits.engine.operation_queue import GroupRequest
from credits.engine.rejected_attempts import Rejection
from credits.engine.spending import check_spendable, resolve_price
from fluxori.core.errors import DomainError
from fluxori.core.input_rules import canonical_json
from fluxori.identity.models import User


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

    @property
    def features(self) -> Collection[str]:
        """The feature whose price has to be loaded, if there is one."""
        return () if self.feature is None else (self.feature,)

    def rejected(self, error: DomainError, *, balance_id: UUID, at: datetime) -> Rejection:
        """Return this deduction as a rejected attempt."""
        return Rejection(
            balance_id,
            error,
            at,
            feature=self.feature,
            actor_id=id_of(self.actor),
            member_id=id_of(self.member),
        )

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
class DeductionRequest(GroupRequest):
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

    @property
    def features(self) -> Collection[str]:
        return self.deduction.features

    @property
    def member_ids(self) -> Collection[UUID | None]:
        return (id_of(self.deduction.member),)

    def rejection(self, balance: LockedBalance, error: DomainError) -> Rejection:
        return self.deduction.rejected(error, balance_id=balance.state.id, at=self.at)

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
        payments = balance.state.payments(amount)
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
