"""Request and response serializers of the endpoints of tiers."""

from decimal import Decimal
from typing import Any, NamedTuple

from drf_spectacular.utils import extend_schema_field
from rest_framework.serializers import SerializerMethodField

from credits.api.serializers.balances import BalanceResponse
from credits.api.serializers.common import MAX_CODE, Count, OwnerQuery, OwnerRequest, format_rand
from credits.api.serializers.transactions import TransactionWithEntriesResponse
from credits.api.serializers.usage import NextAllocationResponse
from fluxori.api.fields import Choice, Flag, Text, Timestamp, WholeNumber
from fluxori.api.serializers import ResponseSerializer
from tiers.models import Tier
from tiers.operations import EFFECTIVE, PRORATION, Preview
from tiers.queries import value_per_credit


class InitializeRequest(OwnerRequest):
    tier = Text(max_length=MAX_CODE)
    initial_balance = Count(
        min_value=0, required=False, help_text="The initial allocation. Default: the tier's monthly credits."
    )


class TierChangeRequest(OwnerRequest):
    tier = Text(max_length=MAX_CODE)
    effective = Choice(
        EFFECTIVE,
        required=False,
        help_text="Default: now. A change in the next period takes effect without a further request.",
    )
    proration = Choice(
        PRORATION,
        required=False,
        help_text="Default: none. A difference is granted at once, for an immediate change only.",
    )


class EndQuery(OwnerQuery):
    effective = Choice(
        EFFECTIVE, required=False, help_text="Default: now. An end in the next period takes effect without a request."
    )


class TierChangeResponse(BalanceResponse):
    """The balance after a change of tier, and the transaction if credits were granted."""

    transaction = TransactionWithEntriesResponse(source="*", required=False, help_text="Only if credits were granted.")

    @classmethod
    def render(cls, instance: Any) -> dict[str, Any]:
        data = super().render(instance)
        if data["transaction"] is None:
            del data["transaction"]
        return data


class TierPreviewResponse(ResponseSerializer):
    """The effect that a change of tier would have now."""

    from_tier = Text()
    to_tier = Text()
    effective_at = Timestamp()
    grant_now = WholeNumber()
    next_allocation = SerializerMethodField()
    balance_after = WholeNumber()

    @extend_schema_field(NextAllocationResponse(allow_null=True))
    def get_next_allocation(self, data: Preview) -> dict[str, Any] | None:
        return data.next_allocation and dict(zip(("at", "amount"), data.next_allocation, strict=True))


class MonthlyAllocationResponse(BalanceResponse):
    """The balance after the allocation. If the period had its allocation already, the transaction is the first one."""

    transaction = TransactionWithEntriesResponse(source="*", allow_null=True)
    allocated = Flag()


class Range(NamedTuple):
    """A range in rand."""

    low: Decimal
    high: Decimal


class RangeResponse(ResponseSerializer):
    """A range in rand."""

    min = SerializerMethodField()
    max = SerializerMethodField()

    def get_min(self, data: Range) -> str:
        return format_rand(data.low)

    def get_max(self, data: Range) -> str:
        return format_rand(data.high)


class MonthlyPriceResponse(RangeResponse):
    currency = SerializerMethodField()

    def get_currency(self, _: Any) -> str:
        return "ZAR"


class TierResponse(ResponseSerializer):
    code = Text()
    name = Text()
    monthly_credits = WholeNumber()
    monthly_price = SerializerMethodField()
    value_per_credit = SerializerMethodField()
    rollover = Choice(Tier.Rollover.choices)

    @extend_schema_field(MonthlyPriceResponse)
    def get_monthly_price(self, data: Tier) -> dict[str, Any]:
        return MonthlyPriceResponse.render(Range(data.price_min, data.price_max))

    @extend_schema_field(RangeResponse)
    def get_value_per_credit(self, data: Tier) -> dict[str, Any]:
        worth = [value_per_credit(price, data.monthly_credits) for price in (data.price_min, data.price_max)]
        return RangeResponse.render(Range(*worth))
