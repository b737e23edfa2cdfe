from decimal import Decimal
from types import SimpleNamespace
from uuid import uuid4

import pytest

from credits import operations
from tests.support.factories.credits import capture, deduct, hold, make_balance, reverse
from tests.support.times import DAY, HOUR, MINUTE, NOON

LATER = NOON + MINUTE
EVENING = NOON + 8 * HOUR


@pytest.fixture
def ledger(db):
    """Three balances with rows of every kind, and the ids of these rows by name."""
    balance = make_balance(grants=[(100, None), (20, DAY)])
    owner = balance.owner
    deduct(balance, 30, at=LATER)  # number3: 20 of the expiring grant, 10 of the permanent one
    captured = hold(balance, 30, at=LATER)
    capture(captured, 25, at=LATER)  # number4
    placed = hold(balance, 15, at=LATER, expires_in=DAY)
    purchase = operations.add_credits(owner=owner, amount=40, type="purchase", idempotency_key="k", at=LATER)
    operations.deduct_credits(owner=owner, feature="simple-ai-insight", at=LATER)  # number6
    reverse(balance.transactions.get(pk=purchase.transaction.id), 5, at=LATER)  # number7
    operations.add_credits(owner=owner, amount=7, type="promotion", expires_at=LATER + HOUR, at=LATER)
    operations.expire_credits(balance_ids=[balance.pk], at=EVENING)  # number9
    # A balance in debt: 10 purchased, 4 used, 10 reversed.
    debtor = make_balance(grants=[(10, None)], type="purchase")
    deduct(debtor, 4)
    reverse(debtor.transactions.get(sequence=1), 10)
    operations.set_limit(owner=debtor.owner, amount=50, period="day", at=NOON)
    # A balance whose transactions are aggregated, except the last.
    aggregated = make_balance(grants=[(50, None)], unit_price=Decimal("0.10"))
    deduct(aggregated, 5)
    operations.aggregate_usage(balance_ids=[aggregated.pk], most=9)
    deduct(aggregated, 6)
    transactions = {t.sequence: t for t in balance.transactions.prefetch_related("entries", "opened_grants")}
    assert len(transactions) == 9
    return SimpleNamespace(
        balance=balance.pk,
        debtor=debtor.pk,
        aggregated=aggregated.pk,
        rollup=aggregated.rollups.get(type="usage").pk,
        priced=aggregated.grants.get().pk,
        debt_entry=debtor.entries.get(grant=None).pk,
        permanent=transactions[1].opened_grants.get().pk,
        expiring=transactions[2].opened_grants.get().pk,
        purchased=transactions[5].opened_grants.get().pk,
        short_lived=transactions[8].opened_grants.get().pk,
        captured=captured.pk,
        placed=placed.pk,
        pin=placed.pins.get().pk,
        request=balance.requests.get().pk,
        limit=debtor.limits.get().pk,
        unknown=uuid4(),
        **{f"number{sequence}": transaction.pk for sequence, transaction in transactions.items()},
        **{
            f"entry{sequence}_{entry.position}": entry.pk
            for sequence, transaction in transactions.items()
            for entry in transaction.entries.all()
        },
    )
