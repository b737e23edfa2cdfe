import pytest

from credits import operations
from credits.models import SpendingLimit
from fluxori.identity.errors import UserNotFoundError
from tests.credits.operations.limits import APRIL, MIDNIGHT, limit_facts, make_pool
from tests.credits.operations.verbs import (
    capture_hold,
    make_rich_balance,
    place_hold,
    refund_usage,
    release_hold,
    remove_limit,
    set_limit,
)
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.factories.identity import OrganizationFactory
from tests.support.operations import (
    captured_statements,
    check_balance,
    check_replay,
    field_errors,
    statement_kinds,
    unchanged,
)
from tests.support.times import DAY, HOUR, MINUTE, NOON

MAXIMUM = 10**12

pytestmark = pytest.mark.django_db


class TestSetLimit:
    def test_returns_the_limit_and_the_balance(self):
        balance, actor = make_rich_balance(), make_user()

        result = set_limit(balance, 100, actor=actor)

        limit = result.limit
        assert (limit.member_id, limit.period, limit.amount, limit.used) == (None, "day", 100, 0)
        assert (limit.resets_at, result.balance.available, result.replayed) == (MIDNIGHT, 10_000, False)
        row = SpendingLimit.objects.get(pk=limit.id)
        assert (row.balance_id, row.amount, row.set_by_id, row.set_at) == (balance.pk, 100, actor.pk, NOON)
        check_balance(balance)

    def test_counts_usage_open_holds_captures_and_refunds_of_the_current_window(self):
        balance = make_rich_balance()
        deduct(balance, 1, at=NOON - DAY)  # recorded at NOON: timestamps never decrease
        deduct(balance, 30)
        refund_usage(deduct(balance, 20).transaction, 5)
        place_hold(balance, 40)
        release_hold(place_hold(balance, 8).hold)
        capture_hold(place_hold(balance, 9).hold, 2)

        assert set_limit(balance).limit.used == 1 + 30 + 15 + 40 + 2
        assert set_limit(balance, 100, "month").limit.used == 88
        check_balance(balance)

    def test_does_not_count_usage_and_holds_before_the_current_window(self):
        balance = make_rich_balance()
        usage = deduct(balance, 30).transaction
        place_hold(balance, 50, expires_in_seconds=86_400)
        deduct(balance, 6, at=MIDNIGHT)
        refund_usage(usage, at=MIDNIGHT)

        assert set_limit(balance, at=MIDNIGHT).limit.used == 6
        assert set_limit(balance, 100, "month", at=MIDNIGHT).limit.used == 56
        check_balance(balance)

    def test_does_not_count_a_lapsed_hold_whose_lapse_is_not_written(self):
        balance = make_rich_balance()
        place_hold(balance, 50, expires_in_seconds=60)

        assert set_limit(balance, at=NOON + MINUTE).limit.used == 0
        check_balance(balance)

    def test_counts_only_usage_of_the_member_toward_the_limit_of_a_member(self):
        balance, ann, ben = make_pool()
        deduct(balance, 30, member=ann)
        deduct(balance, 20, member=ben)
        place_hold(balance, 5, member=ann)
        deduct(balance, 1)

        assert set_limit(balance, member=ann).limit.used == 35
        assert set_limit(balance, member=ben.pk).limit.used == 20
        assert set_limit(balance).limit.used == 56
        check_balance(balance)

    def test_changes_the_amount_of_an_existing_limit_and_keeps_its_counter(self):
        balance, actor = make_rich_balance(), make_user()
        first = set_limit(balance)
        deduct(balance, 40, at=NOON + HOUR)

        changed = set_limit(balance, 70, at=NOON + HOUR, actor=actor)

        assert (changed.limit.id, changed.limit.amount, changed.limit.used) == (first.limit.id, 70, 40)
        row = SpendingLimit.objects.get()
        assert (row.amount, row.set_by_id, row.set_at) == (70, actor.pk, NOON + HOUR)
        check_balance(balance)

    def test_changes_nothing_if_the_amount_is_the_same(self):
        balance = make_rich_balance()
        set_limit(balance)
        deduct(balance, 40)

        with unchanged():
            result = set_limit(balance, at=NOON + HOUR, actor=make_user())

        assert (result.limit.used, result.replayed) == (40, False)

    def test_rejects_all_further_usage_if_the_amount_is_below_what_is_used(self):
        balance = make_rich_balance()
        deduct(balance, 40)

        set_limit(balance, 30)

        with unchanged(), pytest.raises(operations.SpendingLimitReachedError) as error:
            deduct(balance, 1)
        assert limit_facts(error) == (30, 40, MIDNIGHT)

    def test_rejects_all_usage_if_the_amount_is_0(self):
        balance = make_rich_balance()
        set_limit(balance, 0, "month")

        with unchanged(), pytest.raises(operations.SpendingLimitReachedError) as error:
            deduct(balance, 1)
        assert limit_facts(error) == (0, 0, APRIL)

    def test_keeps_one_limit_for_each_member_and_period(self):
        balance, ann, ben = make_pool()

        for member in (None, ann, ben):
            for period in ("day", "month"):
                set_limit(balance, 50, period, member=member)
                set_limit(balance, 60, period, member=member)

        assert SpendingLimit.objects.count() == 6

    def test_writes_due_expiries(self):
        balance = make_balance(grants=[(10, HOUR), (90, None)])

        result = set_limit(balance, at=NOON + HOUR)

        assert result.balance.available == 90
        assert balance.transactions.filter(type="expiry").count() == 1
        check_balance(balance)

    def test_reads_what_is_used_between_load_and_write(self):
        balance = make_rich_balance()

        with captured_statements() as run:
            set_limit(balance, idempotency_key="k")

        lock, load, used, *last = statement_kinds(run)
        assert (lock, load, last) == ("lock", "load", ["write"])
        assert "FROM credits_credithold" in used
        assert "INSERT" not in used


class TestSetLimitErrors:
    def test_reports_all_invalid_arguments_at_once(self):
        with unchanged(), pytest.raises(operations.InvalidArgumentError) as error:
            operations.set_limit(owner=make_user(), amount=-1, period="week", member=make_user(), at=NOON)

        assert field_errors(error) == [
            ("amount", "out_of_range"),
            ("period", "invalid_choice"),
            ("member_id", "invalid_choice"),
        ]

    @pytest.mark.parametrize(
        ("amount", "code"), [(MAXIMUM + 1, "out_of_range"), (9.5, "wrong_type"), (True, "wrong_type")]
    )
    def test_rejects_an_invalid_amount(self, amount, code):
        balance = make_rich_balance()

        with unchanged(), pytest.raises(operations.InvalidArgumentError) as error:
            set_limit(balance, amount)

        assert field_errors(error) == [("amount", code)]
        assert set_limit(balance, MAXIMUM).limit.amount == MAXIMUM

    def test_raises_the_documented_errors_in_order(self):
        balance, _, _ = make_pool()
        set_limit(balance, idempotency_key="k")
        stranger = make_user()

        with unchanged():
            with pytest.raises(operations.InvalidArgumentError):
                operations.set_limit(owner=make_user(), amount=-1, period="day", at=NOON)
            with pytest.raises(operations.BalanceNotFoundError):
                operations.set_limit(
                    owner=OrganizationFactory.create(), amount=1, period="day", member=stranger, at=NOON
                )
            with pytest.raises(operations.IdempotencyKeyReusedError):
                set_limit(balance, member=stranger, idempotency_key="k")
            with pytest.raises(UserNotFoundError):
                set_limit(balance, member=stranger)


class TestSetLimitRetries:
    def test_returns_the_first_result_for_the_same_key_after_the_limit_changed_and_was_removed(self):
        balance, ann, _ = make_pool()
        first = set_limit(balance, member=ann, idempotency_key="k")
        deduct(balance, 40, member=ann)
        set_limit(balance, 70, member=ann)
        remove_limit(first.limit)

        with unchanged():
            repeated = set_limit(balance, member=ann, idempotency_key="k", at=NOON + DAY)

        check_replay(first, repeated)

    def test_stores_the_key_of_a_request_that_changed_nothing(self):
        balance = make_rich_balance()
        set_limit(balance)

        first = set_limit(balance, idempotency_key="k")
        set_limit(balance, 50)

        with unchanged():
            repeated = set_limit(balance, idempotency_key="k")
        check_replay(first, repeated)
        assert SpendingLimit.objects.get().amount == 50
