"""The view of transfers between two balances."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from credits import operations
from credits.api.serializers.transfers import TransferRequest, TransferResponse
from fluxori.api.access import caller_of, resolve_for_spend, resolve_for_transfer
from fluxori.api.idempotency import IDEMPOTENCY_KEY, idempotent_response, key_from
from fluxori.api.views import ViewSet
from fluxori.core import clock


class TransferViewSet(ViewSet):
    """Transfers between two balances that the caller may spend from; out of a pool, its owners and managers only."""

    @extend_schema(parameters=[IDEMPOTENCY_KEY], request=TransferRequest, responses=TransferResponse)
    def transfer(self, request: Request) -> Response:
        """Move available credits to another balance, in burn order, all or nothing. They keep their expiry."""
        payload = TransferRequest.parse(request.data)
        source = resolve_for_transfer(request, payload["from_"])
        target = resolve_for_spend(request, payload["to"]).owner

        result = operations.transfer_credits(
            source=source,
            target=target,
            amount=payload["amount"],
            reason=payload["reason"],
            actor=caller_of(request),
            idempotency_key=key_from(request),
            at=clock.now(),
        )

        return idempotent_response(TransferResponse.render(result), replayed=result.replayed)
