"""Views of holds: credits set aside for work in progress."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from credits import operations, queries
from credits.api.filters import HoldFilters, in_balances, owner_in
from credits.api.serializers.common import without_owner
from credits.api.serializers.holds import (
    CaptureRequest,
    CaptureResponse,
    ExtendHoldRequest,
    HoldChangeResponse,
    HoldResponse,
    PlaceHoldRequest,
)
from credits.models import CreditHold
from fluxori.api.access import (
    caller_of,
    can_access_all_balances,
    require_actor,
    resolve_for_manage,
    resolve_for_read,
    resolve_for_spend,
    visible_balances,
)
from fluxori.api.idempotency import IDEMPOTENCY_KEY, idempotent_response, key_from
from fluxori.api.serializers import EmptyQuery, EmptyRequest
from fluxori.api.views import GenericViewSet
from fluxori.core import clock
from fluxori.identity.errors import PermissionDeniedError


class HoldViewSet(GenericViewSet[CreditHold]):
    """Holds: placed before the work, captured after it, released if it fails. A hold that is not closed lapses."""

    queryset = CreditHold.objects.none()
    serializer_class = HoldResponse
    filterset_class = HoldFilters

    def list(self, request: Request) -> Response:
        """The holds of one balance, newest first; empty if the balance does not exist."""
        owner = resolve_for_read(request, owner_in(request.query_params)).owner
        holds = queries.with_pins(queries.get_holds(at=clock.now()), owner=owner)
        page = self.paginate_queryset(self.filter_queryset(holds))
        return self.get_paginated_response([HoldResponse.render(hold) for hold in page or []])

    def retrieve(self, request: Request, hold_id: UUID) -> Response:
        """One hold. Its status is `lapsed` as soon as it has lapsed."""
        EmptyQuery.parse(request.query_params)
        return Response(HoldResponse.render(_visible_hold(request, hold_id, with_pins=True)))

    @extend_schema(parameters=[IDEMPOTENCY_KEY], request=PlaceHoldRequest, responses={201: HoldChangeResponse})
    def place(self, request: Request) -> Response:
        """Set credits aside, in burn order, all or nothing, at the current price."""
        payload = PlaceHoldRequest.parse(request.data)
        access = resolve_for_spend(request, payload)

        result = operations.place_hold(
            owner=access.owner,
            member=access.member,
            **_call_context(request),
            **without_owner(payload),
        )

        return idempotent_response(HoldChangeResponse.render(result), status=201, replayed=result.replayed)

    @extend_schema(parameters=[IDEMPOTENCY_KEY], request=CaptureRequest, responses=CaptureResponse)
    def capture(self, request: Request, hold_id: UUID) -> Response:
        """Spend the credits of a hold: all, less, or more if more are available."""
        payload = CaptureRequest.parse(request.data)
        _spendable_hold(request, hold_id)
        if payload.get("allow_debt") and not can_access_all_balances(caller_of(request)):
            raise PermissionDeniedError

        result = operations.capture_hold(hold_id=hold_id, **_call_context(request), **payload)

        return idempotent_response(CaptureResponse.render(result), replayed=result.replayed)

    @extend_schema(parameters=[IDEMPOTENCY_KEY], request=EmptyRequest, responses=HoldChangeResponse)
    def release(self, request: Request, hold_id: UUID) -> Response:
        """Return the credits of a hold to the balance. Owners and managers may release every hold of their pool."""
        EmptyRequest.parse(request.data)
        _releasable_hold(request, hold_id)

        result = operations.release_hold(hold_id=hold_id, **_call_context(request))

        return idempotent_response(HoldChangeResponse.render(result), replayed=result.replayed)

    @extend_schema(parameters=[IDEMPOTENCY_KEY], request=ExtendHoldRequest, responses=HoldChangeResponse)
    def extend(self, request: Request, hold_id: UUID) -> Response:
        """Extend the lifetime of an open hold."""
        payload = ExtendHoldRequest.parse(request.data)
        _spendable_hold(request, hold_id)

        result = operations.extend_hold(hold_id=hold_id, **_call_context(request), **payload)

        return idempotent_response(HoldChangeResponse.render(result), replayed=result.replayed)


def _visible_hold(request: Request, hold_id: UUID, *, with_pins: bool = False) -> CreditHold:
    """Return the hold, if the caller may see its balance."""
    visible = in_balances(visible_balances(request))
    return queries.get_hold(hold_id=hold_id, at=clock.now(), visible=visible, with_pins=with_pins)


def _own_hold(request: Request, hold_id: UUID) -> CreditHold:
    """Return the hold, if the caller placed it or is an admin or a service."""
    hold = _visible_hold(request, hold_id)
    require_actor(request, hold.actor_id)
    return hold


def _releasable_hold(request: Request, hold_id: UUID) -> CreditHold:
    """Return the hold, if the caller placed it, manages its pool, or is an admin or a service."""
    hold = _visible_hold(request, hold_id)
    organization_id = hold.balance.organization_id
    caller = caller_of(request)
    if organization_id is not None and caller.pk != hold.actor_id and not can_access_all_balances(caller):
        resolve_for_manage(request, {"organization_id": organization_id})
    else:
        require_actor(request, hold.actor_id)
    return hold


def _spendable_hold(request: Request, hold_id: UUID) -> CreditHold:
    """Return the hold, if the caller may also spend from its balance.

    A caller that became a viewer after placing the hold can release it, but not capture or extend it.
    """
    hold = _own_hold(request, hold_id)
    resolve_for_spend(request, {"organization_id": hold.balance.organization_id})
    return hold


def _call_context(request: Request) -> dict[str, Any]:
    """Return the arguments that every operation takes from the request."""
    return {"actor": caller_of(request), "idempotency_key": key_from(request), "at": clock.now()}
