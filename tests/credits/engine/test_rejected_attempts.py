"""Rejected attempts are counted outside the ledger; a failure to count does not change the result."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, connections, transaction

from credits import operations
from credits.models import RejectedAttempt
from tests.support.database import as_owner
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.ledger import table_digests
from tests.support.times import DAY, HOUR, MINUTE, NOON

pytestmark = pytest.mark.django_db(transaction=True)


def reject(balance, amount=50, at=NOON, **details):
    with pytest.raises(operations.InsufficientCreditsError):
        deduct(balance, amount, at=at, **details)


def counts(balance):
    rows = RejectedAttempt.objects.filter(balance=balance).order_by("hour", "code", "feature")
    return [(row.hour, row.code, row.feature, row.count) for row in rows]


class TestARejectedDeduction:
    def test_is_counted_by_hour_reason_and_feature(self):
        balance = make_balance(grants=[(8, None)])

        reject(balance, at=NOON + MINUTE)
        reject(balance, at=NOON + 2 * MINUTE)
        reject(balance, at=NOON + HOUR)
        with pytest.raises(operations.InsufficientCreditsError):
            operations.deduct_credits(owner=balance.owner, feature="simple-ai-insight", at=NOON + HOUR)

        assert counts(balance) == [
            (NOON, "insufficient_credits", "", 2),
            (NOON + HOUR, "insufficient_credits", "", 1),
            (NOON + HOUR, "insufficient_credits", "simple-ai-insight", 1),
        ]

    def test_keeps_the_facts_of_the_last_attempt(self):
        balance, caller, member = make_balance(grants=[(8, None)]), make_user(), make_user()

        reject(balance, 50)
        reject(balance, 60, at=NOON + MINUTE, actor=caller, member=member)

        [row] = RejectedAttempt.objects.all()
        assert row.facts == {"required": 60, "available": 8, "held": 0, "shortfall": 52}
        assert (row.actor_id, row.member_id, row.last_at) == (caller.pk, member.pk, NOON + MINUTE)

    def test_changes_no_table_of_the_ledger(self):
        balance = make_balance(grants=[(8, None)])
        before = table_digests()

        reject(balance)

        assert table_digests() == before

    def test_is_counted_for_each_item_of_a_batch(self):
        balance = make_balance(grants=[(10, None)])
        batch = [operations.Deduction(amount=amount, description="One of many") for amount in (6, 6, 4, 1)]

        operations.deduct_many(owner=balance.owner, deductions=batch, at=NOON)

        assert counts(balance) == [(NOON, "insufficient_credits", "", 2)]

    def test_is_counted_while_spending_is_suspended(self):
        balance = make_balance()
        operations.suspend_spending(owner=balance.owner, at=NOON)

        with pytest.raises(operations.SpendingSuspendedError):
            deduct(balance, 1)

        assert counts(balance) == [(NOON, "spending_suspended", "", 1)]

    def test_is_not_counted_if_the_request_was_wrong(self):
        balance = make_balance()

        with pytest.raises(operations.FeatureNotFoundError):
            operations.deduct_credits(owner=balance.owner, feature="no-such-feature", at=NOON)

        assert counts(balance) == []

    def test_is_deleted_after_ninety_days(self):
        balance = make_balance(grants=[(8, None)])
        reject(balance)

        reject(balance, at=NOON + 91 * DAY)

        assert counts(balance) == [(NOON + 91 * DAY, "insufficient_credits", "", 1)]

    def test_is_counted_only_if_the_transaction_of_the_caller_commits(self):
        balance = make_balance(grants=[(8, None)])

        with transaction.atomic():
            reject(balance)
            transaction.set_rollback(True)
        assert counts(balance) == []

        with transaction.atomic():
            reject(balance)
        assert counts(balance) == [(NOON, "insufficient_credits", "", 1)]

    def test_has_its_own_error_although_it_cannot_be_counted(self, caplog):
        balance = make_balance(grants=[(8, None)])
        with as_owner(), connection.cursor() as cursor:
            cursor.execute("ALTER TABLE credits_rejectedattempt RENAME TO away")
        try:
            reject(balance)
        finally:
            with as_owner(), connection.cursor() as cursor:
                cursor.execute("ALTER TABLE away RENAME TO credits_rejectedattempt")

        assert counts(balance) == []
        assert "on_commit" in caplog.text


class TestARejectedHold:
    def test_is_counted_when_it_cannot_be_placed(self):
        balance = make_balance(grants=[(8, None)])

        with pytest.raises(operations.InsufficientCreditsError):
            operations.place_hold(owner=balance.owner, feature="ai-generated-report", at=NOON)

        assert counts(balance) == [(NOON, "insufficient_credits", "ai-generated-report", 1)]

    def test_is_counted_when_the_excess_of_a_capture_is_not_covered(self):
        balance = make_balance(grants=[(50, None)])
        held = operations.place_hold(owner=balance.owner, feature="ai-generated-report", at=NOON)

        with pytest.raises(operations.InsufficientCreditsError):
            operations.capture_hold(hold_id=held.hold.id, amount=51, at=NOON + MINUTE)

        assert counts(balance) == [(NOON, "insufficient_credits", "ai-generated-report", 1)]


class TestConcurrentRejections:
    def test_are_all_counted(self):
        balance = make_balance(grants=[(8, None)])

        def attempt(n):
            try:
                reject(balance, at=NOON + timedelta(seconds=n))
            finally:
                connections.close_all()

        with ThreadPoolExecutor(max_workers=8) as pool:
            list(pool.map(attempt, range(24)))

        assert counts(balance) == [(NOON, "insufficient_credits", "", 24)]
