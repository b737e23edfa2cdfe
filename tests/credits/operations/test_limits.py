from datetime import UTC, datetime, timedelta

import pytest

from credits import operations, queries
from credits.models import SpendingLimit
from credits.verification import verify_balance
from fluxori.core.ids import uuid7
from fluxori.identity.errors import UserNotFoundError
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.factories.identity import MembershipFactory, OrganizationFactory
from tests.support.operations import captured_statements, check_sums, unchanged
from tests.support.times import DAY, HOUR, MINUTE, NOON

MOST = 10**12
MICROSECOND = timedelta(microseconds=1)
MIDNIGHT = datetime(2025, 3, 4, tzinfo=UTC)
APRIL = datetime(2025, 4, 1, tzinfo=UTC)

pytestmark = pytest.mark.django_db


def cap(balance, amount=100, period="day", at=NOON, **asked):
    return operations.set_limit(owner=balance.owner, amount=amount, period=period, at=at, **asked)


def lift(limited, at=NOON, **asked):
    return operations.remove_limit(limit_id=limited.limit.id, at=at, **asked)


def place(balance, amount, at=NOON, **asked):
    return operations.place_hold(owner=balance.owner, amount=amount, description="Work", at=at, **asked)


def capture(held, amount=None, at=NOON, **said):
    return operations.capture_hold(hold_id=held.pk, amount=amount, at=at, **said)


def release(held, at=NOON):
    return operations.release_hold(hold_id=held.pk, at=at)


def refund(usage, amount=None, at=NOON):
    return operations.refund_usage(transaction_id=usage.pk, amount=amount, reason="It failed", at=at)


def rich(owner=None):
    return make_balance(owner, grants=[(10_000, None)])


def pool(count=2):
    """Return the balance of an organization, and as many members."""
    organization = OrganizationFactory.create()
    members = [MembershipFactory.create(organization=organization).user for _ in range(count)]
    return rich(organization), *members


def told(balance, at=NOON):
    """What each limit says is used, the oldest limit first."""
    return [
        standing.used for standing in reversed(queries.limit_statuses(queries.get_limits(owner=balance.owner), at=at))
    ]


def stored(balance):
    """What each limit has counted in the window it counted in last, the oldest limit first."""
    limits = SpendingLimit.objects.filter(balance=balance, removed_at=None).order_by("pk")
    return [(limit.used, limit.window_starts_at) for limit in limits]


def sound(balance):
    check_sums(balance)
    assert verify_balance(balance.pk).differences == ()


def facts_of(refusal):
    return tuple(refusal.value.facts[name] for name in ("limit", "used", "resets_at"))


class TestSetLimit:
    def test_answers_with_the_limit_and_the_balance(self):
        balance, actor = rich(), make_user()

        done = cap(balance, 100, actor=actor)

        limit = done.limit
        assert (limit.member_id, limit.period, limit.amount, limit.used) == (None, "day", 100, 0)
        assert (limit.resets_at, done.after.available, done.replayed) == (MIDNIGHT, 10_000, False)
        row = SpendingLimit.objects.get(pk=limit.id)
        assert (row.balance_id, row.amount, row.set_by_id, row.set_at) == (balance.pk, 100, actor.pk, NOON)
        sound(balance)

    def test_counts_what_was_used_of_its_window_already(self):
        balance = rich()
        deduct(balance, 1, at=NOON - DAY)  # dated now: time never runs back
        deduct(balance, 30)
        refund(deduct(balance, 20), 5)
        place(balance, 40)
        release(place(balance, 8))
        capture(place(balance, 9), 2)

        assert cap(balance).limit.used == 1 + 30 + 15 + 40 + 2
        assert cap(balance, 100, "month").limit.used == 88
        sound(balance)

    def test_leaves_out_what_was_used_before_its_window(self):
        balance = rich()
        yesterdays = deduct(balance, 30)
        place(balance, 50, expires_in_seconds=86_400)
        deduct(balance, 6, at=MIDNIGHT)
        refund(yesterdays, at=MIDNIGHT)

        assert cap(balance, at=MIDNIGHT).limit.used == 6
        assert cap(balance, 100, "month", at=MIDNIGHT).limit.used == 56
        sound(balance)

    def test_leaves_out_a_hold_that_has_lapsed_unwritten(self):
        balance = rich()
        place(balance, 50, expires_in_seconds=60)

        assert cap(balance, at=NOON + MINUTE).limit.used == 0
        sound(balance)

    def test_counts_for_a_member_only_what_was_for_that_member(self):
        balance, ann, ben = pool()
        deduct(balance, 30, member=ann)
        deduct(balance, 20, member=ben)
        place(balance, 5, member=ann)
        deduct(balance, 1)

        assert cap(balance, member=ann).limit.used == 35
        assert cap(balance, member=ben.pk).limit.used == 20
        assert cap(balance).limit.used == 56
        sound(balance)

    def test_again_changes_the_amount_and_keeps_what_is_used(self):
        balance, actor = rich(), make_user()
        first = cap(balance)
        deduct(balance, 40, at=NOON + HOUR)

        again = cap(balance, 70, at=NOON + HOUR, actor=actor)

        assert (again.limit.id, again.limit.amount, again.limit.used) == (first.limit.id, 70, 40)
        row = SpendingLimit.objects.get()
        assert (row.amount, row.set_by_id, row.set_at) == (70, actor.pk, NOON + HOUR)
        sound(balance)

    def test_with_the_same_amount_changes_nothing(self):
        balance = rich()
        cap(balance)
        deduct(balance, 40)

        with unchanged():
            again = cap(balance, at=NOON + HOUR, actor=make_user())

        assert (again.limit.used, again.replayed) == (40, False)

    def test_below_what_is_used_refuses_whatever_comes_next(self):
        balance = rich()
        deduct(balance, 40)

        cap(balance, 30)

        with unchanged(), pytest.raises(operations.SpendingLimitReachedError) as refusal:
            deduct(balance, 1)
        assert facts_of(refusal) == (30, 40, MIDNIGHT)

    def test_of_0_lets_nothing_be_spent(self):
        balance = rich()
        cap(balance, 0, "month")

        with unchanged(), pytest.raises(operations.SpendingLimitReachedError) as refusal:
            deduct(balance, 1)
        assert facts_of(refusal) == (0, 0, APRIL)

    def test_keeps_one_limit_for_each_member_and_period(self):
        balance, ann, ben = pool()

        for member in (None, ann, ben):
            for period in ("day", "month"):
                cap(balance, 50, period, member=member)
                cap(balance, 60, period, member=member)

        assert SpendingLimit.objects.count() == 6

    def test_writes_what_had_fallen_due(self):
        balance = make_balance(grants=[(10, HOUR), (90, None)])

        done = cap(balance, at=NOON + HOUR)

        assert done.after.available == 90
        assert balance.transactions.filter(type="expiry").count() == 1
        sound(balance)

    def test_answers_the_same_key_as_it_did_whatever_has_become_of_it(self):
        balance, ann, _ = pool()
        first = cap(balance, member=ann, idempotency_key="k")
        deduct(balance, 40, member=ann)
        cap(balance, 70, member=ann)
        lift(first)

        with unchanged():
            again = cap(balance, member=ann, idempotency_key="k", at=NOON + DAY)

        assert (first.replayed, again.replayed) == (False, True)
        assert (again.limit, again.after) == (first.limit, first.after)

    def test_remembers_a_key_that_changed_nothing(self):
        balance = rich()
        cap(balance)

        first = cap(balance, idempotency_key="k")
        cap(balance, 50)

        with unchanged():
            again = cap(balance, idempotency_key="k")
        assert (again.limit, again.replayed) == (first.limit, True)
        assert SpendingLimit.objects.get().amount == 50

    def test_refuses_in_the_order_it_says(self):
        balance, _, _ = pool()
        cap(balance, idempotency_key="k")
        stranger = make_user()

        with unchanged():
            with pytest.raises(operations.InvalidArgumentError):
                operations.set_limit(owner=make_user(), amount=-1, period="day", at=NOON)
            with pytest.raises(operations.BalanceNotFoundError):
                operations.set_limit(
                    owner=OrganizationFactory.create(), amount=1, period="day", member=stranger, at=NOON
                )
            with pytest.raises(operations.IdempotencyKeyReusedError):
                cap(balance, member=stranger, idempotency_key="k")
            with pytest.raises(UserNotFoundError):
                cap(balance, member=stranger)

    def test_names_every_fault_at_once(self):
        with unchanged(), pytest.raises(operations.InvalidArgumentError) as refusal:
            operations.set_limit(owner=make_user(), amount=-1, period="week", member=make_user(), at=NOON)

        assert [(fault.field, fault.code) for fault in refusal.value.errors] == [
            ("amount", "out_of_range"),
            ("period", "invalid_choice"),
            ("member_id", "invalid_choice"),
        ]

    @pytest.mark.parametrize(
        ("amount", "code"), [(MOST + 1, "out_of_range"), (9.5, "wrong_type"), (True, "wrong_type")]
    )
    def test_takes_whole_credits_within_bounds(self, amount, code):
        balance = rich()

        with unchanged(), pytest.raises(operations.InvalidArgumentError) as refusal:
            cap(balance, amount)

        assert [(fault.field, fault.code) for fault in refusal.value.errors] == [("amount", code)]
        assert cap(balance, MOST).limit.amount == MOST


class TestRemoveLimit:
    def test_lets_credits_be_used_freely_again(self):
        balance = rich()
        limited = cap(balance, 10)

        done = lift(limited, at=NOON + HOUR)

        assert done.limit.id == limited.limit.id
        deduct(balance, 500, at=NOON + HOUR)
        assert SpendingLimit.objects.get().removed_at == NOON + HOUR
        assert told(balance) == []
        sound(balance)

    def test_leaves_room_for_a_new_one_that_counts_from_the_ledger(self):
        balance = rich()
        first = cap(balance)
        deduct(balance, 40)
        lift(first)
        deduct(balance, 50)

        second = cap(balance)

        assert second.limit.id != first.limit.id
        assert second.limit.used == 90
        sound(balance)

    def test_answers_the_same_key_as_it_did(self):
        balance = rich()
        limited = cap(balance)
        deduct(balance, 40)
        first = lift(limited, idempotency_key="k")
        cap(balance)

        with unchanged():
            again = lift(limited, idempotency_key="k", at=NOON + DAY)

        assert (again.limit, again.after, again.replayed) == (first.limit, first.after, True)

    def test_refuses_in_the_order_it_says(self):
        balance = rich()
        other, limited = cap(balance, period="month"), cap(balance)
        lift(limited, idempotency_key="k")

        with unchanged():
            with pytest.raises(operations.LimitNotFoundError):
                operations.remove_limit(limit_id=uuid7(), idempotency_key="k", at=NOON)
            with pytest.raises(operations.IdempotencyKeyReusedError):
                lift(other, idempotency_key="k")
            with pytest.raises(operations.LimitNotFoundError):
                lift(limited)


class TestDeductWithinALimit:
    def test_lets_exactly_the_amount_through(self):
        balance = rich()
        cap(balance)

        deduct(balance, 60)
        with unchanged(), pytest.raises(operations.SpendingLimitReachedError) as refusal:
            deduct(balance, 41)
        deduct(balance, 40)

        assert facts_of(refusal) == (100, 60, MIDNIGHT)
        assert told(balance) == [100]
        sound(balance)

    def test_begins_anew_at_midnight_and_not_before(self):
        balance = rich()
        cap(balance)
        cap(balance, 150, "month")
        deduct(balance, 100)

        with unchanged(), pytest.raises(operations.SpendingLimitReachedError) as refusal:
            deduct(balance, 1, at=MIDNIGHT - MICROSECOND)
        assert facts_of(refusal) == (100, 100, MIDNIGHT)
        deduct(balance, 50, at=MIDNIGHT)
        with unchanged(), pytest.raises(operations.SpendingLimitReachedError) as refusal:
            deduct(balance, 1, at=MIDNIGHT)

        assert facts_of(refusal) == (150, 150, APRIL)
        assert stored(balance) == [(50, MIDNIGHT), (150, datetime(2025, 3, 1, tzinfo=UTC))]
        sound(balance)

    def test_begins_anew_with_the_month_and_not_before(self):
        balance = rich()
        cap(balance, period="month")
        deduct(balance, 100)

        with unchanged(), pytest.raises(operations.SpendingLimitReachedError):
            deduct(balance, 1, at=APRIL - MICROSECOND)
        deduct(balance, 100, at=APRIL)

        assert told(balance, at=APRIL) == [100]
        sound(balance)

    def test_counts_a_clock_that_lags_in_the_window_of_the_last_change(self):
        balance = rich()
        cap(balance)
        deduct(balance, 60, at=MIDNIGHT)

        deduct(balance, 30, at=NOON)

        assert stored(balance) == [(90, MIDNIGHT)]
        sound(balance)

    def test_counts_a_member_and_the_pool_at_once(self):
        balance, ann, ben = pool()
        cap(balance, 100)
        cap(balance, 60, member=ann)
        cap(balance, 60, member=ben)

        deduct(balance, 50, member=ann)
        deduct(balance, 30, member=ben)
        with unchanged(), pytest.raises(operations.SpendingLimitReachedError) as own:
            deduct(balance, 11, member=ann)
        with unchanged(), pytest.raises(operations.SpendingLimitReachedError) as shared:
            deduct(balance, 21, member=ben)
        deduct(balance, 20)

        assert facts_of(own) == (60, 50, MIDNIGHT)
        assert facts_of(shared) == (100, 80, MIDNIGHT)
        assert told(balance) == [100, 50, 30]
        sound(balance)

    def test_refuses_after_suspension_and_before_funds(self):
        balance = make_balance()
        cap(balance, 10)
        operations.suspend_spending(owner=balance.owner, at=NOON)

        with unchanged(), pytest.raises(operations.SpendingSuspendedError):
            deduct(balance, 1000)
        operations.resume_spending(owner=balance.owner, at=NOON)
        with unchanged(), pytest.raises(operations.SpendingLimitReachedError):
            deduct(balance, 1000)
        with unchanged(), pytest.raises(operations.FeatureNotFoundError):
            operations.deduct_credits(owner=balance.owner, feature="no-such", at=NOON)

    def test_counts_what_a_feature_costs(self):
        balance = rich()
        cap(balance, 17)

        operations.deduct_credits(owner=balance.owner, feature="simple-ai-insight", at=NOON)
        with unchanged(), pytest.raises(operations.SpendingLimitReachedError) as refusal:
            operations.deduct_credits(owner=balance.owner, feature="simple-ai-insight", at=NOON)

        assert facts_of(refusal) == (17, 9, MIDNIGHT)

    def test_replays_though_the_limit_is_reached(self):
        balance = rich()
        cap(balance)
        first = deduct(balance, 100, idempotency_key="k")

        with unchanged():
            assert deduct(balance, 100, idempotency_key="k").transaction.id == first.transaction.id

    def test_does_not_limit_what_staff_take(self):
        balance = rich()
        cap(balance, 0)

        operations.adjust_credits(owner=balance.owner, amount=-10, reason="By mistake", at=NOON)

        assert told(balance) == [0]
        sound(balance)

    def test_takes_three_statements(self):
        balance, ann, _ = pool()
        cap(balance)
        cap(balance, member=ann)

        with captured_statements() as run:
            operations.deduct_credits(
                owner=balance.owner, feature="simple-ai-insight", member=ann, idempotency_key="k", at=NOON
            )

        assert len(run) == 3

    def test_writes_no_limit_where_there_is_none(self):
        balance = rich()

        with captured_statements() as run:
            deduct(balance, 1)

        assert not any("INSERT INTO credits_spendinglimit" in sql for sql in run)


class TestDeductManyWithinALimit:
    def test_counts_each_in_turn_and_refuses_only_what_goes_beyond(self):
        balance, ann, ben = pool()
        cap(balance, 100)
        cap(balance, 40, member=ann)

        def asked(amount, member):
            return operations.Deduction(amount=amount, description="Spent in a test", member=member)

        batch = [asked(30, ann), asked(11, ann), asked(60, ben), asked(11, ben), asked(10, ann)]
        outcomes = operations.deduct_many(owner=balance.owner, deductions=batch, at=NOON)

        refused = [outcome.facts["used"] for outcome in outcomes if isinstance(outcome, Exception)]
        assert [isinstance(outcome, Exception) for outcome in outcomes] == [False, True, False, True, False]
        assert refused == [30, 90]
        assert told(balance) == [100, 40]
        sound(balance)


class TestHoldsWithinALimit:
    def test_count_while_they_are_open(self):
        balance = rich()
        cap(balance)
        held = place(balance, 70)

        with unchanged(), pytest.raises(operations.SpendingLimitReachedError) as refusal:
            deduct(balance, 31)
        with unchanged(), pytest.raises(operations.SpendingLimitReachedError):
            place(balance, 31)
        assert facts_of(refusal) == (100, 70, MIDNIGHT)
        release(held)

        assert told(balance) == [0]
        deduct(balance, 100)
        sound(balance)

    def test_are_refused_after_suspension_and_before_funds(self):
        balance = make_balance()
        cap(balance, 10)
        operations.suspend_spending(owner=balance.owner, at=NOON)

        with unchanged(), pytest.raises(operations.SpendingSuspendedError):
            place(balance, 1000)
        operations.resume_spending(owner=balance.owner, at=NOON)
        with unchanged(), pytest.raises(operations.SpendingLimitReachedError):
            place(balance, 1000)

    def test_give_room_back_when_they_lapse_swept_or_not(self):
        balance, ann, _ = pool()
        cap(balance)
        cap(balance, member=ann)
        place(balance, 70, member=ann, expires_in_seconds=60)

        with unchanged():
            assert told(balance, at=NOON + MINUTE - MICROSECOND) == [70, 70]
            assert told(balance, at=NOON + MINUTE) == [0, 0]
        deduct(balance, 100, at=NOON + MINUTE)
        assert stored(balance) == [(100, MIDNIGHT - DAY), (0, MIDNIGHT - DAY)]
        sound(balance)

    def test_give_room_back_when_the_sweep_finds_them(self):
        balance, ann, _ = pool()
        cap(balance, member=ann)
        place(balance, 70, member=ann, expires_in_seconds=60)

        operations.expire_credits(balance_ids=[balance.pk], at=NOON + HOUR)

        assert stored(balance) == [(0, MIDNIGHT - DAY)]
        sound(balance)

    def test_give_room_back_when_something_else_settles_them(self):
        balance, ann, _ = pool()
        cap(balance, member=ann)
        place(balance, 70, member=ann, expires_in_seconds=60)

        rich(balance.owner)  # at NOON: nothing is due
        assert stored(balance) == [(70, MIDNIGHT - DAY)]
        make_balance(balance.owner, at=NOON + HOUR)

        assert stored(balance) == [(0, MIDNIGHT - DAY)]
        sound(balance)

    def test_captured_in_part_count_what_was_captured(self):
        balance, ann, _ = pool()
        cap(balance)
        cap(balance, member=ann)

        capture(place(balance, 70, member=ann), 25)

        assert told(balance) == [25, 25]
        sound(balance)

    def test_can_be_captured_whatever_the_limits_say(self):
        balance = rich()
        held = place(balance, 70)
        cap(balance, 0)

        capture(held)

        assert told(balance) == [70]
        sound(balance)

    def test_captured_for_more_are_refused_beyond_a_limit_and_stay(self):
        balance, ann, _ = pool()
        cap(balance, 100, member=ann)
        held = place(balance, 70, member=ann)
        deduct(balance, 20, member=ann)

        with unchanged(), pytest.raises(operations.SpendingLimitReachedError) as refusal:
            capture(held, 81)
        assert facts_of(refusal) == (100, 90, MIDNIGHT)
        capture(held, 80)

        assert told(balance) == [100]
        sound(balance)

    def test_captured_for_more_are_refused_in_the_order_it_says(self):
        balance = make_balance()
        held = place(balance, 70)
        cap(balance, 80)
        operations.suspend_spending(owner=balance.owner, at=NOON)

        with unchanged(), pytest.raises(operations.SpendingSuspendedError):
            capture(held, 1000)
        operations.resume_spending(owner=balance.owner, at=NOON)
        with unchanged(), pytest.raises(operations.SpendingLimitReachedError):
            capture(held, 1000)
        cap(balance, MOST)
        with unchanged(), pytest.raises(operations.InsufficientCreditsError) as refusal:
            capture(held, 1000)
        assert refusal.value.facts == {"required": 930, "available": 30, "held": 70, "shortfall": 900}

    def test_move_to_the_window_they_are_captured_in(self):
        balance = rich()
        cap(balance)
        cap(balance, 1000, "month")
        held = place(balance, 70, at=MIDNIGHT - MINUTE)

        with unchanged():
            assert told(balance, at=MIDNIGHT) == [0, 70]
        capture(held, 60, at=MIDNIGHT)

        assert told(balance, at=MIDNIGHT) == [60, 60]
        sound(balance)

    def test_released_on_another_day_give_nothing_back_to_it(self):
        balance = rich()
        cap(balance)
        held = place(balance, 70, at=MIDNIGHT - MINUTE)
        deduct(balance, 40, at=MIDNIGHT)

        release(held, at=MIDNIGHT)

        assert told(balance, at=MIDNIGHT) == [40]
        sound(balance)

    def test_released_before_anything_is_counted_on_another_day_leave_their_own_right(self):
        balance = rich()
        cap(balance)
        held = place(balance, 70, at=MIDNIGHT - MINUTE)

        release(held, at=MIDNIGHT)

        assert stored(balance) == [(0, MIDNIGHT - DAY)]
        sound(balance)

    def test_captured_for_more_on_another_day_are_tried_by_that_day(self):
        balance = rich()
        cap(balance)
        held = place(balance, 90, at=MIDNIGHT - MINUTE)
        deduct(balance, 10, at=MIDNIGHT)

        with unchanged(), pytest.raises(operations.SpendingLimitReachedError) as refusal:
            capture(held, 91, at=MIDNIGHT)
        assert facts_of(refusal) == (100, 10, MIDNIGHT + DAY)
        capture(held, 90, at=MIDNIGHT)

        assert told(balance, at=MIDNIGHT) == [100]
        sound(balance)

    @pytest.mark.parametrize("amount", [1, 35, 99])
    def test_captured_count_like_a_deduction(self, amount):
        direct, by_hold = rich(), rich()
        for balance in (direct, by_hold):
            cap(balance)
            cap(balance, 500, "month")

        deduct(direct, amount)
        capture(place(by_hold, amount))

        assert stored(direct) == stored(by_hold)
        assert told(direct) == [amount, amount]
        release(place(direct, 100 - amount))
        assert stored(direct) == stored(by_hold)


class TestRefundsWithinALimit:
    def test_give_room_back_in_the_window_of_the_usage(self):
        balance, ann, _ = pool()
        cap(balance)
        cap(balance, member=ann)
        usage = deduct(balance, 100, member=ann)

        refund(usage, 30)

        assert told(balance) == [70, 70]
        deduct(balance, 30, member=ann)
        with unchanged(), pytest.raises(operations.SpendingLimitReachedError):
            deduct(balance, 1)
        sound(balance)

    def test_give_no_room_in_another_window(self):
        balance = rich()
        cap(balance)
        cap(balance, 200, "month")
        usage = deduct(balance, 100)
        deduct(balance, 60, at=MIDNIGHT)

        refund(usage, at=MIDNIGHT)

        assert told(balance, at=MIDNIGHT) == [60, 60]
        sound(balance)

    def test_correct_a_window_that_is_over_where_it_was_counted_last(self):
        balance = rich()
        cap(balance)
        usage = deduct(balance, 100)

        refund(usage, 30, at=MIDNIGHT)

        assert stored(balance) == [(70, MIDNIGHT - DAY)]
        sound(balance)

    def test_of_a_capture_give_back_what_was_captured(self):
        balance = rich()
        cap(balance)
        captured = capture(place(balance, 70, at=NOON - HOUR), 50).transaction

        refund(captured)

        assert told(balance) == [0]
        sound(balance)


class TestStandings:
    def test_come_newest_first_and_only_those_in_force(self):
        balance, ann, _ = pool()
        cap(balance)
        lift(cap(balance, period="month"))
        cap(balance, member=ann)

        found = queries.limit_statuses(queries.get_limits(owner=balance.owner), at=NOON)

        assert [standing.member_id for standing in found] == [ann.pk, None]

    def test_of_a_balance_nobody_opened_are_none(self):
        assert queries.limit_statuses(queries.get_limits(owner=make_user()), at=NOON) == []

    def test_say_when_each_resets(self):
        balance = rich()
        cap(balance)
        cap(balance, period="month")

        found = queries.limit_statuses(queries.get_limits(owner=balance.owner), at=MIDNIGHT)

        assert [standing.resets_at for standing in found] == [APRIL, MIDNIGHT + DAY]

    def test_read_the_same_for_one_limit_or_for_many(self):
        organization = OrganizationFactory.create()
        balance = rich(organization)
        for _ in range(5):
            cap(balance, member=MembershipFactory.create(organization=organization).user)

        with captured_statements() as run:
            queries.limit_statuses(queries.get_limits(owner=balance.owner), at=NOON)

        assert len(run) == 2


class TestCheckSpending:
    def check(self, balance, amount, **asked):
        return queries.check_spending(owner=balance.owner, amount=amount, **{"at": NOON, **asked})

    def test_names_the_limit_that_would_refuse(self):
        balance, ann, ben = pool()
        cap(balance, member=ann)
        deduct(balance, 60, member=ann)

        found = self.check(balance, 41, member=ann.pk)

        assert (found.allowed, found.reason) == (False, "spending_limit_reached")
        assert found.limit is not None
        assert (found.limit.amount, found.limit.used, found.limit.resets_at) == (100, 60, MIDNIGHT)
        for allowed in (
            self.check(balance, 40, member=ann.pk),
            self.check(balance, 41, member=ben.pk),
            self.check(balance, 41),
            self.check(balance, 41, member=ann.pk, at=MIDNIGHT),
        ):
            assert (allowed.allowed, allowed.reason, allowed.limit) == (True, None, None)

    def test_gives_the_reasons_in_the_order_in_which_a_deduction_refuses(self):
        balance = make_balance()
        cap(balance, 10)

        assert self.check(balance, 1000).reason == "spending_limit_reached"
        assert self.check(balance, 1000, permitted=False).reason == "permission_denied"
        operations.suspend_spending(owner=balance.owner, at=NOON)
        suspended = self.check(balance, 1000)
        assert (suspended.reason, suspended.limit) == ("spending_suspended", None)

    def test_counts_what_has_lapsed_unwritten(self):
        balance = rich()
        cap(balance)
        place(balance, 100, expires_in_seconds=60)

        assert not self.check(balance, 1).allowed
        with unchanged():
            assert self.check(balance, 100, at=NOON + MINUTE).allowed
