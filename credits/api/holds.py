"""Credits set aside for work under way, over HTTP."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from credits import operations, queries
from credits.api import serializers
from credits.api.filters import HoldFilters, owner_in
from credits.api.views import KEY, within
from credits.models import CreditHold
from fluxori.api.access import caller_of, reading, require_placer, spending, visible_balances
from fluxori.api.idempotency import answer, key_of
from fluxori.core import clock
from tiers.queries import tier_facts


class HoldViewSet(viewsets.GenericViewSet[CreditHold]):
    """Holds: placed before the work, captured after it, released when it fails; what is forgotten lapses."""

    queryset = CreditHold.objects.none()
    serializer_class = serializers.HoldOut
    filterset_class = HoldFilters

    def list(self, request: Request) -> Response:
        """One balance's holds, newest first; none where no balance was opened."""
        owner = reading(request, owner_in(request.query_params)).owner
        holds = queries.with_pins(queries.get_holds(at=clock.now()), owner=owner)
        page = self.paginate_queryset(self.filter_queryset(holds))
        return self.get_paginated_response([serializers.HoldOut.of(row) for row in page or []])

    def retrieve(self, request: Request, hold_id: UUID) -> Response:
        """One hold; it shows as lapsed from the instant it lapses."""
        serializers.NoQuery.read(request.query_params)
        return Response(serializers.HoldOut.of(_seen(request, hold_id)))

    @extend_schema(parameters=[KEY], request=serializers.HoldIn, responses={201: serializers.HeldOut})
    def place(self, request: Request) -> Response:
        """Set credits aside, in burn order, all or nothing, at the price of now."""
        asked = serializers.HoldIn.read(request.data)
        acting = spending(request, asked)

        hold = operations.place_hold(
            owner=acting.owner,
            member=acting.member,
            alongside=tier_facts(owner=acting.owner),
            **_caller(request),
            **serializers.terms(asked),
        )

        return answer(serializers.HeldOut.of(hold), status=201, replayed=hold.replayed)

    @extend_schema(parameters=[KEY], request=serializers.CaptureIn, responses=serializers.CapturedOut)
    def capture(self, request: Request, hold_id: UUID) -> Response:
        """Spend what was set aside: all of it, less, or more where more is available."""
        asked = serializers.CaptureIn.read(request.data)
        held = _spendable(request, hold_id)

        done = operations.capture_hold(
            hold_id=hold_id, alongside=tier_facts(owner=held.balance.owner), **_caller(request), **asked
        )

        told = serializers.Standing(done.hold.after, done.hold.alongside)
        body = {
            **serializers.BalanceOut.of(told),
            "hold": serializers.HoldOut.of(done.hold),
            "transaction": done.transaction and serializers.WrittenOut.of(done.transaction),
        }
        return answer(body, replayed=done.hold.replayed)

    @extend_schema(parameters=[KEY], request=serializers.NothingIn, responses=serializers.HeldOut)
    def release(self, request: Request, hold_id: UUID) -> Response:
        """Give back what was set aside."""
        serializers.NothingIn.read(request.data)
        held = _placed(request, hold_id)

        hold = operations.release_hold(
            hold_id=hold_id, alongside=tier_facts(owner=held.balance.owner), **_caller(request)
        )

        return answer(serializers.HeldOut.of(hold), replayed=hold.replayed)

    @extend_schema(parameters=[KEY], request=serializers.LastingIn, responses=serializers.HeldOut)
    def extend(self, request: Request, hold_id: UUID) -> Response:
        """Let an open hold last longer."""
        asked = serializers.LastingIn.read(request.data)
        held = _spendable(request, hold_id)

        hold = operations.extend_hold(
            hold_id=hold_id, alongside=tier_facts(owner=held.balance.owner), **_caller(request), **asked
        )

        return answer(serializers.HeldOut.of(hold), replayed=hold.replayed)


def _seen(request: Request, hold_id: UUID) -> CreditHold:
    return queries.get_hold(hold_id=hold_id, at=clock.now(), visible=within(visible_balances(request)))


def _placed(request: Request, hold_id: UUID) -> CreditHold:
    found = _seen(request, hold_id)
    require_placer(request, found.actor_id)
    return found


def _spendable(request: Request, hold_id: UUID) -> CreditHold:
    """Whoever placed it may have become a viewer since: they can give the credits back, but not spend or keep them."""
    found = _placed(request, hold_id)
    spending(request, {"organization_id": found.balance.organization_id})
    return found


def _caller(request: Request) -> dict[str, Any]:
    return {"actor": caller_of(request), "idempotency_key": key_of(request), "at": clock.now()}
