"""Alternatives to compare with: the same deduction with the plain ORM, and whether django-hordak is installed.

``naive_deduct`` writes the same rows and the same hash as the ledger, so the comparison is about how they are written.
"""

from datetime import datetime
from importlib.util import find_spec
from uuid import UUID

from django.db import transaction

from credits.domain import hash_chain
from credits.domain.records import Entry, Transaction, TransactionDetails
from credits.models import CreditBalance, CreditEntry, CreditGrant, CreditRequest, CreditTransaction, FeaturePrice
from fluxori.core.ids import uuid7

HAS_HORDAK = find_spec("hordak") is not None


@transaction.atomic
def naive_deduct(*, owner_id: UUID, key: str, at: datetime) -> CreditTransaction:
    """Deduct the price of one insight as most Django code does: get, check, save and create, row by row.

    The burn order is written here once more, as part of the baseline: it must give the same grant as
    ``credits.domain.burn_order``.
    """
    balance = CreditBalance.objects.select_for_update(no_key=True).get(pk=owner_id)
    if CreditRequest.objects.filter(balance=balance, caller_id=owner_id, key=key).exists():
        return CreditTransaction.objects.get(balance=balance, idempotency_key=key)
    price = FeaturePrice.objects.filter(feature="simple-ai-insight", effective_from__lte=at).latest("effective_from")
    grants = CreditGrant.objects.filter(balance=balance, live=True)
    [grant, *_] = sorted(grants, key=lambda grant: (grant.priority, grant.source == "purchase", grant.effective_at))
    assert grant.remaining >= price.credits
    grant.remaining -= price.credits
    grant.live = grant.remaining + grant.held > 0
    balance.balance -= price.credits
    balance.sequence += 1
    balance.version += 1
    balance.last_at = max(at, balance.last_at)
    recorded = _chained(balance, grant, price, key)
    balance.head_hash = recorded.hash
    row = CreditTransaction.objects.create(
        id=recorded.id,
        balance=balance,
        sequence=balance.sequence,
        type="usage",
        amount=-price.credits,
        balance_after=balance.balance,
        timestamp=balance.last_at,
        recorded_at=balance.last_at,
        reference_id="bench",
        feature_id=price.feature_id,
        price=price,
        quantity=1,
        actor_id=owner_id,
        idempotency_key=key,
        previous_hash=recorded.previous_hash,
        hash=recorded.hash,
        hash_version=recorded.hash_version,
    )
    [entry] = recorded.entries
    CreditEntry.objects.create(
        id=entry.id,
        balance=balance,
        transaction=row,
        grant=grant,
        position=0,
        amount=entry.amount,
        remaining_after=entry.remaining_after,
    )
    CreditRequest.objects.create(
        balance=balance,
        caller_id=owner_id,
        key=key,
        operation="deduct_credits",
        fingerprint=bytes(32),
        result="{}",
        transaction=row,
        created_at=balance.last_at,
    )
    grant.save()
    balance.save()
    return row


def _chained(balance: CreditBalance, grant: CreditGrant, price: FeaturePrice, key: str) -> Transaction:
    recorded = Transaction(
        id=uuid7(),
        balance_id=balance.pk,
        sequence=balance.sequence,
        type="usage",
        amount=-price.credits,
        balance_after=balance.balance,
        timestamp=balance.last_at,
        recorded_at=balance.last_at,
        details=TransactionDetails(
            reference_id="bench",
            feature_id=price.feature_id,
            price_id=price.pk,
            quantity=1,
            actor_id=balance.pk,
            idempotency_key=key,
        ),
        entries=[Entry(uuid7(), grant.pk, 0, -price.credits, grant.remaining)],
        opened=[],
        previous_hash=bytes(balance.head_hash),
    )
    recorded.hash = hash_chain.transaction_hash(recorded)
    return recorded
