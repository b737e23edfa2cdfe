"""Each fence of the ledger, and an attempt to break it. What several rows must show together is verify_ledger's."""

from uuid import uuid4

import pytest
from django.db import DatabaseError, IntegrityError, ProgrammingError, connection, transaction
from django.db.models import F, ProtectedError

from credits import operations
from credits.models import (
    CreditBalance,
    CreditEntry,
    CreditGrant,
    CreditHold,
    CreditPin,
    CreditRequest,
    CreditTransaction,
    SpendingLimit,
)
from fluxori.identity.models import User
from tests.support.database import as_owner
from tests.support.factories.credits import capture, deduct, hold, make_balance
from tests.support.times import DAY, NOON

LEDGER = [
    CreditBalance,
    CreditEntry,
    CreditGrant,
    CreditHold,
    CreditPin,
    CreditRequest,
    CreditTransaction,
    SpendingLimit,
]
FOREVER = [CreditEntry, CreditPin, CreditRequest, CreditTransaction]


def name(model):
    return model.__name__


@pytest.fixture(autouse=True)
def _as_owner(db):
    """These rules bind the owner of the tables too. Other roles lack the privilege already."""
    with as_owner():
        yield


@pytest.fixture
def balance(db):
    """Return a balance with a row in every table of the ledger, one hold open and one captured."""
    balance = make_balance(grants=[(100, None)])
    deduct(balance, 10, idempotency_key="k")
    capture(hold(balance, 20), 20)
    hold(balance, 5)
    operations.set_limit(owner=balance.owner, amount=50, period="day", at=NOON)
    balance.refresh_from_db()
    return balance


def run(sql, *parameters):
    with transaction.atomic(), connection.cursor() as cursor:
        # Keys between rows of one balance are checked at once; those to people when the transaction ends.
        cursor.execute(sql, parameters)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


@pytest.mark.django_db
class TestAppendOnly:
    @pytest.mark.parametrize("model", LEDGER, ids=name)
    def test_rejects_delete_by_orm(self, balance, model):
        with pytest.raises((ProgrammingError, ProtectedError)), transaction.atomic():
            model.objects.first().delete()

    @pytest.mark.parametrize("model", LEDGER, ids=name)
    def test_rejects_delete_by_sql(self, balance, model):
        with pytest.raises(ProgrammingError, match=r"Cannot (update or )?delete"):
            run(f"DELETE FROM {model._meta.db_table}")

    @pytest.mark.parametrize("model", LEDGER, ids=name)
    def test_rejects_truncate(self, balance, model):
        with pytest.raises(ProgrammingError, match="Cannot truncate"):
            run(f"SET CONSTRAINTS ALL IMMEDIATE; TRUNCATE {model._meta.db_table} CASCADE")

    @pytest.mark.parametrize("model", FOREVER, ids=name)
    def test_rejects_save_of_a_changed_row(self, balance, model):
        row = model.objects.first()

        with pytest.raises(ProgrammingError, match="Cannot update"), transaction.atomic():
            row.save()

    @pytest.mark.parametrize("model", FOREVER, ids=name)
    def test_rejects_update_by_orm(self, balance, model):
        with pytest.raises(ProgrammingError, match="Cannot update"), transaction.atomic():
            model.objects.update(balance_id=F("balance_id"))

    @pytest.mark.parametrize("model", FOREVER, ids=name)
    def test_rejects_bulk_update(self, balance, model):
        with pytest.raises(ProgrammingError, match="Cannot update"):
            model.objects.bulk_update(model.objects.all(), ["balance_id"])

    @pytest.mark.parametrize("model", FOREVER, ids=name)
    def test_rejects_update_by_sql(self, balance, model):
        with pytest.raises(ProgrammingError, match="Cannot update"):
            run(f"UPDATE {model._meta.db_table} SET id = id")

    def test_rejects_deletion_of_the_owner(self, balance):
        with pytest.raises(ProtectedError):
            User.objects.get(pk=balance.pk).delete()
        with pytest.raises(IntegrityError):
            run("DELETE FROM identity_user WHERE id = %s", balance.pk)


@pytest.mark.django_db
class TestTransaction:
    """A made-up transaction, or a share of one, does not get in."""

    @pytest.fixture
    def insert(self, balance):
        last = CreditTransaction.objects.get(balance=balance, sequence=balance.sequence)

        def insert(**changes):
            columns = {field.attname: getattr(last, field.attname) for field in CreditTransaction._meta.concrete_fields}
            columns |= {"id": uuid4(), "sequence": last.sequence + 1, **changes}
            places = ", ".join(["%s"] * len(columns))
            run(f"INSERT INTO credits_credittransaction ({', '.join(columns)}) VALUES ({places})", *columns.values())

        return insert

    def test_accepts_a_correct_row(self, insert):
        insert()

    def test_rejects_a_duplicate_sequence(self, insert, balance):
        with pytest.raises(IntegrityError, match="credits_transaction_unique_sequence"):
            insert(sequence=balance.sequence)

    @pytest.mark.parametrize(
        ("kind", "amount"),
        [
            *[(kind, amount) for kind in ("allocation", "purchase", "promotion", "refund") for amount in (0, -1)],
            *[(kind, amount) for kind in ("usage", "expiry", "void") for amount in (0, 1)],
            ("reversal", 1),
            ("rollover", 1),
            ("rollover", -1),
            ("gift", 1),
        ],
    )
    def test_rejects_an_amount_that_does_not_match_the_type(self, insert, kind, amount):
        with pytest.raises(IntegrityError, match="credits_transaction_type_fits_amount"):
            insert(type=kind, amount=amount)

    @pytest.mark.parametrize("reference", ["hold_id", "reverses_id"])
    def test_rejects_a_reference_to_another_balance(self, insert, reference):
        stranger = make_balance()
        theirs = {"hold_id": hold(stranger, 1).pk, "reverses_id": stranger.transactions.get().pk}

        with pytest.raises(IntegrityError, match=r"credits_transaction_(for_hold|reverses)"):
            insert(**{reference: theirs[reference]})

    def test_rejects_a_hash_of_the_wrong_length(self, insert):
        with pytest.raises(IntegrityError, match="credits_transaction_hashes_are_sha256"):
            insert(hash=b"short")

    def test_rejects_a_price_without_a_feature(self, insert):
        with pytest.raises(IntegrityError, match="credits_transaction_price_complete"):
            insert(price_id=uuid4())
        with pytest.raises(IntegrityError, match="credits_transaction_price_complete"):
            insert(price_id=uuid4(), feature_id="simple-ai-insight", quantity=None)


@pytest.mark.django_db
class TestEntry:
    @pytest.fixture
    def insert(self, balance):
        known = CreditEntry.objects.filter(balance=balance).first()

        def insert(**changes):
            columns = {field.attname: getattr(known, field.attname) for field in CreditEntry._meta.concrete_fields}
            columns |= {"id": uuid4(), "position": 9, **changes}
            places = ", ".join(["%s"] * len(columns))
            run(f"INSERT INTO credits_creditentry ({', '.join(columns)}) VALUES ({places})", *columns.values())

        return insert

    def test_rejects_a_second_entry_for_one_grant(self, insert):
        with pytest.raises(IntegrityError, match="credits_entry_unique_grant"):
            insert()

    def test_rejects_a_second_entry_for_debt(self, insert):
        insert(grant_id=None, remaining_after=None)

        with pytest.raises(IntegrityError, match="credits_entry_unique_grant"):
            insert(grant_id=None, remaining_after=None, position=10)

    def test_rejects_a_duplicate_position(self, insert, balance):
        with pytest.raises(IntegrityError, match="credits_entry_unique_position"):
            insert(grant_id=None, remaining_after=None, position=0)

    @pytest.mark.parametrize(
        ("constraint", "changes"),
        [
            ("credits_entry_amount_not_zero", {"amount": 0}),
            ("credits_entry_position_not_negative", {"position": -1}),
            ("credits_entry_remaining_after_valid", {"remaining_after": None}),
            ("credits_entry_remaining_after_valid", {"remaining_after": -1}),
            ("credits_entry_remaining_after_valid", {"grant_id": None}),
        ],
    )
    def test_rejects_an_inconsistent_row(self, insert, constraint, changes):
        with pytest.raises(IntegrityError, match=constraint):
            insert(**changes)

    def test_rejects_a_reference_to_another_balance(self, insert):
        stranger = make_balance()

        with pytest.raises(IntegrityError, match="credits_entry_on_grant"):
            insert(grant_id=stranger.grants.get().pk)
        with pytest.raises(IntegrityError, match="credits_entry_of_transaction"):
            insert(transaction_id=stranger.transactions.get().pk)


@pytest.mark.django_db
class TestBalance:
    @pytest.mark.parametrize(
        ("constraint", "change"),
        [
            ("credits_balance_remaining_not_negative", "version = version + 1, held = balance + 1"),
            ("credits_balance_debt_without_remaining", "version = version + 1, debt = 1"),
            ("credits_balance_counts_not_negative", "version = version + 1, held = -1"),
            ("credits_balance_counts_not_negative", "version = version + 1, debt = -1"),
            ("credits_balance_one_owner", "user_id = NULL, version = version + 1"),
            ("credits_balance_head_is_sha256", "version = version + 1, sequence = sequence + 1, head_hash = 'short'"),
        ],
    )
    def test_rejects_inconsistent_amounts(self, balance, constraint, change):
        with pytest.raises(DatabaseError, match=f"{constraint}|Cannot update"):
            run(f"UPDATE credits_creditbalance SET {change} WHERE id = %s", balance.pk)

    @pytest.mark.parametrize(
        "change",
        [
            "version = version",
            "version = version - 1",
            "version = version + 1, sequence = sequence - 1",
            "version = version + 1, last_at = last_at - interval '1 microsecond'",
            "version = version + 1, balance = balance + 1",
            "version = version + 1, head_hash = sha256('x')",
        ],
    )
    def test_rejects_a_decrease_of_monotonic_columns(self, balance, change):
        with pytest.raises(ProgrammingError, match="Cannot update"):
            run(f"UPDATE credits_creditbalance SET {change} WHERE id = %s", balance.pk)

    @pytest.mark.parametrize("change", ["id = gen_random_uuid()", "user_id = NULL", "created_at = now()"])
    def test_rejects_a_change_of_the_owner(self, balance, change):
        with pytest.raises(ProgrammingError, match="Cannot update"):
            run(f"UPDATE credits_creditbalance SET version = version + 1, {change} WHERE id = %s", balance.pk)

    def test_requires_exactly_one_owner_with_the_same_id(self, balance):
        values = {"last_at": NOON, "created_at": NOON}
        someone = User.objects.create_user("someone@example.test")

        with pytest.raises(IntegrityError, match=r"one_owner|id_is_owner"), transaction.atomic():
            CreditBalance.objects.create(id=uuid4(), **values)
        with pytest.raises(IntegrityError, match="credits_balance_id_is_owner"), transaction.atomic():
            CreditBalance.objects.create(id=uuid4(), user=someone, **values)


@pytest.mark.django_db
class TestGrant:
    FACTS = [
        "transaction_id = gen_random_uuid()",
        "parent_id = id",
        "source = 'purchase'",
        "amount = amount + 1",
        "priority = 1",
        "effective_at = effective_at - interval '1 hour'",
        "expires_at = effective_at + interval '1 hour'",
        "unit_price = 1",
        "roll_cap = 1",
        "feature_id = 'simple-ai-insight'",
    ]

    @pytest.mark.parametrize("change", FACTS)
    def test_rejects_a_change_of_immutable_columns(self, balance, change):
        with pytest.raises(ProgrammingError, match="Cannot update"):
            run(f"UPDATE credits_creditgrant SET {change}")

    @pytest.mark.parametrize(
        ("constraint", "change"),
        [
            ("credits_grant_remaining_within_amount", "remaining = -1"),
            ("credits_grant_remaining_within_amount", "held = -1"),
            ("credits_grant_remaining_within_amount", "remaining = amount + 1"),
            ("credits_grant_remaining_within_amount", "remaining = amount, held = 1"),
            ("credits_grant_live_iff_credits", "live = false"),
            ("credits_grant_live_iff_credits", "remaining = 0, held = 0"),
            ("credits_grant_voided_without_remaining", "voided_at = now()"),
        ],
    )
    def test_rejects_inconsistent_amounts(self, balance, constraint, change):
        with pytest.raises(IntegrityError, match=constraint):
            run(f"UPDATE credits_creditgrant SET {change}")

    def test_rejects_a_change_of_voided_at(self, balance):
        run("UPDATE credits_creditgrant SET remaining = 0, voided_at = now()")

        with pytest.raises(ProgrammingError, match="Cannot update"):
            run("UPDATE credits_creditgrant SET voided_at = NULL")

    @pytest.mark.parametrize(
        ("constraint", "changes"),
        [
            ("credits_grant_amount_in_range", {"amount": 0}),
            ("credits_grant_amount_in_range", {"amount": 10**12 + 1}),
            ("credits_grant_priority_in_range", {"priority": 101}),
            ("credits_grant_expires_after_effective", {"expires_at": NOON}),
            ("credits_grant_unit_price_not_negative", {"unit_price": -1}),
            ("credits_grant_source_valid", {"source": "gift"}),
            ("credits_grant_rollover_valid", {"roll_cap": 5}),
            ("credits_grant_rollover_valid", {"expires_at": NOON + DAY, "roll_until": NOON + 2 * DAY}),
        ],
    )
    def test_rejects_inconsistent_terms(self, balance, constraint, changes):
        grant = balance.grants.get()
        for field, value in {"id": uuid4(), "remaining": 0, "held": 0, "live": False, **changes}.items():
            setattr(grant, field, value)

        with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
            CreditGrant.objects.bulk_create([grant])

    @pytest.mark.parametrize(("reference", "constraint"), [("transaction_id", "opened_by"), ("parent_id", "child_of")])
    def test_rejects_a_reference_to_another_balance(self, balance, reference, constraint):
        stranger = make_balance()
        theirs = {"transaction_id": stranger.transactions.get().pk, "parent_id": stranger.grants.get().pk}
        grant = balance.grants.get()
        grant.pk = uuid4()
        setattr(grant, reference, theirs[reference])

        with pytest.raises(IntegrityError, match=f"credits_grant_{constraint}"), transaction.atomic():
            CreditGrant.objects.bulk_create([grant])


@pytest.mark.django_db
class TestHold:
    def test_rejects_a_change_of_a_closed_hold(self, balance):
        captured = balance.holds.get(status="captured")

        with pytest.raises(ProgrammingError, match="Cannot update"), transaction.atomic():
            CreditHold.objects.filter(pk=captured.pk).update(status="open", captured=0, closed_at=None)
        with pytest.raises(ProgrammingError, match="Cannot update"), transaction.atomic():
            CreditHold.objects.filter(pk=captured.pk).update(captured=19)

    @pytest.mark.parametrize("change", ["amount = amount + 1", "created_at = now()", "description = 'Another'"])
    def test_rejects_a_change_of_immutable_columns(self, balance, change):
        with pytest.raises(ProgrammingError, match="Cannot update"):
            run(f"UPDATE credits_credithold SET {change} WHERE status = 'open'")

    @pytest.mark.parametrize(
        "change",
        [
            "status = 'captured', captured = 5",
            "status = 'captured', closed_at = created_at",
            "status = 'released', closed_at = created_at, captured = 1",
            "status = 'lapsed', closed_at = created_at - interval '1 hour'",
            "closed_at = created_at",
            "status = 'lost', closed_at = created_at",
        ],
    )
    def test_rejects_an_inconsistent_status(self, balance, change):
        with pytest.raises(IntegrityError, match="credits_hold_status_consistent"):
            run(f"UPDATE credits_credithold SET {change} WHERE status = 'open'")

    def test_rejects_a_pin_on_a_grant_of_another_balance(self, balance):
        stranger = make_balance()
        placed = balance.holds.get(status="open")
        pin = CreditPin(balance=balance, hold=placed, grant=stranger.grants.get(), position=1, amount=1)

        with pytest.raises(IntegrityError, match="credits_pin_on_grant"), transaction.atomic():
            pin.save(force_insert=True)

    def test_rejects_a_second_pin_on_one_grant(self, balance):
        placed = balance.holds.get(status="open")
        pin = CreditPin(balance=balance, hold=placed, grant=balance.grants.get(), position=1, amount=1)

        with pytest.raises(IntegrityError, match="credits_pin_unique_grant"), transaction.atomic():
            pin.save(force_insert=True)


@pytest.mark.django_db
class TestRequest:
    def test_key_is_unique_per_balance_and_caller(self, balance):
        request = balance.requests.get()
        request.pk = uuid4()

        with pytest.raises(IntegrityError, match="credits_request_unique_key"), transaction.atomic():
            request.save(force_insert=True)

    @pytest.mark.parametrize(("reference", "constraint"), [("transaction_id", "transaction"), ("hold_id", "hold")])
    def test_rejects_a_reference_to_another_balance(self, balance, reference, constraint):
        stranger = make_balance()
        theirs = {"transaction_id": stranger.transactions.get().pk, "hold_id": hold(stranger, 1).pk}
        request = balance.requests.get()
        request.pk, request.key = uuid4(), "another"
        setattr(request, reference, theirs[reference])

        with pytest.raises(IntegrityError, match=f"credits_request_wrote_{constraint}"), transaction.atomic():
            request.save(force_insert=True)


@pytest.mark.django_db
class TestLimit:
    @pytest.mark.parametrize("change", ["period = 'month'", "member_id = gen_random_uuid()", "id = gen_random_uuid()"])
    def test_rejects_a_change_of_immutable_columns(self, balance, change):
        with pytest.raises(ProgrammingError, match="Cannot update"):
            run(f"UPDATE credits_spendinglimit SET {change}")

    @pytest.mark.parametrize("change", ["window_starts_at = '2025-03-02Z'", "set_at = set_at - interval '1 hour'"])
    def test_rejects_a_decrease_of_monotonic_columns(self, balance, change):
        with pytest.raises(ProgrammingError, match="Cannot update"):
            run(f"UPDATE credits_spendinglimit SET {change}")

    def test_rejects_a_change_of_a_removed_limit(self, balance):
        run("UPDATE credits_spendinglimit SET removed_at = set_at")

        for change in ("removed_at = NULL", "amount = amount + 1"):
            with pytest.raises(ProgrammingError, match="Cannot update"):
                run(f"UPDATE credits_spendinglimit SET {change}")

    @pytest.mark.parametrize(
        ("constraint", "changes"),
        [
            ("credits_limit_amount_in_range", {"amount": -1}),
            ("credits_limit_amount_in_range", {"amount": 10**12 + 1}),
            ("credits_limit_used_not_negative", {"used": -1}),
            ("credits_limit_period_valid", {"period": "year", "window_starts_at": "2025-01-01T00:00:00Z"}),
            ("credits_limit_window_of_the_calendar", {"window_starts_at": NOON}),
            ("credits_limit_window_of_the_calendar", {"period": "month"}),
            ("credits_limit_unique_period", {}),
        ],
    )
    def test_rejects_inconsistent_values(self, balance, constraint, changes):
        limit = balance.limits.get()
        for field, value in {"id": uuid4(), **changes}.items():
            setattr(limit, field, value)

        with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
            SpendingLimit.objects.bulk_create([limit])
