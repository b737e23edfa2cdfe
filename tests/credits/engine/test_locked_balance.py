"""Locked balances: lock, load, record, find a stored result, and write when the block ends."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import uuid4

import pytest
from django.db import connection, transaction

from credits import operations, tier_registry
from credits.domain.records import GrantDelta
from credits.engine.idempotency import build_request
from credits.engine.locked_balance import BalanceLoader, lock, lock_balance, lock_balances, transaction_details
from credits.engine.results import transaction_result
from credits.models import CreditBalance
from credits.tier_registry import PendingTier, TierFacts
from tests.support.deductions import deduction, run_behind_lock, run_in_first_queue
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.operations import captured_statements, check_sums, unchanged
from tests.support.threads import in_other_thread, lock_waits, locked_in_other_thread, wait_until
from tests.support.times import DAY, HOUR, MINUTE, NOON


def new_request(key="k", amount=10, actor=None):
    return build_request("deduct_credits", actor=actor, key=key, amount=amount)


def record_usage(balance, request, amount=10):
    """Plan a usage from the first grant and record it under the request."""
    grant = balance.state.spendable()[0]
    details = transaction_details(request, description="Spent in a test")
    made = balance.state.post("usage", balance.at, [GrantDelta(grant, -amount)], details)
    return balance.record(request, transaction=made)


class FakeTiers:
    """A tier provider whose facts a test sets. ``calls`` lists the balance ids and the instant of each call."""

    def __init__(self):
        self.facts = TierFacts()
        self.calls = []

    def tier_facts(self, balance_ids, *, at):
        self.calls.append((sorted(balance_ids), at))
        return dict.fromkeys(balance_ids, self.facts)


@pytest.fixture
def tiers(monkeypatch):
    provider = FakeTiers()
    monkeypatch.setattr(tier_registry, "_provider", provider)
    return provider


@pytest.mark.django_db
class TestRecord:
    def test_returns_the_transaction_and_the_balance_after_it(self):
        stored = make_balance()

        with lock_balance(stored.owner, at=NOON + HOUR) as balance:
            result = record_usage(balance, new_request())

        assert (result.transaction.amount, result.transaction.timestamp) == (-10, NOON + HOUR)
        assert (result.snapshot.balance, result.snapshot.sequence, result.replayed) == (90, 2, False)
        check_sums(stored)
        assert (stored.balance, stored.last_at) == (90, NOON + HOUR)

    def test_increases_the_version_by_one(self):
        stored = make_balance()

        with lock_balance(stored.owner, at=NOON) as balance:
            record_usage(balance, new_request("a"))
            record_usage(balance, new_request("b"))

        assert CreditBalance.objects.get(pk=stored.pk).version == stored.version + 2

    def test_stores_no_request_without_a_key(self):
        stored = make_balance()

        with lock_balance(stored.owner, at=NOON) as balance:
            record_usage(balance, new_request(key=None))

        assert stored.requests.count() == 0
        assert stored.transactions.count() == 2

    def test_of_no_change_writes_nothing_without_a_key(self):
        stored = make_balance()

        with unchanged(), lock_balance(stored.owner, at=NOON) as balance:
            result = balance.record_no_change(new_request(key=None))

        assert (result.transaction, result.snapshot.balance) == (None, 100)

    def test_of_no_change_stores_the_key(self):
        stored = make_balance()
        request = new_request()

        with lock_balance(stored.owner, at=NOON, requests=[request]) as balance:
            balance.record_no_change(request, extras={"allocated": False})

        with lock_balance(stored.owner, at=NOON, requests=[request]) as balance:
            repeated = balance.find_result(request)
        assert repeated is not None
        assert (repeated.transaction_id, repeated.extras, repeated.replayed) == (None, {"allocated": False}, True)


@pytest.mark.django_db
class TestFindResult:
    @pytest.fixture
    def recorded(self):
        """A balance with a recorded request, and the result of that request."""
        stored, request = make_balance(grants=[(30, DAY), (70, None)]), new_request()
        with lock_balance(stored.owner, at=NOON, requests=[request]) as balance:
            result = record_usage(balance, request)
        return stored, transaction_result(result)

    def find(self, stored, request, at=NOON):
        with lock_balance(stored.owner, at=at, requests=[request]) as balance:
            return balance.find_result(request)

    def test_returns_the_stored_result_of_the_same_request(self, recorded):
        stored, first = recorded

        found = self.find(stored, new_request())

        assert transaction_result(found) == replace(first, replayed=True)

    def test_returns_the_balance_as_it_was_after_the_request(self, recorded):
        stored, first = recorded
        deduct(stored, 50, at=NOON + MINUTE)

        found = self.find(stored, new_request(), at=NOON + 2 * DAY)

        assert found.snapshot == first.balance
        assert found.snapshot.next_expiry == (20, NOON + DAY)

    def test_returns_none_for_a_new_key(self, recorded):
        assert self.find(recorded[0], new_request(key="other")) is None

    def test_returns_none_for_the_key_of_another_caller(self, recorded):
        assert self.find(recorded[0], new_request(actor=uuid4())) is None

    def test_returns_none_for_a_request_without_a_key(self, recorded):
        assert self.find(recorded[0], new_request(key=None)) is None

    def test_returns_none_for_the_key_on_another_balance(self, recorded):
        assert self.find(make_balance(), new_request()) is None

    def test_rejects_a_different_request_with_the_same_key(self, recorded):
        with pytest.raises(operations.IdempotencyKeyReusedError):
            self.find(recorded[0], new_request(amount=11))

    def test_finds_a_request_that_was_recorded_in_the_same_block(self):
        stored, request = make_balance(), new_request()

        with lock_balance(stored.owner, at=NOON, requests=[request]) as balance:
            first = record_usage(balance, request)
            found = balance.find_result(request)

        assert found is not None
        assert (found.transaction_id, found.snapshot, found.replayed) == (first.transaction.id, first.snapshot, True)


@pytest.mark.django_db(transaction=True)
class TestTierFacts:
    GROWTH = TierFacts("growth", PendingTier("pro", NOON + HOUR), NOON + DAY)
    PRO = TierFacts("pro", None, NOON + DAY)

    def test_a_result_has_the_facts_of_the_registry(self, tiers):
        tiers.facts = self.GROWTH

        assert deduct(make_balance(), 1).tier_facts == self.GROWTH

    def test_a_replay_has_the_stored_facts_though_the_tier_has_changed(self, tiers):
        balance = make_balance()
        tiers.facts = self.GROWTH
        first = deduct(balance, 1, idempotency_key="k")
        tiers.facts = TierFacts("explorer", None, NOON + 2 * DAY)

        repeated = deduct(balance, 1, idempotency_key="k")

        assert repeated == replace(first, replayed=True)
        assert repeated.tier_facts == self.GROWTH

    def test_a_replay_does_not_read_the_registry(self, tiers):
        balance = make_balance()
        deduct(balance, 1, idempotency_key="k")
        tiers.calls.clear()

        deduct(balance, 1, idempotency_key="k")

        assert tiers.calls == []

    def test_a_group_of_several_balances_reads_the_registry_once(self, tiers):
        balances, tiers.facts = [make_balance() for _ in range(3)], self.GROWTH
        tiers.calls.clear()

        results = run_in_first_queue([deduction(balance) for balance in balances])

        assert [result.tier_facts for result in results] == [self.GROWTH] * 3
        assert tiers.calls[-1] == (sorted(balance.pk for balance in balances), NOON)
        assert len([ids for ids, _ in tiers.calls if balances[0].pk in ids]) == 1

    def test_each_deduction_of_a_group_has_the_facts_of_its_own_instant(self, tiers):
        balance, tiers.facts = make_balance(), self.GROWTH

        instants = [NOON + HOUR, NOON, NOON + 59 * MINUTE]
        results = run_behind_lock([deduction(balance, at=at) for at in instants], balance)

        assert [result.tier_facts for result in results] == [self.PRO, self.GROWTH, self.GROWTH]

    def test_an_operation_can_replace_the_facts_of_the_registry(self, tiers):
        stored, request = make_balance(), new_request()
        tiers.calls.clear()

        with transaction.atomic(), lock_balance(stored.owner, at=NOON) as balance:
            result = balance.record_no_change(request, tier_facts=self.PRO)

        assert (result.tier_facts, tiers.calls) == (self.PRO, [])


@pytest.mark.django_db
class TestPlan:
    def test_a_rejected_request_does_not_write_events_that_are_due_only_at_its_instant(self):
        stored = make_balance(grants=[(5, DAY), (95, None)])

        with lock_balance(stored.owner, at=NOON) as balance:
            record_usage(balance, new_request("a"), 1)
            error = balance.attempt(new_request("b"), NOON + DAY, reject)

        assert isinstance(error, operations.InsufficientCreditsError)
        check_sums(stored)
        assert list(stored.transactions.order_by("sequence").values_list("type", flat=True))[2:] == ["usage"]

    def test_a_later_request_writes_the_events_that_were_due_before_it(self):
        stored = make_balance(grants=[(5, DAY), (95, None)])

        with lock_balance(stored.owner, at=NOON) as balance:
            record_usage(balance, new_request("a"), 1)
            balance.attempt(new_request("b"), NOON + DAY, reject)
            request = new_request("c")
            balance.attempt(request, NOON + DAY, lambda locked: record_usage(locked, request))

        check_sums(stored)
        assert list(stored.transactions.order_by("sequence").values_list("type", "amount"))[2:] == [
            ("usage", -1),
            ("expiry", -4),
            ("usage", -10),
        ]


def reject(balance):
    raise operations.InsufficientCreditsError(required=1000, available=balance.state.available, held=0)


@pytest.mark.django_db
class TestFlush:
    def test_an_exception_in_the_block_writes_nothing(self):
        stored = make_balance()

        def record_and_fail():
            with lock_balance(stored.owner, at=NOON) as balance:
                record_usage(balance, new_request())
                raise RuntimeError

        with unchanged(), pytest.raises(RuntimeError):
            record_and_fail()

    def test_a_discarded_balance_is_not_written(self):
        stored = make_balance()

        with unchanged(), lock_balance(stored.owner, at=NOON) as balance:
            record_usage(balance, new_request())
            balance.discard()

    def test_a_balance_without_a_recorded_change_is_not_written_though_events_were_due(self):
        stored = make_balance(grants=[(5, DAY)])

        with unchanged(), lock_balance(stored.owner, at=NOON + DAY) as balance:
            assert balance.state.available == 0

    def test_many_balances_are_written_in_one_statement(self):
        stored = [make_balance() for _ in range(3)]

        with captured_statements() as statements, lock_balances([each.pk for each in stored], at=NOON) as balances:
            for balance in balances.values():
                record_usage(balance, new_request())

        assert len([sql for sql in statements if sql.startswith("WITH balances AS")]) == 1
        for each in stored:
            check_sums(each)
            assert each.balance == 90


@pytest.mark.django_db
class TestLockBalance:
    def test_rejects_an_owner_without_a_balance(self):
        with pytest.raises(operations.BalanceNotFoundError), lock_balance(operations.Owner.of(make_user()), at=NOON):
            pass

    def test_with_create_opens_a_balance(self):
        owner = operations.Owner.of(make_user())

        with lock_balance(owner, at=NOON, create=True) as balance:
            balance.mark_changed()

        assert CreditBalance.objects.get(pk=owner.id).balance == 0

    def test_the_effective_instant_is_never_before_the_last_change(self):
        stored = make_balance(at=NOON + HOUR)

        with lock_balance(stored.owner, at=NOON) as balance:
            assert balance.at == NOON + HOUR

    def test_due_events_are_not_applied_for_a_key_that_was_used_before(self):
        stored, request = make_balance(grants=[(30, DAY), (70, None)]), new_request()
        with lock_balance(stored.owner, at=NOON, requests=[request]) as balance:
            record_usage(balance, request)

        with lock_balance(stored.owner, at=NOON + DAY, requests=[new_request(amount=11)]) as balance:
            assert (balance.at, balance.state.available) == (NOON, 90)


@pytest.mark.django_db
class TestBalanceLoader:
    def test_the_effective_instant_of_a_loaded_balance_is_its_last_change(self):
        stored = make_balance(grants=[(30, DAY)], at=NOON)

        with transaction.atomic():
            balance = BalanceLoader([stored.pk], NOON + DAY).lock_and_load()[stored.pk]
            assert (balance.at, balance.state.available) == (NOON, 30)
            balance.advance_to(NOON + DAY)

        assert (balance.at, balance.state.available) == (NOON + DAY, 0)


@pytest.mark.django_db(transaction=True)
class TestLock:
    def test_locks_the_balances_that_exist_in_order_of_id(self):
        stored = [make_balance() for _ in range(3)]

        with transaction.atomic(), captured_statements() as statements:
            locked = lock([stored[2].pk, uuid4(), stored[0].pk])

        assert locked == {stored[0].pk, stored[2].pk}
        assert [sql.partition(" ORDER BY ")[2] for sql in statements] == ["1 ASC FOR NO KEY UPDATE"]

    def test_skip_locked_leaves_out_balances_that_another_transaction_has_locked(self):
        locked, free = make_balance(), make_balance()

        with locked_in_other_thread(locked), transaction.atomic():
            assert lock([locked.pk, free.pk], skip_locked=True) == {free.pk}

    def test_skip_locked_does_not_load_balances_that_another_transaction_has_locked(self):
        locked, free = make_balance(), make_balance()

        with locked_in_other_thread(locked), transaction.atomic():
            assert list(BalanceLoader([locked.pk, free.pk], NOON).lock_and_load(skip_locked=True)) == [free.pk]

    def test_what_another_transaction_committed_during_the_wait_is_loaded(self):
        stored = make_balance()

        def lock_and_record():
            with transaction.atomic(), lock_balance(stored.owner, at=NOON) as balance:
                return record_usage(balance, new_request()).transaction

        with ThreadPoolExecutor(1) as pool:
            with transaction.atomic():
                deduct(stored, 40)
                waiting = pool.submit(in_other_thread, lock_and_record)
                wait_until(lambda: lock_waits() == 1)
            made = waiting.result(timeout=30)

        assert (made.sequence, made.balance_after) == (3, 50)
        check_sums(stored)

    def test_does_not_block_inserts_of_rows_that_refer_to_the_balance(self):
        stored = make_balance()

        with locked_in_other_thread(stored), transaction.atomic(), connection.cursor() as cursor:
            # The lock that PostgreSQL takes to check a foreign key.
            cursor.execute("SELECT 1 FROM credits_creditbalance WHERE id = %s FOR KEY SHARE NOWAIT", [stored.pk])
            assert cursor.fetchone() == (1,)
