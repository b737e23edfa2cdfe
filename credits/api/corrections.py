"""Putting things right, over HTTP: refunds, reversals, voids, extensions, adjustments."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from credits import operations, queries
from credits.api import serializers
from credits.api.views import KEY
from fluxori.api.access import caller_of, named_owner, require_admin_for
from fluxori.api.idempotency import answer, key_of
from fluxori.api.permissions import IsAdmin, IsAdminOrService
from fluxori.core import clock
from fluxori.identity.owner import Owner
from tiers.queries import tier_facts


class RefundViewSet(viewsets.ViewSet):
    """Giving back what a usage took."""

    permission_classes = (IsAdminOrService,)

    @extend_schema(parameters=[KEY], request=serializers.RefundIn, responses=serializers.MovedOut)
    def refund(self, request: Request, transaction_id: UUID) -> Response:
        """Refund a usage, whole or in part, to the grants that paid for it."""
        asked = serializers.RefundIn.read(request.data)
        require_admin_for(request, asked, "expires_at")
        owner, *_ = queries.locate_transaction(transaction_id=transaction_id)

        recorded = operations.refund_usage(transaction_id=transaction_id, **_caller(request, owner), **asked)

        return answer(serializers.MovedOut.of(recorded), replayed=recorded.replayed)


class CorrectionViewSet(viewsets.ViewSet):
    """What only admins may put right."""

    permission_classes = (IsAdmin,)

    @extend_schema(parameters=[KEY], request=serializers.ReverseIn, responses=serializers.MovedOut)
    def reverse(self, request: Request, transaction_id: UUID) -> Response:
        """Take a purchase back, as after a chargeback; what was spent already becomes debt."""
        asked = serializers.ReverseIn.read(request.data)
        owner, *_ = queries.locate_transaction(transaction_id=transaction_id)

        recorded = operations.reverse_purchase(transaction_id=transaction_id, **_caller(request, owner), **asked)

        return answer(serializers.MovedOut.of(recorded), replayed=recorded.replayed)

    @extend_schema(parameters=[KEY], request=serializers.VoidIn, responses=serializers.VoidedOut)
    def void(self, request: Request, grant_id: UUID) -> Response:
        """Take what a grant has remaining, for good."""
        asked = serializers.VoidIn.read(request.data)
        owner = queries.owner_of_grant(grant_id=grant_id)

        done = operations.void_grant(grant_id=grant_id, **_caller(request, owner), **asked)

        body = {
            **serializers.BalanceOut.of(serializers.Standing(done.answer.after, done.answer.alongside)),
            "transaction": done.transaction and serializers.WrittenOut.of(done.transaction),
        }
        return answer(body, replayed=done.answer.replayed)

    @extend_schema(parameters=[KEY], request=serializers.ExtendIn, responses=serializers.MovedOut)
    def extend(self, request: Request, grant_id: UUID) -> Response:
        """Let what a grant has remaining last longer."""
        asked = serializers.ExtendIn.read(request.data)
        owner = queries.owner_of_grant(grant_id=grant_id)

        recorded = operations.extend_grant(grant_id=grant_id, **_caller(request, owner), **asked)

        return answer(serializers.MovedOut.of(recorded), replayed=recorded.replayed)

    @extend_schema(parameters=[KEY], request=serializers.AdjustIn, responses=serializers.MovedOut)
    def adjust(self, request: Request) -> Response:
        """Put a balance right by hand, up or down."""
        asked = serializers.AdjustIn.read(request.data)
        owner = named_owner(asked)

        recorded = operations.adjust_credits(owner=owner, **_caller(request, owner), **serializers.terms(asked))

        return answer(serializers.MovedOut.of(recorded), replayed=recorded.replayed)


def _caller(request: Request, owner: Owner) -> dict[str, Any]:
    return {
        "actor": caller_of(request),
        "idempotency_key": key_of(request),
        "at": clock.now(),
        "alongside": tier_facts(owner=owner),
    }
