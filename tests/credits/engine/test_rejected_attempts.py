"""What was refused is counted beside the ledger, and never in the way of the answer."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, connections, transaction

from credits import operations
from credits.models import RejectedAttempt
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.ledger import table_digests
from tests.support.times import DAY, HOUR, MINUTE, NOON

pytestmark = pytest.mark.django_db(transaction=True)


def refuse(balance, amount=50, at=NOON, **said):
    with pytest.raises(operations.InsufficientCreditsError):
        deduct(balance, amount, at=at, **said)


def counts(balance):
    rows = RejectedAttempt.objects.filter(balance=balance).order_by("hour", "code", "feature")
    return [(row.hour, row.code, row.feature, row.count) for row in rows]


class TestARefusedDeduction:
    def test_is_counted_by_hour_reason_and_feature(self):
        balance = make_balance(grants=[(8, None)])

        refuse(balance, at=NOON + MINUTE)
        refuse(balance, at=NOON + 2 * MINUTE)
        refuse(balance, at=NOON + HOUR)
        with pytest.raises(operations.InsufficientCreditsError):
            operations.deduct_credits(owner=balance.owner, feature="simple-ai-insight", at=NOON + HOUR)

        assert counts(balance) == [
            (NOON, "insufficient_credits", "", 2),
            (NOON + HOUR, "insufficient_credits", "", 1),
            (NOON + HOUR, "insufficient_credits", "simple-ai-insight", 1),
        ]

    def test_keeps_the_facts_of_the_last_attempt(self):
        balance, caller, member = make_balance(grants=[(8, None)]), make_user(), make_user()

        refuse(balance, 50)
        refuse(balance, 60, at=NOON + MINUTE, actor=caller, member=member)

        [row] = RejectedAttempt.objects.all()
        assert row.facts == {"required": 60, "available": 8, "held": 0, "shortfall": 52}
        assert (row.actor_id, row.member_id, row.last_at) == (caller.pk, member.pk, NOON + MINUTE)

    def test_leaves_the_ledger_as_it_was(self):
        balance = make_balance(grants=[(8, None)])
        before = table_digests()

        refuse(balance)

        assert table_digests() == before

    def test_is_counted_for_each_of_many(self):
        balance = make_balance(grants=[(10, None)])
        asked = [operations.Deduction(amount=amount, description="One of many") for amount in (6, 6, 4, 1)]

        operations.deduct_many(owner=balance.owner, deductions=asked, at=NOON)

        assert counts(balance) == [(NOON, "insufficient_credits", "", 2)]

    def test_is_counted_while_spending_is_suspended(self):
        balance = make_balance()
        operations.suspend_spending(owner=balance.owner, at=NOON)

        with pytest.raises(operations.SpendingSuspendedError):
            deduct(balance, 1)

        assert counts(balance) == [(NOON, "spending_suspended", "", 1)]

    def test_is_no_attempt_where_the_caller_was_mistaken(self):
        balance = make_balance()

        with pytest.raises(operations.FeatureNotFoundError):
            operations.deduct_credits(owner=balance.owner, feature="no-such-feature", at=NOON)

        assert counts(balance) == []

    def test_is_forgotten_after_ninety_days(self):
        balance = make_balance(grants=[(8, None)])
        refuse(balance)

        refuse(balance, at=NOON + 91 * DAY)

        assert counts(balance) == [(NOON + 91 * DAY, "insufficient_credits", "", 1)]

    def test_goes_with_the_transaction_it_was_part_of(self):
        balance = make_balance(grants=[(8, None)])

        with transaction.atomic():
            refuse(balance)
            transaction.set_rollback(True)
        assert counts(balance) == []

        with transaction.atomic():
            refuse(balance)
        assert counts(balance) == [(NOON, "insufficient_credits", "", 1)]

    def test_is_answered_although_it_cannot_be_counted(self, caplog):
        balance = make_balance(grants=[(8, None)])
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE credits_rejectedattempt RENAME TO away")
        try:
            refuse(balance)
        finally:
            with connection.cursor() as cursor:
                cursor.execute("ALTER TABLE away RENAME TO credits_rejectedattempt")

        assert counts(balance) == []
        assert "on_commit" in caplog.text


class TestARefusedHold:
    def test_is_counted_when_it_is_placed(self):
        balance = make_balance(grants=[(8, None)])

        with pytest.raises(operations.InsufficientCreditsError):
            operations.place_hold(owner=balance.owner, feature="ai-generated-report", at=NOON)

        assert counts(balance) == [(NOON, "insufficient_credits", "ai-generated-report", 1)]

    def test_is_counted_when_its_excess_is_captured(self):
        balance = make_balance(grants=[(50, None)])
        held = operations.place_hold(owner=balance.owner, feature="ai-generated-report", at=NOON)

        with pytest.raises(operations.InsufficientCreditsError):
            operations.capture_hold(hold_id=held.hold.id, amount=51, at=NOON + MINUTE)

        assert counts(balance) == [(NOON, "insufficient_credits", "ai-generated-report", 1)]


class TestManyAtOnce:
    def test_lose_no_count(self):
        balance = make_balance(grants=[(8, None)])

        def attempt(n):
            try:
                refuse(balance, at=NOON + timedelta(seconds=n))
            finally:
                connections.close_all()

        with ThreadPoolExecutor(max_workers=8) as pool:
            list(pool.map(attempt, range(24)))

        assert counts(balance) == [(NOON, "insufficient_credits", "", 24)]
