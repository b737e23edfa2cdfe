"""Spending limits and deductions, one or many at once, and refunds."""

from datetime import UTC, datetime, timedelta

import pytest

from credits import operations
from tests.credits.operations.limits import (
    APRIL,
    MIDNIGHT,
    limit_facts,
    make_pool,
    stored_counters,
    used_of_limits,
)
from tests.credits.operations.verbs import (
    adjust_credits,
    capture_hold,
    deduct_feature,
    make_rich_balance,
    place_hold,
    refund_usage,
    resume_spending,
    set_limit,
    suspend_spending,
)
from tests.support.factories.credits import deduct, make_balance
from tests.support.operations import captured_statements, check_balance, check_replay, statement_kinds, unchanged
from tests.support.times import DAY, HOUR, NOON

MICROSECOND = timedelta(microseconds=1)

pytestmark = pytest.mark.django_db


class TestDeductCreditsWithinALimit:
    def test_allows_exactly_the_amount_of_the_limit(self):
        balance = make_rich_balance()
        set_limit(balance)

        deduct(balance, 60)
        with unchanged(), pytest.raises(operations.SpendingLimitReachedError) as error:
            deduct(balance, 41)
        deduct(balance, 40)

        assert limit_facts(error) == (100, 60, MIDNIGHT)
        assert used_of_limits(balance) == [100]
        check_balance(balance)

    def test_resets_a_daily_limit_at_midnight_utc(self):
        balance = make_rich_balance()
        set_limit(balance)
        set_limit(balance, 150, "month")
        deduct(balance, 100)

        with unchanged(), pytest.raises(operations.SpendingLimitReachedError) as error:
            deduct(balance, 1, at=MIDNIGHT - MICROSECOND)
        assert limit_facts(error) == (100, 100, MIDNIGHT)
        deduct(balance, 50, at=MIDNIGHT)
        with unchanged(), pytest.raises(operations.SpendingLimitReachedError) as error:
            deduct(balance, 1, at=MIDNIGHT)

        assert limit_facts(error) == (150, 150, APRIL)
        assert stored_counters(balance) == [(50, MIDNIGHT), (150, datetime(2025, 3, 1, tzinfo=UTC))]
        check_balance(balance)

    def test_resets_a_monthly_limit_on_the_first_of_the_month(self):
        balance = make_rich_balance()
        set_limit(balance, period="month")
        deduct(balance, 100)

        with unchanged(), pytest.raises(operations.SpendingLimitReachedError):
            deduct(balance, 1, at=APRIL - MICROSECOND)
        deduct(balance, 100, at=APRIL)

        assert used_of_limits(balance, at=APRIL) == [100]
        check_balance(balance)

    def test_counts_an_earlier_at_in_the_window_of_the_last_change(self):
        balance = make_rich_balance()
        set_limit(balance)
        deduct(balance, 60, at=MIDNIGHT)

        deduct(balance, 30, at=NOON)

        assert stored_counters(balance) == [(90, MIDNIGHT)]
        check_balance(balance)

    def test_checks_the_limit_of_the_member_and_the_limit_of_the_pool(self):
        balance, ann, ben = make_pool()
        set_limit(balance, 100)
        set_limit(balance, 60, member=ann)
        set_limit(balance, 60, member=ben)

        deduct(balance, 50, member=ann)
        deduct(balance, 30, member=ben)
        with unchanged(), pytest.raises(operations.SpendingLimitReachedError) as member_error:
            deduct(balance, 11, member=ann)
        with unchanged(), pytest.raises(operations.SpendingLimitReachedError) as pool_error:
            deduct(balance, 21, member=ben)
        deduct(balance, 20)

        assert limit_facts(member_error) == (60, 50, MIDNIGHT)
        assert limit_facts(pool_error) == (100, 80, MIDNIGHT)
        assert used_of_limits(balance) == [100, 50, 30]
        check_balance(balance)

    def test_checks_feature_then_suspension_then_limit_then_funds(self):
        balance = make_balance()
        set_limit(balance, 10)
        suspend_spending(balance)

        with unchanged(), pytest.raises(operations.SpendingSuspendedError):
            deduct(balance, 1000)
        resume_spending(balance)
        with unchanged(), pytest.raises(operations.SpendingLimitReachedError):
            deduct(balance, 1000)
        with unchanged(), pytest.raises(operations.FeatureNotFoundError):
            deduct_feature(balance, "no-such")

    def test_counts_the_price_of_a_feature(self):
        balance = make_rich_balance()
        set_limit(balance, 17)

        deduct_feature(balance, "simple-ai-insight")
        with unchanged(), pytest.raises(operations.SpendingLimitReachedError) as error:
            deduct_feature(balance, "simple-ai-insight")

        assert limit_facts(error) == (17, 9, MIDNIGHT)

    def test_replays_a_request_after_the_limit_is_reached(self):
        balance = make_rich_balance()
        set_limit(balance)
        first = deduct(balance, 100, idempotency_key="k")

        with unchanged():
            check_replay(first, deduct(balance, 100, idempotency_key="k"))

    def test_does_not_limit_adjustments(self):
        balance = make_rich_balance()
        set_limit(balance, 0)

        adjust_credits(balance, -10)

        assert used_of_limits(balance) == [0]
        check_balance(balance)

    def test_runs_four_statements_lock_load_tier_facts_write(self):
        balance, ann, _ = make_pool()
        set_limit(balance)
        set_limit(balance, member=ann)

        with captured_statements() as run:
            deduct_feature(balance, "simple-ai-insight", member=ann, idempotency_key="k")

        assert statement_kinds(run) == ["lock", "load", "tier facts", "write"]
        assert "INSERT INTO credits_spendinglimit" in run[-1]

    def test_writes_no_limit_if_there_is_none(self):
        balance = make_rich_balance()

        with captured_statements() as run:
            deduct(balance, 1)

        assert not any("INSERT INTO credits_spendinglimit" in sql for sql in run)


class TestDeductManyWithinALimit:
    def test_counts_one_after_another_and_rejects_only_those_above_a_limit(self):
        balance, ann, ben = make_pool()
        set_limit(balance, 100)
        set_limit(balance, 40, member=ann)

        deductions = [
            operations.Deduction(amount=amount, description="Spent in a test", member=member)
            for amount, member in [(30, ann), (11, ann), (60, ben), (11, ben), (10, ann)]
        ]
        results = operations.deduct_many(owner=balance.owner, deductions=deductions, at=NOON)

        assert [isinstance(result, Exception) for result in results] == [False, True, False, True, False]
        used = [result.facts["used"] for result in results if isinstance(result, operations.SpendingLimitReachedError)]
        assert used == [30, 90]
        assert used_of_limits(balance) == [100, 40]
        check_balance(balance)


class TestRefundUsageWithinALimit:
    def test_makes_room_in_the_window_of_the_usage(self):
        balance, ann, _ = make_pool()
        set_limit(balance)
        set_limit(balance, member=ann)
        usage = deduct(balance, 100, member=ann).transaction

        refund_usage(usage, 30)

        assert used_of_limits(balance) == [70, 70]
        deduct(balance, 30, member=ann)
        with unchanged(), pytest.raises(operations.SpendingLimitReachedError):
            deduct(balance, 1)
        check_balance(balance)

    def test_makes_no_room_in_a_later_window(self):
        balance = make_rich_balance()
        set_limit(balance)
        set_limit(balance, 200, "month")
        usage = deduct(balance, 100).transaction
        deduct(balance, 60, at=MIDNIGHT)

        refund_usage(usage, at=MIDNIGHT)

        assert used_of_limits(balance, at=MIDNIGHT) == [60, 60]
        check_balance(balance)

    def test_corrects_the_last_counted_window_after_its_end(self):
        balance = make_rich_balance()
        set_limit(balance)
        usage = deduct(balance, 100).transaction

        refund_usage(usage, 30, at=MIDNIGHT)

        assert stored_counters(balance) == [(70, MIDNIGHT - DAY)]
        check_balance(balance)

    def test_makes_room_for_the_captured_credits_of_a_hold(self):
        balance = make_rich_balance()
        set_limit(balance)
        usage = capture_hold(place_hold(balance, 70, at=NOON - HOUR).hold, 50).transaction

        refund_usage(usage)

        assert used_of_limits(balance) == [0]
        check_balance(balance)
