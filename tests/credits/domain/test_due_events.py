from copy import deepcopy
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credits.domain import due_events
from credits.domain.balance_state import BalanceState
from credits.domain.due_events import apply_due_events, normalize
from credits.domain.records import GrantDelta, TransactionDetails
from tests.support.balance_states import add_grant, check_sums, empty_state, hold, spend, summarize
from tests.support.times import DAY, NOON

MICROSECOND = timedelta(microseconds=1)


class TestApplyDueEvents:
    def test_nothing_changes_before_an_event_is_due(self):
        state = empty_state()
        add_grant(state, 100, NOON + DAY)
        hold(state, 10, NOON + DAY)
        before = deepcopy(state)

        apply_due_events(state, NOON + DAY - MICROSECOND)

        assert state == before

    def test_a_grant_expires_exactly_at_its_expiry(self):
        state = empty_state()
        fleeting = add_grant(state, 20, NOON + DAY)
        lasting = add_grant(state, 50)

        apply_due_events(state, NOON + DAY)

        assert (fleeting.remaining, lasting.remaining) == (0, 50)
        assert summarize(state.transactions[2:]) == [("expiry", NOON + DAY, -20, [(-20, 0)])]
        check_sums(state)

    def test_each_expiry_is_dated_at_its_own_instant(self):
        state = empty_state()
        add_grant(state, 2, NOON + 2 * DAY)
        add_grant(state, 1, NOON + DAY)

        apply_due_events(state, NOON + 9 * DAY)

        assert [(row.amount, row.timestamp) for row in state.transactions[2:]] == [
            (-1, NOON + DAY),
            (-2, NOON + 2 * DAY),
        ]

    def test_grants_that_expire_together_have_one_expiry_each(self):
        state = empty_state()
        add_grant(state, 1, NOON + DAY)
        add_grant(state, 2, NOON + DAY)

        apply_due_events(state, NOON + DAY)

        assert {row.amount for row in state.transactions[2:]} == {-1, -2}

    def test_an_empty_grant_has_no_expiry(self):
        state = empty_state()
        add_grant(state, 10, NOON + DAY)
        spend(state, 10)

        apply_due_events(state, NOON + DAY)

        assert len(state.transactions) == 2

    def test_a_hold_lapses_exactly_at_its_expiry(self):
        state = empty_state()
        bought = add_grant(state, 100)
        held = hold(state, 60, NOON + DAY)

        apply_due_events(state, NOON + DAY)

        assert (bought.remaining, bought.held, state.held) == (100, 0, 0)
        assert (held.status, held.closed_at, state.holds) == ("lapsed", NOON + DAY, {})
        assert state.last_at == NOON + DAY
        assert len(state.transactions) == 1
        check_sums(state)

    def test_pinned_credits_outlast_the_expiry_of_their_grant(self):
        state = empty_state()
        bought = add_grant(state, 100, NOON + DAY)
        hold(state, 60, NOON + 2 * DAY)

        apply_due_events(state, NOON + DAY)

        assert (bought.remaining, bought.held) == (0, 60)
        assert (state.balance, state.available) == (60, 0)
        assert summarize(state.transactions[1:]) == [("expiry", NOON + DAY, -40, [(-40, 0)])]

    def test_pinned_credits_of_an_expired_grant_expire_when_the_hold_lapses(self):
        state = empty_state()
        add_grant(state, 100, NOON + DAY)
        hold(state, 60, NOON + 2 * DAY)

        apply_due_events(state, NOON + 3 * DAY)

        assert [(row.amount, row.timestamp) for row in state.transactions[1:]] == [
            (-40, NOON + DAY),
            (-60, NOON + 2 * DAY),
        ]
        check_sums(state)

    def test_at_one_instant_holds_lapse_before_grants_expire(self):
        state = empty_state()
        add_grant(state, 100, NOON + DAY)
        hold(state, 60, NOON + DAY)

        apply_due_events(state, NOON + DAY)

        assert summarize(state.transactions[1:]) == [("expiry", NOON + DAY, -100, [(-100, 0)])]

    def test_credits_of_a_lapsed_hold_repay_debt(self):
        state = empty_state()
        bought = add_grant(state, 100)
        hold(state, 60, NOON + DAY)
        state.post("reversal", NOON, [GrantDelta(bought, -40), GrantDelta(None, -50)], TransactionDetails())

        apply_due_events(state, NOON + DAY)

        assert summarize(state.transactions[2:]) == [("reversal", NOON + DAY, 0, [(-50, 10), (50, None)])]
        assert (state.balance, state.available, state.debt) == (10, 10, 0)
        check_sums(state)

    def test_debt_is_repaid_in_burn_order(self):
        state = empty_state()
        later, sooner = add_grant(state, 30), add_grant(state, 30, NOON + 9 * DAY)
        hold(state, 60, NOON + DAY)
        state.post("reversal", NOON, [GrantDelta(None, -40)], TransactionDetails())

        apply_due_events(state, NOON + DAY)

        assert (sooner.remaining, later.remaining, state.debt) == (0, 20, 0)

    def test_expired_credits_do_not_repay_debt(self):
        state = empty_state()
        add_grant(state, 60, NOON + DAY)
        hold(state, 60, NOON + 2 * DAY)
        state.post("reversal", NOON, [GrantDelta(None, -60)], TransactionDetails())

        apply_due_events(state, NOON + 2 * DAY)

        assert summarize(state.transactions[2:]) == [("expiry", NOON + 2 * DAY, -60, [(-60, 0)])]
        assert (state.balance, state.debt, state.available) == (-60, 60, 0)

    def test_pinned_credits_of_a_voided_grant_are_voided_when_the_hold_lapses(self):
        state = empty_state()
        bought = add_grant(state, 100)
        hold(state, 60, NOON + DAY)
        bought.voided_at = NOON
        normalize(state, NOON)

        apply_due_events(state, NOON + DAY)

        assert [(row.type, row.amount, row.timestamp) for row in state.transactions[1:]] == [
            ("void", -40, NOON),
            ("void", -60, NOON + DAY),
        ]
        check_sums(state)

    def test_events_that_make_no_progress_fail_instead_of_looping(self, monkeypatch):
        state = empty_state()
        add_grant(state, 20, NOON + DAY)
        monkeypatch.setattr(due_events, "_roll_over_or_expire", lambda *_, **__: False)

        with pytest.raises(AssertionError, match="do not advance past 2025-03-04"):
            apply_due_events(state, NOON + DAY)


class TestRollover:
    def test_remaining_credits_move_to_a_new_grant(self):
        state = empty_state()
        monthly = add_grant(state, 80, NOON + DAY, source="allocation", roll_cap=100, roll_until=NOON + 30 * DAY)

        apply_due_events(state, NOON + DAY)

        [rolled] = [grant for grant in state.grants.values() if grant is not monthly]
        assert (rolled.source, rolled.priority, rolled.amount, rolled.remaining) == ("rollover", 40, 80, 80)
        assert (rolled.effective_at, rolled.expires_at) == (NOON + DAY, NOON + 30 * DAY)
        assert rolled.parent_id == monthly.id
        assert summarize(state.transactions[1:]) == [("rollover", NOON + DAY, 0, [(-80, 0), (80, 80)])]
        assert state.transactions[1].opened == [rolled]
        check_sums(state)

    def test_credits_above_the_cap_expire_first(self):
        state = empty_state()
        add_grant(state, 150, NOON + DAY, source="allocation", roll_cap=100)

        apply_due_events(state, NOON + DAY)

        assert summarize(state.transactions[1:]) == [
            ("expiry", NOON + DAY, -50, [(-50, 100)]),
            ("rollover", NOON + DAY, 0, [(-100, 0), (100, 100)]),
        ]
        assert state.balance == 100
        check_sums(state)

    @pytest.mark.parametrize("cap", [None, 0])
    def test_all_credits_expire_without_a_cap_above_0(self, cap):
        state = empty_state()
        add_grant(state, 10, NOON + DAY, source="allocation", roll_cap=cap)

        apply_due_events(state, NOON + DAY)

        assert summarize(state.transactions[1:]) == [("expiry", NOON + DAY, -10, [(-10, 0)])]

    def test_the_oldest_rolled_over_credits_beyond_the_cap_expire(self):
        state = empty_state()
        oldest = add_grant(state, 30, source="rollover", at=NOON)
        middle = add_grant(state, 50, source="rollover", at=NOON + DAY)
        add_grant(state, 70, NOON + 2 * DAY, source="allocation", roll_cap=100, at=NOON + DAY)

        apply_due_events(state, NOON + 2 * DAY)

        assert (oldest.remaining, middle.remaining, state.balance) == (0, 30, 100)
        assert [(row.type, row.amount) for row in state.transactions[3:]] == [
            ("rollover", 0),
            ("expiry", -30),
            ("expiry", -20),
        ]
        check_sums(state)

    @pytest.mark.parametrize("caps", [(100, 40), (40, 100)])
    def test_grants_that_roll_over_together_share_the_larger_cap(self, caps):
        state = empty_state()
        for cap in caps:
            add_grant(state, 90, NOON + DAY, source="allocation", roll_cap=cap)

        apply_due_events(state, NOON + DAY)

        assert (state.balance, state.available) == (100, 100)
        check_sums(state)

    def test_credits_that_expire_at_the_same_instant_do_not_count_toward_the_cap(self):
        state = empty_state()
        lasting = add_grant(state, 50, source="rollover", at=NOON)
        ending = add_grant(state, 50, NOON + DAY, source="rollover", at=NOON + MICROSECOND)
        add_grant(state, 50, NOON + DAY, source="allocation", priority=0, roll_cap=100, at=NOON + MICROSECOND)

        apply_due_events(state, NOON + DAY)

        assert (lasting.remaining, ending.remaining, state.balance) == (50, 0, 100)
        check_sums(state)

    def test_credits_that_are_voided_at_the_same_instant_do_not_count_toward_the_cap(self):
        state = empty_state()
        voided = add_grant(state, 80, source="rollover")
        hold(state, 80, NOON + DAY)
        voided.voided_at = NOON
        add_grant(state, 90, NOON + DAY, source="allocation", priority=0, roll_cap=100)

        apply_due_events(state, NOON + DAY)

        assert [(row.type, row.amount) for row in state.transactions[2:]] == [("void", -80), ("rollover", 0)]
        assert state.available == 90
        check_sums(state)

    def test_credits_of_a_hold_that_lapses_at_the_same_instant_roll_over(self):
        state = empty_state()
        add_grant(state, 80, NOON + DAY, source="allocation", roll_cap=100)
        hold(state, 60, NOON + DAY)

        apply_due_events(state, NOON + DAY)

        assert summarize(state.transactions[1:]) == [("rollover", NOON + DAY, 0, [(-80, 0), (80, 80)])]

    @pytest.mark.parametrize(
        ("cap", "returned"),
        [(100, [("rollover", 0)]), (50, [("expiry", -30), ("rollover", 0)]), (20, [("expiry", -60)])],
    )
    def test_credits_that_return_after_the_rollover_roll_over_up_to_the_cap(self, cap, returned):
        state = empty_state()
        add_grant(state, 80, NOON + DAY, source="allocation", roll_cap=cap)
        hold(state, 60, NOON + DAY + MICROSECOND)

        apply_due_events(state, NOON + 2 * DAY)

        assert [(row.type, row.amount) for row in state.transactions[1:]] == [("rollover", 0), *returned]
        assert state.available == min(cap, 80)
        check_sums(state)

    @pytest.mark.parametrize("until", [NOON + 2 * DAY, NOON + 2 * DAY - MICROSECOND])
    def test_credits_that_return_after_the_end_of_the_rolled_over_credits_expire(self, until):
        state = empty_state()
        add_grant(state, 80, NOON + DAY, source="allocation", roll_cap=100, roll_until=until)
        hold(state, 60, NOON + 2 * DAY)

        apply_due_events(state, NOON + 2 * DAY)

        assert (state.transactions[-1].type, state.balance) == ("expiry", 0)
        check_sums(state)

    def test_credits_that_return_do_not_trim_what_rolled_over_under_a_larger_cap(self):
        state = empty_state()
        add_grant(state, 40, NOON + DAY, source="allocation", priority=1, roll_cap=30)
        add_grant(state, 100, NOON + DAY, source="allocation", roll_cap=80)
        hold(state, 5, NOON + 2 * DAY)

        apply_due_events(state, NOON + DAY)
        assert state.available == 80
        apply_due_events(state, NOON + 2 * DAY)

        assert (state.available, state.transactions[-1].amount) == (80, -5)
        check_sums(state)

    def test_credits_that_return_at_the_instant_of_another_rollover_share_its_cap(self):
        state = empty_state()
        add_grant(state, 30, NOON + DAY, source="allocation", priority=1, roll_cap=30)
        hold(state, 30, NOON + 2 * DAY)
        add_grant(state, 90, NOON + 2 * DAY, source="allocation", roll_cap=50)

        apply_due_events(state, NOON + 2 * DAY)

        assert state.available == 50
        check_sums(state)

    def test_rolled_over_credits_expire_at_their_own_expiry(self):
        state = empty_state()
        add_grant(state, 80, NOON + DAY, source="allocation", roll_cap=100, roll_until=NOON + 2 * DAY)

        apply_due_events(state, NOON + 2 * DAY)

        assert summarize(state.transactions[2:]) == [("expiry", NOON + 2 * DAY, -80, [(-80, 0)])]
        check_sums(state)


days = st.integers(1, 8)


@st.composite
def states(draw: st.DrawFn) -> BalanceState:
    """A state with grants of every kind, used and pinned credits, and perhaps debt. Nothing is due yet."""
    state = empty_state()
    rolling = draw(st.sets(days, max_size=3))
    for end in sorted(rolling):
        add_grant(
            state,
            draw(st.integers(1, 60)),
            NOON + end * DAY,
            source="allocation",
            priority=draw(st.sampled_from([10, 50])),
            roll_cap=draw(st.integers(0, 50)),
            roll_until=draw(st.sampled_from([None, NOON + (end + 2) * DAY])),
        )
    for _ in range(draw(st.integers(0, 4))):
        expires_at = draw(st.none() | days.map(lambda day: NOON + day * DAY))
        add_grant(
            state,
            draw(st.integers(1, 40)),
            expires_at,
            source=draw(st.sampled_from(["purchase", "promotion", "rollover"])),
        )
    if state.available and draw(st.booleans()):
        spend(state, draw(st.integers(1, state.available)))
    for _ in range(draw(st.integers(0, 3))):
        if state.available:
            hold(state, draw(st.integers(1, state.available)), NOON + draw(days) * DAY)
    if draw(st.booleans()):
        _add_debt(state, draw(st.integers(1, 50)))
    return state


def _add_debt(state: BalanceState, amount: int) -> None:
    deltas = [GrantDelta(grant, -grant.remaining) for grant in state.spendable()]
    state.post("reversal", NOON, [*deltas, GrantDelta(None, -amount)], TransactionDetails())


class TestApplyingInSteps:
    @given(states(), st.lists(st.integers(0, 24), max_size=4))
    def test_any_number_of_steps_gives_the_same_transactions(self, state, stops):
        end = NOON + 12 * DAY
        in_one_step = deepcopy(state)
        apply_due_events(in_one_step, end)

        for stop in sorted(stops):
            apply_due_events(state, NOON + stop * DAY / 2)
            check_sums(state)
        apply_due_events(state, end)

        assert summarize(state.transactions) == summarize(in_one_step.transactions)
        assert state.snapshot() == in_one_step.snapshot()

    @given(states(), st.integers(0, 12))
    def test_the_sums_hold_and_only_spendable_credits_remain(self, state, day):
        at = NOON + day * DAY

        apply_due_events(state, at)

        check_sums(state)
        assert not [grant for grant in state.spendable() if grant.expired(at) or grant.voided_at]
        assert not [open_ for open_ in state.holds.values() if open_.expires_at <= at]

    @given(states(), st.integers(0, 12))
    def test_a_second_application_changes_nothing(self, state, day):
        apply_due_events(state, NOON + day * DAY)
        settled = deepcopy(state)

        apply_due_events(state, NOON + day * DAY)

        assert state == settled
