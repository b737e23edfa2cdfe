"""Deductions that come together: of one balance, lined up in order behind its lock; and of several balances."""

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from threading import Event
from time import monotonic, sleep
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, connection, transaction

from credits import operations
from credits.engine import locked_balance
from credits.models import CreditBalance, RejectedAttempt
from credits.verification import verify_balance
from fluxori.api import problems
from fluxori.core import request_context
from fluxori.core.errors import DomainError
from fluxori.db import group_commit, statements
from fluxori.db.group_commit import GroupCommitQueue
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.factories.identity import MembershipFactory, OrganizationFactory
from tests.support.operations import captured_statements, check_sums, reject_deductions_of_13, unchanged
from tests.support.threads import hold_lock, in_other_thread, locked_in_other_thread
from tests.support.times import DAY, HOUR, NOON

pytestmark = pytest.mark.django_db(transaction=True)

deduct_credits = sys.modules["credits.operations.deduct_credits"]

SECOND = timedelta(seconds=1)
Act = Callable[[], Any]


def until(so: Callable[[], bool]) -> None:
    deadline = monotonic() + 20
    while not so():
        assert monotonic() < deadline
        sleep(0.002)


def waiting_for_locks() -> int:
    return sessions("wait_event_type = 'Lock'")


def asleep() -> int:
    """Return how many statements are at the place where a test holds them up."""
    return sessions("wait_event = 'PgSleep'")


def sessions(where: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(f"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND {where}")
        [number] = cursor.fetchone()
    return int(number)


def in_line(number: int) -> bool:
    return deduct_credits.DEDUCTION_QUEUE._waiting == number


def outcome_of(act: Act) -> Any:
    try:
        return in_other_thread(act)
    except BaseException as refused:  # noqa: BLE001 - what it was is what the tests ask
        return refused


@contextmanager
def lined_up(acts: Sequence[Act], balance: CreditBalance) -> Iterator[list[Any]]:
    """Run the block while the first act waits for the balance's lock, and the others for the first, in order.

    Gives a list that has the outcomes afterwards: what each act returned, or raised.
    """
    outcomes: list[Any] = []
    with ThreadPoolExecutor(len(acts)) as pool:
        with locked_in_other_thread(balance):
            started: list[Future[Any]] = []
            for place, act in enumerate(acts):
                started.append(pool.submit(outcome_of, act))
                if place == 0:
                    until(lambda: waiting_for_locks() == 1)
                until(partial(in_line, place))
            yield outcomes
        outcomes += [one.result(timeout=30) for one in started]


def together(acts: Sequence[Act], balance: CreditBalance) -> list[Any]:
    with lined_up(acts, balance) as outcomes:
        pass
    return outcomes


def paying(balance: CreditBalance, amount: int = 1, **said: Any) -> Act:
    return lambda: deduct(balance, amount, **said)


def commits(balance: CreditBalance) -> int:
    """Return how many database transactions wrote the usage of a balance."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(DISTINCT xmin::text) FROM credits_credittransaction WHERE balance_id = %s AND type = 'usage'",
            [balance.pk],
        )
        [number] = cursor.fetchone()
    return int(number)


class Queued:
    """Runs acts while somebody else is at work, so that they wait in everybody's line, in order.

    Called with acts it returns their outcomes; ``meanwhile`` is run whenever whoever leads has heard what is asked.
    ``served`` are the numbers of deductions that were asked at once.
    """

    def __init__(self) -> None:
        self.served: list[int] = []

    def __call__(self, acts: Sequence[Act], meanwhile: Callable[[list[Any]], Any] = lambda asked: None) -> list[Any]:
        at_work, working, go = make_balance(), Event(), Event()

        def operation(awaited, gather):
            def gathered():
                asked, at = gather()
                if any(owner == at_work.owner for owner, _ in asked):
                    working.set()
                    go.wait(20)
                else:
                    self.served.append(len(asked))
                    meanwhile([plan.deduction for _, plan in asked])
                return asked, at

            return deduct_credits._spend(awaited, gathered)

        with pytest.MonkeyPatch.context() as patched, ThreadPoolExecutor(len(acts) + 1) as pool:
            patched.setattr(deduct_credits, "DEDUCTION_QUEUE", GroupCommitQueue(operation))
            first = pool.submit(outcome_of, paying(at_work))
            assert working.wait(20)
            asked = []
            for place, act in enumerate(acts, 1):
                asked.append(pool.submit(outcome_of, act))
                until(partial(in_line, place))
            go.set()
            assert told([first.result(timeout=30)]) == [1]
            return [one.result(timeout=30) for one in asked]


@pytest.fixture
def queued():
    return Queued()


def told(outcomes: Sequence[Any]) -> list[Any]:
    return [
        outcome.code
        if isinstance(outcome, DomainError)
        else type(outcome)
        if isinstance(outcome, BaseException)
        else -outcome.amount
        for outcome in outcomes
    ]


def code_of(fault: BaseException) -> str:
    """Return what a caller of the API is told."""
    assert isinstance(fault, Exception)
    told = problems.expected_problem(fault)
    assert told is not None
    return told.code


def sound(balance: CreditBalance) -> None:
    check_sums(balance)
    assert verify_balance(balance.pk).differences == ()
    assert in_line(0)
    assert not deduct_credits.DEDUCTION_QUEUE._lines


@pytest.fixture
def spending(monkeypatch):
    """Return a function that lets things happen in the way of deductions that have waited for their balance's lock.

    What it is given is called in its time:

    ``started`` before the lock, ``boarded`` with the deductions that are served once it is known which, ``written``
    when all is written but not committed.
    """

    def arrange(
        *,
        started: Act = lambda: None,
        boarded: Callable[[list[Any]], Any] = lambda deductions: None,
        written: Act = lambda: None,
    ) -> None:
        def operation(awaited, gather):
            if awaited is None:
                return deduct_credits._spend(None, gather)

            def gathered():
                asked, at = gather()
                boarded([plan.deduction for _, plan in asked])
                return asked, at

            started()
            outcomes = deduct_credits._spend(awaited, gathered)
            written()
            return outcomes

        monkeypatch.setattr(deduct_credits, "DEDUCTION_QUEUE", GroupCommitQueue(operation))

    return arrange


class Killed(BaseException):
    """What ends a thread."""


def once(act: Act) -> Act:
    """Return ``act`` for the first call; it does nothing later."""
    left = [act]
    return lambda *_: left.pop()() if left else None


def fail(kind: type[psycopg.Error]) -> None:
    raise OperationalError("It failed") from kind()


def end() -> None:
    raise Killed


def lose_the_connection() -> None:
    """End the session of this thread at the server's side, as a restart does."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [pid] = cursor.fetchone()

    def terminate():
        with connection.cursor() as another:
            another.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

    with ThreadPoolExecutor(1) as pool:
        pool.submit(in_other_thread, terminate).result(timeout=20)


class TestDeductionsThatComeTogether:
    def test_share_one_transaction_and_its_statements(self):
        balance = make_balance(grants=[(5, DAY), (95, None)])
        ran: list[list[str]] = []

        def pay(number):
            with captured_statements() as run:
                paid = deduct(balance, 2, idempotency_key=f"k{number}")
            ran.append(run)
            return paid

        paid = together([partial(pay, number) for number in range(12)], balance)

        assert commits(balance) == 1
        assert sorted(len(run) for run in ran)[:11] == [0] * 11
        assert 1 <= sum(len(run) for run in ran) <= 5
        assert [said.sequence for said in paid] == list(range(3, 15))
        assert [said.after.balance for said in paid] == list(range(98, 75, -2))
        sound(balance)

    def test_are_answered_when_they_are_committed(self):
        balance = make_balance()

        def pay():
            paid = deduct(balance, 1)
            return in_other_thread(lambda: balance.transactions.filter(pk=paid.transaction.id).exists())

        assert together([pay] * 5, balance) == [True] * 5

    def test_keep_who_asked_and_how_it_was_asked(self):
        balance = make_balance()
        people = [make_user() for _ in range(4)]

        def pay(place):
            request_context.request_id.set(f"request-{place}")
            return deduct(
                balance,
                place + 1,
                actor=people[place],
                idempotency_key=f"k{place}",
                reference_id=f"r{place}",
                metadata={"place": place},
                alongside={"tier": place},
            )

        paid = together([partial(pay, place) for place in range(4)], balance)

        assert commits(balance) == 1
        for place, said in enumerate(paid):
            stored = balance.transactions.get(pk=said.pk)
            assert (stored.request_id, stored.actor_id) == (f"request-{place}", people[place].pk)
            assert (stored.idempotency_key, stored.reference_id) == (f"k{place}", f"r{place}")
            assert (-stored.amount, stored.metadata) == (place + 1, f'{{"place":{place}}}')
            assert (said.alongside, said.replayed) == ({"tier": place}, False)
            assert [entry.amount for entry in said.entries.all()] == [stored.amount]
        sound(balance)

    def test_are_refused_alone(self):
        balance = make_balance(grants=[(10, None)])
        acts = [
            paying(balance, 4),
            paying(balance, 7),
            lambda: operations.deduct_credits(owner=balance.owner, feature="nothing", at=NOON),
            paying(balance, 6),
            paying(balance, 1),
        ]

        outcomes = together(acts, balance)

        assert told(outcomes) == [4, "insufficient_credits", "feature_not_found", 6, "insufficient_credits"]
        assert outcomes[1].facts == {"required": 7, "available": 6, "held": 0, "shortfall": 1}
        assert commits(balance) == 1
        sound(balance)

    def test_write_nothing_in_the_ledger_when_all_are_refused_and_count_each(self):
        balance = make_balance(grants=[(10, None)])
        version = balance.version

        outcomes = together([paying(balance, 11, idempotency_key=f"k{n}") for n in range(4)], balance)

        assert told(outcomes) == ["insufficient_credits"] * 4
        sound(balance)
        assert (balance.version, balance.sequence, balance.requests.count()) == (version, 1, 0)
        assert [attempt.count for attempt in RejectedAttempt.objects.filter(balance=balance)] == [4]

    def test_take_once_for_one_key(self):
        balance = make_balance()
        before = deduct(balance, 3, idempotency_key="old")
        acts = [
            paying(balance, 10, idempotency_key="k"),
            paying(balance, 10, idempotency_key="k"),
            paying(balance, 11, idempotency_key="k"),
            paying(balance, 3, idempotency_key="old"),
            paying(balance, 10, idempotency_key="k", actor=make_user()),
        ]

        first, again, other, old, another = together(acts, balance)

        assert (again.pk, again.after, again.replayed) == (first.pk, first.after, True)
        assert other.code == "idempotency_key_reused"
        assert (old.pk, old.after, old.replayed) == (before.transaction.id, before.balance, True)
        assert (another.replayed, another.balance_after) == (False, 77)
        assert commits(balance) == 2
        sound(balance)

    def test_count_against_limits_one_after_the_other(self):
        organization = OrganizationFactory.create()
        one, other = [MembershipFactory.create(organization=organization).user for _ in range(2)]
        balance = make_balance(organization, grants=[(1000, None)])
        operations.set_limit(owner=organization, amount=20, period="day", at=NOON)
        operations.set_limit(owner=organization, amount=12, period="day", member=one, at=NOON)

        outcomes = together([paying(balance, 5, member=who) for who in (one, other, one, one, other, other)], balance)

        assert told(outcomes) == [5, 5, 5, "spending_limit_reached", 5, "spending_limit_reached"]
        assert [outcome.facts["used"] for outcome in outcomes if isinstance(outcome, DomainError)] == [10, 20]
        assert commits(balance) == 1
        sound(balance)

    def test_happen_at_the_latest_of_their_instants(self):
        balance = make_balance()

        paid = together([paying(balance, at=NOON + SECOND * part) for part in (0.5, 1.25, 0)], balance)

        assert [said.timestamp for said in paid] == [NOON + SECOND * 1.25] * 3
        assert commits(balance) == 1

    def test_do_not_move_each_other_in_time(self):
        balance = make_balance(grants=[(2, timedelta(minutes=30)), (98, None)])

        now, later, too = together([paying(balance, at=at) for at in (NOON, NOON + HOUR, NOON)], balance)

        assert (now.timestamp, too.timestamp, later.timestamp) == (NOON, NOON, NOON + HOUR)
        assert too.sequence == now.sequence + 1
        assert commits(balance) == 2
        sound(balance)

    def test_are_no_more_at_once_than_a_transaction_should_carry(self, monkeypatch):
        monkeypatch.setattr(group_commit, "MAX_BATCH_SIZE", 3)
        balance = make_balance()

        paid = together([paying(balance, idempotency_key=f"k{n}") for n in range(7)], balance)

        assert [said.sequence for said in paid] == list(range(2, 9))
        assert commits(balance) == 3
        sound(balance)

    def test_find_no_balance_each_for_itself(self, spending):
        nobody, go = make_user(), Event()
        spending(started=lambda: go.wait(20))

        with ThreadPoolExecutor(3) as pool:
            asked = [pool.submit(outcome_of, paying(CreditBalance(user=nobody))) for _ in range(3)]
            until(lambda: in_line(2))
            go.set()
            outcomes = [one.result(timeout=30) for one in asked]

        assert told(outcomes) == ["balance_not_found"] * 3
        assert len({id(refusal) for refusal in outcomes}) == 3

    def test_inside_a_transaction_of_the_caller_go_alone(self):
        balance = make_balance()

        with ThreadPoolExecutor(1) as pool:
            with hold_lock(balance):
                leader = pool.submit(outcome_of, paying(balance, 1))
                until(lambda: waiting_for_locks() == 1)
                mine = deduct(balance, 2)
                assert (mine.transaction.sequence, leader.done()) == (2, False)
            assert leader.result(timeout=30).sequence == 3

        assert commits(balance) == 2
        sound(balance)

    def test_fall_with_the_transaction_of_the_caller_alone(self):
        balance = make_balance()

        with ThreadPoolExecutor(1) as pool:
            with transaction.atomic():
                deduct(balance, 50)
                leader = pool.submit(outcome_of, paying(balance, 1))
                until(lambda: waiting_for_locks() == 1)
                transaction.set_rollback(True)
            assert leader.result(timeout=30).balance_after == 99

        sound(balance)


class TestDeductionsOfSeveralBalances:
    def test_share_one_transaction_and_its_statements(self, queued):
        balances = [make_balance(grants=[(100, None)]) for _ in range(3)]
        ran: list[list[str]] = []

        def pay(place):
            with captured_statements() as run:
                paid = deduct(balances[place % 3], place + 1, idempotency_key="k" if place < 3 else f"k{place}")
            ran.append(run)
            return paid

        paid = queued([partial(pay, place) for place in range(6)])

        assert [said.balance_after for said in paid] == [99, 98, 97, 95, 93, 91]
        assert queued.served == [6]
        assert sorted(len(run) for run in ran)[:5] == [0] * 5
        assert 1 <= sum(len(run) for run in ran) <= 4
        assert len({said.pk for said in paid}) == 6
        for balance in balances:
            sound(balance)

    def test_are_refused_alone(self, queued):
        one, other, nobody = make_balance(grants=[(10, None)]), make_balance(), CreditBalance(user=make_user())
        acts = [paying(one, 7), paying(nobody), paying(one, 4), paying(other, 5), paying(one, 3)]

        outcomes = queued(acts)

        assert told(outcomes) == [7, "balance_not_found", "insufficient_credits", 5, 3]
        assert outcomes[2].facts == {"required": 4, "available": 3, "held": 0, "shortfall": 1}
        assert queued.served[0] == 5
        sound(one)
        sound(other)

    def test_wait_for_no_balance_but_their_own(self, queued):
        busy, free = make_balance(), make_balance()
        paid_meanwhile: list[int] = []

        def look(asked):
            if len(asked) == 2:
                # Those of the busy balance, who have waited for its lock by themselves.
                paid_meanwhile.append(CreditBalance.objects.get(pk=free.pk).balance)

        with ThreadPoolExecutor(1) as pool:
            with locked_in_other_thread(busy):
                going = pool.submit(queued, [paying(busy, 1), paying(free, 2), paying(busy, 3), paying(free, 4)], look)
                until(lambda: CreditBalance.objects.get(pk=free.pk).balance == 94)
                until(lambda: waiting_for_locks() == 1 and in_line(1))
                assert not going.done()
            outcomes = going.result(timeout=30)

        assert told(outcomes) == [1, 2, 3, 4]
        assert queued.served == [4, 2]
        assert paid_meanwhile == [94]
        assert (commits(busy), commits(free)) == (1, 1)
        sound(busy)
        sound(free)

    def test_read_again_what_changed_while_they_took_the_lock(self, monkeypatch):
        one = make_balance(grants=[(5, DAY), (95, None)])
        slowly = locked_balance._BOOKS_IF_FREE.replace(
            "WHERE b.id = ANY", "WHERE (SELECT pg_sleep(1)) IS NOT NULL AND b.id = ANY"
        )
        monkeypatch.setattr(locked_balance, "_BOOKS_IF_FREE", slowly)

        with ThreadPoolExecutor(1) as pool:
            late = pool.submit(outcome_of, paying(one, 3, idempotency_key="k"))
            until(lambda: asleep() == 1)
            # In a transaction of its own caller's it goes alone, and waits for nobody.
            with transaction.atomic():
                deduct(one, 4, idempotency_key="k0")
            paid = late.result(timeout=30)

        assert (paid.sequence, paid.balance_after) == (4, 93)
        assert [(entry.amount, entry.remaining_after) for entry in paid.entries.all()] == [(-1, 0), (-2, 93)]
        sound(one)

    def test_pass_by_those_who_wait_for_a_lock(self):
        busy, free = make_balance(), make_balance()

        with lined_up([paying(busy)] * 2, busy) as outcomes:
            assert deduct(free, 1).transaction.balance_after == 99
            assert in_line(1)

        assert told(outcomes) == [1, 1]
        sound(free)

    def test_fall_to_a_fault_of_one_alone(self, queued):
        one, other = make_balance(), make_balance()

        def stumble(asked):
            if any(deduction.amount == 13 for deduction in asked):
                raise RuntimeError("13 is an unlucky number")

        outcomes = queued([paying(one, 1), paying(other, 13), paying(other, 2)], stumble)

        assert told(outcomes) == [1, RuntimeError, 2]
        assert queued.served == [3, 1, 1, 1]
        sound(one)
        sound(other)

    def test_are_told_what_stands_beside_them_all_at_once(self, queued):
        balances, asked = [make_balance() for _ in range(3)], []

        def tell(ids):
            asked.append(sorted(ids))
            return statements.Question("SELECT 1", [], lambda _: {key: {"tier": str(key)} for key in ids})

        paid = queued([paying(balance, alongside=tell) for balance in balances])

        assert [said.alongside for said in paid] == [{"tier": str(balance.pk)} for balance in balances]
        assert asked == [sorted(balance.pk for balance in balances)]

    def test_never_lose_a_credit_among_many_threads(self):
        balances = [make_balance(grants=[(30, None)]) for _ in range(4)]

        def spend(place):
            return [outcome_of(paying(balances[(place + turn) % 4], 1)) for turn in range(20)]

        with ThreadPoolExecutor(8) as pool:
            outcomes = [outcome for found in pool.map(spend, range(8)) for outcome in found]

        assert sorted(map(str, told(outcomes))) == ["1"] * 120 + ["insufficient_credits"] * 40
        for balance in balances:
            sound(balance)
            assert balance.balance == 0


class TestFaultsAmongDeductionsThatComeTogether:
    @pytest.mark.parametrize("kind", [psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected])
    def test_are_tried_again_all_together(self, spending, kind):
        balance, served = make_balance(), []
        faults = [kind, kind]

        def boarded(deductions):
            served.append(len(deductions))
            if faults:
                fail(faults.pop())

        spending(boarded=boarded)
        paid = together([paying(balance, idempotency_key=f"k{n}") for n in range(4)], balance)

        assert served == [4, 4, 4]
        assert told(paid) == [1] * 4
        assert commits(balance) == 1
        sound(balance)

    @pytest.mark.parametrize(
        ("kind", "tries"), [(psycopg.errors.DeadlockDetected, 4), (psycopg.errors.QueryCanceled, 1)]
    )
    def test_that_last_are_told_to_each_and_no_more_is_tried(self, spending, kind, tries):
        balance, served = make_balance(), []

        def boarded(deductions):
            served.append(len(deductions))
            fail(kind)

        spending(boarded=boarded)
        with unchanged():
            outcomes = together([paying(balance, idempotency_key=f"k{n}") for n in range(4)], balance)

        assert served == [4] * tries
        assert told(outcomes) == [OperationalError] * 4
        assert len({id(fault) for fault in outcomes}) == 4
        assert [code_of(fault) for fault in outcomes] == ["busy"] * 4

    def test_of_one_are_its_own(self, spending):
        balance = make_balance()

        def boarded(deductions):
            if any(deduction.amount == 13 for deduction in deductions):
                raise RuntimeError("13 is an unlucky number")

        spending(boarded=boarded)
        outcomes = together([paying(balance, amount) for amount in (1, 13, 2, 3)], balance)

        assert told(outcomes) == [1, RuntimeError, 2, 3]
        sound(balance)

    def test_of_one_that_the_database_finds_are_its_own(self, spending):
        balance = make_balance()

        def boarded(deductions):
            if any(deduction.amount == 13 for deduction in deductions):
                with connection.cursor() as cursor:
                    cursor.execute("SELECT 1 / 0")

        spending(boarded=boarded)
        outcomes = together([paying(balance, amount) for amount in (1, 13, 2)], balance)

        assert told([outcomes[0], outcomes[2]]) == [1, 2]
        assert isinstance(outcomes[1], DatabaseError)
        sound(balance)

    def test_of_one_that_the_database_finds_at_the_commit_are_its_own(self, spending):
        balance, tries = make_balance(), []

        spending(boarded=lambda deductions: tries.append(len(deductions)))
        with reject_deductions_of_13():
            outcomes = together([paying(balance, amount) for amount in (1, 13, 2)], balance)

        assert told(outcomes) == [1, IntegrityError, 2]
        assert tries == [3, 1, 1, 1]
        sound(balance)

    @pytest.mark.parametrize("when", ["boarded", "written"])
    def test_that_end_the_leader_end_nobody_else(self, spending, when):
        balance = make_balance()
        spending(**{when: once(end)})

        outcomes = together([paying(balance)] * 5, balance)

        assert told(outcomes) == [Killed, 1, 1, 1, 1]
        sound(balance)

    def test_in_getting_the_lock_are_the_leaders_and_the_next_one_leads(self):
        balance = make_balance()

        def impatient():
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '300ms'")
            return deduct(balance, 1)

        with lined_up([impatient, *[paying(balance)] * 3], balance) as outcomes:
            until(lambda: in_line(2) and waiting_for_locks() == 1)

        assert told(outcomes) == [OperationalError, 1, 1, 1]
        assert commits(balance) == 1
        sound(balance)

    def test_before_the_commit_leave_everybody_paid_though_the_connection_is_lost(self, spending):
        balance = make_balance()
        spending(boarded=once(lose_the_connection))

        outcomes = together([paying(balance, idempotency_key=f"k{n}") for n in range(4)], balance)

        assert told(outcomes) == [1] * 4
        sound(balance)

    def test_in_the_commit_leave_everybody_not_knowing(self, spending):
        balance = make_balance()
        acts = [paying(balance, idempotency_key=f"k{n}") for n in range(4)]
        spending(written=once(lose_the_connection))

        with unchanged():
            outcomes = together(acts, balance)

        assert len({id(fault) for fault in outcomes}) == 4
        assert [code_of(fault) for fault in outcomes] == ["database_unavailable"] * 4
        assert told(together(acts, balance)) == [1] * 4
        sound(balance)

    def test_that_end_the_leader_in_the_commit_leave_the_others_not_knowing(self, spending):
        balance = make_balance()
        acts = [paying(balance, idempotency_key=f"k{n}") for n in range(3)]
        # Committed, but whoever led does not live to say so.
        spending(written=once(lambda: transaction.on_commit(end)))

        killed, *others = together(acts, balance)

        assert isinstance(killed, Killed)
        assert [code_of(fault) for fault in others] == ["database_unavailable"] * 2
        assert [said.replayed for said in together(acts, balance)] == [True] * 3
        sound(balance)


class TestWaitingInLine:
    def test_is_for_so_many_and_no_more(self, settings):
        settings.DEDUCTION_QUEUE_LIMIT = 2
        balance, other = make_balance(), make_balance()

        with lined_up([paying(balance)] * 3, balance) as outcomes:
            asked = monotonic()
            with pytest.raises(operations.BusyError):
                deduct(balance, 1)
            assert monotonic() - asked < 1
            assert deduct(other, 1).transaction.balance_after == 99

        assert told(outcomes) == [1, 1, 1]
        assert deduct(balance, 1).transaction.balance_after == 96
        sound(balance)

    def test_in_vain_is_answered_503_and_when_to_try_again(self, settings, api, clock_at):
        settings.DEDUCTION_QUEUE_LIMIT = 1
        user = make_user()
        balance = make_balance(user)
        clock_at(NOON)

        with lined_up([paying(balance)] * 2, balance) as outcomes, unchanged():
            refused = api(user).post("/api/credits/deduct", {"amount": 1, "description": "One too many"})

        assert (refused.status_code, refused.json()["code"], refused["Retry-After"]) == (503, "busy", "1")
        assert told(outcomes) == [1, 1]

    def test_ends_when_a_lock_has_been_waited_for_long_enough(self, settings):
        settings.LOCK_TIMEOUT_MS = 100
        balance = make_balance()

        with ThreadPoolExecutor(2) as pool:
            with locked_in_other_thread(balance):
                leader = pool.submit(outcome_of, paying(balance, 1))
                until(lambda: waiting_for_locks() == 1)
                rider = pool.submit(outcome_of, paying(balance, 2))
                assert told([rider.result(timeout=10)]) == ["busy"]
                assert not leader.done()
            assert told([leader.result(timeout=30)]) == [1]

        check_sums(balance)
        assert balance.balance == 99
        sound(balance)

    def test_ends_before_anybody_can_take_it_along(self, settings):
        settings.LOCK_TIMEOUT_MS = 1
        desk = GroupCommitQueue[str, str, str](lambda _key, gather: [said for _, said in gather()[0]])
        leader, late = (group_commit._Rider[str, str, str]("balance", said, NOON) for said in ("leader", "late"))
        assert desk._joined_as_leader("balance", leader)
        assert not desk._joined_as_leader("balance", late)

        with pytest.raises(operations.BusyError):
            desk._waited_to_lead("balance", late)

        assert desk._board("balance", group_commit._Group(leader)) == ([("balance", "leader")], NOON)
        assert desk._waiting == 0

    def test_goes_on_for_whoever_was_taken_along(self, settings, spending):
        settings.LOCK_TIMEOUT_MS = 300
        balance = make_balance()
        spending(boarded=lambda _: sleep(0.6))

        assert told(together([paying(balance)] * 3, balance)) == [1] * 3
        assert commits(balance) == 1

    def test_has_an_end_for_them_too(self, settings, spending):
        settings.LOCK_TIMEOUT_MS = settings.STATEMENT_TIMEOUT_MS = 150
        balance, go = make_balance(), Event()
        spending(boarded=lambda _: go.wait(20))

        with ThreadPoolExecutor(2) as pool:
            with locked_in_other_thread(balance):
                leader = pool.submit(outcome_of, paying(balance, 1))
                until(lambda: waiting_for_locks() == 1)
                rider = pool.submit(outcome_of, paying(balance, 2, idempotency_key="k"))
                until(lambda: in_line(1))
            fault = rider.result(timeout=10)
            go.set()
            assert told([leader.result(timeout=30)]) == [1]

        assert code_of(fault) == "database_unavailable"
        assert deduct(balance, 2, idempotency_key="k").replayed is True
        sound(balance)


class TestABalanceThatIsOpenedMeanwhile:
    """Between a statement that finds nothing to lock, and the one that reads."""

    @pytest.fixture
    def slow_lock(self, monkeypatch):
        slowly = locked_balance._LOCK.replace("WHERE id", "WHERE (SELECT pg_sleep(1)) IS NOT NULL AND id")
        monkeypatch.setattr(locked_balance, "_LOCK", slowly)

    def test_is_not_changed_without_its_lock(self, slow_lock, monkeypatch):
        user = make_user()

        def locked_pages():
            with transaction.atomic():
                return list(locked_balance.Reading([user.pk], NOON).locked())

        with ThreadPoolExecutor(1) as pool:
            found = pool.submit(in_other_thread, locked_pages)
            until(lambda: asleep() == 1)
            monkeypatch.undo()
            make_balance(user)

            assert found.result(timeout=30) == []

    def test_is_not_there_for_those_who_had_waited_for_it(self, slow_lock, monkeypatch):
        user = make_user()

        with ThreadPoolExecutor(1) as pool:
            paid = pool.submit(outcome_of, paying(CreditBalance(pk=user.pk, user=user)))
            until(lambda: asleep() == 1)
            monkeypatch.undo()
            balance = make_balance(user)

            assert told([paid.result(timeout=30)]) == ["balance_not_found"]

        assert commits(balance) == 0
        sound(balance)
