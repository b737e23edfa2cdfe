"""Views of balances, single deductions, transactions, grants and features."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from credits import operations, queries, tier_registry
from credits.api.filters import BalanceFilters, GrantFilters, HistoryFilters, in_balances, owner_in
from credits.api.serializers.balances import (
    BalanceAtResponse,
    BalancePreview,
    BalancePreviewResponse,
    BalanceQuery,
    BalanceResponse,
    BalanceWithTier,
    PreviewQuery,
)
from credits.api.serializers.common import without_owner
from credits.api.serializers.deductions import CheckQuery, CheckResponse, DeductRequest
from credits.api.serializers.features import FeatureResponse
from credits.api.serializers.grants import AddRequest, GrantResponse
from credits.api.serializers.transactions import ExplainedTransactionResponse, MovementResponse, TransactionResponse
from credits.models import CreditBalance, CreditGrant, CreditTransaction, Feature
from fluxori.api.access import caller_of, named_owner, resolve_for_read, resolve_for_spend, visible_balances
from fluxori.api.idempotency import IDEMPOTENCY_KEY, idempotent_response, key_from
from fluxori.api.permissions import IsAdmin
from fluxori.api.serializers import EmptyQuery
from fluxori.api.views import GenericViewSet, ViewSet
from fluxori.core import clock
from fluxori.identity.owner import Owner


class BalanceViewSet(ViewSet):
    """One balance, by default the caller's: reading it and spending from it."""

    @extend_schema(parameters=[BalanceQuery], responses=BalanceAtResponse)
    def retrieve(self, request: Request) -> Response:
        """The balance now, or as it was at a past time."""
        payload = BalanceQuery.parse(request.query_params)
        access = resolve_for_read(request, payload)
        return Response(_render_balance(access.owner, payload))

    @extend_schema(parameters=[PreviewQuery], responses=BalancePreviewResponse)
    def preview(self, request: Request) -> Response:
        """What the balance will be at a future time if no credits are used or added until then."""
        payload = PreviewQuery.parse(request.query_params)
        owner = resolve_for_read(request, payload).owner

        balance = queries.preview_balance(owner=owner, **without_owner(payload))

        return Response(BalancePreviewResponse.render(BalancePreview(balance, payload["at"])))

    @extend_schema(parameters=[CheckQuery], responses=CheckResponse)
    def check(self, request: Request) -> Response:
        """Whether a deduction would be allowed now, and if not, the first reason."""
        payload = CheckQuery.parse(request.query_params)
        access = resolve_for_read(request, payload)

        check = queries.check_spending(
            owner=access.owner,
            member=access.member,
            permitted=access.may_spend,
            at=clock.now(),
            **without_owner(payload),
        )

        return Response(CheckResponse.render(check))

    @extend_schema(
        parameters=[IDEMPOTENCY_KEY],
        request=DeductRequest,
        responses=MovementResponse,
        examples=[
            OpenApiExample("By feature", {"feature": "simple-ai-insight", "quantity": 1}, request_only=True),
            OpenApiExample("By amount", {"amount": 9, "description": "An insight"}, request_only=True),
        ],
    )
    def deduct(self, request: Request) -> Response:
        """Spend credits, in burn order, all or nothing."""
        payload = DeductRequest.parse(request.data)
        access = resolve_for_spend(request, payload)

        result = operations.deduct_credits(
            owner=access.owner,
            member=access.member,
            actor=caller_of(request),
            idempotency_key=key_from(request),
            at=clock.now(),
            **without_owner(payload),
        )

        return idempotent_response(MovementResponse.render(result), replayed=result.replayed)


def _render_balance(owner: Owner, payload: dict[str, Any]) -> dict[str, Any]:
    """Return the current balance with its tier, or the amounts at the past time that the request names."""
    at = payload.get("at")
    snapshot = queries.get_balance(owner=owner, at=at)
    if at is not None:
        return BalanceAtResponse.render_past(snapshot, at)
    return BalanceAtResponse.render_current(
        BalanceWithTier(snapshot, tier_registry.tier_facts([owner.id], at=clock.now())[owner.id])
    )


class TransactionViewSet(GenericViewSet[CreditTransaction]):
    """Transactions of the balances that the caller may see."""

    queryset = CreditTransaction.objects.none()
    serializer_class = TransactionResponse
    filterset_class = HistoryFilters
    keyset = ("sequence",)
    followable = True

    def list(self, request: Request) -> Response:
        """The transactions of one balance, newest first; empty if the balance does not exist."""
        owner = resolve_for_read(request, owner_in(request.query_params)).owner
        history = queries.get_transaction_history(owner=owner).select_related("balance")
        page = self.paginate_queryset(self.filter_queryset(history))
        return self.get_paginated_response([TransactionResponse.render(transaction) for transaction in page or []])

    @extend_schema(responses=ExplainedTransactionResponse)
    def retrieve(self, request: Request, transaction_id: UUID) -> Response:
        """One transaction, explained: its price, the caller, the reason, and the grants it changed."""
        EmptyQuery.parse(request.query_params)
        visible = in_balances(visible_balances(request))
        transaction = queries.get_transaction(transaction_id=transaction_id, visible=visible)
        return Response(ExplainedTransactionResponse.render(transaction))


class GrantViewSet(GenericViewSet[CreditGrant]):
    """Grants and what is left of each."""

    queryset = CreditGrant.objects.none()
    serializer_class = GrantResponse
    filterset_class = GrantFilters

    def list(self, request: Request) -> Response:
        """The grants of one balance, newest first; empty if the balance does not exist."""
        owner = resolve_for_read(request, owner_in(request.query_params)).owner
        page = self.paginate_queryset(self.filter_queryset(queries.get_grants(owner=owner, at=clock.now())))
        return self.get_paginated_response([GrantResponse.render(grant) for grant in page or []])


class FeatureViewSet(GenericViewSet[Feature]):
    """Features that cost credits."""

    queryset = Feature.objects.none()
    serializer_class = FeatureResponse
    keyset = ("code",)
    ascending = True

    def list(self, request: Request) -> Response:  # noqa: ARG002 - the pagination reads it
        """Every feature with its current price, by code."""
        page = self.paginate_queryset(self.filter_queryset(queries.get_features(at=clock.now())))
        return self.get_paginated_response([FeatureResponse.render(feature) for feature in page or []])


class BalanceListViewSet(GenericViewSet[CreditBalance]):
    """All balances."""

    permission_classes = (IsAdmin,)
    queryset = CreditBalance.objects.none()
    serializer_class = BalanceResponse
    filterset_class = BalanceFilters

    def list(self, request: Request) -> Response:  # noqa: ARG002 - the filters read it
        """Every balance, newest owner first."""
        page = self.paginate_queryset(self.filter_queryset(queries.get_balances())) or []
        ids, at = [balance.pk for balance in page], clock.now()
        snapshots, tier_facts_by_id = queries.get_snapshots(ids, at=at), tier_registry.tier_facts(ids, at=at)
        balances = [BalanceWithTier(snapshots[key], tier_facts_by_id[key]) for key in ids]
        return self.get_paginated_response([BalanceResponse.render(balance) for balance in balances])


class AddCreditsViewSet(ViewSet):
    """Credits added by admins."""

    permission_classes = (IsAdmin,)

    @extend_schema(
        parameters=[IDEMPOTENCY_KEY],
        request=AddRequest,
        responses=MovementResponse,
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
        """Add credits. If the owner has no balance, this creates one without a tier."""
        payload = AddRequest.parse(request.data)
        owner = named_owner(payload)

        result = operations.add_credits(
            owner=owner,
            actor=caller_of(request),
            idempotency_key=key_from(request),
            at=clock.now(),
            **without_owner(payload),
        )

        return idempotent_response(MovementResponse.render(result), replayed=result.replayed)
