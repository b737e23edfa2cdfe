from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from django.db import transaction

from credits import operations, queries
from credits.models import CreditBalance, CreditGrant
from fluxori.core import clock
from fluxori.core.ids import uuid7
from fluxori.identity.errors import OrganizationNotFoundError, UserNotFoundError
from fluxori.identity.models import Organization
from tests.support.factories.credits import deduct, hold, make_balance, make_user
from tests.support.operations import captured_statements, check_sums, owe, unchanged
from tests.support.times import DAY, HOUR, NOON

MOST = 10**12

pytestmark = pytest.mark.django_db


def add(owner, amount=100, at=NOON, **terms):
    return operations.add_credits(owner=owner, amount=amount, at=at, **{"type": "purchase", **terms})


def faults_of(refusal):
    return [(fault.field, fault.code) for fault in refusal.value.errors]


class TestAddCredits:
    def test_opens_a_balance_where_there_is_none(self):
        owner = make_user()

        recorded = add(owner, 100)

        balance = CreditBalance.objects.get()
        assert (balance.pk, balance.user_id, balance.organization_id) == (owner.pk, owner.pk, None)
        assert (balance.balance, balance.sequence, balance.version) == (100, 1, 1)
        assert (
            recorded.transaction.type,
            recorded.transaction.amount,
            recorded.transaction.balance_after,
            recorded.transaction.sequence,
        ) == ("purchase", 100, 100, 1)
        check_sums(balance)

    def test_opens_the_pool_of_an_organization(self):
        pool = Organization.objects.create(name="Pool")

        recorded = add(pool)

        assert (recorded.balance.user_id, recorded.balance.organization_id) == (None, pool.pk)

    @pytest.mark.parametrize("kind", ["allocation", "purchase", "promotion"])
    def test_makes_a_grant_of_that_source(self, kind):
        recorded = add(make_user(), 100, type=kind, expires_at=NOON + DAY, priority=7)

        grant = CreditGrant.objects.get()
        assert (grant.source, grant.amount, grant.remaining, grant.priority) == (kind, 100, 100, 7)
        assert (grant.effective_at, grant.expires_at) == (NOON, NOON + DAY)
        assert grant.transaction_id == recorded.transaction.id

    def test_remembers_what_a_credit_was_sold_for(self):
        add(make_user(), unit_price=Decimal("0.123456"))

        assert CreditGrant.objects.get().unit_price == Decimal("0.123456")

    def test_answers_with_what_is_stored(self):
        recorded = add(make_user(), 100, description="Starter pack", reference_id="inv-1", metadata={"b": 1, "a": "é"})

        stored = queries.get_transaction(transaction_id=recorded.transaction.id)
        for column in ("type", "amount", "balance_after", "timestamp", "description", "reference_id", "metadata"):
            assert getattr(recorded, column) == getattr(stored, column)
        assert bytes(stored.hash) == recorded.transaction.hash
        assert [part.pk for part in recorded.transaction.entries] == [part.pk for part in stored.entries.all()]
        assert recorded.transaction.details.metadata == '{"a":"é","b":1}'

    def test_says_the_balance_after_it(self):
        owner = make_user()
        add(owner, 30, expires_at=NOON + DAY)

        after = add(owner, 70).balance

        assert (after.balance, after.available, after.held, after.debt) == (100, 100, 0, 0)
        assert (after.next_expiry, after.last_updated, after.version) == ((30, NOON + DAY), NOON, 2)

    def test_repays_debt_first(self):
        balance = make_balance(grants=[(10, None)])
        owe(balance, 50)

        recorded = add(balance.owner, 100)

        assert [(part.grant_id is None, part.amount) for part in recorded.transaction.entries] == [
            (False, 60),
            (True, 40),
        ]
        assert (recorded.balance.balance, recorded.balance.available, recorded.balance.debt) == (60, 60, 0)
        check_sums(balance)

    def test_gives_nothing_to_spend_where_debt_takes_all(self):
        balance = make_balance(grants=[(10, None)])
        owe(balance, 110)

        recorded = add(balance.owner, 100)

        assert [(part.grant_id, part.amount) for part in recorded.transaction.entries] == [(None, 100)]
        assert CreditGrant.objects.get(transaction=recorded.transaction.id).live is False
        check_sums(balance)

    def test_never_dates_a_change_before_the_last(self):
        owner = make_user()
        add(owner, at=NOON)

        recorded = add(owner, at=NOON - HOUR)

        assert (recorded.transaction.sequence, recorded.transaction.timestamp) == (2, NOON)
        assert CreditGrant.objects.get(transaction=recorded.transaction.id).effective_at == NOON

    def test_writes_what_had_expired_before_it(self):
        balance = make_balance(grants=[(20, DAY)])

        recorded = add(balance.owner, 5, at=NOON + 2 * DAY)

        said = balance.transactions.order_by("sequence").values_list("type", "amount", "timestamp")
        assert list(said)[1:] == [("expiry", -20, NOON + DAY), ("purchase", 5, NOON + 2 * DAY)]
        assert recorded.transaction.balance_after == 5

    def test_reads_the_clock_when_no_instant_is_given(self):
        before = clock.now()

        recorded = operations.add_credits(owner=make_user(), amount=1, type="promotion")

        assert before <= recorded.transaction.timestamp <= clock.now()

    @pytest.mark.parametrize("amount", [1, MOST])
    def test_keeps_the_bounds_of_an_amount(self, amount):
        assert add(make_user(), amount).transaction.balance_after == amount

    @pytest.mark.parametrize("amount", [0, -1, MOST + 1, 2**63])
    def test_refuses_an_amount_out_of_bounds(self, amount):
        with unchanged(), pytest.raises(operations.InvalidArgumentError) as refusal:
            add(make_user(), amount)

        assert faults_of(refusal) == [("amount", "out_of_range")]

    @pytest.mark.parametrize("amount", [True, 9.0, 9.5, "9", None, Decimal(9)])
    def test_refuses_what_is_not_a_whole_number(self, amount):
        with unchanged(), pytest.raises(operations.InvalidArgumentError) as refusal:
            add(make_user(), amount)

        assert faults_of(refusal) == [("amount", "wrong_type")]

    @pytest.mark.parametrize(
        ("terms", "fault"),
        [
            ({"type": "adjustment"}, ("type", "invalid_choice")),
            ({"type": None}, ("type", "invalid_choice")),
            ({"description": "x" * 501}, ("description", "too_long")),
            ({"description": None}, ("description", "wrong_type")),
            ({"description": "a\x00b"}, ("description", "wrong_type")),
            ({"description": "a\ud800b"}, ("description", "wrong_type")),
            ({"reference_id": "x" * 256}, ("reference_id", "too_long")),
            ({"reason": "x" * 501}, ("reason", "too_long")),
            ({"priority": -1}, ("priority", "out_of_range")),
            ({"priority": 101}, ("priority", "out_of_range")),
            ({"priority": True}, ("priority", "wrong_type")),
            ({"expires_at": datetime(2030, 1, 1)}, ("expires_at", "wrong_type")),  # noqa: DTZ001 - that is the fault
            ({"expires_at": "2030-01-01"}, ("expires_at", "wrong_type")),
            (
                {"expires_at": datetime.max.replace(tzinfo=timezone(-HOUR))},
                ("expires_at", "out_of_range"),
            ),
            ({"unit_price": 0.1}, ("unit_price", "wrong_type")),
            ({"unit_price": Decimal("NaN")}, ("unit_price", "wrong_type")),
            ({"unit_price": Decimal("-0.01")}, ("unit_price", "out_of_range")),
            ({"unit_price": Decimal("-0")}, ("unit_price", "out_of_range")),
            ({"unit_price": Decimal("0.0000001")}, ("unit_price", "out_of_range")),
            ({"unit_price": Decimal(10**12)}, ("unit_price", "out_of_range")),
            ({"metadata": []}, ("metadata", "wrong_type")),
            ({"metadata": {"a": object()}}, ("metadata", "wrong_type")),
            ({"metadata": {"a": float("inf")}}, ("metadata", "wrong_type")),
            ({"metadata": {"a": "\x00"}}, ("metadata", "wrong_type")),
            ({"metadata": {"a": "x" * 4096}}, ("metadata", "too_long")),
            ({"idempotency_key": ""}, ("idempotency_key", "wrong_type")),
            ({"idempotency_key": "a\nb"}, ("idempotency_key", "wrong_type")),
            ({"idempotency_key": "x" * 256}, ("idempotency_key", "key_too_long")),
        ],
    )
    def test_refuses_what_could_never_be_right(self, terms, fault):
        with unchanged(), pytest.raises(operations.InvalidArgumentError) as refusal:
            add(make_user(), **terms)

        assert faults_of(refusal) == [fault]

    def test_names_every_fault_at_once(self):
        with pytest.raises(operations.InvalidArgumentError) as refusal:
            add(make_user(), 0, type="gift", priority=101)

        assert [field for field, _ in faults_of(refusal)] == ["amount", "type", "priority"]

    @pytest.mark.parametrize("expires_in", [timedelta(0), -HOUR])
    def test_refuses_credits_that_expire_before_they_begin(self, expires_in):
        with unchanged(), pytest.raises(operations.InvalidArgumentError) as refusal:
            add(make_user(), expires_at=NOON + expires_in)

        assert faults_of(refusal) == [("expires_at", "in_past")]

    def test_counts_that_from_the_last_change_of_the_balance(self):
        balance = make_balance(at=NOON + DAY)

        with unchanged(), pytest.raises(operations.InvalidArgumentError):
            add(balance.owner, at=NOON, expires_at=NOON + DAY)

    def test_opens_no_balance_for_a_refusal_that_the_caller_catches(self):
        owner = make_user()

        with unchanged(), transaction.atomic(), pytest.raises(operations.InvalidArgumentError):
            add(owner, expires_at=NOON)

    def test_asks_the_database_three_times(self):
        owner = make_user()
        add(owner)

        with captured_statements() as run:
            add(owner, idempotency_key="first")

        assert len(run) == 3

    def test_refuses_an_owner_who_does_not_exist(self):
        with unchanged(), pytest.raises(UserNotFoundError):
            add(operations.Owner.user(uuid7()))
        with unchanged(), pytest.raises(OrganizationNotFoundError):
            add(operations.Owner.organization(uuid7()))

    def test_refuses_an_instant_without_a_time_zone(self):
        with pytest.raises(operations.InvalidArgumentError, match="at"):
            add(make_user(), at=NOON.replace(tzinfo=None))

    def test_refuses_a_bare_id_as_owner(self):
        with pytest.raises(TypeError):
            add(make_user().pk)


class TestAddCreditsTwice:
    def test_adds_once(self):
        owner = make_user()
        first = add(owner, 100, idempotency_key="k")

        with unchanged():
            again = add(owner, 100, idempotency_key="k")

        assert (again.transaction.id, again.balance, again.replayed, first.replayed) == (
            first.transaction.id,
            first.balance,
            True,
            False,
        )

    def test_replays_when_the_credits_have_expired_since(self):
        owner = make_user()
        first = add(owner, 100, expires_at=NOON + DAY, idempotency_key="k")

        with unchanged():
            again = add(owner, 100, expires_at=NOON + DAY, idempotency_key="k", at=NOON + 2 * DAY)

        assert (again.transaction.id, again.balance) == (first.transaction.id, first.balance)

    def test_knows_the_same_request_in_another_spelling(self):
        owner = make_user()
        east = timezone(2 * HOUR)
        first = add(
            owner, expires_at=NOON + DAY, unit_price=Decimal("0.1"), metadata={"a": 1, "b": 2}, idempotency_key="k"
        )

        again = add(
            owner,
            expires_at=(NOON + DAY).astimezone(east),
            unit_price=Decimal("0.100"),
            metadata={"b": 2, "a": 1},
            idempotency_key="k",
        )

        assert again.transaction.id == first.transaction.id

    @pytest.mark.parametrize(
        "other",
        [
            {"amount": 101},
            {"type": "promotion"},
            {"description": "another"},
            {"reference_id": "another"},
            {"expires_at": NOON + DAY},
            {"priority": 51},
            {"unit_price": Decimal("0.2")},
            {"metadata": {}},
            {"reason": "another"},
        ],
    )
    def test_refuses_another_request_with_the_key(self, other):
        owner = make_user()
        add(owner, idempotency_key="k")

        with unchanged(), pytest.raises(operations.IdempotencyKeyReusedError):
            add(owner, **other, idempotency_key="k")

    def test_lets_each_owner_and_each_caller_have_the_key(self):
        one, other = make_user(), make_user()

        made = {
            add(owner, actor=actor, idempotency_key="k").transaction.id
            for owner in (one, other)
            for actor in (None, one, other)
        }

        assert len(made) == 6

    def test_keeps_the_facts_that_were_said_alongside(self):
        owner = make_user()
        add(owner, idempotency_key="k", alongside={"tier": "growth"})

        assert add(owner, idempotency_key="k", alongside={"tier": "pro"}).tier_facts == {"tier": "growth"}

    def test_remembers_the_whole_answer(self):
        balance = make_balance(grants=[(50, DAY)], at=NOON)
        hold(balance, 20)
        first = add(balance.owner, 100, idempotency_key="k", at=NOON.astimezone(UTC))
        deduct(balance, 130)

        again = add(balance.owner, 100, idempotency_key="k")

        assert again.balance == first.balance
        assert (first.balance.held, first.balance.next_expiry) == (20, (30, NOON + DAY))
        assert [part.amount for part in again.transaction.entries] == [100]
