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
from credits.domain.records import BalanceSnapshot
from credits.models import CreditEntry, CreditTransaction
from fluxori.api.access import caller_of, spending
from fluxori.api.idempotency import answer, key_of
from fluxori.core import clock
from tiers.queries import NO_TIER

_GRANT = UUID(int=1)


class NoopViewSet(viewsets.ViewSet):
    def noop(self, request: Request) -> Response:
        """Respond as if credits had been deducted."""
        asked = serializers.DeductIn.read(request.data)
        acting = spending(request, asked)

        moved = _moved(acting.owner.id, caller_of(request).pk, key_of(request), clock.now(), **serializers.terms(asked))

        return answer(serializers.MovedOut.of(moved), replayed=False)


def _moved(balance_id: UUID, actor: UUID, key: str | None, at: datetime, **details: Any) -> CreditTransaction:
    moved = CreditTransaction(
        balance_id=balance_id,
        sequence=1,
        type="usage",
        amount=-9,
        balance_after=991,
        timestamp=at,
        description=details.get("description", ""),
        reference_id=details.get("reference_id", ""),
        feature_id=details.get("feature"),
        quantity=details.get("quantity", 1),
        actor_id=actor,
        idempotency_key=key,
    )
    moved._prefetched_objects_cache = {"entries": [CreditEntry(grant_id=_GRANT, amount=-9)]}  # type: ignore[attr-defined]  # noqa: SLF001
    moved.after = BalanceSnapshot(
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
    moved.alongside = NO_TIER
    return moved
