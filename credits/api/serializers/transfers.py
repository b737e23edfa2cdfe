"""Serializers of transfers."""

from credits.api.serializers.common import Count, OwnerRequest, ReasonText
from credits.api.serializers.transactions import MovementResponse
from fluxori.api.serializers import RequestSerializer, ResponseSerializer


class TransferRequest(RequestSerializer):
    """The two owners, how many credits move, and why."""

    from_ = OwnerRequest(help_text="The owner of the balance that the credits leave.")
    to = OwnerRequest(help_text="The owner of the balance in which they arrive.")
    amount = Count()
    reason = ReasonText()


class TransferResponse(ResponseSerializer):
    """Both balances after the transfer, each with its transaction."""

    from_ = MovementResponse(source="source")
    to = MovementResponse(source="target")
