"""What comes in and what goes out at the doors of tiers."""

from decimal import Decimal
from typing import Any, NamedTuple

from drf_spectacular.utils import extend_schema_field
from rest_framework.serializers import SerializerMethodField

from credits.api.serializers.balances import BalanceResponse
from credits.api.serializers.common import MAX_CODE, Count, OwnerRequest, format_rand
from credits.api.serializers.transactions import TransactionWithEntriesResponse
from credits.api.serializers.usage import NextAllocationResponse
from fluxori.api.fields import Choice, Flag, Text, Timestamp, WholeNumber
from fluxori.api.serializers import ResponseSerializer
from tiers.models import Tier
from tiers.operations import EFFECTIVE, PRORATION, Preview
from tiers.queries import value_per_credit


class InitializeIn(OwnerRequest):
    tier = Text(max_length=MAX_CODE)
    initial_balance = Count(
        min_value=0, required=False, help_text="The initial allocation; unless told, the tier's monthly credits."
    )


class TierChangeIn(OwnerRequest):
    tier = Text(max_length=MAX_CODE)
    effective = Choice(EFFECTIVE, required=False, help_text="Default now; the next period begins by itself.")
    proration = Choice(PRORATION, required=False, help_text="Default none; a difference is granted at once, only now.")


class ChangedOut(BalanceResponse):
    """The balance after a change of tier, and the grant where one was made."""

    transaction = TransactionWithEntriesResponse(required=False, help_text="Only where credits were granted.")

    @classmethod
    def render(cls, instance: Any) -> dict[str, Any]:
        told = super().render(instance)
        if told["transaction"] is None:
            del told["transaction"]
        return told


class PreviewOut(ResponseSerializer):
    """What a change of tier would do now."""

    from_tier = Text()
    to_tier = Text()
    effective_at = Timestamp()
    grant_now = WholeNumber()
    next_allocation = SerializerMethodField()
    balance_after = WholeNumber()

    @extend_schema_field(NextAllocationResponse(allow_null=True))
    def get_next_allocation(self, told: Preview) -> dict[str, Any] | None:
        return told.next_allocation and dict(zip(("at", "amount"), told.next_allocation, strict=True))


class AllocatedOut(BalanceResponse):
    """The balance after the allocation. Where the period had its credits already, the transaction is the first one."""

    transaction = TransactionWithEntriesResponse(allow_null=True)
    allocated = Flag()


class Range(NamedTuple):
    """From ``low`` to ``high``, in rand."""

    low: Decimal
    high: Decimal


class RangeOut(ResponseSerializer):
    """In rand."""

    min = SerializerMethodField()
    max = SerializerMethodField()

    def get_min(self, told: Range) -> str:
        return format_rand(told.low)

    def get_max(self, told: Range) -> str:
        return format_rand(told.high)


class MonthlyPriceOut(RangeOut):
    currency = SerializerMethodField()

    def get_currency(self, _: Any) -> str:
        return "ZAR"


class TierOut(ResponseSerializer):
    code = Text()
    name = Text()
    monthly_credits = WholeNumber()
    monthly_price = SerializerMethodField()
    value_per_credit = SerializerMethodField()
    rollover = Choice(Tier.Rollover.choices)

    @extend_schema_field(MonthlyPriceOut)
    def get_monthly_price(self, told: Tier) -> dict[str, Any]:
        return MonthlyPriceOut.render(Range(told.price_min, told.price_max))

    @extend_schema_field(RangeOut)
    def get_value_per_credit(self, told: Tier) -> dict[str, Any]:
        worth = [value_per_credit(price, told.monthly_credits) for price in (told.price_min, told.price_max)]
        return RangeOut.render(Range(*worth))
