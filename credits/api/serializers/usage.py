"""Serializers of usage statistics and forecasts."""

from typing import Any

from rest_framework.serializers import SerializerMethodField

from credits.api.serializers.balances import ExpiryResponse
from credits.api.serializers.common import OwnerQuery
from credits.queries.usage import GROUPS, Forecast
from fluxori.api.fields import Choice, Id, Text, Timestamp, WholeNumber
from fluxori.api.serializers import ResponseSerializer

NO_FORECAST_REASONS = ("not_enough_history", "no_usage")


class UsageQuery(OwnerQuery):
    group_by = Choice(GROUPS, default="day")
    from_ = Timestamp(required=False, help_text="Inclusive. Default: 30 days before `to`.")
    to = Timestamp(required=False, help_text="Exclusive. Default: now. At most 366 days after `from`.")


class UsageSumsResponse(ResponseSerializer):
    used = WholeNumber(help_text="Credits used.")
    refunded = WholeNumber(help_text="Credits refunded, at the time of the refund.")
    net = WholeNumber(help_text="Used less refunded.")
    count = WholeNumber(help_text="The number of usages. By type: of transactions.")
    amount = WholeNumber(
        required=False, help_text="Only by type: the sum of the amounts, negative if credits left the balance."
    )

    @classmethod
    def render(cls, instance: Any) -> dict[str, Any]:
        data = super().render(instance)
        if data["amount"] is None:
            del data["amount"]
        return data


class UsageGroupResponse(UsageSumsResponse):
    key = Text(allow_null=True, help_text="The day in UTC, the feature, the member's id or the type; null: none.")


class UsageResponse(ResponseSerializer):
    from_ = Timestamp()
    to = Timestamp()
    group_by = Choice(GROUPS)
    results = UsageGroupResponse(many=True)
    total = UsageSumsResponse()


class ExpiringGrantResponse(ExpiryResponse):
    grant_id = Id()


class NextAllocationResponse(ResponseSerializer):
    at = Timestamp()
    amount = WholeNumber()


class ForecastResponse(ResponseSerializer):
    as_of = Timestamp()
    window_days = WholeNumber(help_text="The number of past days that the rate is computed from, at most 30.")
    burn_per_day = SerializerMethodField(help_text="Credits a day, rounded to two decimal places.")
    runs_out_at = Timestamp(allow_null=True, help_text="Without new credits. Null: not within 366 days.")
    runs_out_at_with_allocations = Timestamp(allow_null=True, help_text="With the monthly allocations.")
    expiring_unused = ExpiringGrantResponse(many=True)
    next_allocation = NextAllocationResponse(allow_null=True)
    reason = Choice(NO_FORECAST_REASONS, allow_null=True)

    def get_burn_per_day(self, forecast: Forecast) -> float | None:
        return None if forecast.burn_per_day is None else float(round(forecast.burn_per_day, 2))
