"""Concurrent deductions that share a transaction: the result of each, one balance and several, keys and instants."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from threading import Event

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from credits import operations
from credits.engine import operation_queue
from credits.engine.deductions import Deduction, DeductionRequest
from credits.models import CreditBalance, FeaturePrice, RejectedAttempt
from fluxori.core import request_context
from fluxori.core.errors import DomainError
from fluxori.db import group_commit
from fluxori.db.group_commit import GroupCommitQueue
from fluxori.identity.owner import Owner
from tests.support.deductions import (
    check_balance,
    deduction,
    intercepted,
    is_waiting,
    run_behind_lock,
    run_in_first_queue,
    summarize,
    usage_commits,
    waiting_behind_lock,
)
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.factories.identity import MembershipFactory, OrganizationFactory
from tests.support.threads import hold_lock, in_other_thread, lock_waits, locked_in_other_thread, outcome_of, wait_until
from tests.support.times import DAY, HOUR, MINUTE, NOON, SECOND

FEATURE = "simple-ai-insight"  # 9 credits


def without_ids(result):
    """Return what a result says, without the ids and hashes that differ between two balances."""
    if isinstance(result, DomainError):
        return result.code, result.facts
    made = result.transaction
    return (
        (made.sequence, made.type, made.amount, made.balance_after, made.timestamp),
        replace(made.details, request_id=""),
        [(entry.position, entry.amount, entry.remaining_after) for entry in made.entries],
        replace(result.balance, id=None, user_id=None),
        result.tier_facts,
        result.replayed,
    )


@pytest.mark.django_db(transaction=True)
class TestOneBalance:
    def test_all_deductions_that_wait_for_its_lock_share_one_transaction(self):
        balance = make_balance(grants=[(5, DAY), (95, None)])

        results = run_behind_lock([deduction(balance, 2, idempotency_key=f"k{n}") for n in range(12)], balance)

        assert usage_commits(balance) == 1
        assert [result.transaction.sequence for result in results] == list(range(3, 15))
        assert [result.balance.balance for result in results] == list(range(98, 75, -2))
        check_balance(balance)

    def test_each_deduction_returns_after_the_commit(self):
        balance = make_balance()

        def deduct_and_look():
            result = deduct(balance, 1)
            return in_other_thread(balance.transactions.filter(pk=result.transaction.id).exists)

        assert run_behind_lock([deduct_and_look] * 5, balance) == [True] * 5

    def test_each_transaction_records_its_own_actor_key_request_id_and_metadata(self):
        balance = make_balance()
        actors = [make_user() for _ in range(4)]

        def deduct_as(n):
            request_context.request_id.set(f"request-{n}")
            return deduct(
                balance,
                n + 1,
                actor=actors[n],
                idempotency_key=f"k{n}",
                reference_id=f"r{n}",
                metadata={"n": n},
            )

        results = run_behind_lock([partial(deduct_as, n) for n in range(4)], balance)

        assert usage_commits(balance) == 1
        for n, result in enumerate(results):
            stored = balance.transactions.get(pk=result.transaction.id)
            assert (stored.request_id, stored.actor_id) == (f"request-{n}", actors[n].pk)
            assert (stored.idempotency_key, stored.reference_id) == (f"k{n}", f"r{n}")
            assert (-stored.amount, stored.metadata) == (n + 1, f'{{"n":{n}}}')
            assert [entry.amount for entry in result.transaction.entries] == [stored.amount]
            assert not result.replayed
        check_balance(balance)

    def test_a_rejected_deduction_does_not_affect_the_others(self):
        balance = make_balance(grants=[(10, None)])
        calls = [
            deduction(balance, 4),
            deduction(balance, 7),
            lambda: operations.deduct_credits(owner=balance.owner, feature="nothing", at=NOON),
            deduction(balance, 6),
            deduction(balance, 1),
        ]

        outcomes = run_behind_lock(calls, balance)

        assert summarize(outcomes) == [4, "insufficient_credits", "feature_not_found", 6, "insufficient_credits"]
        assert outcomes[1].facts == {"required": 7, "available": 6, "held": 0, "shortfall": 1}
        assert usage_commits(balance) == 1
        check_balance(balance)

    def test_a_group_of_rejected_deductions_changes_no_balance_and_counts_each_attempt(self):
        balance = make_balance(grants=[(10, None)])
        version = balance.version

        outcomes = run_behind_lock([deduction(balance, 11, idempotency_key=f"k{n}") for n in range(4)], balance)

        assert summarize(outcomes) == ["insufficient_credits"] * 4
        check_balance(balance)
        assert (balance.version, balance.sequence, balance.requests.count()) == (version, 1, 0)
        assert [attempt.count for attempt in RejectedAttempt.objects.filter(balance=balance)] == [4]

    def test_each_deduction_counts_toward_the_limits_of_the_next(self):
        organization = OrganizationFactory.create()
        ann, ben = [MembershipFactory.create(organization=organization).user for _ in range(2)]
        balance = make_balance(organization, grants=[(1000, None)])
        operations.set_limit(owner=organization, amount=20, period="day", at=NOON)
        operations.set_limit(owner=organization, amount=12, period="day", member=ann, at=NOON)

        members = (ann, ben, ann, ann, ben, ben)
        outcomes = run_behind_lock([deduction(balance, 5, member=member) for member in members], balance)

        assert summarize(outcomes) == [5, 5, 5, "spending_limit_reached", 5, "spending_limit_reached"]
        assert [outcome.facts["used"] for outcome in outcomes if isinstance(outcome, DomainError)] == [10, 20]
        assert usage_commits(balance) == 1
        check_balance(balance)

    def test_a_group_has_at_most_max_group_size_deductions(self, monkeypatch):
        monkeypatch.setattr(group_commit, "MAX_GROUP_SIZE", 3)
        balance = make_balance()

        results = run_behind_lock([deduction(balance, idempotency_key=f"k{n}") for n in range(7)], balance)

        assert [result.transaction.sequence for result in results] == list(range(2, 9))
        assert usage_commits(balance) == 3
        check_balance(balance)

    def test_each_deduction_gets_its_own_error_if_the_owner_has_no_balance(self):
        owner_only, may_continue = CreditBalance(user=make_user()), Event()

        with intercepted(before=lambda: may_continue.wait(20)), ThreadPoolExecutor(3) as pool:
            futures = [pool.submit(outcome_of, deduction(owner_only)) for _ in range(3)]
            wait_until(lambda: is_waiting(2))
            may_continue.set()
            outcomes = [future.result(timeout=30) for future in futures]

        assert summarize(outcomes) == ["balance_not_found"] * 3
        assert len({id(error) for error in outcomes}) == 3


@pytest.mark.django_db(transaction=True)
class TestSeveralBalances:
    def test_deductions_of_free_balances_share_one_transaction(self):
        balances, groups = [make_balance() for _ in range(3)], []
        calls = [
            deduction(balances[n % 3], n + 1, idempotency_key="k" if n < 3 else f"k{n}")  # a key belongs to a balance
            for n in range(6)
        ]

        results = run_in_first_queue(calls, lambda group: groups.append(len(group)))

        assert groups == [6]
        assert [result.transaction.balance_after for result in results] == [99, 98, 97, 95, 93, 91]
        assert len({result.transaction.id for result in results}) == 6
        for balance in balances:
            check_balance(balance)

    def test_a_rejected_deduction_does_not_affect_the_others(self):
        one, other, missing = make_balance(grants=[(10, None)]), make_balance(), CreditBalance(user=make_user())
        calls = [deduction(one, 7), deduction(missing), deduction(one, 4), deduction(other, 5), deduction(one, 3)]
        groups = []

        outcomes = run_in_first_queue(calls, lambda group: groups.append(len(group)))

        assert summarize(outcomes) == [7, "balance_not_found", "insufficient_credits", 5, 3]
        assert outcomes[2].facts == {"required": 4, "available": 3, "held": 0, "shortfall": 1}
        assert groups == [5, 1]
        check_balance(one)
        check_balance(other)

    def test_a_locked_balance_does_not_delay_the_deductions_of_other_balances(self):
        locked, free = make_balance(), make_balance()
        groups, balances_of_free = [], []

        def look(group):
            groups.append(len(group))
            balances_of_free.append(CreditBalance.objects.get(pk=free.pk).balance)

        calls = [deduction(locked, 1), deduction(free, 2), deduction(locked, 3), deduction(free, 4)]
        with ThreadPoolExecutor(1) as pool:
            with locked_in_other_thread(locked):
                running = pool.submit(run_in_first_queue, calls, look)
                wait_until(lambda: CreditBalance.objects.get(pk=free.pk).balance == 94)
                wait_until(lambda: lock_waits() == 1 and is_waiting(1))
                assert not running.done()
            outcomes = running.result(timeout=30)

        assert summarize(outcomes) == [1, 2, 3, 4]
        assert (groups, balances_of_free) == ([4, 2], [100, 94])
        assert (usage_commits(locked), usage_commits(free)) == (1, 1)
        check_balance(locked)
        check_balance(free)

    def test_a_free_balance_is_charged_while_others_wait_for_a_lock(self):
        locked, free = make_balance(), make_balance()

        with waiting_behind_lock([deduction(locked)] * 2, locked) as outcomes:
            assert deduct(free, 1).transaction.balance_after == 99
            assert is_waiting(1)

        assert summarize(outcomes) == [1, 1]
        check_balance(free)

    def test_no_credit_is_lost_or_spent_twice_by_many_threads(self):
        balances = [make_balance(grants=[(30, None)]) for _ in range(4)]

        def spend(thread):
            return [outcome_of(deduction(balances[(thread + turn) % 4], 1)) for turn in range(20)]

        with ThreadPoolExecutor(8) as pool:
            outcomes = [outcome for part in pool.map(spend, range(8)) for outcome in part]

        assert sorted(map(str, summarize(outcomes))) == ["1"] * 120 + ["insufficient_credits"] * 40
        for balance in balances:
            check_balance(balance)
            assert balance.balance == 0

    def test_no_credit_is_spent_twice_by_the_queues_of_several_processes(self):
        balances = [make_balance(grants=[(30, None)]) for _ in range(2)]
        # A process has one queue. Between several queues only the lock of the balance decides.
        queues = [
            GroupCommitQueue(operation_queue.process_group, busy_error=operations.BusyError, queue_limit=lambda: 100)
            for _ in range(4)
        ]

        def spend(thread):
            return [
                outcome_of(
                    partial(
                        queues[thread % 4].run,
                        Owner.of(balances[turn % 2].owner),
                        DeductionRequest.of(Deduction(amount=1, description="Spent in a test"), NOON),
                    )
                )
                for turn in range(10)
            ]

        with ThreadPoolExecutor(8) as pool:
            outcomes = [outcome for part in pool.map(spend, range(8)) for outcome in part]

        assert sorted(map(str, summarize(outcomes))) == ["1"] * 60 + ["insufficient_credits"] * 20
        for balance in balances:
            check_balance(balance)
            assert balance.balance == 0


@pytest.mark.django_db(transaction=True)
class TestIdempotencyKeys:
    def test_a_key_that_occurs_twice_in_a_group_deducts_once(self):
        balance = make_balance()
        earlier = deduct(balance, 3, idempotency_key="old")
        calls = [
            deduction(balance, 10, idempotency_key="k"),
            deduction(balance, 10, idempotency_key="k"),
            deduction(balance, 11, idempotency_key="k"),
            deduction(balance, 3, idempotency_key="old"),
            deduction(balance, 10, idempotency_key="k", actor=make_user()),
        ]

        first, repeated, different, old, other_actor = run_behind_lock(calls, balance)

        assert (first.replayed, repeated) == (False, replace(first, replayed=True))
        assert different.code == "idempotency_key_reused"
        assert old == replace(earlier, replayed=True)
        assert (other_actor.replayed, other_actor.transaction.balance_after) == (False, 77)
        assert usage_commits(balance) == 2
        check_balance(balance)

    def test_a_key_that_occurs_twice_in_a_group_of_several_balances_deducts_once_from_each(self):
        balances = [make_balance(), make_balance()]

        results = run_in_first_queue([deduction(balances[n % 2], 10, idempotency_key="k") for n in range(4)])

        assert [result.replayed for result in results] == [False, False, True, True]
        assert [result.transaction.id for result in results[2:]] == [result.transaction.id for result in results[:2]]
        for balance in balances:
            check_balance(balance)
            assert balance.balance == 90


@pytest.mark.django_db(transaction=True)
class TestInstantsOfOneGroup:
    def test_each_deduction_happens_at_its_own_instant(self):
        balance = make_balance()
        instants = [NOON, NOON + SECOND / 2, NOON + HOUR]

        results = run_behind_lock([deduction(balance, at=at) for at in instants], balance)

        assert [result.transaction.timestamp for result in results] == instants
        assert usage_commits(balance) == 1
        check_balance(balance)

    def test_deductions_are_planned_in_order_of_their_instants_then_of_arrival(self):
        balance = make_balance()
        instants = [NOON + HOUR, NOON + MINUTE, NOON, NOON + MINUTE]

        results = run_behind_lock([deduction(balance, at=at) for at in instants], balance)

        assert [result.transaction.sequence for result in results] == [5, 3, 2, 4]
        assert [result.transaction.timestamp for result in results] == instants
        assert usage_commits(balance) == 1
        check_balance(balance)

    def test_a_later_instant_does_not_expire_grants_for_an_earlier_deduction(self):
        balance = make_balance(grants=[(2, 30 * MINUTE), (98, None)])

        later, earlier = run_behind_lock([deduction(balance, 98, at=NOON + HOUR), deduction(balance, 1)], balance)

        assert (earlier.transaction.timestamp, earlier.balance.next_expiry) == (NOON, (1, NOON + 30 * MINUTE))
        assert (later.transaction.timestamp, later.balance.balance) == (NOON + HOUR, 0)
        assert list(balance.transactions.order_by("sequence").values_list("type", "amount"))[2:] == [
            ("usage", -1),
            ("expiry", -1),
            ("usage", -98),
        ]
        assert usage_commits(balance) == 1
        check_balance(balance)

    def test_each_deduction_has_the_price_of_its_own_instant(self):
        FeaturePrice.objects.create(feature_id=FEATURE, credits=11, effective_from=NOON + HOUR)
        balance = make_balance()

        def use(at):
            return operations.deduct_credits(owner=balance.owner, feature=FEATURE, at=at)

        outcomes = run_behind_lock([partial(use, NOON + HOUR), partial(use, NOON + HOUR - SECOND)], balance)

        assert summarize(outcomes) == [11, 9]
        assert usage_commits(balance) == 1

    def test_a_backdated_deduction_happens_at_the_last_change_of_the_balance(self):
        balance = make_balance()
        deduct(balance, 1, at=NOON + HOUR)

        results = run_behind_lock([deduction(balance, at=at) for at in (NOON, NOON + 2 * HOUR, NOON - DAY)], balance)

        assert [result.transaction.timestamp - NOON for result in results] == [HOUR, 2 * HOUR, HOUR]
        assert usage_commits(balance) == 2
        check_balance(balance)

    def test_a_group_has_the_same_results_as_the_deductions_one_by_one(self):
        alone, shared = [make_balance(grants=[(5, 30 * MINUTE), (20, 2 * HOUR), (75, None)]) for _ in range(2)]
        wanted = [(7, NOON + HOUR), (3, NOON), (200, NOON + MINUTE), (9, NOON - DAY), (60, NOON + 3 * HOUR), (4, NOON)]

        results = run_behind_lock([deduction(shared, amount, at=at) for amount, at in wanted], shared)

        in_order = sorted(range(len(wanted)), key=lambda n: (wanted[n][1], n))
        one_by_one = [outcome_of(deduction(alone, wanted[n][0], at=wanted[n][1])) for n in in_order]
        assert [without_ids(results[n]) for n in in_order] == [without_ids(result) for result in one_by_one]
        assert usage_commits(shared) == 1
        check_balance(shared)


instants = st.integers(-10, 300).map(lambda minutes: NOON + minutes * MINUTE)
requests = st.builds(
    lambda at, key, cost: (at, Deduction(idempotency_key=key, **cost)),
    instants,
    st.none() | st.sampled_from(["a", "b"]),
    st.integers(1, 60).map(lambda amount: {"amount": amount, "description": "Spent in a test"})
    | st.integers(1, 3).map(lambda quantity: {"feature": FEATURE, "quantity": quantity}),
)


@pytest.mark.django_db
class TestGrouping:
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.lists(requests, min_size=2, max_size=8),
        st.lists(st.tuples(st.integers(1, 50), st.none() | st.integers(1, 300)), min_size=1, max_size=4),
        st.integers(-10, 300),
    )
    def test_never_changes_a_result_price_timestamp_or_expiry(self, wanted, grants, price_change):
        with transaction.atomic():
            FeaturePrice.objects.create(
                feature_id=FEATURE, credits=11, effective_from=NOON + timedelta(minutes=price_change, seconds=30)
            )
            terms = [(amount, minutes and minutes * MINUTE) for amount, minutes in grants]
            alone, shared = make_balance(grants=terms), make_balance(grants=terms)
            requests = [(Owner.of(shared.owner), DeductionRequest.of(each, at)) for at, each in wanted]

            planned = operation_queue.process_group(None, lambda: requests)

            in_order = sorted(range(len(wanted)), key=lambda n: (wanted[n][0], n))
            one_by_one = [_commit_one(alone, *wanted[n]) for n in in_order]
            results = [planned[n] for n in in_order]
            assert [_comparable(result) for result in results] == [_comparable(result) for result in one_by_one]
            assert _history(shared) == _history(alone)
            transaction.set_rollback(True)


def _commit_one(balance, at, wanted):
    request = Owner.of(balance.owner), DeductionRequest.of(wanted, at)
    [result] = operation_queue.process_group(None, lambda: [request])
    return result


def _comparable(result):
    """Return what an engine result says, without ids."""
    if isinstance(result, DomainError):
        return result.code, result.facts
    sequence = result.transaction.sequence if result.transaction else None
    return replace(result.snapshot, id=None, user_id=None), result.tier_facts, result.replayed, sequence


def _history(balance):
    """Return all transactions of a balance with their entries, without ids."""
    return [
        (
            (row.type, row.amount, row.balance_after, row.timestamp, row.price_id, row.quantity),
            [(entry.amount, entry.remaining_after) for entry in row.entries.order_by("position")],
        )
        for row in balance.transactions.order_by("sequence")
    ]


@pytest.mark.django_db(transaction=True)
class TestInsideATransactionOfTheCaller:
    def test_a_deduction_runs_alone_and_does_not_wait_for_the_queue(self):
        balance = make_balance()

        with ThreadPoolExecutor(1) as pool:
            with hold_lock(balance):
                waiting = pool.submit(outcome_of, deduction(balance, 1))
                wait_until(lambda: lock_waits() == 1)
                mine = deduct(balance, 2)
                assert (mine.transaction.sequence, waiting.done()) == (2, False)
            assert waiting.result(timeout=30).transaction.sequence == 3

        assert usage_commits(balance) == 2
        check_balance(balance)

    def test_a_rollback_of_the_caller_does_not_affect_deductions_that_wait(self):
        balance = make_balance()

        with ThreadPoolExecutor(1) as pool:
            with transaction.atomic():
                deduct(balance, 50)
                waiting = pool.submit(outcome_of, deduction(balance, 1))
                wait_until(lambda: lock_waits() == 1)
                transaction.set_rollback(True)
            assert waiting.result(timeout=30).transaction.balance_after == 99

        check_balance(balance)
