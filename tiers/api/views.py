"""Tiers over HTTP: what is offered; and for admins, who is promised what."""

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from credits.api.serializers.balances import BalanceResponse
from credits.api.serializers.common import OwnerQuery, OwnerRequest, without_owner
from fluxori.api.access import caller_of, named_owner
from fluxori.api.idempotency import IDEMPOTENCY_KEY, idempotent_response, key_from
from fluxori.api.permissions import IsAdmin
from fluxori.core import clock
from tiers import operations, queries
from tiers.api import serializers
from tiers.models import Tier

OWNER_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


class TierViewSet(viewsets.GenericViewSet[Tier]):
    """What is offered."""

    queryset = Tier.objects.none()
    serializer_class = serializers.TierOut
    keyset = ("monthly_credits", "code")
    ascending = True

    def list(self, request: Request) -> Response:  # noqa: ARG002 - the pagination reads it
        """Every tier on offer, the smallest first."""
        page = self.paginate_queryset(self.filter_queryset(queries.public_tiers()))
        return self.get_paginated_response([serializers.TierOut.render(tier) for tier in page or []])


class SubscriptionViewSet(viewsets.ViewSet):
    """Who is promised what."""

    permission_classes = (IsAdmin,)

    @extend_schema(
        parameters=[IDEMPOTENCY_KEY],
        request=serializers.InitializeIn,
        responses={201: BalanceResponse},
        examples=[OpenApiExample("A new customer", {"userId": OWNER_ID, "tier": "explorer"}, request_only=True)],
    )
    def initialize(self, request: Request) -> Response:
        """Open a balance on a tier, with an initial allocation."""
        asked = serializers.InitializeIn.parse(request.data)

        result = operations.initialize_balance(
            owner=named_owner(asked),
            actor=caller_of(request),
            idempotency_key=key_from(request),
            at=clock.now(),
            **without_owner(asked),
        )

        return idempotent_response(BalanceResponse.render(result), 201, replayed=result.replayed)

    @extend_schema(
        parameters=[IDEMPOTENCY_KEY],
        request=serializers.TierChangeIn,
        responses=serializers.ChangedOut,
        examples=[
            OpenApiExample("An upgrade", {"userId": OWNER_ID, "tier": "growth"}, request_only=True),
            OpenApiExample(
                "Paid for by the day", {"userId": OWNER_ID, "tier": "pro", "proration": "difference"}, request_only=True
            ),
            OpenApiExample(
                "A downgrade to come",
                {"userId": OWNER_ID, "tier": "explorer", "effective": "nextPeriod"},
                request_only=True,
            ),
        ],
    )
    def update(self, request: Request) -> Response:
        """Put a balance on another tier, now or in the next period. Its credits stay; the next allocation follows it.

        The tier that is held already cancels what is scheduled.
        """
        asked = serializers.TierChangeIn.parse(request.data)

        result = operations.update_subscription_tier(
            owner=named_owner(asked),
            actor=caller_of(request),
            idempotency_key=key_from(request),
            at=clock.now(),
            **without_owner(asked),
        )

        return idempotent_response(serializers.ChangedOut.render(result), replayed=result.replayed)

    @extend_schema(parameters=[IDEMPOTENCY_KEY], request=serializers.TierChangeIn, responses=serializers.PreviewOut)
    def preview(self, request: Request) -> Response:
        """What a change of tier would do now. It writes nothing: a key is read and has nothing to name."""
        asked = serializers.TierChangeIn.parse(request.data)
        key_from(request)

        told = operations.preview_subscription_tier(owner=named_owner(asked), at=clock.now(), **without_owner(asked))

        return Response(serializers.PreviewOut.render(told))

    @extend_schema(parameters=[IDEMPOTENCY_KEY, OwnerQuery], responses={200: BalanceResponse})
    def cancel(self, request: Request) -> Response:
        """Cancel the change of tier that is scheduled."""
        asked = OwnerQuery.parse(request.query_params)

        result = operations.cancel_scheduled_change(
            owner=named_owner(asked),
            actor=caller_of(request),
            idempotency_key=key_from(request),
            at=clock.now(),
        )

        return idempotent_response(BalanceResponse.render(result), replayed=result.replayed)

    @extend_schema(parameters=[IDEMPOTENCY_KEY], request=OwnerRequest, responses=serializers.AllocatedOut)
    def allocate(self, request: Request) -> Response:
        """Give a balance its tier's credits for the present period, exactly once."""
        asked = OwnerRequest.parse(request.data)

        result = operations.add_monthly_allocation(
            owner=named_owner(asked),
            actor=caller_of(request),
            idempotency_key=key_from(request),
            at=clock.now(),
        )

        return idempotent_response(serializers.AllocatedOut.render(result), replayed=result.replayed)
