"""Serializers of balances."""

from datetime import datetime
from typing import Any, NamedTuple

from drf_spectacular.utils import extend_schema_field
from rest_framework.serializers import SerializerMethodField

from credits.api.serializers.common import OwnerQuery
from credits.domain.records import BalanceSnapshot
from credits.tier_registry import TierFacts
from fluxori.api.fields import Flag, Id, Text, Timestamp, WholeNumber
from fluxori.api.serializers import ResponseSerializer


class BalanceQuery(OwnerQuery):
    at = Timestamp(required=False, help_text="A time in the past: the response is the balance as it was then.")


class PreviewQuery(OwnerQuery):
    at = Timestamp(help_text="Now or a time in the future.")
    with_allocations = Flag(default=False, help_text="Include the monthly allocations up to then, at most ten years.")


class ExpiryResponse(ResponseSerializer):
    amount = WholeNumber()
    at = Timestamp()


SOURCES = ("allocation", "purchase", "promotion", "adjustment", "rollover")


class SourcesResponse(ResponseSerializer):
    """Whole credits for each source of grants."""

    allocation = WholeNumber()
    purchase = WholeNumber()
    promotion = WholeNumber()
    adjustment = WholeNumber()
    rollover = WholeNumber()


class PendingTierResponse(ResponseSerializer):
    """What is scheduled for the subscription: a change of tier, or with the tier null its end."""

    tier = Text(allow_null=True)
    at = Timestamp()


class BalanceWithTier(NamedTuple):
    """A balance that was only read, with its tier facts, under the names that results of operations use."""

    balance: BalanceSnapshot
    tier_facts: TierFacts


class BalancePreview(NamedTuple):
    """A balance as it will be at a future instant."""

    balance: BalanceSnapshot
    at: datetime


class BalanceResponse(ResponseSerializer):
    """A balance."""

    # Rendered from an object with ``balance``, the snapshot, and ``tier_facts``.

    user_id = Id(source="balance.user_id", allow_null=True)
    organization_id = Id(source="balance.organization_id", allow_null=True)
    balance = WholeNumber(source="balance.balance", help_text="The sum of all transactions.")
    held = WholeNumber(source="balance.held", help_text="Set aside by open holds.")
    available = WholeNumber(source="balance.available", help_text="What can be spent; never below 0.")
    debt = WholeNumber(
        source="balance.debt", help_text="Credits that were reversed after they were spent; repaid first."
    )
    tier = Text(source="tier_facts.tier", allow_null=True)
    pending_tier = PendingTierResponse(source="tier_facts.pending_tier", allow_null=True)
    tier_paused_at = Timestamp(
        source="tier_facts.paused_at", allow_null=True, help_text="Months that begin from then on are skipped."
    )
    last_updated = Timestamp(source="balance.last_updated")
    next_allocation_at = Timestamp(source="tier_facts.next_allocation_at", allow_null=True)
    next_expiry = SerializerMethodField()
    sequence = WholeNumber(source="balance.sequence", help_text="The number of the last transaction.")
    version = WholeNumber(source="balance.version", help_text="Increases with every change.")

    @extend_schema_field(ExpiryResponse(allow_null=True))
    def get_next_expiry(self, result: BalanceWithTier) -> dict[str, Any] | None:
        return _next_expiry(result.balance)


class BalanceAtResponse(BalanceResponse):
    """A balance now or at a past time. For a past time only the amounts and the time are given; the rest is null."""

    last_updated = Timestamp(source="balance.last_updated", allow_null=True)
    sequence = WholeNumber(source="balance.sequence", allow_null=True)
    version = WholeNumber(source="balance.version", allow_null=True)
    at = Timestamp(required=False, help_text="Only if the request has it.")
    available_by_source = SerializerMethodField(help_text="What is available, by the source of the grants.")

    @extend_schema_field(SourcesResponse(allow_null=True))
    def get_available_by_source(self, result: BalanceWithTier) -> dict[str, int]:
        return _available_by_source(result.balance)

    @classmethod
    def render_current(cls, result: BalanceWithTier) -> dict[str, Any]:
        return {
            **BalanceResponse.render(result),
            "availableBySource": cls.shared().get_available_by_source(result),
        }

    @classmethod
    def render_past(cls, snapshot: BalanceSnapshot, at: datetime) -> dict[str, Any]:
        amounts = {name: getattr(snapshot, name) for name in ("balance", "held", "available", "debt")}
        return {**dict.fromkeys(cls.shared().fields), **amounts, "at": at}


class BalancePreviewResponse(ResponseSerializer):
    """What a balance will be if no credits are used or added until then."""

    user_id = Id(source="balance.user_id", allow_null=True)
    organization_id = Id(source="balance.organization_id", allow_null=True)
    at = Timestamp()
    balance = WholeNumber(source="balance.balance", help_text="The sum of all transactions.")
    held = WholeNumber(source="balance.held", help_text="Set aside by open holds.")
    available = WholeNumber(source="balance.available", help_text="What can be spent then; never below 0.")
    debt = WholeNumber(source="balance.debt", help_text="Credits that were reversed after they were spent.")
    next_expiry = SerializerMethodField(help_text="The first loss after that time.")
    available_by_source = SerializerMethodField(help_text="What is available, by the source of the grants.")

    @extend_schema_field(ExpiryResponse(allow_null=True))
    def get_next_expiry(self, preview: BalancePreview) -> dict[str, Any] | None:
        return _next_expiry(preview.balance)

    @extend_schema_field(SourcesResponse())
    def get_available_by_source(self, preview: BalancePreview) -> dict[str, int]:
        return _available_by_source(preview.balance)


def _next_expiry(balance: BalanceSnapshot) -> dict[str, Any] | None:
    return balance.next_expiry and dict(zip(("amount", "at"), balance.next_expiry, strict=True))


def _available_by_source(balance: BalanceSnapshot) -> dict[str, int]:
    return {name: balance.by_source.get(name, 0) for name in SOURCES}
