"""Serializers of transactions and their entries."""

import json
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema_field
from rest_framework.serializers import SerializerMethodField

from credits.api.serializers.balances import BalanceResponse
from credits.models import CreditEntry, CreditGrant, CreditTransaction
from fluxori.api.fields import Choice, Id, Metadata, Text, Timestamp, WholeNumber
from fluxori.api.serializers import ResponseSerializer
from fluxori.identity.models import User


class EntryResponse(ResponseSerializer):
    grant_id = Id(allow_null=True, help_text="Null: the entry changes the debt.")
    amount = WholeNumber()


class TransactionResponse(ResponseSerializer):
    id = Id()
    sequence = WholeNumber()
    timestamp = Timestamp()
    type = Choice(CreditTransaction.Type.choices)
    amount = WholeNumber(help_text="Negative if credits leave the balance.")
    new_balance = WholeNumber(source="balance_after")
    description = Text()
    reference_id = SerializerMethodField()
    feature = Text(source="feature_id", allow_null=True)
    quantity = WholeNumber(allow_null=True)
    user_id = SerializerMethodField()
    organization_id = SerializerMethodField()
    actor_id = Id(allow_null=True, help_text="The caller.")
    idempotency_key = Text(allow_null=True)
    metadata = SerializerMethodField()

    def get_reference_id(self, transaction: CreditTransaction) -> str | None:
        return transaction.reference_id or None

    def get_user_id(self, transaction: CreditTransaction) -> UUID | None:
        """The user it was made for: in a pool the member, otherwise the owner."""
        return transaction.member_id or transaction.balance.user_id

    def get_organization_id(self, transaction: CreditTransaction) -> UUID | None:
        return transaction.balance.organization_id

    @extend_schema_field(Metadata(allow_null=True))
    def get_metadata(self, transaction: CreditTransaction) -> Any:
        return None if transaction.metadata is None else json.loads(transaction.metadata)


class TransactionWithEntriesResponse(TransactionResponse):
    """A transaction with its entries."""

    # Rendered from the result of an operation: ``transaction``, a record, and ``balance``, whose owner it needs.

    id = Id(source="transaction.id")
    sequence = WholeNumber(source="transaction.sequence")
    timestamp = Timestamp(source="transaction.timestamp")
    type = Choice(CreditTransaction.Type.choices, source="transaction.type")
    amount = WholeNumber(source="transaction.amount", help_text="Negative if credits leave the balance.")
    new_balance = WholeNumber(source="transaction.balance_after")
    description = Text(source="transaction.details.description")
    feature = Text(source="transaction.details.feature_id", allow_null=True)
    quantity = WholeNumber(source="transaction.details.quantity", allow_null=True)
    actor_id = Id(source="transaction.details.actor_id", allow_null=True, help_text="The caller.")
    idempotency_key = Text(source="transaction.details.idempotency_key", allow_null=True)
    entries = EntryResponse(many=True, source="transaction.entries")

    @classmethod
    def render(cls, instance: Any) -> Any:
        """Return the transaction of a result, or None if the operation wrote none."""
        return None if instance.transaction is None else super().render(instance)

    def get_reference_id(self, result: Any) -> str | None:
        return result.transaction.details.reference_id or None

    def get_user_id(self, result: Any) -> UUID | None:
        """The user it was made for: in a pool the member, otherwise the owner."""
        user_id: UUID | None = result.transaction.details.member_id or result.balance.user_id
        return user_id

    def get_organization_id(self, result: Any) -> UUID | None:
        organization_id: UUID | None = result.balance.organization_id
        return organization_id

    @extend_schema_field(Metadata(allow_null=True))
    def get_metadata(self, result: Any) -> Any:
        metadata = result.transaction.details.metadata
        return None if metadata is None else json.loads(metadata)


class MovementResponse(BalanceResponse):
    """The balance after a transaction, and the transaction."""

    transaction = TransactionWithEntriesResponse(source="*")


class PriceResponse(ResponseSerializer):
    credits = WholeNumber()
    effective_from = Timestamp()


class ActorResponse(ResponseSerializer):
    id = Id()
    email = Text()
    role = Choice(User.Role.choices)


class ExplainedEntryResponse(EntryResponse):
    remaining_after = WholeNumber(allow_null=True)
    source = SerializerMethodField()  # type: ignore[assignment] # the framework has an attribute of that name
    expires_at = SerializerMethodField()

    @extend_schema_field(Choice(CreditGrant.Source.choices, allow_null=True))
    def get_source(self, entry: CreditEntry) -> Any:
        return entry.grant.source if entry.grant else None

    @extend_schema_field(Timestamp(allow_null=True))
    def get_expires_at(self, entry: CreditEntry) -> Any:
        return entry.grant.expires_at if entry.grant else None


class ExplainedTransactionResponse(TransactionResponse):
    """A transaction with its price, caller, reason, corrections, entries with their grants, and hashes."""

    price = PriceResponse(allow_null=True)
    hold_id = Id(allow_null=True)
    actor = ActorResponse(allow_null=True)
    reason = Text()
    reverses = Id(source="reverses_id", allow_null=True)
    reversed_by = SerializerMethodField()
    counterpart_id = Id(allow_null=True, help_text="Of a transfer: its transaction in the other balance.")
    entries = ExplainedEntryResponse(many=True)
    hash = SerializerMethodField()
    previous_hash = SerializerMethodField()

    def get_reversed_by(self, transaction: CreditTransaction) -> list[UUID]:
        return [correction.pk for correction in transaction.reversed_by.all()]

    def get_hash(self, transaction: CreditTransaction) -> str:
        return bytes(transaction.hash).hex()

    def get_previous_hash(self, transaction: CreditTransaction) -> str:
        return bytes(transaction.previous_hash).hex()
