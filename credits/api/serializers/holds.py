"""Serializers of holds."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework.serializers import SerializerMethodField

from credits.api.serializers.balances import BalanceResponse
from credits.api.serializers.common import Count
from credits.api.serializers.deductions import DeductRequest
from credits.api.serializers.transactions import EntryResponse, TransactionWithEntriesResponse
from credits.domain import constants
from credits.domain.records import Hold
from credits.models import CreditHold
from fluxori.api.fields import Choice, Flag, Id, Text, Timestamp, WholeNumber
from fluxori.api.serializers import RequestSerializer, ResponseSerializer


class PlaceHoldRequest(DeductRequest):
    """A deduction of credits that are set aside first."""

    expires_in_seconds = WholeNumber(
        min_value=1, max_value=constants.MAX_HOLD_SECONDS, required=False, help_text="Default: 15 minutes."
    )


class ExtendHoldRequest(RequestSerializer):
    expires_in_seconds = WholeNumber(
        min_value=1, max_value=constants.MAX_HOLD_SECONDS, help_text="From now; at most 24 hours."
    )


class CaptureRequest(RequestSerializer):
    amount = Count(min_value=0, required=False, help_text="Default: the amount of the hold. 0 releases it.")
    # No default in the schema: generators of types make a property with a default required.
    allow_debt = Flag(
        required=False, help_text="Services and admins only: what is not available becomes debt. Default: false."
    )


class HoldResponse(ResponseSerializer):
    id = Id()
    status = SerializerMethodField()
    amount = WholeNumber()
    captured = WholeNumber()
    feature = Text(source="feature_id", allow_null=True)
    quantity = WholeNumber(allow_null=True)
    description = Text()
    reference_id = SerializerMethodField()
    actor_id = Id(allow_null=True, help_text="The caller that placed it.")
    created_at = Timestamp()
    expires_at = Timestamp()
    entries = SerializerMethodField(help_text="The credits set aside, by grant.")

    @extend_schema_field(Choice(CreditHold.Status.choices))
    def get_status(self, hold: CreditHold | Hold) -> str:
        # Rows have the status at the time of the read, which may be ``lapsed``.
        return str(getattr(hold, "current_status", hold.status))

    def get_reference_id(self, hold: CreditHold | Hold) -> str | None:
        return hold.reference_id or None

    @extend_schema_field(EntryResponse(many=True))
    def get_entries(self, hold: CreditHold | Hold) -> list[dict[str, Any]]:
        pins = hold.pins if isinstance(hold, Hold) else [(pin.grant_id, pin.amount) for pin in hold.pins.all()]
        return [{"grantId": grant_id, "amount": amount} for grant_id, amount in pins]


class HoldChangeResponse(BalanceResponse):
    """The balance after a hold was placed, released or extended, and the hold."""

    hold = HoldResponse()


class CaptureResponse(BalanceResponse):
    """The balance after a capture, the hold, and the usage transaction; null if nothing was captured."""

    hold = HoldResponse()
    transaction = TransactionWithEntriesResponse(source="*", allow_null=True)
