"""The HTTP endpoints of tiers: the public list, and for admins the subscription of a balance."""

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from credits.api.serializers.balances import BalanceResponse
from credits.api.serializers.common import OwnerQuery, OwnerRequest, without_owner
from fluxori.api.access import caller_of, named_owner
from fluxori.api.idempotency import IDEMPOTENCY_KEY, idempotent_response, key_from
from fluxori.api.permissions import IsAdmin
from fluxori.api.views import GenericViewSet, ViewSet
from fluxori.core import clock
from tiers import operations, queries
from tiers.api import serializers
from tiers.models import Tier

OWNER_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


class TierViewSet(GenericViewSet[Tier]):
    """The tiers on offer."""

    queryset = Tier.objects.none()
    serializer_class = serializers.TierResponse
    keyset = ("monthly_credits", "code")
    ascending = True

    def list(self, request: Request) -> Response:  # noqa: ARG002 - the pagination reads it
        """List the public tiers, the smallest first."""
        page = self.paginate_queryset(self.filter_queryset(queries.public_tiers()))
        return self.get_paginated_response([serializers.TierResponse.render(tier) for tier in page or []])


class SubscriptionViewSet(ViewSet):
    """The subscription of a balance: its tier and its monthly allocations."""

    permission_classes = (IsAdmin,)

    @extend_schema(
        parameters=[IDEMPOTENCY_KEY],
        request=serializers.InitializeRequest,
        responses={201: BalanceResponse},
        examples=[OpenApiExample("A new customer", {"userId": OWNER_ID, "tier": "explorer"}, request_only=True)],
    )
    def initialize(self, request: Request) -> Response:
        """Open a balance on a tier, with an initial allocation."""
        payload = serializers.InitializeRequest.parse(request.data)

        result = operations.initialize_balance(
            owner=named_owner(payload),
            actor=caller_of(request),
            idempotency_key=key_from(request),
            at=clock.now(),
            **without_owner(payload),
        )

        return idempotent_response(BalanceResponse.render(result), 201, replayed=result.replayed)

    @extend_schema(
        parameters=[IDEMPOTENCY_KEY],
        request=serializers.TierChangeRequest,
        responses=serializers.TierChangeResponse,
        examples=[
            OpenApiExample("An upgrade", {"userId": OWNER_ID, "tier": "growth"}, request_only=True),
            OpenApiExample(
                "An upgrade with proration",
                {"userId": OWNER_ID, "tier": "pro", "proration": "difference"},
                request_only=True,
            ),
            OpenApiExample(
                "A downgrade in the next period",
                {"userId": OWNER_ID, "tier": "explorer", "effective": "nextPeriod"},
                request_only=True,
            ),
        ],
    )
    def update(self, request: Request) -> Response:
        """Change the tier of a balance, now or in the next period. The credits stay; the next allocation changes.

        Naming the tier that is held cancels a scheduled change.
        """
        payload = serializers.TierChangeRequest.parse(request.data)

        result = operations.update_subscription_tier(
            owner=named_owner(payload),
            actor=caller_of(request),
            idempotency_key=key_from(request),
            at=clock.now(),
            **without_owner(payload),
        )

        return idempotent_response(serializers.TierChangeResponse.render(result), replayed=result.replayed)

    @extend_schema(parameters=[IDEMPOTENCY_KEY, serializers.EndQuery], responses={200: BalanceResponse})
    def end(self, request: Request) -> Response:
        """End the subscription, now or in the next period. What was granted stays, with its own expiry."""
        payload = serializers.EndQuery.parse(request.query_params)

        result = operations.end_subscription(
            owner=named_owner(payload),
            actor=caller_of(request),
            idempotency_key=key_from(request),
            at=clock.now(),
            **without_owner(payload),
        )

        return idempotent_response(BalanceResponse.render(result), replayed=result.replayed)

    @extend_schema(parameters=[IDEMPOTENCY_KEY], request=OwnerRequest, responses={200: BalanceResponse})
    def pause(self, request: Request) -> Response:
        """Pause the subscription: months that begin while it is paused are skipped."""
        payload = OwnerRequest.parse(request.data)

        result = operations.pause_subscription(
            owner=named_owner(payload),
            actor=caller_of(request),
            idempotency_key=key_from(request),
            at=clock.now(),
        )

        return idempotent_response(BalanceResponse.render(result), replayed=result.replayed)

    @extend_schema(parameters=[IDEMPOTENCY_KEY], request=OwnerRequest, responses={200: BalanceResponse})
    def resume(self, request: Request) -> Response:
        """Resume a paused subscription. Nothing is given for the months that were skipped."""
        payload = OwnerRequest.parse(request.data)

        result = operations.resume_subscription(
            owner=named_owner(payload),
            actor=caller_of(request),
            idempotency_key=key_from(request),
            at=clock.now(),
        )

        return idempotent_response(BalanceResponse.render(result), replayed=result.replayed)

    @extend_schema(
        parameters=[IDEMPOTENCY_KEY], request=serializers.TierChangeRequest, responses=serializers.TierPreviewResponse
    )
    def preview(self, request: Request) -> Response:
        """Return the effect of a change of tier without making it. An idempotency key is validated and not stored."""
        payload = serializers.TierChangeRequest.parse(request.data)
        key_from(request)

        data = operations.preview_subscription_tier(
            owner=named_owner(payload), at=clock.now(), **without_owner(payload)
        )

        return Response(serializers.TierPreviewResponse.render(data))

    @extend_schema(parameters=[IDEMPOTENCY_KEY, OwnerQuery], responses={200: BalanceResponse})
    def cancel(self, request: Request) -> Response:
        """Cancel the scheduled change of tier, or the scheduled end of the subscription."""
        payload = OwnerQuery.parse(request.query_params)

        result = operations.cancel_scheduled_change(
            owner=named_owner(payload),
            actor=caller_of(request),
            idempotency_key=key_from(request),
            at=clock.now(),
        )

        return idempotent_response(BalanceResponse.render(result), replayed=result.replayed)

    @extend_schema(parameters=[IDEMPOTENCY_KEY], request=OwnerRequest, responses=serializers.MonthlyAllocationResponse)
    def allocate(self, request: Request) -> Response:
        """Grant a balance its tier's credits for the current period, exactly once."""
        payload = OwnerRequest.parse(request.data)

        result = operations.add_monthly_allocation(
            owner=named_owner(payload),
            actor=caller_of(request),
            idempotency_key=key_from(request),
            at=clock.now(),
        )

        return idempotent_response(serializers.MonthlyAllocationResponse.render(result), replayed=result.replayed)
