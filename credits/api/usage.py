"""Where the credits went, and how long the rest will last, over HTTP."""

from drf_spectacular.utils import extend_schema
from rest_framework import viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from credits.api import serializers
from credits.queries import usage
from fluxori.api.access import reading
from fluxori.core import clock
from tiers.queries import upcoming_allocations


class UsageViewSet(viewsets.ViewSet):
    """Looking back, and ahead."""

    @extend_schema(parameters=[serializers.UsageQuery], responses=serializers.UsageOut)
    def retrieve(self, request: Request) -> Response:
        """What was used in a period, by day, feature, member or type of transaction."""
        asked = serializers.UsageQuery.read(request.query_params)
        acting = reading(request, asked)

        told = usage.get_usage(owner=acting.owner, at=clock.now(), **serializers.terms(asked))

        return Response(serializers.UsageOut.of(told))

    @extend_schema(parameters=[serializers.OwnerQuery], responses=serializers.ForecastOut)
    def forecast(self, request: Request) -> Response:
        """When the credits run out at the pace of the last 30 days, and which will expire unused."""
        asked = serializers.OwnerQuery.read(request.query_params)
        owner, at = reading(request, asked).owner, clock.now()

        told = usage.forecast(
            owner=owner, at=at, coming=upcoming_allocations(owner=owner, at=at, until=at + usage.HORIZON)
        )

        return Response(serializers.ForecastOut.of(told))
