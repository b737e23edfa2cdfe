"""Serializers of balances."""

from datetime import datetime
from typing import Any, NamedTuple

from drf_spectacular.utils import extend_schema_field
from rest_framework.serializers import SerializerMethodField

from credits.api.serializers.common import OwnerQuery
from credits.domain.records import BalanceSnapshot
from fluxori.api.fields import Id, Text, Timestamp, WholeNumber
from fluxori.api.serializers import ResponseSerializer


class BalanceQuery(OwnerQuery):
    at = Timestamp(required=False, help_text="A time in the past: the response is the balance as it was then.")


class ExpiryResponse(ResponseSerializer):
    amount = WholeNumber()
    at = Timestamp()


class PendingTierResponse(ResponseSerializer):
    tier = Text()
    at = Timestamp()


class BalanceWithTier(NamedTuple):
    """A balance that was only read, with its tier facts, under the names that results of operations use."""

    after: BalanceSnapshot
    alongside: dict[str, Any]


class BalanceResponse(ResponseSerializer):
    """A balance."""

    # Rendered from an object with ``after``, the snapshot of the balance, and ``alongside``, its tier facts.

    user_id = Id(source="after.user_id", allow_null=True)
    organization_id = Id(source="after.organization_id", allow_null=True)
    balance = WholeNumber(source="after.balance", help_text="The sum of all transactions.")
    held = WholeNumber(source="after.held", help_text="Set aside by open holds.")
    available = WholeNumber(source="after.available", help_text="What can be spent; never below 0.")
    debt = WholeNumber(source="after.debt", help_text="Credits that were reversed after they were spent; repaid first.")
    tier = SerializerMethodField()
    pending_tier = SerializerMethodField()
    last_updated = Timestamp(source="after.last_updated")
    next_allocation_at = SerializerMethodField()
    next_expiry = SerializerMethodField()
    sequence = WholeNumber(source="after.sequence", help_text="The number of the last transaction.")
    version = WholeNumber(source="after.version", help_text="Increases with every change.")

    def get_tier(self, result: BalanceWithTier) -> str | None:
        code: str | None = result.alongside["tier"]
        return code

    @extend_schema_field(PendingTierResponse(allow_null=True))
    def get_pending_tier(self, result: BalanceWithTier) -> dict[str, Any] | None:
        pending = result.alongside["pending_tier"]
        return pending and {"tier": pending["tier"], "at": datetime.fromisoformat(pending["at"])}

    def get_next_allocation_at(self, result: BalanceWithTier) -> datetime | None:
        at: str | None = result.alongside["next_allocation_at"]
        return datetime.fromisoformat(at) if at else None

    @extend_schema_field(ExpiryResponse(allow_null=True))
    def get_next_expiry(self, result: BalanceWithTier) -> dict[str, Any] | None:
        expiry = result.after.next_expiry
        return expiry and dict(zip(("amount", "at"), expiry, strict=True))


class BalanceAtResponse(BalanceResponse):
    """A balance now or at a past time. For a past time only the amounts and the time are given; the rest is null."""

    last_updated = Timestamp(source="after.last_updated", allow_null=True)
    sequence = WholeNumber(source="after.sequence", allow_null=True)
    version = WholeNumber(source="after.version", allow_null=True)
    at = Timestamp(required=False, help_text="Only if the request has it.")

    @classmethod
    def render_past(cls, snapshot: BalanceSnapshot, at: datetime) -> dict[str, Any]:
        amounts = {name: getattr(snapshot, name) for name in ("balance", "held", "available", "debt")}
        return {**dict.fromkeys(cls.shared().fields), **amounts, "at": at}
