"""Many deductions in one request, each answered as it would have been on its own."""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from credits import operations
from credits.api import serializers
from credits.api.views import KEY
from credits.models import CreditTransaction
from fluxori.api.access import BalanceAccess, caller_of, meant, spending
from fluxori.api.idempotency import answer, key_of
from fluxori.api.names import camel
from fluxori.api.parsing import MAX_BATCH_BODY
from fluxori.api.problems import Problem, to_problem
from fluxori.core import clock
from fluxori.core.errors import DomainError
from fluxori.identity.owner import Owner
from tiers.queries import tier_facts_of

P = ParamSpec("P")
T = TypeVar("T")

_WHOSE = frozenset(camel(name) for name in serializers.OWNER)


class BatchViewSet(viewsets.ViewSet):
    """Spending many times at once."""

    max_body = MAX_BATCH_BODY

    @extend_schema(
        parameters=[KEY],
        request=serializers.BatchIn,
        responses=serializers.BatchOut,
        examples=[
            OpenApiExample(
                "Two reports, each with its own key",
                {
                    "items": [
                        {"feature": "ai-generated-report", "idempotencyKey": "report-1"},
                        {"feature": "ai-generated-report", "idempotencyKey": "report-2"},
                    ]
                },
                request_only=True,
            ),
            OpenApiExample(
                "Both or neither",
                {
                    "items": [
                        {"feature": "simple-ai-insight", "quantity": 2},
                        {"amount": 5, "description": "Fetching the figures"},
                    ],
                    "atomic": True,
                },
                request_only=True,
            ),
            OpenApiExample(
                "Neither of both",
                {
                    "results": [
                        {"status": 424, "body": {"code": "batch_aborted"}},
                        {"status": 402, "body": {"code": "insufficient_credits", "required": 5, "available": 0}},
                    ]
                },
                description="Shortened: each body is a whole problem document.",
                response_only=True,
                status_codes=["200"],
            ),
        ],
    )
    def deduct(self, request: Request) -> Response:
        """Spend credits up to 500 times, on one balance or several; each has its own result.

        An `Idempotency-Key` in the header stands for the keys of all items that bring none: `<key>/<place>`, from 0.
        """
        asked = serializers.BatchIn.read(request.data)

        outcomes = operations.deduct_batch(
            items=_items(request, asked["items"]), atomic=asked["atomic"], at=clock.now()
        )

        replayed = all(getattr(outcome, "replayed", False) for outcome in outcomes)
        return answer({"results": _results(request, outcomes)}, replayed=replayed)


def _items(request: Request, written: list[Any]) -> list[tuple[Owner | None, operations.Deduction | DomainError]]:
    """Return each item with the balance it names: understood and allowed, or refused as it would be on its own."""
    key, caller = key_of(request), caller_of(request)
    owners = [_owner(request, item) for item in written]
    told = tier_facts_of({owner.id for owner in owners if owner is not None})

    @cache
    def acting(organization_id: UUID | None, user_id: UUID | None) -> BalanceAccess | DomainError:
        return _or_refusal(spending, request, {"organization_id": organization_id, "user_id": user_id})

    def deduction(place: int, item: Any) -> operations.Deduction | DomainError:
        asked = _or_refusal(serializers.BatchItemIn.read, item)
        if isinstance(asked, DomainError):
            return asked
        allowed = acting(asked.get("organization_id"), asked.get("user_id"))
        if isinstance(allowed, DomainError):
            return allowed
        named = {"idempotency_key": f"{key}/{place}"} if key else {}
        facts = told[allowed.owner.id]
        return operations.Deduction(
            actor=caller, member=allowed.member, alongside=facts, **{**named, **serializers.terms(asked)}
        )

    return [(owner, deduction(place, item)) for place, (owner, item) in enumerate(zip(owners, written, strict=True))]


def _owner(request: Request, item: Any) -> Owner | None:
    """Return whose balance an item names, whatever else is wrong with it; None where it cannot be told."""
    if not isinstance(item, Mapping):
        return None
    whose = {name: value for name, value in item.items() if camel(name) in _WHOSE}
    named = _or_refusal(serializers.OwnerIn.read, whose)
    return None if isinstance(named, DomainError) else meant(request, named)


def _or_refusal(ask: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | DomainError:
    try:
        return ask(*args, **kwargs)
    except DomainError as refusal:
        return refusal


def _results(request: Request, outcomes: Iterable[Any]) -> list[dict[str, Any]]:
    @cache
    def problem(refusal: Exception) -> Problem:  # one fault may be the result of many items, and is logged once
        return to_problem(refusal, request)

    return [
        {"status": 200, "body": serializers.MovedOut.of(outcome)}
        if isinstance(outcome, CreditTransaction)
        else {"status": problem(outcome).status, "body": problem(outcome).body(request)}
        for outcome in outcomes
    ]
