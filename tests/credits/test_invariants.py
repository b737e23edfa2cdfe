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
    def test_refuses_delete_by_orm(self, balance, model):
        with pytest.raises((ProgrammingError, ProtectedError)), transaction.atomic():
            model.objects.first().delete()

    @pytest.mark.parametrize("model", LEDGER, ids=name)
    def test_refuses_delete_by_sql(self, balance, model):
        with pytest.raises(ProgrammingError, match=r"Cannot (update or )?delete"):
            run(f"DELETE FROM {model._meta.db_table}")

    @pytest.mark.parametrize("model", LEDGER, ids=name)
    def test_refuses_truncate(self, balance, model):
        with pytest.raises(ProgrammingError, match="Cannot truncate"):
            run(f"SET CONSTRAINTS ALL IMMEDIATE; TRUNCATE {model._meta.db_table} CASCADE")

    @pytest.mark.parametrize("model", FOREVER, ids=name)
    def test_refuses_save_of_a_changed_row(self, balance, model):
        row = model.objects.first()

        with pytest.raises(ProgrammingError, match="Cannot update"), transaction.atomic():
            row.save()

    @pytest.mark.parametrize("model", FOREVER, ids=name)
    def test_refuses_update_by_orm(self, balance, model):
        with pytest.raises(ProgrammingError, match="Cannot update"), transaction.atomic():
            model.objects.update(balance_id=F("balance_id"))

    @pytest.mark.parametrize("model", FOREVER, ids=name)
    def test_refuses_bulk_update(self, balance, model):
        with pytest.raises(ProgrammingError, match="Cannot update"):
            model.objects.bulk_update(model.objects.all(), ["balance_id"])

    @pytest.mark.parametrize("model", FOREVER, ids=name)
    def test_refuses_update_by_sql(self, balance, model):
        with pytest.raises(ProgrammingError, match="Cannot update"):
            run(f"UPDATE {model._meta.db_table} SET id = id")

    def test_refuses_to_lose_the_owner(self, balance):
        with pytest.raises(ProtectedError):
            User.objects.get(pk=balance.pk).delete()
        with pytest.raises(IntegrityError):
            run("DELETE FROM identity_user WHERE id = %s", balance.pk)


@pytest.mark.django_db
class TestTransactions:
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

    def test_let_a_next_one_in(self, insert):
        insert()

    def test_refuse_a_number_twice(self, insert, balance):
        with pytest.raises(IntegrityError, match="credits_transaction_numbered"):
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
    def test_refuse_an_amount_that_does_not_fit_the_type(self, insert, kind, amount):
        with pytest.raises(IntegrityError, match="credits_transaction_type_fits_amount"):
            insert(type=kind, amount=amount)

    @pytest.mark.parametrize("reference", ["hold_id", "reverses_id"])
    def test_refuse_to_refer_to_another_balance(self, insert, reference):
        stranger = make_balance()
        theirs = {"hold_id": hold(stranger, 1).pk, "reverses_id": stranger.transactions.get().pk}

        with pytest.raises(IntegrityError, match=r"credits_transaction_(for_hold|reverses)"):
            insert(**{reference: theirs[reference]})

    def test_refuse_a_hash_of_another_length(self, insert):
        with pytest.raises(IntegrityError, match="credits_transaction_hashes_are_sha256"):
            insert(hash=b"short")

    def test_refuse_a_price_without_its_feature(self, insert):
        with pytest.raises(IntegrityError, match="credits_transaction_priced_by_feature"):
            insert(price_id=uuid4())
        with pytest.raises(IntegrityError, match="credits_transaction_priced_by_feature"):
            insert(price_id=uuid4(), feature_id="simple-ai-insight", quantity=None)


@pytest.mark.django_db
class TestEntries:
    @pytest.fixture
    def insert(self, balance):
        known = CreditEntry.objects.filter(balance=balance).first()

        def insert(**changes):
            columns = {field.attname: getattr(known, field.attname) for field in CreditEntry._meta.concrete_fields}
            columns |= {"id": uuid4(), "position": 9, **changes}
            places = ", ".join(["%s"] * len(columns))
            run(f"INSERT INTO credits_creditentry ({', '.join(columns)}) VALUES ({places})", *columns.values())

        return insert

    def test_refuse_a_second_share_of_one_grant(self, insert):
        with pytest.raises(IntegrityError, match="credits_entry_one_per_grant"):
            insert()

    def test_refuse_a_second_share_of_the_debt(self, insert):
        insert(grant_id=None, remaining_after=None)

        with pytest.raises(IntegrityError, match="credits_entry_one_per_grant"):
            insert(grant_id=None, remaining_after=None, position=10)

    def test_refuse_two_in_one_place(self, insert, balance):
        with pytest.raises(IntegrityError, match="credits_entry_in_place"):
            insert(grant_id=None, remaining_after=None, position=0)

    @pytest.mark.parametrize(
        ("fence", "changes"),
        [
            ("credits_entry_moves_something", {"amount": 0}),
            ("credits_entry_placed_from_zero", {"position": -1}),
            ("credits_entry_says_what_remains", {"remaining_after": None}),
            ("credits_entry_says_what_remains", {"remaining_after": -1}),
            ("credits_entry_says_what_remains", {"grant_id": None}),
        ],
    )
    def test_refuse_what_one_row_can_show(self, insert, fence, changes):
        with pytest.raises(IntegrityError, match=fence):
            insert(**changes)

    def test_refuse_to_refer_to_another_balance(self, insert):
        stranger = make_balance()

        with pytest.raises(IntegrityError, match="credits_entry_on_grant"):
            insert(grant_id=stranger.grants.get().pk)
        with pytest.raises(IntegrityError, match="credits_entry_of_transaction"):
            insert(transaction_id=stranger.transactions.get().pk)


@pytest.mark.django_db
class TestBalances:
    @pytest.mark.parametrize(
        ("fence", "change"),
        [
            ("credits_balance_remaining_not_negative", "version = version + 1, held = balance + 1"),
            ("credits_balance_debt_leaves_nothing", "version = version + 1, debt = 1"),
            ("credits_balance_counts_not_negative", "version = version + 1, held = -1"),
            ("credits_balance_counts_not_negative", "version = version + 1, debt = -1"),
            ("credits_balance_one_owner", "user_id = NULL, version = version + 1"),
            ("credits_balance_head_is_sha256", "version = version + 1, sequence = sequence + 1, head_hash = 'short'"),
        ],
    )
    def test_refuse_counts_that_cannot_be(self, balance, fence, change):
        with pytest.raises(DatabaseError, match=f"{fence}|Cannot update"):
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
    def test_only_move_forward(self, balance, change):
        with pytest.raises(ProgrammingError, match="Cannot update"):
            run(f"UPDATE credits_creditbalance SET {change} WHERE id = %s", balance.pk)

    @pytest.mark.parametrize("change", ["id = gen_random_uuid()", "user_id = NULL", "created_at = now()"])
    def test_keep_whose_they_are(self, balance, change):
        with pytest.raises(ProgrammingError, match="Cannot update"):
            run(f"UPDATE credits_creditbalance SET version = version + 1, {change} WHERE id = %s", balance.pk)

    def test_belong_to_one_owner_whose_id_they_have(self, balance):
        values = {"last_at": NOON, "created_at": NOON}
        someone = User.objects.create_user("someone@example.test")

        with pytest.raises(IntegrityError, match=r"one_owner|id_is_owner"), transaction.atomic():
            CreditBalance.objects.create(id=uuid4(), **values)
        with pytest.raises(IntegrityError, match="credits_balance_id_is_owner"), transaction.atomic():
            CreditBalance.objects.create(id=uuid4(), user=someone, **values)


@pytest.mark.django_db
class TestGrants:
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
    def test_keep_the_facts_they_were_given_with(self, balance, change):
        with pytest.raises(ProgrammingError, match="Cannot update"):
            run(f"UPDATE credits_creditgrant SET {change}")

    @pytest.mark.parametrize(
        ("fence", "change"),
        [
            ("credits_grant_never_more_than_given", "remaining = -1"),
            ("credits_grant_never_more_than_given", "held = -1"),
            ("credits_grant_never_more_than_given", "remaining = amount + 1"),
            ("credits_grant_never_more_than_given", "remaining = amount, held = 1"),
            ("credits_grant_live_while_it_holds_credits", "live = false"),
            ("credits_grant_live_while_it_holds_credits", "remaining = 0, held = 0"),
            ("credits_grant_voided_has_nothing_free", "voided_at = now()"),
        ],
    )
    def test_refuse_counts_that_cannot_be(self, balance, fence, change):
        with pytest.raises(IntegrityError, match=fence):
            run(f"UPDATE credits_creditgrant SET {change}")

    def test_stay_voided(self, balance):
        run("UPDATE credits_creditgrant SET remaining = 0, voided_at = now()")

        with pytest.raises(ProgrammingError, match="Cannot update"):
            run("UPDATE credits_creditgrant SET voided_at = NULL")

    @pytest.mark.parametrize(
        ("fence", "changes"),
        [
            ("credits_grant_amount_in_bounds", {"amount": 0}),
            ("credits_grant_amount_in_bounds", {"amount": 10**12 + 1}),
            ("credits_grant_priority_in_bounds", {"priority": 101}),
            ("credits_grant_expires_after_it_begins", {"expires_at": NOON}),
            ("credits_grant_unit_price_not_negative", {"unit_price": -1}),
            ("credits_grant_source_known", {"source": "gift"}),
            ("credits_grant_rolls_at_its_expiry", {"roll_cap": 5}),
            ("credits_grant_rolls_at_its_expiry", {"expires_at": NOON + DAY, "roll_until": NOON + 2 * DAY}),
        ],
    )
    def test_refuse_terms_that_cannot_be(self, balance, fence, changes):
        grant = balance.grants.get()
        for field, value in {"id": uuid4(), "remaining": 0, "held": 0, "live": False, **changes}.items():
            setattr(grant, field, value)

        with pytest.raises(IntegrityError, match=fence), transaction.atomic():
            CreditGrant.objects.bulk_create([grant])

    @pytest.mark.parametrize(("reference", "fence"), [("transaction_id", "opened_by"), ("parent_id", "child_of")])
    def test_refuse_to_refer_to_another_balance(self, balance, reference, fence):
        stranger = make_balance()
        theirs = {"transaction_id": stranger.transactions.get().pk, "parent_id": stranger.grants.get().pk}
        grant = balance.grants.get()
        grant.pk = uuid4()
        setattr(grant, reference, theirs[reference])

        with pytest.raises(IntegrityError, match=f"credits_grant_{fence}"), transaction.atomic():
            CreditGrant.objects.bulk_create([grant])


@pytest.mark.django_db
class TestHolds:
    def test_close_once(self, balance):
        captured = balance.holds.get(status="captured")

        with pytest.raises(ProgrammingError, match="Cannot update"), transaction.atomic():
            CreditHold.objects.filter(pk=captured.pk).update(status="open", captured=0, closed_at=None)
        with pytest.raises(ProgrammingError, match="Cannot update"), transaction.atomic():
            CreditHold.objects.filter(pk=captured.pk).update(captured=19)

    @pytest.mark.parametrize("change", ["amount = amount + 1", "created_at = now()", "description = 'Another'"])
    def test_keep_the_facts_they_were_placed_with(self, balance, change):
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
    def test_end_in_one_way(self, balance, change):
        with pytest.raises(IntegrityError, match="credits_hold_closed_once"):
            run(f"UPDATE credits_credithold SET {change} WHERE status = 'open'")

    def test_pin_only_what_is_of_their_balance(self, balance):
        stranger = make_balance()
        placed = balance.holds.get(status="open")
        pin = CreditPin(balance=balance, hold=placed, grant=stranger.grants.get(), position=1, amount=1)

        with pytest.raises(IntegrityError, match="credits_pin_on_grant"), transaction.atomic():
            pin.save(force_insert=True)

    def test_pin_a_grant_once(self, balance):
        placed = balance.holds.get(status="open")
        pin = CreditPin(balance=balance, hold=placed, grant=balance.grants.get(), position=1, amount=1)

        with pytest.raises(IntegrityError, match="credits_pin_one_per_grant"), transaction.atomic():
            pin.save(force_insert=True)


@pytest.mark.django_db
class TestRequests:
    def test_are_remembered_once_per_balance_and_caller(self, balance):
        request = balance.requests.get()
        request.pk = uuid4()

        with pytest.raises(IntegrityError, match="credits_request_once"), transaction.atomic():
            request.save(force_insert=True)

    @pytest.mark.parametrize(("reference", "fence"), [("transaction_id", "transaction"), ("hold_id", "hold")])
    def test_refuse_to_refer_to_another_balance(self, balance, reference, fence):
        stranger = make_balance()
        theirs = {"transaction_id": stranger.transactions.get().pk, "hold_id": hold(stranger, 1).pk}
        request = balance.requests.get()
        request.pk, request.key = uuid4(), "another"
        setattr(request, reference, theirs[reference])

        with pytest.raises(IntegrityError, match=f"credits_request_wrote_{fence}"), transaction.atomic():
            request.save(force_insert=True)


@pytest.mark.django_db
class TestLimits:
    @pytest.mark.parametrize("change", ["period = 'month'", "member_id = gen_random_uuid()", "id = gen_random_uuid()"])
    def test_keep_what_they_are_about(self, balance, change):
        with pytest.raises(ProgrammingError, match="Cannot update"):
            run(f"UPDATE credits_spendinglimit SET {change}")

    @pytest.mark.parametrize("change", ["window_starts_at = '2025-03-02Z'", "set_at = set_at - interval '1 hour'"])
    def test_only_move_forward(self, balance, change):
        with pytest.raises(ProgrammingError, match="Cannot update"):
            run(f"UPDATE credits_spendinglimit SET {change}")

    def test_stay_as_they_were_removed(self, balance):
        run("UPDATE credits_spendinglimit SET removed_at = set_at")

        for change in ("removed_at = NULL", "amount = amount + 1"):
            with pytest.raises(ProgrammingError, match="Cannot update"):
                run(f"UPDATE credits_spendinglimit SET {change}")

    @pytest.mark.parametrize(
        ("fence", "changes"),
        [
            ("credits_limit_amount_in_bounds", {"amount": -1}),
            ("credits_limit_amount_in_bounds", {"amount": 10**12 + 1}),
            ("credits_limit_used_not_negative", {"used": -1}),
            ("credits_limit_period_known", {"period": "year", "window_starts_at": "2025-01-01T00:00:00Z"}),
            ("credits_limit_window_of_the_calendar", {"window_starts_at": NOON}),
            ("credits_limit_window_of_the_calendar", {"period": "month"}),
            ("credits_limit_one_per_period", {}),
        ],
    )
    def test_refuse_what_cannot_be(self, balance, fence, changes):
        limit = balance.limits.get()
        for field, value in {"id": uuid4(), **changes}.items():
            setattr(limit, field, value)

        with pytest.raises(IntegrityError, match=fence), transaction.atomic():
            SpendingLimit.objects.bulk_create([limit])
