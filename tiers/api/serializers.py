"""Request and response serializers of the endpoints of tiers."""

from decimal import Decimal
from typing import Any, NamedTuple

from drf_spectacular.utils import extend_schema_field
from rest_framework.serializers import SerializerMethodField

from credits.api.serializers import MAX_CODE, BalanceOut, Count, NextAllocationOut, OwnerIn, WrittenOut, rand
from fluxori.api.fields import Choice, Flag, Text, Timestamp, WholeNumber
from fluxori.api.serializers import Out
from tiers.models import Tier
from tiers.operations import EFFECTIVE, PRORATION, Preview
from tiers.queries import value_per_credit


class InitializeIn(OwnerIn):
    tier = Text(max_length=MAX_CODE)
    initial_balance = Count(
        min_value=0, required=False, help_text="The initial allocation. Default: the tier's monthly credits."
    )


class TierChangeIn(OwnerIn):
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


class ChangedOut(BalanceOut):
    """The balance after a change of tier, and the transaction if credits were granted."""

    transaction = WrittenOut(required=False, help_text="Only where credits were granted.")

    @classmethod
    def of(cls, instance: Any) -> dict[str, Any]:
        told = super().of(instance)
        if told["transaction"] is None:
            del told["transaction"]
        return told


class PreviewOut(Out):
    """The effect that a change of tier would have now."""

    from_tier = Text()
    to_tier = Text()
    effective_at = Timestamp()
    grant_now = WholeNumber()
    next_allocation = SerializerMethodField()
    balance_after = WholeNumber()

    @extend_schema_field(NextAllocationOut(allow_null=True))
    def get_next_allocation(self, told: Preview) -> dict[str, Any] | None:
        return told.next_allocation and dict(zip(("at", "amount"), told.next_allocation, strict=True))


class AllocatedOut(BalanceOut):
    """The balance after the allocation. If the period had its allocation already, the transaction is the first one."""

    transaction = WrittenOut(allow_null=True)
    allocated = Flag()


class Range(NamedTuple):
    """A range in rand."""

    low: Decimal
    high: Decimal


class RangeOut(Out):
    """A range in rand."""

    min = SerializerMethodField()
    max = SerializerMethodField()

    def get_min(self, told: Range) -> str:
        return rand(told.low)

    def get_max(self, told: Range) -> str:
        return rand(told.high)


class MonthlyPriceOut(RangeOut):
    currency = SerializerMethodField()

    def get_currency(self, _: Any) -> str:
        return "ZAR"


class TierOut(Out):
    code = Text()
    name = Text()
    monthly_credits = WholeNumber()
    monthly_price = SerializerMethodField()
    value_per_credit = SerializerMethodField()
    rollover = Choice(Tier.Rollover.choices)

    @extend_schema_field(MonthlyPriceOut)
    def get_monthly_price(self, told: Tier) -> dict[str, Any]:
        return MonthlyPriceOut.of(Range(told.price_min, told.price_max))

    @extend_schema_field(RangeOut)
    def get_value_per_credit(self, told: Tier) -> dict[str, Any]:
        worth = [value_per_credit(price, told.monthly_credits) for price in (told.price_min, told.price_max)]
        return RangeOut.of(Range(*worth))
