from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
from django.db import transaction

from credits import operations, queries
from credits.domain.records import TransactionDetails
from credits.models import CreditBalance, CreditGrant
from fluxori.core import clock
from fluxori.core.ids import uuid7
from fluxori.identity.errors import OrganizationNotFoundError, UserNotFoundError
from fluxori.identity.models import Organization
from tests.credits.operations.verbs import add_credits, change_tier, entry_amounts, subscribe
from tests.support.factories.credits import deduct, hold, make_balance, make_user, owe
from tests.support.operations import (
    captured_statements,
    check_balance,
    check_replay,
    check_sums,
    field_errors,
    statement_kinds,
    unchanged,
)
from tests.support.times import DAY, HOUR, NOON

MAXIMUM = 10**12

pytestmark = pytest.mark.django_db


class TestAddCredits:
    def test_opens_a_balance_for_a_user_without_one(self):
        user = make_user()

        result = add_credits(user, 100)

        balance = CreditBalance.objects.get()
        assert (balance.pk, balance.user_id, balance.organization_id) == (user.pk, user.pk, None)
        assert (balance.balance, balance.sequence, balance.version) == (100, 1, 1)
        recorded = result.transaction
        assert (recorded.type, recorded.amount, recorded.balance_after) == ("purchase", 100, 100)
        assert (recorded.balance_id, recorded.sequence) == (user.pk, 1)
        check_balance(balance)

    def test_opens_a_balance_for_an_organization_without_one(self):
        organization = Organization.objects.create(name="Pool")

        result = add_credits(organization)

        assert (result.balance.user_id, result.balance.organization_id) == (None, organization.pk)

    @pytest.mark.parametrize("kind", ["allocation", "purchase", "promotion"])
    def test_creates_a_grant_with_the_source_expiry_and_priority(self, kind):
        result = add_credits(make_user(), 100, type=kind, expires_at=NOON + DAY, priority=7)

        grant = CreditGrant.objects.get()
        assert (grant.source, grant.amount, grant.remaining, grant.priority) == (kind, 100, 100, 7)
        assert (grant.effective_at, grant.expires_at) == (NOON, NOON + DAY)
        assert grant.transaction_id == result.transaction.id

    def test_stores_the_unit_price_on_the_grant(self):
        add_credits(make_user(), unit_price=Decimal("0.123456"))

        assert CreditGrant.objects.get().unit_price == Decimal("0.123456")

    def test_returns_the_transaction_as_it_is_stored(self):
        result = add_credits(
            make_user(), 100, description="Starter pack", reference_id="inv-1", metadata={"b": 1, "a": "é"}
        )

        recorded, stored = result.transaction, queries.get_transaction(transaction_id=result.transaction.id)
        for column in ("sequence", "type", "amount", "balance_after", "timestamp", "recorded_at", "hash_version"):
            assert getattr(recorded, column) == getattr(stored, column)
        assert replace(recorded.details, request_id="") == TransactionDetails(
            description="Starter pack", reference_id="inv-1", metadata='{"a":"é","b":1}'
        )
        for column in ("description", "reference_id", "metadata"):
            assert getattr(recorded.details, column) == getattr(stored, column)
        assert (recorded.previous_hash, recorded.hash) == (bytes(stored.previous_hash), bytes(stored.hash))
        assert [entry.id for entry in recorded.entries] == [entry.pk for entry in stored.entries.all()]

    def test_returns_the_balance_right_after_it(self):
        user = make_user()
        add_credits(user, 30, expires_at=NOON + DAY)

        balance = add_credits(user, 70).balance

        assert (balance.balance, balance.available, balance.held, balance.debt) == (100, 100, 0, 0)
        assert (balance.next_expiry, balance.last_updated, balance.version) == ((30, NOON + DAY), NOON, 2)

    def test_returns_the_tier_of_the_balance(self):
        balance = make_balance()
        without_tier = add_credits(balance.owner).tier_facts
        subscribe(balance, "growth")

        assert (without_tier.tier, add_credits(balance.owner).tier_facts.tier) == (None, "growth")

    def test_repays_debt_first(self):
        balance = make_balance(grants=[(10, None)])
        owe(balance, 50)

        result = add_credits(balance.owner, 100)

        [grant] = result.transaction.opened
        assert entry_amounts(result.transaction) == [(grant.id, 60), (None, 40)]
        assert (result.balance.balance, result.balance.available, result.balance.debt) == (60, 60, 0)
        check_sums(balance)

    def test_leaves_nothing_spendable_if_debt_takes_all(self):
        balance = make_balance(grants=[(10, None)])
        owe(balance, 110)

        result = add_credits(balance.owner, 100)

        assert entry_amounts(result.transaction) == [(None, 100)]
        assert CreditGrant.objects.get(transaction=result.transaction.id).live is False
        check_sums(balance)

    def test_takes_effect_no_earlier_than_the_last_change_of_the_balance(self):
        user = make_user()
        add_credits(user, at=NOON)

        result = add_credits(user, at=NOON - HOUR)

        assert (result.transaction.sequence, result.transaction.timestamp) == (2, NOON)
        assert CreditGrant.objects.get(transaction=result.transaction.id).effective_at == NOON

    def test_writes_due_expiries_before_its_own_transaction(self):
        balance = make_balance(grants=[(20, DAY)])

        result = add_credits(balance.owner, 5, at=NOON + 2 * DAY)

        rows = balance.transactions.order_by("sequence").values_list("type", "amount", "timestamp")
        assert list(rows)[1:] == [("expiry", -20, NOON + DAY), ("purchase", 5, NOON + 2 * DAY)]
        assert result.transaction.balance_after == 5

    def test_reads_the_clock_without_at(self):
        before = clock.now()

        result = operations.add_credits(owner=make_user(), amount=1, type="promotion")

        assert before <= result.transaction.timestamp <= clock.now()

    @pytest.mark.parametrize("with_key", [None, "k"])
    def test_runs_four_statements_lock_load_tier_facts_write(self, with_key):
        user = make_user()
        add_credits(user)

        with captured_statements() as run:
            add_credits(user, idempotency_key=with_key)

        assert statement_kinds(run) == ["lock", "load", "tier facts", "write"]


class TestAddCreditsErrors:
    @pytest.mark.parametrize("amount", [0, -1, MAXIMUM + 1, 2**63])
    def test_rejects_an_amount_out_of_range(self, amount):
        with unchanged(), pytest.raises(operations.InvalidArgumentError) as error:
            add_credits(make_user(), amount)

        assert field_errors(error) == [("amount", "out_of_range")]

    @pytest.mark.parametrize("amount", [1, MAXIMUM])
    def test_accepts_the_smallest_and_the_largest_amount(self, amount):
        assert add_credits(make_user(), amount).transaction.balance_after == amount

    @pytest.mark.parametrize("amount", [True, 9.0, 9.5, "9", None, Decimal(9)])
    def test_rejects_an_amount_that_is_not_an_integer(self, amount):
        with unchanged(), pytest.raises(operations.InvalidArgumentError) as error:
            add_credits(make_user(), amount)

        assert field_errors(error) == [("amount", "wrong_type")]

    @pytest.mark.parametrize(
        ("terms", "error"),
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
            ({"expires_at": datetime(2030, 1, 1)}, ("expires_at", "wrong_type")),  # noqa: DTZ001 - the error tested
            ({"expires_at": "2030-01-01"}, ("expires_at", "wrong_type")),
            ({"expires_at": datetime.max.replace(tzinfo=timezone(-HOUR))}, ("expires_at", "out_of_range")),
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
    def test_rejects_an_invalid_argument(self, terms, error):
        with unchanged(), pytest.raises(operations.InvalidArgumentError) as raised:
            add_credits(make_user(), **terms)

        assert field_errors(raised) == [error]

    def test_reports_all_invalid_arguments_at_once(self):
        with pytest.raises(operations.InvalidArgumentError) as error:
            add_credits(make_user(), 0, type="gift", priority=101)

        assert [field for field, _ in field_errors(error)] == ["amount", "type", "priority"]

    @pytest.mark.parametrize("expires_in", [timedelta(0), -HOUR])
    def test_rejects_an_expiry_that_is_not_after_at(self, expires_in):
        with unchanged(), pytest.raises(operations.InvalidArgumentError) as error:
            add_credits(make_user(), expires_at=NOON + expires_in)

        assert field_errors(error) == [("expires_at", "in_past")]

    def test_rejects_an_expiry_that_is_not_after_the_last_change_of_the_balance(self):
        balance = make_balance(at=NOON + DAY)

        with unchanged(), pytest.raises(operations.InvalidArgumentError) as error:
            add_credits(balance.owner, at=NOON, expires_at=NOON + DAY)

        assert field_errors(error) == [("expires_at", "in_past")]

    def test_opens_no_balance_if_the_caller_catches_the_error(self):
        user = make_user()

        with unchanged(), transaction.atomic(), pytest.raises(operations.InvalidArgumentError):
            add_credits(user, expires_at=NOON)

    def test_rejects_an_owner_who_does_not_exist(self):
        with unchanged(), pytest.raises(UserNotFoundError):
            add_credits(operations.Owner.user(uuid7()))
        with unchanged(), pytest.raises(OrganizationNotFoundError):
            add_credits(operations.Owner.organization(uuid7()))

    def test_rejects_an_at_without_a_time_zone(self):
        with pytest.raises(operations.InvalidArgumentError) as error:
            add_credits(make_user(), at=NOON.replace(tzinfo=None))

        assert field_errors(error) == [("at", "wrong_type")]

    def test_rejects_a_plain_id_as_owner(self):
        with pytest.raises(TypeError):
            add_credits(make_user().pk)


class TestAddCreditsRetries:
    def test_returns_the_first_result_for_the_same_key(self):
        balance = make_balance(grants=[(50, DAY)])
        subscribe(balance, "growth")
        hold(balance, 20)
        first = add_credits(balance.owner, 100, idempotency_key="k")
        deduct(balance, 130)
        change_tier(balance, "pro")

        with unchanged():
            repeated = add_credits(balance.owner, 100, idempotency_key="k", at=NOON + 2 * DAY)

        check_replay(first, repeated)
        assert (first.balance.held, first.balance.next_expiry) == (20, (30, NOON + DAY))
        assert [entry.amount for entry in repeated.transaction.entries] == [100]

    def test_returns_the_tier_facts_of_the_first_call_after_the_tier_changed(self):
        balance = make_balance()
        subscribe(balance, "growth")
        first = add_credits(balance.owner, idempotency_key="k")
        change_tier(balance, "pro")

        repeated = add_credits(balance.owner, idempotency_key="k")

        assert first.tier_facts.tier == "growth"
        assert repeated.tier_facts == first.tier_facts
        assert add_credits(balance.owner).tier_facts.tier == "pro"

    def test_returns_the_created_grant_as_it_was_after_it_is_spent(self):
        user = make_user()
        first = add_credits(user, 100, idempotency_key="k")
        operations.deduct_credits(owner=user, amount=30, description="Spent in a test", at=NOON)

        repeated = add_credits(user, 100, idempotency_key="k")

        assert [(grant.amount, grant.remaining) for grant in first.transaction.opened] == [(100, 100)]
        assert repeated.transaction.opened == first.transaction.opened

    def test_returns_the_first_result_after_the_credits_expired(self):
        user = make_user()
        first = add_credits(user, 100, expires_at=NOON + DAY, idempotency_key="k")

        with unchanged():
            repeated = add_credits(user, 100, expires_at=NOON + DAY, idempotency_key="k", at=NOON + 2 * DAY)

        check_replay(first, repeated)

    def test_treats_another_notation_of_the_same_values_as_the_same_request(self):
        user = make_user()
        east = timezone(2 * HOUR)
        first = add_credits(
            user, expires_at=NOON + DAY, unit_price=Decimal("0.1"), metadata={"a": 1, "b": 2}, idempotency_key="k"
        )

        repeated = add_credits(
            user,
            expires_at=(NOON + DAY).astimezone(east),
            unit_price=Decimal("0.100"),
            metadata={"b": 2, "a": 1},
            idempotency_key="k",
        )

        check_replay(first, repeated)

    @pytest.mark.parametrize(
        "difference",
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
    def test_rejects_the_key_of_a_different_request(self, difference):
        user = make_user()
        add_credits(user, idempotency_key="k")

        with unchanged(), pytest.raises(operations.IdempotencyKeyReusedError):
            add_credits(user, **difference, idempotency_key="k")

    def test_keeps_the_keys_of_each_owner_and_each_caller_apart(self):
        one, other = make_user(), make_user()

        transaction_ids = {
            add_credits(owner, actor=actor, idempotency_key="k").transaction.id
            for owner in (one, other)
            for actor in (None, one, other)
        }

        assert len(transaction_ids) == 6

    def test_runs_no_write_for_a_replay(self):
        user = make_user()
        add_credits(user, idempotency_key="k")

        with captured_statements() as run:
            add_credits(user, idempotency_key="k")

        assert statement_kinds(run) == [
            "lock",
            "load",
            "read credits_credittransaction",
            "read credits_creditentry",
            "read credits_creditgrant",
        ]
