from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event
from time import sleep

import psycopg
import pytest
from django.db import OperationalError

import tiers.operations
from credits import operations
from fluxori.db.group_commit import GroupCommitQueue
from fluxori.db.measured import measured
from fluxori.db.transactions import transaction_with_retry
from tests.support.factories.credits import deduct, make_balance
from tests.support.metrics import value
from tests.support.threads import hold_lock, in_other_thread, lock_waits, wait_until

# These call other operations, or have no caller that waits for them.
NOT_MEASURED = {
    "charge",
    "count_due",
    "deduct_batch",
    "finish_aggregation",
    "finish_run",
    "preview_subscription_tier",
    "rebuild_balance",
    "record_progress",
    "record_verification",
    "rerun_rejected",
    "start_run",
}


class QueueBusyError(Exception):
    """The busy error of the queues in these tests."""


class TestMeasured:
    def count(self, outcome, operation="operation"):
        return value("fluxori_operation_duration_seconds_count", operation=operation, outcome=outcome)

    @pytest.mark.parametrize(
        ("error", "outcome"),
        [
            (operations.BalanceNotFoundError(), "refused"),
            (operations.BusyError(), "busy"),
            (psycopg.errors.LockNotAvailable(), "busy"),
            (psycopg.errors.AdminShutdown(), "error"),
            (ZeroDivisionError(), "error"),
        ],
    )
    def test_counts_an_error_under_its_outcome(self, error, outcome):
        @measured
        def operation():
            if isinstance(error, psycopg.Error):
                raise OperationalError from error
            raise error

        before = self.count(outcome)
        with pytest.raises(Exception):  # noqa: B017, PT011 - each error is one of the parameters
            operation()

        assert self.count(outcome) == before + 1

    def test_counts_a_refusal_under_its_code(self, db):
        balance = make_balance(grants=[(5, None)])
        labels = {"operation": "deduct_credits", "code": "insufficient_credits"}
        before = value("fluxori_operation_refusals_total", **labels)

        with pytest.raises(operations.InsufficientCreditsError):
            deduct(balance, 6)

        assert value("fluxori_operation_refusals_total", **labels) == before + 1

    def test_counts_each_refusal_in_a_list_of_results(self, db):
        balance = make_balance(grants=[(5, None)])
        labels = {"operation": "deduct_many", "code": "insufficient_credits"}
        before = value("fluxori_operation_refusals_total", **labels), self.count("success", "deduct_many")
        items = [operations.Deduction(amount=amount, description="In a test") for amount in (1, 6, 7)]

        operations.deduct_many(owner=balance.owner, deductions=items)

        after = value("fluxori_operation_refusals_total", **labels), self.count("success", "deduct_many")
        assert after == (before[0] + 2, before[1] + 1)

    @pytest.mark.parametrize("package", [operations, tiers.operations])
    def test_is_used_by_every_operation(self, package):
        functions = {name for name in package.__all__ if name.islower() and callable(getattr(package, name))}
        verbs = {name for name in functions if getattr(package, name).__module__.split(".")[1] == "operations"}
        helpers = {"allocation_row", "period_description", "plan_entitlement_grant"}

        is_measured = {name for name in verbs if getattr(package, name).__code__.co_filename.endswith("measured.py")}

        assert verbs - is_measured - NOT_MEASURED - helpers == set()


@pytest.mark.django_db(transaction=True)
class TestWaiting:
    def test_for_a_lock_is_measured(self):
        balance = make_balance()
        before = value("fluxori_lock_wait_seconds_sum")

        add = partial(operations.add_credits, owner=balance.owner, amount=1, type="promotion")
        with ThreadPoolExecutor(1) as pool:
            with hold_lock(balance):
                added = pool.submit(in_other_thread, add)
                wait_until(lambda: lock_waits() == 1)
                sleep(0.3)
            added.result(20)

        assert 0.2 < value("fluxori_lock_wait_seconds_sum") - before < 5

    def test_of_a_deduction_that_is_alone_is_not_measured(self):
        balance = make_balance()
        before = value("fluxori_lock_wait_seconds_count"), value("fluxori_group_commit_wait_seconds_count")

        deduct(balance, 1)

        assert (value("fluxori_lock_wait_seconds_count"), value("fluxori_group_commit_wait_seconds_count")) == before


@pytest.mark.django_db(transaction=True)
class TestGroupCommit:
    def test_has_the_number_of_requests_of_each_transaction(self):
        started, may_end = Event(), Event()
        batches = []

        def process(contended, take_batch):
            batch = take_batch()
            batches.append(len(batch))
            started.set()
            may_end.wait(20)
            return [payload for _, payload in batch]

        queue: GroupCommitQueue[int, int, int] = GroupCommitQueue(
            process, busy_error=QueueBusyError, queue_limit=lambda: 3
        )
        before = value("fluxori_group_commit_requests_count"), value("fluxori_group_commit_requests_sum")
        with ThreadPoolExecutor(4) as pool:
            calls = [pool.submit(in_other_thread, partial(queue.run, 0, 0))]
            assert started.wait(20)
            calls += [pool.submit(in_other_thread, partial(queue.run, key, key)) for key in (1, 2, 3)]
            wait_until(lambda: queue._waiting_count == 3)
            full = value("fluxori_group_commit_rejections_total", reason="queue_full")
            with pytest.raises(QueueBusyError):
                queue.run(4, 4)
            assert value("fluxori_group_commit_rejections_total", reason="queue_full") == full + 1
            may_end.set()
            assert [call.result(20) for call in calls] == [0, 1, 2, 3]

        assert batches == [1, 3]
        assert value("fluxori_group_commit_requests_count") == before[0] + 2
        assert value("fluxori_group_commit_requests_sum") == before[1] + 4

    def test_counts_a_deduction_that_waited_too_long(self, settings):
        settings.LOCK_TIMEOUT_MS = 100
        started, may_end = Event(), Event()

        def process(contended, take_batch):
            batch = take_batch()
            started.set()
            may_end.wait(20)
            return [payload for _, payload in batch]

        queue: GroupCommitQueue[int, int, int] = GroupCommitQueue(
            process, busy_error=QueueBusyError, queue_limit=lambda: 3
        )
        before = value("fluxori_group_commit_rejections_total", reason="wait_timeout")
        with ThreadPoolExecutor(1) as pool:
            pool.submit(in_other_thread, partial(queue.run, 0, 0))
            assert started.wait(20)
            with pytest.raises(QueueBusyError):
                queue.run(1, 1)
            may_end.set()

        assert value("fluxori_group_commit_rejections_total", reason="wait_timeout") == before + 1


@pytest.mark.django_db(transaction=True)
class TestRetries:
    @pytest.mark.parametrize(
        ("kind", "reason"),
        [
            (psycopg.errors.DeadlockDetected, "deadlock"),
            (psycopg.errors.SerializationFailure, "serialization_failure"),
        ],
    )
    def test_are_counted_by_reason(self, kind, reason):
        runs = []

        @transaction_with_retry
        def operation():
            runs.append(1)
            if len(runs) <= 2:
                raise OperationalError from kind()

        before = value("fluxori_transaction_retries_total", reason=reason)
        operation()

        assert value("fluxori_transaction_retries_total", reason=reason) == before + 2
