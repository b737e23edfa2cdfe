"""A door that does all that the one of ``deduct`` does, but deduct: what HTTP itself costs here.

It authenticates, which reads the user's row, throttles, parses, validates and serializes alike, and touches no row of
the ledger. Mounted by the bench's own addresses only.
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


class NothingViewSet(viewsets.ViewSet):
    def nothing(self, request: Request) -> Response:
        """Answer as if credits had been spent."""
        asked = serializers.DeductIn.read(request.data)
        acting = spending(request, asked)

        moved = _moved(acting.owner.id, caller_of(request).pk, key_of(request), clock.now(), **serializers.terms(asked))

        return answer(serializers.MovedOut.of(moved), replayed=False)


def _moved(balance_id: UUID, actor: UUID, key: str | None, at: datetime, **said: Any) -> CreditTransaction:
    moved = CreditTransaction(
        balance_id=balance_id,
        sequence=1,
        type="usage",
        amount=-9,
        balance_after=991,
        timestamp=at,
        description=said.get("description", ""),
        reference_id=said.get("reference_id", ""),
        feature_id=said.get("feature"),
        quantity=said.get("quantity", 1),
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
