"""Views of usage statistics and forecasts."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from credits import tier_registry
from credits.api.serializers.common import OwnerQuery, without_owner
from credits.api.serializers.usage import ForecastResponse, UsageQuery, UsageResponse
from credits.queries import usage
from fluxori.api.access import resolve_for_read
from fluxori.api.views import ViewSet
from fluxori.core import clock


class UsageViewSet(ViewSet):
    """Past usage, and a forecast."""

    @extend_schema(parameters=[UsageQuery], responses=UsageResponse)
    def retrieve(self, request: Request) -> Response:
        """The usage in a period by day, feature, member or type of transaction."""
        payload = UsageQuery.parse(request.query_params)
        access = resolve_for_read(request, payload)

        statistics = usage.get_usage(owner=access.owner, at=clock.now(), **without_owner(payload))

        return Response(UsageResponse.render(statistics))

    @extend_schema(parameters=[OwnerQuery], responses=ForecastResponse)
    def forecast(self, request: Request) -> Response:
        """When the credits run out at the rate of the last 30 days, and which credits will expire unused."""
        payload = OwnerQuery.parse(request.query_params)
        owner, at = resolve_for_read(request, payload).owner, clock.now()

        forecast = usage.forecast(
            owner=owner,
            at=at,
            coming=tier_registry.upcoming_allocations(owner, at=at, until=at + usage.HORIZON),
        )

        return Response(ForecastResponse.render(forecast))
