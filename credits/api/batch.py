"""The view of a batch of deductions. Each item has the result that it would have had as a single request."""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from credits import operations
from credits.api.serializers.common import OWNER_FIELDS, OwnerRequest, without_owner
from credits.api.serializers.deductions import BatchItemRequest, BatchRequest, BatchResponse
from credits.api.serializers.transactions import MovementResponse
from fluxori.api.access import BalanceAccess, caller_of, resolve_for_spend, resolve_owner
from fluxori.api.idempotency import IDEMPOTENCY_KEY, idempotent_response, key_from
from fluxori.api.names import camel
from fluxori.api.parsing import MAX_BATCH_BODY
from fluxori.api.problems import Problem, to_problem
from fluxori.api.views import ViewSet
from fluxori.core import clock
from fluxori.core.errors import DomainError, InvalidRequestError
from fluxori.identity.owner import Owner

P = ParamSpec("P")
T = TypeVar("T")

_OWNER_NAMES = frozenset(camel(name) for name in OWNER_FIELDS)


class BatchViewSet(ViewSet):
    """Batches of deductions."""

    max_body = MAX_BATCH_BODY

    @extend_schema(
        parameters=[IDEMPOTENCY_KEY],
        request=BatchRequest,
        responses=BatchResponse,
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
                        {"amount": 5, "description": "Data retrieval"},
                    ],
                    "atomic": True,
                },
                request_only=True,
            ),
            OpenApiExample(
                "An atomic batch that was rejected",
                {
                    "results": [
                        {"status": 424, "body": {"code": "batch_aborted"}},
                        {"status": 402, "body": {"code": "insufficient_credits", "required": 5, "available": 0}},
                    ]
                },
                description="Shortened: each body is a complete problem document.",
                response_only=True,
                status_codes=["200"],
            ),
        ],
    )
    def deduct(self, request: Request) -> Response:
        """Spend credits up to 500 times, on one balance or several; each item has its own result.

        An `Idempotency-Key` header gives every item without a key the key `<header>/<index of the item>`, from 0.
        """
        payload = BatchRequest.parse(request.data)

        outcomes = operations.deduct_batch(
            items=_deductions(request, payload["items"]), atomic=payload.get("atomic", False), at=clock.now()
        )

        replayed = all(getattr(outcome, "replayed", False) for outcome in outcomes)
        return idempotent_response({"results": _results(request, payload["items"], outcomes)}, replayed=replayed)


def _deductions(request: Request, items: list[Any]) -> list[tuple[Owner | None, operations.Deduction | DomainError]]:
    """Return for each item the owner it names, and the deduction or the error of a single request with this body."""
    key, caller = key_from(request), caller_of(request)
    owners = [_owner_of(request, item) for item in items]

    @cache
    def access_to(organization_id: UUID | None, user_id: UUID | None) -> BalanceAccess | DomainError:
        return _catch(resolve_for_spend, request, {"organization_id": organization_id, "user_id": user_id})

    def deduction(index: int, item: Any) -> operations.Deduction | DomainError:
        payload = _catch(BatchItemRequest.parse, item)
        if isinstance(payload, DomainError):
            return payload
        access = access_to(payload.get("organization_id"), payload.get("user_id"))
        if isinstance(access, DomainError):
            return access
        default_key = {"idempotency_key": f"{key}/{index}"} if key else {}
        return operations.Deduction(
            actor=caller,
            member=access.member,
            **{**default_key, **without_owner(payload)},
        )

    return [(owner, deduction(index, item)) for index, (owner, item) in enumerate(zip(owners, items, strict=True))]


def _owner_of(request: Request, item: Any) -> Owner | None:
    """Return the owner that an item names, even if other fields are invalid, or None if its owner fields are."""
    if not isinstance(item, Mapping):
        return None
    owner_fields = {name: value for name, value in item.items() if camel(name) in _OWNER_NAMES}
    payload = _catch(OwnerRequest.parse, owner_fields)
    return None if isinstance(payload, DomainError) else resolve_owner(request, payload)


def _catch(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | DomainError:
    """Return the function's result, or the domain error that it raises."""
    try:
        return function(*args, **kwargs)
    except DomainError as error:
        return error


def _results(request: Request, items: list[Any], outcomes: Iterable[Any]) -> list[dict[str, Any]]:
    @cache
    def problem(error: Exception) -> Problem:  # one error may be the outcome of many items, and is logged once
        return to_problem(error, request)

    def result(item: Any, outcome: Any) -> dict[str, Any]:
        if isinstance(outcome, operations.TransactionResult):
            return {"status": 200, "body": MovementResponse.render(outcome)}
        is_invalid = isinstance(outcome, InvalidRequestError) and isinstance(item, Mapping)
        item_problem = to_problem(outcome, request, written_names=item) if is_invalid else problem(outcome)
        return {"status": item_problem.status, "body": item_problem.body(request)}

    return [result(item, outcome) for item, outcome in zip(items, outcomes, strict=True)]
