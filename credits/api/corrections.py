"""Views of corrections: refunds, reversals, voids, extensions and adjustments."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from credits import operations
from credits.api.serializers.common import without_owner
from credits.api.serializers.corrections import (
    AdjustRequest,
    ExtendGrantRequest,
    RefundRequest,
    RefundResponse,
    ReverseRequest,
    VoidRequest,
    VoidResponse,
)
from credits.api.serializers.transactions import MovementResponse
from fluxori.api.access import caller_of, named_owner, require_admin_for_field
from fluxori.api.idempotency import IDEMPOTENCY_KEY, idempotent_response, key_from
from fluxori.api.permissions import IsAdmin, IsAdminOrService
from fluxori.api.views import ViewSet
from fluxori.core import clock


class RefundViewSet(ViewSet):
    """Refunds of usage."""

    permission_classes = (IsAdminOrService,)

    @extend_schema(parameters=[IDEMPOTENCY_KEY], request=RefundRequest, responses=RefundResponse)
    def refund(self, request: Request, transaction_id: UUID) -> Response:
        """Refund a usage, fully or in part, to the grants that paid for it.

        Credits of an expired grant leave at once; `madeAvailable` is what remains. An admin can bring them back later:
        the refund of the refund, with `expiresAt`.
        """
        payload = RefundRequest.parse(request.data)
        require_admin_for_field(request, payload, "expires_at")

        result = operations.refund_usage(transaction_id=transaction_id, **_call_context(request), **payload)

        return idempotent_response(RefundResponse.render(result), replayed=result.replayed)


class CorrectionViewSet(ViewSet):
    """Corrections by admins."""

    permission_classes = (IsAdmin,)

    @extend_schema(parameters=[IDEMPOTENCY_KEY], request=ReverseRequest, responses=MovementResponse)
    def reverse(self, request: Request, transaction_id: UUID) -> Response:
        """Reverse a purchase, for example after a chargeback. Credits that were already spent become debt."""
        payload = ReverseRequest.parse(request.data)

        result = operations.reverse_purchase(transaction_id=transaction_id, **_call_context(request), **payload)

        return idempotent_response(MovementResponse.render(result), replayed=result.replayed)

    @extend_schema(parameters=[IDEMPOTENCY_KEY], request=VoidRequest, responses=VoidResponse)
    def void(self, request: Request, grant_id: UUID) -> Response:
        """Remove what is left of a grant."""
        payload = VoidRequest.parse(request.data)

        result = operations.void_grant(grant_id=grant_id, **_call_context(request), **payload)

        return idempotent_response(VoidResponse.render(result), replayed=result.replayed)

    @extend_schema(parameters=[IDEMPOTENCY_KEY], request=ExtendGrantRequest, responses=MovementResponse)
    def extend(self, request: Request, grant_id: UUID) -> Response:
        """Move the expiry of what is left of a grant."""
        payload = ExtendGrantRequest.parse(request.data)

        result = operations.extend_grant(grant_id=grant_id, **_call_context(request), **payload)

        return idempotent_response(MovementResponse.render(result), replayed=result.replayed)

    @extend_schema(parameters=[IDEMPOTENCY_KEY], request=AdjustRequest, responses=MovementResponse)
    def adjust(self, request: Request) -> Response:
        """Adjust a balance manually, up or down."""
        payload = AdjustRequest.parse(request.data)
        owner = named_owner(payload)

        result = operations.adjust_credits(owner=owner, **_call_context(request), **without_owner(payload))

        return idempotent_response(MovementResponse.render(result), replayed=result.replayed)


def _call_context(request: Request) -> dict[str, Any]:
    """Return the arguments that every correction takes from the request."""
    return {
        "actor": caller_of(request),
        "idempotency_key": key_from(request),
        "at": clock.now(),
    }
