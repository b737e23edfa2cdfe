"""How else it could be done: the same deduction the way people would write it, and a ledger from PyPI."""

from datetime import datetime
from importlib.util import find_spec
from uuid import UUID

from django.db import transaction

from credits.domain import hash_chain
from credits.domain.records import Entry, Transaction, TransactionDetails
from credits.models import CreditBalance, CreditEntry, CreditGrant, CreditRequest, CreditTransaction, FeaturePrice
from fluxori.core.ids import uuid7

HORDAK = find_spec("hordak") is not None


@transaction.atomic
def naive_deduct(*, owner_id: UUID, key: str, at: datetime) -> CreditTransaction:
    """Take the price of an insight as most Django code would: get, look, save, create, one row after another.

    It writes the same rows with the same hash, so that what is compared is how, not what.
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
        answer="{}",
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
