"""When an operation takes effect: the instant of the request, its bounds, and the last change of the balance."""

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from credits import operations, queries
from credits.models import FeaturePrice
from fluxori.core import clock
from tests.credits.operations.verbs import (
    add_credits,
    adjust_credits,
    capture_hold,
    expire_credits,
    extend_grant,
    extend_hold,
    first_transaction,
    place_hold,
    refund_usage,
    release_hold,
    remove_limit,
    resume_spending,
    reverse_purchase,
    set_limit,
    suspend_spending,
    transactions_after,
    void_grant,
)
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.operations import check_balance, field_errors, unchanged
from tests.support.threads import run_concurrently
from tests.support.times import DAY, HOUR, MINUTE, NOON, SECOND
from tiers import operations as tiers

MICROSECOND = timedelta(microseconds=1)
LIMIT = 5 * MINUTE

pytestmark = pytest.mark.django_db

# Each verb, on a balance with a purchase of 100, a usage of 10, a hold of 10 and a limit.
VERBS = {
    "add_credits": lambda it, at: add_credits(it.balance.owner, 5, at=at),
    "adjust_credits": lambda it, at: adjust_credits(it.balance, 5, at=at),
    "deduct_credits": lambda it, at: deduct(it.balance, 5, at=at),
    "deduct_many": lambda it, at: raised(
        operations.deduct_many(
            owner=it.balance.owner, deductions=[operations.Deduction(amount=5, description="Work")], at=at
        )
    ),
    "deduct_batch": lambda it, at: raised(
        operations.deduct_batch(items=[(it.balance.owner, operations.Deduction(amount=5, description="Work"))], at=at)
    ),
    "place_hold": lambda it, at: place_hold(it.balance, 5, at=at),
    "capture_hold": lambda it, at: capture_hold(it.hold, at=at),
    "release_hold": lambda it, at: release_hold(it.hold, at=at),
    "extend_hold": lambda it, at: extend_hold(it.hold, at=at),
    "refund_usage": lambda it, at: refund_usage(it.usage, at=at),
    "reverse_purchase": lambda it, at: reverse_purchase(first_transaction(it.balance), at=at),
    "void_grant": lambda it, at: void_grant(it.balance.grants.get(), at=at),
    "extend_grant": lambda it, at: extend_grant(it.balance.grants.get(), NOON + 99 * DAY, at=at),
    "set_limit": lambda it, at: set_limit(it.balance, 77, at=at),
    "remove_limit": lambda it, at: remove_limit(it.limit, at=at),
    "suspend_spending": lambda it, at: suspend_spending(it.balance, at=at),
    "resume_spending": lambda it, at: resume_spending(it.balance, at=at),
    "expire_credits": lambda it, at: expire_credits(it.balance, at=at),
    "initialize_balance": lambda it, at: tiers.initialize_balance(owner=make_user(), tier="explorer", at=at),
    "update_subscription_tier": lambda it, at: tiers.update_subscription_tier(
        owner=it.subscriber, tier="growth", at=at
    ),
    "cancel_scheduled_change": lambda it, at: tiers.cancel_scheduled_change(owner=it.subscriber, at=at),
    "add_monthly_allocation": lambda it, at: tiers.add_monthly_allocation(owner=it.subscriber, at=at),
    "allocate_due": lambda it, at: tiers.allocate_due(balance_ids=[it.subscriber.pk], at=at),
}


class Subject:
    def __init__(self):
        self.balance = make_balance(grants=[(100, 30 * DAY)], type="purchase")
        self.usage = deduct(self.balance, 10).transaction
        self.hold = place_hold(self.balance, 10).hold
        self.limit = set_limit(self.balance, 90).limit
        self.subscriber = make_user()
        tiers.initialize_balance(owner=self.subscriber, tier="explorer", at=NOON)
        tiers.update_subscription_tier(owner=self.subscriber, tier="pro", effective="nextPeriod", at=NOON)


def raised(results):
    """Raise the error that is the result of the only deduction."""
    [result] = results
    if isinstance(result, Exception):
        raise result
    return result


class TestInstantAheadOfTheClock:
    @pytest.mark.parametrize("verb", VERBS)
    def test_more_than_five_minutes_is_rejected_and_writes_nothing(self, verb):
        subject = Subject()

        with clock.fixed(NOON), unchanged(), pytest.raises(operations.InvalidArgumentError) as error:
            VERBS[verb](subject, NOON + LIMIT + MICROSECOND)

        assert field_errors(error) == [("at", "in_future")]

    @pytest.mark.parametrize("verb", VERBS)
    def test_five_minutes_are_accepted(self, verb):
        subject = Subject()

        with clock.fixed(NOON):
            VERBS[verb](subject, NOON + LIMIT)

    @pytest.mark.parametrize("verb", VERBS)
    def test_the_last_year_is_rejected(self, verb):
        subject = Subject()

        with unchanged(), pytest.raises(operations.InvalidArgumentError):
            VERBS[verb](subject, datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))

    def test_dry_run_of_the_expiry_job_accepts_any_instant(self):
        subject = Subject()

        with clock.fixed(NOON), unchanged():
            found = expire_credits(subject.balance, at=NOON + 40 * DAY, dry_run=True)

        assert found["credits"] == 90


class TestBackDatedInstant:
    def test_takes_effect_at_the_last_change(self):
        balance = make_balance(at=NOON + DAY)

        result = deduct(balance, 10, at=NOON)

        assert result.transaction.timestamp == NOON + DAY
        check_balance(balance)

    def test_credits_that_arrived_since_pay_at_the_price_of_their_arrival(self):
        balance = make_balance(grants=[(10, None)])
        FeaturePrice.objects.create(feature_id="simple-ai-insight", credits=50, effective_from=NOON + 10 * DAY)
        add_credits(balance.owner, 100, at=NOON + 10 * DAY)

        result = operations.deduct_credits(owner=balance.owner, feature="simple-ai-insight", at=NOON + 5 * DAY)

        assert (result.transaction.amount, result.transaction.timestamp) == (-50, NOON + 10 * DAY)
        check_balance(balance)

    @pytest.mark.parametrize("after", [-MICROSECOND, timedelta(0), MICROSECOND])
    def test_spends_expired_credits_until_their_expiry_is_recorded(self, after):
        written, unwritten = (make_balance(grants=[(100, DAY)]) for _ in range(2))
        expire_credits(written, at=NOON + DAY + after)

        assert deduct(unwritten, 10, at=NOON + 12 * HOUR).transaction.timestamp == NOON + 12 * HOUR
        if after < timedelta(0):
            assert deduct(written, 10, at=NOON + 12 * HOUR)
        else:
            with unchanged(), pytest.raises(operations.InsufficientCreditsError):
                deduct(written, 10, at=NOON + 12 * HOUR)
        assert queries.get_balance(owner=unwritten.owner).available == 0

    def test_what_is_recorded_stays_recorded(self):
        balance = make_balance(grants=[(100, DAY), (50, None)])
        expire_credits(balance, at=NOON + DAY)

        deduct(balance, 10, at=NOON)

        assert transactions_after(balance, 2) == [("expiry", -100), ("usage", -10)]
        check_balance(balance)


@pytest.mark.django_db(transaction=True)
class TestConcurrentInstants:
    def test_each_deduction_of_a_group_keeps_its_own_instant(self):
        balances = [make_balance(grants=[(100, SECOND / 2)]) for _ in range(4)]
        others = [make_balance() for _ in range(4)]

        early = [partial(deduct, balance, 100) for balance in balances]
        late = [partial(deduct, balance, 1, at=NOON + 0.9 * SECOND) for balance in others]
        results = run_concurrently([*early, *late])

        assert [result.transaction.timestamp for result in results] == [NOON] * 4 + [NOON + 0.9 * SECOND] * 4

    def test_back_dated_deductions_of_one_balance_never_go_back_in_time(self):
        balance = make_balance()

        run_concurrently([partial(deduct, balance, 1, at=NOON + (n % 4) * SECOND) for n in range(12)])

        assert balance.transactions.count() == 13
        check_balance(balance)
