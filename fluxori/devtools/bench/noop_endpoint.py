"""An endpoint like ``deduct`` that deducts nothing: it measures the cost of HTTP, Django and DRF.

It authenticates (which reads the user's row), throttles, parses, validates and serializes in the same way, and reads
and writes no row of the ledger. Only the URL configuration of the benchmarks contains it.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from rest_framework import viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from credits.api.serializers.common import without_owner
from credits.api.serializers.deductions import DeductRequest
from credits.api.serializers.transactions import MovementResponse
from credits.domain.records import BalanceSnapshot, Entry, Transaction, TransactionDetails
from credits.engine.results import TransactionResult
from credits.tier_registry import TierFacts
from fluxori.api.access import caller_of, resolve_for_spend
from fluxori.api.idempotency import idempotent_response, key_from
from fluxori.core import clock
from fluxori.core.ids import uuid7

_GRANT = UUID(int=1)


class NoopViewSet(viewsets.ViewSet):
    def noop(self, request: Request) -> Response:
        """Respond as if credits had been deducted."""
        payload = DeductRequest.parse(request.data)
        access = resolve_for_spend(request, payload)

        result = _result(
            access.owner.id, caller_of(request).pk, key_from(request), clock.now(), **without_owner(payload)
        )

        return idempotent_response(MovementResponse.render(result), replayed=False)


def _result(balance_id: UUID, actor: UUID, key: str | None, at: datetime, **details: Any) -> TransactionResult:
    transaction = Transaction(
        id=uuid7(),
        balance_id=balance_id,
        sequence=1,
        type="usage",
        amount=-9,
        balance_after=991,
        timestamp=at,
        recorded_at=at,
        details=TransactionDetails(
            description=details.get("description", ""),
            reference_id=details.get("reference_id", ""),
            feature_id=details.get("feature"),
            quantity=details.get("quantity", 1),
            actor_id=actor,
            idempotency_key=key,
        ),
        entries=[Entry(uuid7(), _GRANT, 0, -9, 991)],
        opened=[],
        previous_hash=bytes(32),
    )
    balance = BalanceSnapshot(
        id=balance_id,
        user_id=balance_id,
        organization_id=None,
        balance=991,
        held=0,
        available=991,
        debt=0,
        last_updated=at,
        next_expiry=None,
        sequence=1,
        version=1,
    )
    return TransactionResult(transaction, balance, TierFacts())
