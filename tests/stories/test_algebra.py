"""What each step means for a purchase P of 100: the table of the design, row by row, on books in memory.

The columns are what remains free, what is held, the debt, the balance, and what may be spent.
"""

from datetime import datetime

import pytest

from credits import operations
from credits.book import Book, Draw, Grant, Hold, Particulars
from credits.models import CreditBalance
from credits.settling import settle, tidy
from tests.credits.books import check_sums, empty, hold, pour, spend
from tests.credits.operations.ledger import check_sums as check_stored_sums
from tests.factories.credits import somebody
from tests.times import DAY, HOUR, NOON

LATER = NOON + HOUR
EXPIRY = NOON + DAY
AFTER = EXPIRY + HOUR


class Story:
    """One balance, its purchase P, and perhaps a hold of 60 of it."""

    def __init__(self, expires_at: datetime | None = None, held: int = 60) -> None:
        self.book: Book = empty()
        self.p: Grant = pour(self.book, 100, expires_at)
        self.hold: Hold | None = hold(self.book, held, NOON + 9 * DAY) if held else None

    def release(self, at: datetime) -> None:
        settle(self.book, at)
        assert self.hold
        self.book.unpin(self.p, self.hold.amount)
        self.book.close_hold(self.hold, "released", at)
        tidy(self.book, at)

    def capture(self, amount: int, at: datetime) -> None:
        """Spend first what is pinned, then what is available; the rest of the pins is free again."""
        settle(self.book, at)
        assert self.hold
        pinned = min(amount, self.hold.amount)
        self.book.post("usage", at, [Draw(self.p, -amount, pinned=pinned)], Particulars(hold_id=self.hold.id))
        self.book.unpin(self.p, self.hold.amount - pinned)
        self.book.close_hold(self.hold, "captured", at)
        tidy(self.book, at)

    def reverse(self, amount: int, at: datetime) -> None:
        settle(self.book, at)
        taken = min(amount, self.p.remaining)
        draws = [Draw(self.p, -taken), Draw(None, taken - amount)]
        self.book.post("reversal", at, [draw for draw in draws if draw.amount], Particulars())

    def void(self, at: datetime) -> None:
        settle(self.book, at)
        self.p.voided_at = at
        tidy(self.book, at)

    def said(self, since: int = 1) -> list[tuple[str, int, list[tuple[str, int]]]]:
        """The transactions from number ``since`` on: type, amount, and (P, another grant or debt, share)."""
        named = {None: "debt", self.p.id: "P"}
        return [
            (
                recorded.type,
                recorded.amount,
                [(named.get(part.grant_id, "other"), part.amount) for part in recorded.entries],
            )
            for recorded in self.book.transactions[since:]
        ]

    def columns(self) -> tuple[int, int, int, int, int]:
        check_sums(self.book)
        free = sum(grant.remaining for grant in self.book.grants.values())
        return free, self.book.held, self.book.debt, self.book.balance, self.book.available


@pytest.mark.django_db
class TestPurchase:
    def test_gives_a_hundred(self):
        recorded = operations.add_credits(owner=somebody(), amount=100, type="purchase", at=NOON)

        after = recorded.after
        shares = [part.amount for part in recorded.entries.all()]
        assert (recorded.type, recorded.amount, shares) == ("purchase", 100, [100])
        assert (after.balance, after.held, after.debt, after.available) == (100, 0, 0, 100)
        check_stored_sums(CreditBalance.objects.get())


class TestHold:
    def test_sets_aside_without_a_transaction(self):
        story = Story()

        assert story.said() == []
        assert story.columns() == (40, 60, 0, 100, 40)

    def test_released_gives_all_back(self):
        story = Story()

        story.release(LATER)

        assert story.said() == []
        assert story.columns() == (100, 0, 0, 100, 100)

    def test_lapsed_gives_all_back(self):
        story = Story()

        settle(story.book, NOON + 9 * DAY)

        assert story.said() == []
        assert story.columns() == (100, 0, 0, 100, 100)

    def test_captured_in_part_sets_the_rest_free(self):
        story = Story()

        story.capture(25, LATER)

        assert story.said() == [("usage", -25, [("P", -25)])]
        assert story.columns() == (75, 0, 0, 75, 75)

    def test_captured_above_what_it_holds_is_one_usage(self):
        story = Story()

        story.capture(80, LATER)

        assert story.said() == [("usage", -80, [("P", -80)])]
        assert story.columns() == (20, 0, 0, 20, 20)


class TestExpiryWhilePinned:
    def test_takes_only_what_is_free(self):
        story = Story(EXPIRY)

        settle(story.book, EXPIRY)

        assert story.said() == [("expiry", -40, [("P", -40)])]
        assert story.book.transactions[-1].timestamp == EXPIRY
        assert story.columns() == (0, 60, 0, 60, 0)

    def test_then_capture_expires_the_rest_at_once(self):
        story = Story(EXPIRY)

        story.capture(25, AFTER)

        assert story.said(2) == [("usage", -25, [("P", -25)]), ("expiry", -35, [("P", -35)])]
        assert {said.timestamp for said in story.book.transactions[2:]} == {AFTER}
        assert story.columns() == (0, 0, 0, 0, 0)

    def test_then_release_expires_all_at_once(self):
        story = Story(EXPIRY)

        story.release(AFTER)

        assert story.said(2) == [("expiry", -60, [("P", -60)])]
        assert story.book.transactions[-1].timestamp == AFTER
        assert story.columns() == (0, 0, 0, 0, 0)

    def test_then_lapse_expires_all_at_its_instant(self):
        story = Story(EXPIRY)

        settle(story.book, NOON + 20 * DAY)

        assert story.said(2) == [("expiry", -60, [("P", -60)])]
        assert story.book.transactions[-1].timestamp == NOON + 9 * DAY
        assert story.columns() == (0, 0, 0, 0, 0)


class TestVoidWhilePinned:
    def test_then_release_takes_the_rest_then(self):
        story = Story()

        story.void(LATER)
        story.release(AFTER)

        assert story.said() == [("void", -40, [("P", -40)]), ("void", -60, [("P", -60)])]
        assert [said.timestamp for said in story.book.transactions[1:]] == [LATER, AFTER]
        assert story.columns() == (0, 0, 0, 0, 0)


class TestReversalWhilePinned:
    def test_leaves_the_pins_and_makes_a_debt(self):
        story = Story()

        story.reverse(100, LATER)

        assert story.said() == [("reversal", -100, [("P", -40), ("debt", -60)])]
        assert story.columns() == (0, 60, 60, 0, 0)

    def test_then_release_repays_it(self):
        story = Story()
        story.reverse(100, LATER)

        story.release(AFTER)

        assert story.said(2) == [("reversal", 0, [("P", -60), ("debt", 60)])]
        assert story.columns() == (0, 0, 0, 0, 0)

    def test_or_capture_leaves_it_owed(self):
        story = Story()
        story.reverse(100, LATER)

        story.capture(60, AFTER)

        assert story.said(2) == [("usage", -60, [("P", -60)])]
        assert story.columns() == (0, 0, 60, -60, 0)

    def test_and_the_next_purchase_repays_it_first(self):
        story = Story()
        story.reverse(100, LATER)
        story.capture(60, AFTER)

        pour(story.book, 100, at=AFTER)

        assert story.said(3) == [("purchase", 100, [("other", 40), ("debt", 60)])]
        assert story.columns() == (40, 0, 0, 40, 40)


class TestRefund:
    def test_of_credits_that_have_expired_since_expires_at_once(self):
        story = Story(EXPIRY, held=0)
        spend(story.book, 60)
        settle(story.book, AFTER)

        story.book.post("refund", AFTER, [Draw(story.p, 60)], Particulars())
        tidy(story.book, AFTER)

        assert story.said(3) == [("refund", 60, [("P", 60)]), ("expiry", -60, [("P", -60)])]
        assert {said.timestamp for said in story.book.transactions[3:]} == {AFTER}
        assert story.columns() == (0, 0, 0, 0, 0)

    def test_repays_debt_first(self):
        story = Story(held=0)
        spend(story.book, 100)
        story.book.post("reversal", LATER, [Draw(None, -15)], Particulars())

        story.book.post("refund", AFTER, [Draw(story.p, 5), Draw(None, 15)], Particulars())

        assert story.said(3) == [("refund", 20, [("P", 5), ("debt", 15)])]
        assert story.columns() == (5, 0, 0, 5, 5)


class TestRollover:
    def test_beyond_its_cap_expires_first(self):
        story = Story(held=0)
        story.book = empty()
        story.p = pour(story.book, 150, EXPIRY, source="allocation", roll_cap=100)

        settle(story.book, EXPIRY)

        assert story.said() == [("expiry", -50, [("P", -50)]), ("rollover", 0, [("P", -100), ("other", 100)])]
        assert story.columns() == (100, 0, 0, 100, 100)
