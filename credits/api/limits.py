"""Limits on spending, over HTTP: what they are, setting and removing them."""

from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from credits import operations, queries
from credits.api import serializers
from credits.api.filters import OfOneOwner, owner_in
from credits.api.views import KEY, within
from credits.models import SpendingLimit
from fluxori.api.access import caller_of, managing, reading, visible_balances
from fluxori.api.idempotency import answer, key_of
from fluxori.core import clock


class LimitViewSet(viewsets.GenericViewSet[SpendingLimit]):
    """How much may be used in a day or a month of the calendar, UTC: by one member of a pool, or by all together."""

    queryset = SpendingLimit.objects.none()
    serializer_class = serializers.LimitOut
    filterset_class = OfOneOwner

    def list(self, request: Request) -> Response:
        """One balance's limits, newest first, with what is used of each now; none where no balance was opened."""
        owner = managing(request, owner_in(request.query_params))
        page = self.paginate_queryset(self.filter_queryset(queries.get_limits(owner=owner)))
        told = queries.limit_statuses(page or [], at=clock.now())
        return self.get_paginated_response([serializers.LimitOut.of(standing) for standing in told])

    @extend_schema(
        parameters=[KEY],
        request=serializers.LimitIn,
        responses=serializers.LimitOut,
        examples=[
            OpenApiExample("A day of one's own", {"period": "day", "amount": 100}, request_only=True),
            OpenApiExample(
                "A member's month",
                {
                    "organizationId": "01890a5d-ac96-774b-bcce-b302099a8057",
                    "memberId": "01890a5d-ac96-7f3a-9d3e-5f6b7c8d9e0f",
                    "period": "month",
                    "amount": 500,
                },
                request_only=True,
            ),
        ],
    )
    def update(self, request: Request) -> Response:
        """Set a limit, or change the one there is for this member and period; what is used of it stays."""
        asked = serializers.LimitIn.read(request.data)

        done = operations.set_limit(
            owner=managing(request, asked),
            member=asked.get("member_id"),
            amount=asked["amount"],
            period=asked["period"],
            actor=caller_of(request),
            idempotency_key=key_of(request),
            at=clock.now(),
        )

        return answer(serializers.LimitOut.of(done.limit), replayed=done.replayed)

    @extend_schema(parameters=[KEY, serializers.OwnerQuery], responses={204: None})
    def destroy(self, request: Request, limit_id: UUID) -> Response:
        """Remove a limit. Whose it is may be left out: its id says so."""
        limit_id = _managed(request, limit_id).pk

        done = operations.remove_limit(
            limit_id=limit_id, actor=caller_of(request), idempotency_key=key_of(request), at=clock.now()
        )

        return answer(None, status=204, replayed=done.replayed)


def _managed(request: Request, limit_id: UUID) -> SpendingLimit:
    """Return the limit, found among the balances the caller may see, and manages."""
    asked = serializers.OwnerQuery.read(request.query_params)
    balances = {reading(request, asked).owner.id} if asked else visible_balances(request)
    found = queries.get_limit(limit_id=limit_id, visible=within(balances))
    owner = found.balance.owner
    managing(request, {"user_id": owner.user_id, "organization_id": owner.organization_id})
    return found
