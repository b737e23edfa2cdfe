"""Serializers of corrections: refunds, reversals, voids, extensions and adjustments."""

from credits.api.serializers.balances import BalanceResponse
from credits.api.serializers.common import Count, OwnerRequest, Priority, ReasonText
from credits.api.serializers.transactions import MovementResponse, TransactionWithEntriesResponse
from credits.domain import constants
from fluxori.api.fields import Timestamp, WholeNumber
from fluxori.api.serializers import RequestSerializer


class VoidRequest(RequestSerializer):
    reason = ReasonText()


class ReverseRequest(VoidRequest):
    amount = Count(required=False, help_text="Default: everything that can still be taken back.")


class RefundRequest(ReverseRequest):
    expires_at = Timestamp(required=False, help_text="Admins only: the new expiry of parts from expired grants.")


class ExtendGrantRequest(VoidRequest):
    expires_at = Timestamp()


class AdjustRequest(OwnerRequest):
    amount = WholeNumber(min_value=-constants.MAX_CREDITS, max_value=constants.MAX_CREDITS, help_text="Not 0.")
    reason = ReasonText()
    expires_at = Timestamp(required=False, help_text="With a positive amount: when the credits expire.")
    priority = Priority(required=False, help_text="With a positive amount: the place in the burn order; 0 is first.")


class RefundResponse(MovementResponse):
    """The balance after a refund, and the refund."""

    made_available = WholeNumber(
        help_text="How many of the credits can be spent. Credits of expired grants leave at once, others repay debt."
    )


class VoidResponse(BalanceResponse):
    """The balance after a void, and its transaction; null if the grant was voided before."""

    transaction = TransactionWithEntriesResponse(source="*", allow_null=True)
