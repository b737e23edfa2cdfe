"""The queue of the group commit, with a ``process_group`` function of the test.

``RowWriter`` writes one row for each request. The keys are integers; the lock of a key is an advisory lock of the
transaction. Threads, connections, locks and commits are real.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from threading import Event
from time import monotonic, sleep
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, connection, transaction

from fluxori.db import group_commit
from fluxori.db.group_commit import GroupCommitQueue
from tests.support.database import as_owner
from tests.support.faults import ThreadEnded, end_thread, fail_with, lose_connection, once
from tests.support.silent_proxy import through_silent_proxy
from tests.support.threads import in_other_thread, lock_waits, outcome_of, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

Call = Callable[[], Any]


class QueueBusyError(Exception):
    """The busy error of the queue under test."""


class RowWriter:
    """A ``process_group`` function that inserts one row for each request, and returns (payload, transaction id).

    ``taken`` runs with the payloads when a group of a contended key is taken, ``written`` when its rows are written.
    ``groups`` lists (wait_for, payloads) of every group.
    """

    def __init__(self) -> None:
        self.groups: list[tuple[int | None, list[Any]]] = []
        self.taken: Callable[[list[Any]], Any] = lambda payloads: None
        self.written: Callable[[], Any] = lambda: None

    def __call__(
        self, wait_for: int | None, take_group: Callable[[], Sequence[tuple[int, Any]]]
    ) -> list[tuple[Any, int] | None]:
        with connection.cursor() as cursor:
            if wait_for is not None:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [wait_for])
            group = take_group()
            self.groups.append((wait_for, [payload for _, payload in group]))
            if wait_for is not None:
                self.taken([payload for _, payload in group])
            results = [self._write(cursor, wait_for, key, payload) for key, payload in group]
        if wait_for is not None:
            self.written()
        return results

    def _write(self, cursor: Any, wait_for: int | None, key: int, payload: Any) -> tuple[Any, int] | None:
        if wait_for is None:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [key])
            if cursor.fetchone() == (False,):
                return None
        cursor.execute("INSERT INTO group_commit_rows VALUES (%s, %s) RETURNING pg_current_xact_id()", [key, payload])
        [transaction_id] = cursor.fetchone()
        return payload, transaction_id

    @property
    def sizes(self) -> list[int]:
        """The number of requests in each group of a contended key."""
        return [len(payloads) for wait_for, payloads in self.groups if wait_for is not None]


@pytest.fixture
def writer():
    with as_owner(), connection.cursor() as cursor:
        # A repeated payload fails in COMMIT, a payload of 13 or less in its INSERT.
        cursor.execute(
            "CREATE TABLE group_commit_rows (key int, payload int CHECK (payload > 13),"
            " UNIQUE (payload) DEFERRABLE INITIALLY DEFERRED)"
        )
        cursor.execute("GRANT ALL ON group_commit_rows TO PUBLIC")
    yield RowWriter()
    with as_owner(), connection.cursor() as cursor:
        cursor.execute("DROP TABLE group_commit_rows")


@pytest.fixture
def limits():
    """The limit of the queue under test; a test may change ``limits["queue"]``."""
    return {"queue": 100}


@pytest.fixture
def queue(writer, limits):
    tested: GroupCommitQueue[int, Any, Any] = GroupCommitQueue(
        writer, busy_error=QueueBusyError, queue_limit=lambda: limits["queue"]
    )
    yield tested
    assert tested._queues == {}
    assert tested._waiting_count == 0


def stored() -> list[int]:
    """Return the committed payloads in order."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT payload FROM group_commit_rows ORDER BY payload")
        return [payload for (payload,) in cursor.fetchall()]


@contextmanager
def key_locked(key: int) -> Iterator[None]:
    """Hold the lock of a key in another transaction while the block runs."""
    locked, done = Event(), Event()

    def hold_until_done() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [key])
            locked.set()
            done.wait(30)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(in_other_thread, hold_until_done)
        try:
            assert locked.wait(30)
            yield
        finally:
            done.set()


def is_waiting(queue: GroupCommitQueue[int, Any, Any], count: int) -> bool:
    return queue._waiting_count == count


@contextmanager
def waiting_for_key(queue: GroupCommitQueue[int, Any, Any], calls: Sequence[Call], key: int = 1) -> Iterator[list[Any]]:
    """Run the block while the first call waits for the lock of the key, and the others wait for the first, in order.

    Yields a list that contains the outcomes after the block.
    """
    outcomes: list[Any] = []
    with ThreadPoolExecutor(len(calls)) as pool:
        with key_locked(key):
            futures: list[Future[Any]] = []
            for index, call in enumerate(calls):
                futures.append(pool.submit(outcome_of, call))
                if index == 0:
                    wait_until(lambda: lock_waits() == 1)
                wait_until(partial(is_waiting, queue, index))
            yield outcomes
        outcomes += [future.result(timeout=30) for future in futures]


def run_together(queue: GroupCommitQueue[int, Any, Any], payloads: Sequence[int], key: int = 1) -> list[Any]:
    """Run requests of one contended key in one group and return the outcomes in order."""
    with waiting_for_key(queue, [partial(queue.run, key, payload) for payload in payloads], key) as outcomes:
        pass
    return outcomes


def summarize(outcomes: Sequence[Any]) -> list[Any]:
    """Return the payload of each result, or the class of each exception."""
    return [type(each) if isinstance(each, BaseException) else each[0] for each in outcomes]


def transactions(outcomes: Sequence[Any]) -> int:
    """Return the number of database transactions that wrote these results."""
    return len({transaction_id for _, transaction_id in outcomes})


class TestRun:
    def test_a_single_request_commits_in_the_first_queue(self, queue, writer):
        payload, _ = queue.run(1, 20)

        assert payload == 20
        assert writer.groups == [(None, [20])]
        assert stored() == [20]

    def test_requests_that_wait_for_one_key_share_a_transaction_in_order_of_arrival(self, queue, writer):
        outcomes = run_together(queue, [20, 21, 22, 23])

        assert summarize(outcomes) == [20, 21, 22, 23]
        assert transactions(outcomes) == 1
        assert writer.groups[-1] == (1, [20, 21, 22, 23])

    def test_each_request_returns_after_its_commit(self, queue):
        def run_and_look(payload):
            queue.run(1, payload)
            return in_other_thread(stored)

        with waiting_for_key(queue, [partial(run_and_look, payload) for payload in (20, 21, 22)]) as outcomes:
            pass

        assert outcomes == [[20, 21, 22]] * 3

    def test_a_group_has_at_most_max_group_size_requests(self, queue, writer, monkeypatch):
        monkeypatch.setattr(group_commit, "MAX_GROUP_SIZE", 3)

        outcomes = run_together(queue, range(20, 27))

        assert summarize(outcomes) == list(range(20, 27))
        assert writer.sizes == [3, 3, 1]

    def test_requests_that_arrive_during_a_group_share_the_next_one(self, queue, writer):
        is_taken, may_commit = Event(), Event()

        def hold_up_commit():
            is_taken.set()
            may_commit.wait(20)

        writer.taken = once(hold_up_commit)

        with ThreadPoolExecutor(3) as pool:
            with key_locked(1):
                first = pool.submit(outcome_of, partial(queue.run, 1, 20))
                wait_until(lambda: lock_waits() == 1)
            assert is_taken.wait(20)
            others = [pool.submit(outcome_of, partial(queue.run, 1, payload)) for payload in (21, 22)]
            wait_until(partial(is_waiting, queue, 2))
            may_commit.set()
            outcomes = [future.result(timeout=30) for future in [first, *others]]

        assert summarize(outcomes) == [20, 21, 22]
        assert writer.sizes == [1, 2]


class TestKeys:
    def test_requests_for_several_keys_share_a_transaction(self, queue, writer):
        is_taken, may_commit = Event(), Event()
        write = queue._process

        def hold_up_first_group(wait_for, take_group):
            def take():
                group = take_group()
                if not is_taken.is_set():
                    is_taken.set()
                    may_commit.wait(20)
                return group

            return write(wait_for, take)

        queue._process = hold_up_first_group
        with ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(outcome_of, partial(queue.run, 1, 20))]
            assert is_taken.wait(20)
            for count, (key, payload) in enumerate([(2, 21), (3, 22), (2, 23)], 1):
                futures.append(pool.submit(outcome_of, partial(queue.run, key, payload)))
                wait_until(partial(is_waiting, queue, count))
            may_commit.set()
            outcomes = [future.result(timeout=30) for future in futures]

        assert summarize(outcomes) == [20, 21, 22, 23]
        assert writer.groups == [(None, [20]), (None, [21, 22, 23])]
        assert transactions(outcomes[1:]) == 1

    def test_a_request_whose_key_is_locked_moves_to_the_queue_of_that_key(self, queue, writer):
        run_together(queue, [20])

        assert writer.groups == [(None, [20]), (1, [20])]

    def test_later_requests_for_a_contended_key_go_directly_to_its_queue(self, queue, writer):
        run_together(queue, [20, 21])

        assert writer.groups == [(None, [20]), (1, [20, 21])]

    def test_a_locked_key_does_not_delay_requests_for_other_keys(self, queue):
        with waiting_for_key(queue, [partial(queue.run, 1, 20), partial(queue.run, 1, 21)]) as outcomes:
            assert summarize([queue.run(2, 30)]) == [30]
            assert is_waiting(queue, 1)

        assert summarize(outcomes) == [20, 21]


class TestErrors:
    @pytest.mark.parametrize("kind", [psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected])
    def test_the_whole_group_is_retried_after_a_serialization_failure_or_deadlock(self, queue, writer, kind):
        errors = [kind, kind]
        writer.taken = lambda _: fail_with(errors.pop()) if errors else None

        outcomes = run_together(queue, [20, 21, 22, 23])

        assert writer.sizes == [4, 4, 4]
        assert summarize(outcomes) == [20, 21, 22, 23]
        assert transactions(outcomes) == 1

    @pytest.mark.parametrize(
        ("kind", "attempts"),
        [
            (psycopg.errors.DeadlockDetected, 4),
            (psycopg.errors.QueryCanceled, 1),
            (psycopg.errors.LockNotAvailable, 1),
        ],
    )
    def test_each_request_gets_its_own_copy_of_a_conflict_or_timeout(self, queue, writer, kind, attempts):
        writer.taken = lambda _: fail_with(kind)

        outcomes = run_together(queue, [20, 21, 22])

        assert writer.sizes == [3] * attempts
        assert summarize(outcomes) == [OperationalError] * 3
        assert [type(error.__cause__) for error in outcomes] == [kind] * 3
        assert len({id(error) for error in outcomes}) == 3
        assert stored() == []

    def test_an_exception_of_one_request_does_not_fail_the_others(self, queue, writer):
        def reject_21(payloads):
            if 21 in payloads:
                raise RuntimeError

        writer.taken = reject_21

        assert summarize(run_together(queue, [20, 21, 22])) == [20, RuntimeError, 22]
        assert writer.sizes == [3, 1, 1, 1]
        assert stored() == [20, 22]

    def test_a_database_error_of_one_request_does_not_fail_the_others(self, queue, writer):
        outcomes = run_together(queue, [20, 13, 22])

        assert summarize(outcomes) == [20, IntegrityError, 22]
        assert stored() == [20, 22]

    def test_an_error_in_the_commit_of_one_request_does_not_fail_the_others(self, queue):
        queue.run(2, 21)

        assert summarize(run_together(queue, [20, 21, 22])) == [20, IntegrityError, 22]
        assert stored() == [20, 21, 22]

    @pytest.mark.parametrize("stage", ["taken", "written"])
    def test_the_others_run_alone_if_the_leader_ends_before_the_commit(self, queue, writer, stage):
        setattr(writer, stage, once(end_thread))

        assert summarize(run_together(queue, range(20, 25))) == [ThreadEnded, 21, 22, 23, 24]
        assert stored() == [21, 22, 23, 24]

    def test_the_outcome_is_unknown_to_the_others_if_the_leader_ends_in_the_commit(self, queue, writer):
        writer.written = once(lambda: transaction.on_commit(end_thread))

        outcomes = run_together(queue, [20, 21, 22])

        assert summarize(outcomes) == [ThreadEnded, OperationalError, OperationalError]
        assert ["unknown" in str(error) for error in outcomes[1:]] == [True, True]
        assert stored() == [20, 21, 22]

    def test_every_request_is_repeated_if_the_connection_is_lost_before_the_commit(self, queue, writer):
        writer.taken = once(lose_connection)

        assert summarize(run_together(queue, [20, 21, 22])) == [20, 21, 22]
        assert stored() == [20, 21, 22]

    def test_each_request_gets_its_own_error_if_the_connection_is_lost_in_the_commit(self, queue, writer):
        writer.written = once(lose_connection)

        outcomes = run_together(queue, [20, 21, 22])

        assert summarize(outcomes) == [OperationalError] * 3
        assert len({id(error) for error in outcomes}) == 3
        assert writer.sizes == [3]

    def test_the_next_request_leads_if_the_leader_does_not_get_the_lock(self, queue):
        def run_impatiently():
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '300ms'")
            return queue.run(1, 20)

        calls: list[Call] = [run_impatiently, *[partial(queue.run, 1, payload) for payload in (21, 22, 23)]]
        with waiting_for_key(queue, calls) as outcomes:
            wait_until(lambda: is_waiting(queue, 2) and lock_waits() == 1)

        assert summarize(outcomes) == [OperationalError, 21, 22, 23]
        assert transactions(outcomes[1:]) == 1


class TestLimits:
    def test_a_request_beyond_the_queue_limit_is_busy_at_once(self, queue, limits):
        limits["queue"] = 2

        with waiting_for_key(queue, [partial(queue.run, 1, payload) for payload in (20, 21, 22)]) as outcomes:
            started = monotonic()
            with pytest.raises(QueueBusyError):
                queue.run(1, 23)
            assert monotonic() - started < 1

        assert summarize(outcomes) == [20, 21, 22]
        assert stored() == [20, 21, 22]

    def test_a_request_for_a_free_key_is_served_though_the_queue_of_another_key_is_full(self, queue, limits):
        limits["queue"] = 2

        with waiting_for_key(queue, [partial(queue.run, 1, payload) for payload in (20, 21, 22)]):
            assert summarize([queue.run(2, 30)]) == [30]

    def test_requests_are_accepted_again_when_the_queue_is_empty(self, queue, limits):
        limits["queue"] = 1
        run_together(queue, [20, 21])

        assert summarize([queue.run(1, 22)]) == [22]

    def test_a_request_that_waits_for_the_lock_timeout_is_busy(self, queue, settings):
        settings.LOCK_TIMEOUT_MS = 100

        with ThreadPoolExecutor(2) as pool:
            with key_locked(1):
                leader = pool.submit(outcome_of, partial(queue.run, 1, 20))
                wait_until(lambda: lock_waits() == 1)
                waiting = pool.submit(outcome_of, partial(queue.run, 1, 21))
                assert summarize([waiting.result(timeout=10)]) == [QueueBusyError]
                assert not leader.done()
            assert summarize([leader.result(timeout=30)]) == [20]

        assert stored() == [20]

    def test_a_request_that_is_busy_never_joins_a_group(self, queue, settings):
        settings.LOCK_TIMEOUT_MS = 1
        leader, late = (group_commit._Submission[int, str, str](1, payload) for payload in ("leader", "late"))
        assert queue._enqueue(1, leader)
        assert not queue._enqueue(1, late)

        with pytest.raises(QueueBusyError):
            queue._wait_for_turn(1, late)

        assert queue._take_group(1, group_commit._Group(leader)) == [(1, "leader")]
        assert queue._waiting_count == 0
        queue._leave(1, leader)

    def test_a_request_in_a_group_waits_longer_than_the_lock_timeout(self, queue, writer, settings):
        settings.LOCK_TIMEOUT_MS = 300
        writer.taken = lambda _: sleep(0.6)

        outcomes = run_together(queue, [20, 21, 22])

        assert summarize(outcomes) == [20, 21, 22]
        assert transactions(outcomes) == 1

    def test_the_outcome_is_unknown_to_a_request_whose_group_exceeds_the_statement_timeout(
        self, queue, writer, settings
    ):
        settings.LOCK_TIMEOUT_MS = settings.STATEMENT_TIMEOUT_MS = 150
        may_commit = Event()
        writer.taken = lambda _: may_commit.wait(20)

        with ThreadPoolExecutor(2) as pool:
            with key_locked(1):
                leader = pool.submit(outcome_of, partial(queue.run, 1, 20))
                wait_until(lambda: lock_waits() == 1)
                waiting = pool.submit(outcome_of, partial(queue.run, 1, 21))
                wait_until(partial(is_waiting, queue, 1))
            error = waiting.result(timeout=10)
            may_commit.set()
            assert summarize([leader.result(timeout=30)]) == [20]

        assert isinstance(error, DatabaseError)
        assert "unknown" in str(error)
        assert stored() == [20, 21]


@pytest.mark.slow  # each test waits for a deadline
class TestSilentConnection:
    """The connection of a leader falls silent: the server receives the statements, and no result comes back."""

    @pytest.fixture
    def short_waits(self, settings, monkeypatch):
        settings.LOCK_TIMEOUT_MS = 1_000
        monkeypatch.setattr(group_commit, "MARGIN_SECONDS", 1)
        monkeypatch.setattr(group_commit, "OVERDUE_SECONDS", 0.3)

    @contextmanager
    def silent_leader(self, queue, payload):
        """Run the block while a request leads the first queue on a silent connection; yields its outcome later."""

        def lead():
            with through_silent_proxy() as proxy:
                connection.ensure_connection()
                proxy.fall_silent()
                return queue.run(1, payload)

        with ThreadPoolExecutor(1) as pool:
            leader = pool.submit(outcome_of, lead)
            wait_until(lambda: None in queue._queues)
            yield leader

    def test_requests_of_other_keys_are_served_by_another_leader(self, queue, short_waits):
        with self.silent_leader(queue, 20) as leader, ThreadPoolExecutor(3) as pool:
            others = [pool.submit(outcome_of, partial(queue.run, key, key + 20)) for key in (2, 3, 4)]
            outcomes = [other.result(timeout=20) for other in others]
            assert not leader.done()
            assert summarize([leader.result(timeout=20)]) == [OperationalError]

        assert summarize(outcomes) == [22, 23, 24]

    def test_a_request_that_comes_later_leads_at_once(self, queue, short_waits):
        with self.silent_leader(queue, 20) as leader:
            sleep(0.4)
            started = monotonic()
            assert summarize([queue.run(2, 22)]) == [22]
            assert monotonic() - started < 0.3
            assert not leader.done()

    def test_the_leader_gives_up_after_the_lock_timeout_and_a_margin(self, queue, short_waits):
        started = monotonic()
        with self.silent_leader(queue, 20) as leader:
            assert summarize([leader.result(timeout=20)]) == [OperationalError]

        assert 2 <= monotonic() - started < 5

    def test_nothing_is_written_by_a_leader_that_never_committed(self, queue, short_waits):
        with self.silent_leader(queue, 20) as leader:
            leader.result(timeout=20)

        assert stored() == []


class TestInsideATransactionOfTheCaller:
    def test_a_request_runs_alone_and_does_not_wait_for_the_queue(self, queue):
        with ThreadPoolExecutor(1) as pool:
            with transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_advisory_xact_lock(1)")
                waiting = pool.submit(outcome_of, partial(queue.run, 1, 20))
                wait_until(lambda: lock_waits() == 1)
                mine = queue.run(1, 21)
                assert not waiting.done()
            other = waiting.result(timeout=30)

        assert summarize([mine, other]) == [21, 20]
        assert transactions([mine, other]) == 2

    def test_a_request_is_rolled_back_with_that_transaction(self, queue):
        with transaction.atomic():
            queue.run(1, 20)
            transaction.set_rollback(True)

        assert stored() == []

    def test_requests_that_wait_for_the_lock_are_not_rolled_back_with_it(self, queue):
        with ThreadPoolExecutor(1) as pool:
            with transaction.atomic():
                queue.run(1, 20)
                waiting = pool.submit(outcome_of, partial(queue.run, 1, 21))
                wait_until(lambda: lock_waits() == 1)
                transaction.set_rollback(True)
            waiting.result(timeout=30)

        assert stored() == [21]
