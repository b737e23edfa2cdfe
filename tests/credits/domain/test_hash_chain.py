import json
import re
from dataclasses import asdict
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
from tests.support.factories.credits import deduct, make_balance
from tests.support.times import NOON

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "ledger-hash.md").read_text(encoding="utf-8")
[SPELLED] = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
VECTOR = json.loads(SPELLED)
*_, BEGINNING, HASH = re.findall(r"```\n([0-9a-f]+)\n```", PAGE)
INSTANTS = {"timestamp", "recorded_at", "effective_at", "expires_at", "roll_until"}
TRANSACTION = ("id", "balance_id", "sequence", "type", "amount", "balance_after", "timestamp", "recorded_at")


def read(fields):
    """Return the vector's JSON values as what they stand for."""
    made = {}
    for name, value in fields.items():
        if name in {"entries", "opened"} or value is None:
            made[name] = value
        elif name in INSTANTS:
            made[name] = datetime.fromisoformat(value)
        elif name == "previous_hash":
            made[name] = bytes.fromhex(value)
        elif name == "unit_price":
            made[name] = Decimal(value)
        elif name.endswith("id") and name not in {"reference_id", "request_id", "feature_id"}:
            made[name] = UUID(value)
        else:
            made[name] = value
    return made


def vector():
    """Return the transaction of the documented vector."""
    said = read(VECTOR)
    return Transaction(
        **{name: said[name] for name in TRANSACTION},
        details=TransactionDetails(**{name: said[name] for name in TransactionDetails.__dataclass_fields__}),
        entries=[Entry(**read(fields)) for fields in VECTOR["entries"]],
        opened=[Grant(**read(fields), remaining=0, held=0) for fields in VECTOR["opened"]],
        previous_hash=said["previous_hash"],
        hash_version=said["hash_version"],
    )


def insert(cursor, table, columns):
    names, places = ", ".join(columns), ", ".join(["%s"] * len(columns))
    cursor.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", list(columns.values()))


class TestDocumentedVector:
    def test_is_what_python_computes(self):
        preimage = hash_chain.preimage(vector())

        assert preimage.hex().startswith(BEGINNING)
        assert f"{len(preimage)} bytes are hashed" in PAGE
        assert hash_chain.transaction_hash(vector()).hex() == HASH

    @pytest.mark.django_db
    def test_is_what_postgresql_computes(self):
        recorded = vector()
        within = {"balance_id": recorded.balance_id, "transaction_id": recorded.id}
        row = {name: getattr(recorded, name) for name in (*TRANSACTION, "previous_hash", "hash_version")}
        with connection.cursor() as cursor:
            # The vector owes nothing to a ledger: its rows stand alone, so no key is asked.
            cursor.execute("SET LOCAL session_replication_role = replica")
            insert(
                cursor,
                "credits_credittransaction",
                {**row, **asdict(recorded.details), "hash": bytes.fromhex(HASH)},
            )
            for entry in recorded.entries:
                insert(cursor, "credits_creditentry", {**asdict(entry), **within})
            for grant in recorded.opened:
                insert(cursor, "credits_creditgrant", {**asdict(grant), **within, "remaining": 40, "live": True})
            cursor.execute("SELECT credits_transaction_hash(t) FROM credits_credittransaction t")
            [(computed,)] = cursor.fetchall()

        assert bytes(computed).hex() == HASH


# Everything a text column of PostgreSQL can hold.
texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=60)
ids = st.none() | st.uuids()
prices = (
    st.none() | st.decimals(0, 10**11, places=6) | st.sampled_from([Decimal("-0"), Decimal("1E+3"), Decimal("0E-9")])
)
instants = st.none() | st.datetimes(datetime(2025, 3, 4), datetime(2999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
details = st.builds(
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
def post(balance, said, amount, unit_price, expires_at):
    """Record a promotion of odd facts and all of it as spent, with no look at what an operation would refuse."""
    request = build_request("odd", actor=None, key=None)
    grant = Grant(uuid7(), "promotion", amount, 0, 0, 50, NOON, expires_at, unit_price=unit_price)
    with lock_balance(balance.owner, at=NOON) as page:
        page.book.post("promotion", NOON, [GrantDelta(grant, amount)], said, opened=[grant])
        page.book.post("usage", NOON, [GrantDelta(grant, -amount)], said)
        page.record(request)


@pytest.mark.django_db
class TestPythonAndPostgreSQL:
    @settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(said=details, amount=st.integers(1, constants.MAX_CREDITS), unit_price=prices, expires_at=instants)
    def test_agree_whatever_is_said(self, said, amount, unit_price, expires_at):
        balance = make_balance()
        post(balance, said, amount, unit_price, expires_at)

        assert disagreements(balance) == []

    def test_disagree_when_a_column_was_changed(self):
        balance = make_balance()
        deduct(balance, 5)
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute("UPDATE credits_credittransaction SET description = 'Another word' WHERE sequence = 2")

        assert disagreements(balance) == [2]


def disagreements(balance):
    """Return the numbers of the transactions whose stored hash, made by Python, is not what PostgreSQL computes."""
    stored = CreditTransaction.objects.filter(balance=balance)
    return list(
        stored.extra(where=["hash <> credits_transaction_hash(credits_credittransaction)"]).values_list(
            "sequence", flat=True
        )
    )
