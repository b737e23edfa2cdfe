"""Credits over HTTP: what there is, where it went, spending it; and for admins, giving it."""

from typing import Any
from uuid import UUID

from django.db.models import Q
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from credits import operations, queries
from credits.api import serializers
from credits.api.filters import BalanceFilters, GrantFilters, HistoryFilters, owner_in
from credits.models import CreditBalance, CreditGrant, CreditTransaction, Feature
from fluxori.api.access import caller_of, named_owner, reading, spending, visible_balances
from fluxori.api.idempotency import answer, key_of
from fluxori.api.permissions import IsAdmin
from fluxori.core import clock
from fluxori.identity.owner import Owner
from tiers.queries import tier_facts, tier_facts_of

KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="The caller's name for this request, at most 255 printable characters. Sent again, it is answered again"
    " and moves nothing.",
)


class BalanceViewSet(viewsets.ViewSet):
    """The caller's credits: what there is, and spending it."""

    @extend_schema(parameters=[serializers.BalanceQuery], responses=serializers.BalanceAtOut)
    def retrieve(self, request: Request) -> Response:
        """The balance as it stands, or as it was told at a past instant."""
        asked = serializers.BalanceQuery.read(request.query_params)
        return Response(_balance(reading(request, asked).owner, asked))

    @extend_schema(parameters=[serializers.CheckQuery], responses=serializers.CheckOut)
    def check(self, request: Request) -> Response:
        """Whether a deduction would be allowed now, and if not, the first reason why."""
        asked = serializers.CheckQuery.read(request.query_params)
        acting = reading(request, asked)

        found = queries.check_spending(
            owner=acting.owner,
            member=acting.member,
            permitted=acting.may_spend,
            at=clock.now(),
            **serializers.terms(asked),
        )

        return Response(serializers.CheckOut.of(found))

    @extend_schema(
        parameters=[KEY],
        request=serializers.DeductIn,
        responses=serializers.MovedOut,
        examples=[
            OpenApiExample("By feature", {"feature": "simple-ai-insight", "quantity": 1}, request_only=True),
            OpenApiExample("By amount", {"amount": 9, "description": "An insight"}, request_only=True),
        ],
    )
    def deduct(self, request: Request) -> Response:
        """Spend credits, in burn order, all or nothing."""
        asked = serializers.DeductIn.read(request.data)
        acting = spending(request, asked)

        recorded = operations.deduct_credits(
            owner=acting.owner,
            member=acting.member,
            actor=caller_of(request),
            idempotency_key=key_of(request),
            at=clock.now(),
            alongside=tier_facts_of,
            **serializers.terms(asked),
        )

        return answer(serializers.MovedOut.of(recorded), replayed=recorded.replayed)


def _balance(owner: Owner, asked: dict[str, Any]) -> dict[str, Any]:
    """Return the balance now, with its tier, or what the ledger knows of the instant that was asked for."""
    at = asked.get("at")
    told = queries.get_balance(owner=owner, at=at)
    if at is not None:
        return serializers.BalanceAtOut.of_past(told, at)
    return serializers.BalanceOut.of(serializers.Standing(told, tier_facts(owner=owner)))


class TransactionViewSet(viewsets.GenericViewSet[CreditTransaction]):
    """Every movement of the credits that the caller may see."""

    queryset = CreditTransaction.objects.none()
    serializer_class = serializers.TransactionOut
    filterset_class = HistoryFilters
    keyset = ("sequence",)

    def list(self, request: Request) -> Response:
        """One balance's transactions, newest first; none where no balance was opened."""
        owner = reading(request, owner_in(request.query_params)).owner
        history = queries.get_transaction_history(owner=owner).select_related("balance")
        page = self.paginate_queryset(self.filter_queryset(history))
        return self.get_paginated_response([serializers.TransactionOut.of(row) for row in page or []])

    @extend_schema(responses=serializers.ExplainedOut)
    def retrieve(self, request: Request, transaction_id: UUID) -> Response:
        """One transaction, explained: what it cost and why, who called, and which grants it fell on."""
        serializers.NoQuery.read(request.query_params)
        found = queries.get_transaction(transaction_id=transaction_id, visible=within(visible_balances(request)))
        return Response(serializers.ExplainedOut.of(found))


def within(balances: set[UUID] | None) -> Q:
    """Return what narrows rows of the ledger to these balances; None means all."""
    return Q() if balances is None else Q(balance__in=balances)


class GrantViewSet(viewsets.GenericViewSet[CreditGrant]):
    """The credits that were given, and what is left of each gift."""

    queryset = CreditGrant.objects.none()
    serializer_class = serializers.GrantOut
    filterset_class = GrantFilters

    def list(self, request: Request) -> Response:
        """One balance's grants, newest first; none where no balance was opened."""
        owner = reading(request, owner_in(request.query_params)).owner
        page = self.paginate_queryset(self.filter_queryset(queries.get_grants(owner=owner, at=clock.now())))
        return self.get_paginated_response([serializers.GrantOut.of(row) for row in page or []])


class FeatureViewSet(viewsets.GenericViewSet[Feature]):
    """What costs credits."""

    queryset = Feature.objects.none()
    serializer_class = serializers.FeatureOut
    keyset = ("code",)
    ascending = True

    def list(self, request: Request) -> Response:  # noqa: ARG002 - the pagination reads it
        """Every feature with the price in force, by code."""
        page = self.paginate_queryset(self.filter_queryset(queries.get_features(at=clock.now())))
        return self.get_paginated_response([serializers.FeatureOut.of(row) for row in page or []])


class BalanceListViewSet(viewsets.GenericViewSet[CreditBalance]):
    """Every balance there is."""

    permission_classes = (IsAdmin,)
    queryset = CreditBalance.objects.none()
    serializer_class = serializers.BalanceOut
    filterset_class = BalanceFilters

    def list(self, request: Request) -> Response:  # noqa: ARG002 - the filters read it
        """Every balance, the newest owner first."""
        page = self.paginate_queryset(self.filter_queryset(queries.get_balances())) or []
        ids, at = [row.pk for row in page], clock.now()
        told, facts = queries.get_snapshots(ids, at=at), tier_facts_of(ids, at=at)
        return self.get_paginated_response(
            [serializers.BalanceOut.of(serializers.Standing(told[key], facts[key])) for key in ids]
        )


class AddCreditsViewSet(viewsets.ViewSet):
    """Credits given by staff."""

    permission_classes = (IsAdmin,)

    @extend_schema(
        parameters=[KEY],
        request=serializers.AddIn,
        responses=serializers.MovedOut,
        examples=[
            OpenApiExample(
                "A purchase",
                {
                    "userId": "01890a5d-ac96-774b-bcce-b302099a8057",
                    "amount": 500,
                    "type": "purchase",
                    "description": "500 credits",
                    "unitPrice": "0.10",
                },
                request_only=True,
            )
        ],
    )
    def add(self, request: Request) -> Response:
        """Add credits. Opens a balance, without a tier, where there is none."""
        asked = serializers.AddIn.read(request.data)
        owner = named_owner(asked)

        recorded = operations.add_credits(
            owner=owner,
            actor=caller_of(request),
            idempotency_key=key_of(request),
            at=clock.now(),
            alongside=tier_facts(owner=owner),
            **serializers.terms(asked),
        )

        return answer(serializers.MovedOut.of(recorded), replayed=recorded.replayed)
