"""The HTTP endpoints of tiers: the public list, and for admins the subscription of a balance."""

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from credits.api.serializers import BalanceOut, OwnerIn, OwnerQuery, terms
from credits.api.views import KEY
from fluxori.api.access import caller_of, named_owner
from fluxori.api.idempotency import answer, key_of
from fluxori.api.permissions import IsAdmin
from fluxori.core import clock
from tiers import operations, queries
from tiers.api import serializers
from tiers.models import Tier

OWNER_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


class TierViewSet(viewsets.GenericViewSet[Tier]):
    """The tiers on offer."""

    queryset = Tier.objects.none()
    serializer_class = serializers.TierOut
    keyset = ("monthly_credits", "code")
    ascending = True

    def list(self, request: Request) -> Response:  # noqa: ARG002 - the pagination reads it
        """List the public tiers, the smallest first."""
        page = self.paginate_queryset(self.filter_queryset(queries.public_tiers()))
        return self.get_paginated_response([serializers.TierOut.of(tier) for tier in page or []])


class SubscriptionViewSet(viewsets.ViewSet):
    """The subscription of a balance: its tier and its monthly allocations."""

    permission_classes = (IsAdmin,)

    @extend_schema(
        parameters=[KEY],
        request=serializers.InitializeIn,
        responses={201: BalanceOut},
        examples=[OpenApiExample("A new customer", {"userId": OWNER_ID, "tier": "explorer"}, request_only=True)],
    )
    def initialize(self, request: Request) -> Response:
        """Open a balance on a tier, with an initial allocation."""
        asked = serializers.InitializeIn.read(request.data)

        result = operations.initialize_balance(
            owner=named_owner(asked),
            actor=caller_of(request),
            idempotency_key=key_of(request),
            at=clock.now(),
            **terms(asked),
        )

        return answer(BalanceOut.of(result), 201, replayed=result.replayed)

    @extend_schema(
        parameters=[KEY],
        request=serializers.TierChangeIn,
        responses=serializers.ChangedOut,
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
        asked = serializers.TierChangeIn.read(request.data)

        result = operations.update_subscription_tier(
            owner=named_owner(asked),
            actor=caller_of(request),
            idempotency_key=key_of(request),
            at=clock.now(),
            **terms(asked),
        )

        return answer(serializers.ChangedOut.of(result), replayed=result.replayed)

    @extend_schema(parameters=[KEY], request=serializers.TierChangeIn, responses=serializers.PreviewOut)
    def preview(self, request: Request) -> Response:
        """Return the effect of a change of tier without making it. An idempotency key is validated and not stored."""
        asked = serializers.TierChangeIn.read(request.data)
        key_of(request)

        told = operations.preview_subscription_tier(owner=named_owner(asked), at=clock.now(), **terms(asked))

        return Response(serializers.PreviewOut.of(told))

    @extend_schema(parameters=[KEY, OwnerQuery], responses={200: BalanceOut})
    def cancel(self, request: Request) -> Response:
        """Cancel the scheduled change of tier."""
        asked = OwnerQuery.read(request.query_params)

        result = operations.cancel_scheduled_change(
            owner=named_owner(asked),
            actor=caller_of(request),
            idempotency_key=key_of(request),
            at=clock.now(),
        )

        return answer(BalanceOut.of(result), replayed=result.replayed)

    @extend_schema(parameters=[KEY], request=OwnerIn, responses=serializers.AllocatedOut)
    def allocate(self, request: Request) -> Response:
        """Grant a balance its tier's credits for the current period, exactly once."""
        asked = OwnerIn.read(request.data)

        result = operations.add_monthly_allocation(
            owner=named_owner(asked),
            actor=caller_of(request),
            idempotency_key=key_of(request),
            at=clock.now(),
        )

        return answer(serializers.AllocatedOut.of(result), replayed=result.replayed)
