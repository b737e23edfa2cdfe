"""Views of spending limits."""

from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from credits import operations, queries
from credits.api.filters import OwnerFilters, in_balances, owner_in
from credits.api.serializers.common import OwnerQuery
from credits.api.serializers.limits import LimitResponse, SetLimitRequest
from credits.models import SpendingLimit
from fluxori.api.access import caller_of, resolve_for_manage, resolve_for_read, visible_balances
from fluxori.api.idempotency import IDEMPOTENCY_KEY, idempotent_response, key_from
from fluxori.api.views import GenericViewSet
from fluxori.core import clock
from fluxori.identity.models import User


class LimitViewSet(GenericViewSet[SpendingLimit]):
    """Limits on the credits used in a calendar day or month (UTC), by one member of a pool or by all together."""

    queryset = SpendingLimit.objects.none()
    serializer_class = LimitResponse
    filterset_class = OwnerFilters

    def list(self, request: Request) -> Response:
        """The limits of one balance with their current use, newest first; empty if the balance does not exist.

        A service reads those of any owner. Of a pool, its owners and managers read them.
        """
        payload = owner_in(request.query_params)
        is_service = caller_of(request).role == User.Role.SERVICE
        owner = resolve_for_read(request, payload).owner if is_service else resolve_for_manage(request, payload)
        page = self.paginate_queryset(self.filter_queryset(queries.get_limits(owner=owner)))
        statuses = queries.limit_statuses(page or [], at=clock.now())
        return self.get_paginated_response([LimitResponse.render(status) for status in statuses])

    @extend_schema(
        parameters=[IDEMPOTENCY_KEY],
        request=SetLimitRequest,
        responses=LimitResponse,
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
        """Set a limit, or change the existing one for this member and period. Its use is kept."""
        payload = SetLimitRequest.parse(request.data)

        result = operations.set_limit(
            owner=resolve_for_manage(request, payload),
            member=payload.get("member_id"),
            amount=payload["amount"],
            period=payload["period"],
            actor=caller_of(request),
            idempotency_key=key_from(request),
            at=clock.now(),
        )

        return idempotent_response(LimitResponse.render(result.limit), replayed=result.replayed)

    @extend_schema(parameters=[IDEMPOTENCY_KEY, OwnerQuery], responses={204: None})
    def destroy(self, request: Request, limit_id: UUID) -> Response:
        """Remove a limit. The owner is optional, because the id identifies the limit."""
        limit_id = _managed_limit(request, limit_id).pk

        result = operations.remove_limit(
            limit_id=limit_id, actor=caller_of(request), idempotency_key=key_from(request), at=clock.now()
        )

        return idempotent_response(None, status=204, replayed=result.replayed)


def _managed_limit(request: Request, limit_id: UUID) -> SpendingLimit:
    """Return the limit, if the caller may see and manage its balance."""
    payload = OwnerQuery.parse(request.query_params)
    balance_ids = {resolve_for_read(request, payload).owner.id} if payload else visible_balances(request)
    limit = queries.get_limit(limit_id=limit_id, visible=in_balances(balance_ids))
    owner = limit.balance.owner
    resolve_for_manage(request, {"user_id": owner.user_id, "organization_id": owner.organization_id})
    return limit
