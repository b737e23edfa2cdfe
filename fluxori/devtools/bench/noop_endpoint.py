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

from credits.api import serializers
from credits.domain.records import BalanceSnapshot, Entry, Transaction, TransactionDetails
from credits.engine.results import TransactionResult
from credits.tier_registry import TierFacts
from fluxori.api.access import caller_of, spending
from fluxori.api.idempotency import answer, key_of
from fluxori.core import clock
from fluxori.core.ids import uuid7

_GRANT = UUID(int=1)


class NoopViewSet(viewsets.ViewSet):
    def noop(self, request: Request) -> Response:
        """Respond as if credits had been deducted."""
        asked = serializers.DeductIn.read(request.data)
        acting = spending(request, asked)

        result = _result(
            acting.owner.id, caller_of(request).pk, key_of(request), clock.now(), **serializers.terms(asked)
        )

        return answer(serializers.MovedOut.of(result), replayed=False)


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
