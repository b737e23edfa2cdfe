import json
import re
from dataclasses import asdict, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from credits.domain import constants, hash_chain
from credits.domain.records import Entry, Grant, GrantDelta, Transaction, TransactionDetails
from credits.engine.idempotency import build_request
from credits.engine.locked_balance import lock_balance
from credits.models import CreditTransaction
from fluxori.core.ids import uuid7
from fluxori.db.transactions import transaction_with_retry
from tests.support.database import as_owner
from tests.support.factories.credits import deduct, make_balance
from tests.support.times import NOON

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "ledger-hash.md").read_text(encoding="utf-8")
[VECTOR_JSON] = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
VECTOR = json.loads(VECTOR_JSON)
*_, FIRST_BYTES, HASH = re.findall(r"```\n([0-9a-f]+)\n```", PAGE)
INSTANTS = {"timestamp", "recorded_at", "effective_at", "expires_at", "roll_until"}
TRANSACTION = ("id", "balance_id", "sequence", "type", "amount", "balance_after", "timestamp", "recorded_at")


def read(fields):
    """Return the JSON values of the vector as Python objects."""
    values = {}
    for name, value in fields.items():
        if name in {"entries", "opened"} or value is None:
            values[name] = value
        elif name in INSTANTS:
            values[name] = datetime.fromisoformat(value)
        elif name == "previous_hash":
            values[name] = bytes.fromhex(value)
        elif name == "unit_price":
            values[name] = Decimal(value)
        elif name.endswith("id") and name not in {"reference_id", "request_id", "feature_id"}:
            values[name] = UUID(value)
        else:
            values[name] = value
    return values


def vector():
    """Return the transaction of the documented vector."""
    fields = read(VECTOR)
    return Transaction(
        **{name: fields[name] for name in TRANSACTION},
        details=TransactionDetails(**{name: fields.get(name) for name in TransactionDetails.__dataclass_fields__}),
        entries=[Entry(**read(entry)) for entry in VECTOR["entries"]],
        opened=[Grant(**read(grant), remaining=0, held=0) for grant in VECTOR["opened"]],
        previous_hash=fields["previous_hash"],
        hash_version=fields["hash_version"],
    )


def insert(cursor, table, columns):
    names, places = ", ".join(columns), ", ".join(["%s"] * len(columns))
    cursor.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", list(columns.values()))


class TestDocumentedVector:
    def test_python_computes_the_documented_hash(self):
        preimage = hash_chain.preimage(vector())

        assert preimage.hex().startswith(FIRST_BYTES)
        assert f"{len(preimage)} bytes are hashed" in PAGE
        assert hash_chain.transaction_hash(vector()).hex() == HASH

    def test_a_transfer_ends_with_its_counterpart(self):
        plain, transfer = vector(), vector()
        transfer.details = replace(plain.details, counterpart_id=plain.id)

        added = hash_chain.preimage(transfer).removeprefix(hash_chain.preimage(plain))

        assert added == (36).to_bytes(4, "big") + str(plain.id).encode()

    @pytest.mark.django_db
    def test_postgresql_computes_the_documented_hash(self):
        recorded = vector()
        parents = {"balance_id": recorded.balance_id, "transaction_id": recorded.id}
        row = {name: getattr(recorded, name) for name in (*TRANSACTION, "previous_hash", "hash_version")}
        with as_owner(), connection.cursor() as cursor:
            # The rows of the vector have no parents, so foreign keys must not be checked.
            cursor.execute("SET LOCAL session_replication_role = replica")
            insert(
                cursor,
                "credits_credittransaction",
                {**row, **asdict(recorded.details), "hash": bytes.fromhex(HASH)},
            )
            for entry in recorded.entries:
                insert(cursor, "credits_creditentry", {**asdict(entry), **parents})
            for grant in recorded.opened:
                insert(cursor, "credits_creditgrant", {**asdict(grant), **parents, "remaining": 40, "live": True})
            cursor.execute("SELECT credits_transaction_hash(t) FROM credits_credittransaction t")
            [(computed,)] = cursor.fetchall()

        assert bytes(computed).hex() == HASH


# Every text that a text column of PostgreSQL can store.
texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=60)
ids = st.none() | st.uuids()
prices = (
    st.none() | st.decimals(0, 10**11, places=6) | st.sampled_from([Decimal("-0"), Decimal("1E+3"), Decimal("0E-9")])
)
instants = st.none() | st.datetimes(datetime(2025, 3, 4), datetime(2999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
details_of_transactions = st.builds(
    TransactionDetails,
    description=texts,
    reference_id=texts,
    actor_id=ids,
    member_id=ids,
    idempotency_key=st.none() | texts,
    reason=texts,
    request_id=texts,
    metadata=st.none() | texts,
) | st.builds(
    TransactionDetails,
    feature_id=st.text("abcdefgh-", min_size=1, max_size=64),
    price_id=st.uuids(),
    quantity=st.integers(1, 10**12),
)


@transaction_with_retry
def post(balance, details, amount, unit_price, expires_at):
    """Record a promotion and a usage with these details, without the validation of an operation."""
    request = build_request("test", actor=None, key=None)
    grant = Grant(uuid7(), "promotion", amount, 0, 0, 50, NOON, expires_at, unit_price=unit_price)
    with lock_balance(balance.owner, at=NOON) as locked:
        locked.state.post("promotion", NOON, [GrantDelta(grant, amount)], details, opened=[grant])
        locked.state.post("usage", NOON, [GrantDelta(grant, -amount)], details)
        locked.record(request)


@pytest.mark.django_db
class TestPythonAndPostgreSQL:
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        details=details_of_transactions,
        amount=st.integers(1, constants.MAX_CREDITS),
        unit_price=prices,
        expires_at=instants,
    )
    def test_compute_the_same_hash_for_any_details(self, details, amount, unit_price, expires_at):
        balance = make_balance()
        post(balance, details, amount, unit_price, expires_at)

        assert changed_sequences(balance) == []

    def test_compute_different_hashes_after_a_column_was_changed(self):
        balance = make_balance()
        deduct(balance, 5)
        with as_owner(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute("UPDATE credits_credittransaction SET description = 'Another word' WHERE sequence = 2")

        assert changed_sequences(balance) == [2]


def changed_sequences(balance):
    """Return the sequences of the transactions whose stored hash, computed by Python, differs from PostgreSQL's."""
    stored = CreditTransaction.objects.filter(balance=balance)
    return list(
        stored.extra(where=["hash <> credits_transaction_hash(credits_credittransaction)"]).values_list(
            "sequence", flat=True
        )
    )
