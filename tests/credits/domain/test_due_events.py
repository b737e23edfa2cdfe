from copy import deepcopy
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credits.domain.balance_state import BalanceState
from credits.domain.due_events import apply_due_events, normalize
from credits.domain.records import Grant, GrantDelta, TransactionDetails
from tests.support.balance_states import add_grant, check_sums, empty_state, hold, spend, summarize
from tests.support.times import DAY, NOON

MICROSECOND = timedelta(microseconds=1)


class TestSettle:
    def test_finds_nothing_to_do_before_anything_is_due(self):
        book = empty_state()
        add_grant(book, 100, NOON + DAY)
        hold(book, 10, NOON + DAY)
        before = deepcopy(book)

        apply_due_events(book, NOON + DAY - MICROSECOND)

        assert book == before

    def test_expires_a_grant_at_the_very_instant(self):
        book = empty_state()
        fleeting = add_grant(book, 20, NOON + DAY)
        lasting = add_grant(book, 50)

        apply_due_events(book, NOON + DAY)

        assert (fleeting.remaining, lasting.remaining) == (0, 50)
        assert summarize(book.transactions[2:]) == [("expiry", NOON + DAY, -20, [(-20, 0)])]
        check_sums(book)

    def test_dates_each_expiry_at_its_own_instant(self):
        book = empty_state()
        add_grant(book, 2, NOON + 2 * DAY)
        add_grant(book, 1, NOON + DAY)

        apply_due_events(book, NOON + 9 * DAY)

        assert [(said.amount, said.timestamp) for said in book.transactions[2:]] == [
            (-1, NOON + DAY),
            (-2, NOON + 2 * DAY),
        ]

    def test_writes_one_expiry_for_each_grant_of_one_instant(self):
        book = empty_state()
        add_grant(book, 1, NOON + DAY)
        add_grant(book, 2, NOON + DAY)

        apply_due_events(book, NOON + DAY)

        assert {said.amount for said in book.transactions[2:]} == {-1, -2}

    def test_passes_over_an_expired_grant_that_is_empty(self):
        book = empty_state()
        add_grant(book, 10, NOON + DAY)
        spend(book, 10)

        apply_due_events(book, NOON + DAY)

        assert len(book.transactions) == 2

    def test_lapses_a_hold_at_the_very_instant(self):
        book = empty_state()
        bought = add_grant(book, 100)
        held = hold(book, 60, NOON + DAY)

        apply_due_events(book, NOON + DAY)

        assert (bought.remaining, bought.held, book.held) == (100, 0, 0)
        assert (held.status, held.closed_at, book.holds) == ("lapsed", NOON + DAY, {})
        assert book.last_at == NOON + DAY
        assert len(book.transactions) == 1
        check_sums(book)

    def test_keeps_pinned_credits_past_the_expiry_of_their_grant(self):
        book = empty_state()
        bought = add_grant(book, 100, NOON + DAY)
        hold(book, 60, NOON + 2 * DAY)

        apply_due_events(book, NOON + DAY)

        assert (bought.remaining, bought.held) == (0, 60)
        assert (book.balance, book.available) == (60, 0)
        assert summarize(book.transactions[1:]) == [("expiry", NOON + DAY, -40, [(-40, 0)])]

    def test_lets_them_go_when_the_hold_lapses_later(self):
        book = empty_state()
        add_grant(book, 100, NOON + DAY)
        hold(book, 60, NOON + 2 * DAY)

        apply_due_events(book, NOON + 3 * DAY)

        assert [(said.amount, said.timestamp) for said in book.transactions[1:]] == [
            (-40, NOON + DAY),
            (-60, NOON + 2 * DAY),
        ]
        check_sums(book)

    def test_lapses_before_it_expires_at_one_instant(self):
        book = empty_state()
        add_grant(book, 100, NOON + DAY)
        hold(book, 60, NOON + DAY)

        apply_due_events(book, NOON + DAY)

        assert summarize(book.transactions[1:]) == [("expiry", NOON + DAY, -100, [(-100, 0)])]

    def test_repays_debt_with_what_a_lapse_sets_free(self):
        book = empty_state()
        bought = add_grant(book, 100)
        hold(book, 60, NOON + DAY)
        book.post("reversal", NOON, [GrantDelta(bought, -40), GrantDelta(None, -50)], TransactionDetails())

        apply_due_events(book, NOON + DAY)

        assert summarize(book.transactions[2:]) == [("reversal", NOON + DAY, 0, [(-50, 10), (50, None)])]
        assert (book.balance, book.available, book.debt) == (10, 10, 0)
        check_sums(book)

    def test_repays_debt_in_burn_order(self):
        book = empty_state()
        later, sooner = add_grant(book, 30), add_grant(book, 30, NOON + 9 * DAY)
        hold(book, 60, NOON + DAY)
        book.post("reversal", NOON, [GrantDelta(None, -40)], TransactionDetails())

        apply_due_events(book, NOON + DAY)

        assert (sooner.remaining, later.remaining, book.debt) == (0, 20, 0)

    def test_expires_rather_than_repays_with_what_can_no_longer_be_spent(self):
        book = empty_state()
        add_grant(book, 60, NOON + DAY)
        hold(book, 60, NOON + 2 * DAY)
        book.post("reversal", NOON, [GrantDelta(None, -60)], TransactionDetails())

        apply_due_events(book, NOON + 2 * DAY)

        assert summarize(book.transactions[2:]) == [("expiry", NOON + 2 * DAY, -60, [(-60, 0)])]
        assert (book.balance, book.debt, book.available) == (-60, 60, 0)

    def test_takes_the_pins_of_a_voided_grant_when_they_end(self):
        book = empty_state()
        bought = add_grant(book, 100)
        hold(book, 60, NOON + DAY)
        bought.voided_at = NOON
        normalize(book, NOON)

        apply_due_events(book, NOON + DAY)

        assert [(said.type, said.amount, said.timestamp) for said in book.transactions[1:]] == [
            ("void", -40, NOON),
            ("void", -60, NOON + DAY),
        ]
        check_sums(book)

    def test_fails_rather_than_go_round_for_ever(self, monkeypatch):
        book = empty_state()
        add_grant(book, 20, NOON + DAY)
        monkeypatch.setattr(Grant, "expired", lambda grant, at: at > grant.expires_at)

        with pytest.raises(AssertionError, match="does not settle at 2025-03-04"):
            apply_due_events(book, NOON + DAY)


class TestSettleRollsOver:
    def test_moves_what_remains_to_a_new_grant(self):
        book = empty_state()
        monthly = add_grant(book, 80, NOON + DAY, source="allocation", roll_cap=100, roll_until=NOON + 30 * DAY)

        apply_due_events(book, NOON + DAY)

        [rolled] = [grant for grant in book.grants.values() if grant is not monthly]
        assert (rolled.source, rolled.priority, rolled.amount, rolled.remaining) == ("rollover", 40, 80, 80)
        assert (rolled.effective_at, rolled.expires_at) == (NOON + DAY, NOON + 30 * DAY)
        assert rolled.parent_id == monthly.id
        assert summarize(book.transactions[1:]) == [("rollover", NOON + DAY, 0, [(-80, 0), (80, 80)])]
        assert book.transactions[1].opened == [rolled]
        check_sums(book)

    def test_expires_what_exceeds_the_cap_first(self):
        book = empty_state()
        add_grant(book, 150, NOON + DAY, source="allocation", roll_cap=100)

        apply_due_events(book, NOON + DAY)

        assert summarize(book.transactions[1:]) == [
            ("expiry", NOON + DAY, -50, [(-50, 100)]),
            ("rollover", NOON + DAY, 0, [(-100, 0), (100, 100)]),
        ]
        assert book.balance == 100
        check_sums(book)

    @pytest.mark.parametrize("cap", [None, 0])
    def test_expires_all_where_nothing_may_roll(self, cap):
        book = empty_state()
        add_grant(book, 10, NOON + DAY, source="allocation", roll_cap=cap)

        apply_due_events(book, NOON + DAY)

        assert summarize(book.transactions[1:]) == [("expiry", NOON + DAY, -10, [(-10, 0)])]

    def test_trims_the_oldest_of_the_pool_beyond_the_cap(self):
        book = empty_state()
        oldest = add_grant(book, 30, source="rollover", at=NOON)
        middle = add_grant(book, 50, source="rollover", at=NOON + DAY)
        add_grant(book, 70, NOON + 2 * DAY, source="allocation", roll_cap=100, at=NOON + DAY)

        apply_due_events(book, NOON + 2 * DAY)

        assert (oldest.remaining, middle.remaining, book.balance) == (0, 30, 100)
        assert [(said.type, said.amount) for said in book.transactions[3:]] == [
            ("rollover", 0),
            ("expiry", -30),
            ("expiry", -20),
        ]
        check_sums(book)

    @pytest.mark.parametrize("caps", [(100, 40), (40, 100)])
    def test_lets_what_rolls_at_one_instant_share_the_larger_cap(self, caps):
        book = empty_state()
        for cap in caps:
            add_grant(book, 90, NOON + DAY, source="allocation", roll_cap=cap)

        apply_due_events(book, NOON + DAY)

        assert (book.balance, book.available) == (100, 100)
        check_sums(book)

    def test_does_not_trim_for_credits_that_expire_at_the_same_instant(self):
        book = empty_state()
        lasting = add_grant(book, 50, source="rollover", at=NOON)
        ending = add_grant(book, 50, NOON + DAY, source="rollover", at=NOON + MICROSECOND)
        add_grant(book, 50, NOON + DAY, source="allocation", priority=0, roll_cap=100, at=NOON + MICROSECOND)

        apply_due_events(book, NOON + DAY)

        assert (lasting.remaining, ending.remaining, book.balance) == (50, 0, 100)
        check_sums(book)

    def test_does_not_trim_for_credits_that_are_voided_at_the_same_instant(self):
        book = empty_state()
        voided = add_grant(book, 80, source="rollover")
        hold(book, 80, NOON + DAY)
        voided.voided_at = NOON
        add_grant(book, 90, NOON + DAY, source="allocation", priority=0, roll_cap=100)

        apply_due_events(book, NOON + DAY)

        assert [(said.type, said.amount) for said in book.transactions[2:]] == [("rollover", 0), ("void", -80)]
        assert book.available == 90
        check_sums(book)

    def test_rolls_what_a_lapse_at_that_instant_sets_free(self):
        book = empty_state()
        add_grant(book, 80, NOON + DAY, source="allocation", roll_cap=100)
        hold(book, 60, NOON + DAY)

        apply_due_events(book, NOON + DAY)

        assert summarize(book.transactions[1:]) == [("rollover", NOON + DAY, 0, [(-80, 0), (80, 80)])]

    def test_lets_credits_go_that_come_back_after_their_instant(self):
        book = empty_state()
        add_grant(book, 80, NOON + DAY, source="allocation", roll_cap=100)
        hold(book, 60, NOON + DAY + MICROSECOND)

        apply_due_events(book, NOON + 2 * DAY)

        assert [(said.type, said.amount) for said in book.transactions[1:]] == [("rollover", 0), ("expiry", -60)]

    def test_expires_the_rolled_credits_in_their_turn(self):
        book = empty_state()
        add_grant(book, 80, NOON + DAY, source="allocation", roll_cap=100, roll_until=NOON + 2 * DAY)

        apply_due_events(book, NOON + 2 * DAY)

        assert summarize(book.transactions[2:]) == [("expiry", NOON + 2 * DAY, -80, [(-80, 0)])]
        check_sums(book)


days = st.integers(1, 8)


@st.composite
def grown(draw: st.DrawFn) -> BalanceState:
    """A book with grants of every kind, credits spent and pinned, perhaps a debt; nothing due yet."""
    book = empty_state()
    rolling = draw(st.sets(days, max_size=3))
    for end in sorted(rolling):
        add_grant(
            book,
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
            book,
            draw(st.integers(1, 40)),
            expires_at,
            source=draw(st.sampled_from(["purchase", "promotion", "rollover"])),
        )
    if book.available and draw(st.booleans()):
        spend(book, draw(st.integers(1, book.available)))
    for _ in range(draw(st.integers(0, 3))):
        if book.available:
            hold(book, draw(st.integers(1, book.available)), NOON + draw(days) * DAY)
    if draw(st.booleans()):
        _indebt(book, draw(st.integers(1, 50)))
    return book


def _indebt(book: BalanceState, amount: int) -> None:
    draws = [GrantDelta(grant, -grant.remaining) for grant in book.spendable()]
    book.post("reversal", NOON, [*draws, GrantDelta(None, -amount)], TransactionDetails())


class TestSettleInSteps:
    @settings(max_examples=300)
    @given(grown(), st.lists(st.integers(0, 24), max_size=4))
    def test_tells_the_same_story_in_any_number_of_steps(self, book, stops):
        end = NOON + 12 * DAY
        at_once = deepcopy(book)
        apply_due_events(at_once, end)

        for stop in sorted(stops):
            apply_due_events(book, NOON + stop * DAY / 2)
            check_sums(book)
        apply_due_events(book, end)

        assert summarize(book.transactions) == summarize(at_once.transactions)
        assert book.snapshot() == at_once.snapshot()

    @settings(max_examples=300)
    @given(grown(), st.integers(0, 12))
    def test_keeps_every_sum_and_leaves_only_what_may_be_spent(self, book, day):
        at = NOON + day * DAY

        apply_due_events(book, at)

        check_sums(book)
        assert not [grant for grant in book.spendable() if grant.expired(at) or grant.voided_at]
        assert not [open_ for open_ in book.holds.values() if open_.expires_at <= at]

    @given(grown(), st.integers(0, 12))
    def test_has_nothing_left_to_do_the_second_time(self, book, day):
        apply_due_events(book, NOON + day * DAY)
        settled = deepcopy(book)

        apply_due_events(book, NOON + day * DAY)

        assert book == settled
