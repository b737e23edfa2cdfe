"""The effect of each operation on a purchase P of 100: transactions, entries and the sums after it.

The columns are the remaining credits, the held credits, the debt, the balance, and the available credits.
"""

from datetime import datetime, timedelta

import pytest

from credits import operations, queries
from credits.domain.records import Hold, Transaction
from credits.engine.idempotency import build_request
from credits.engine.locked_balance import lock_balance
from credits.engine.plan_grants import plan_grant
from credits.models import CreditBalance
from credits.verification import verify_balance
from fluxori.db.transactions import transaction_with_retry
from tests.support.factories.credits import deduct, make_user
from tests.support.operations import check_sums
from tests.support.times import DAY, HOUR, NOON

LATER = NOON + HOUR
EXPIRY = NOON + DAY
LAPSE = NOON + DAY + 2 * HOUR
AFTER = EXPIRY + HOUR

pytestmark = pytest.mark.django_db


class Story:
    """One balance with a purchase P and, optionally, a hold of 60 credits that lapses two hours after P expires."""

    def __init__(self, expires_at: datetime | None = None, held: int = 60, roll_cap: int | None = None) -> None:
        self.owner = make_user()
        self.at = NOON
        if roll_cap is None:
            self.purchase = self.buy(NOON, expires_at)
        else:
            allocate(self.owner, 150, expires_at=expires_at, roll_cap=roll_cap)
        self.balance = CreditBalance.objects.get(pk=self.owner.pk)
        self.p = self.balance.grants.get()
        self.hold = self.place(held) if held else None
        self.reported = self.balance.transactions.count()

    def place(self, amount: int) -> Hold:
        placed = operations.place_hold(
            owner=self.owner, amount=amount, description="Work", expires_in_seconds=DAY // timedelta(seconds=1), at=NOON
        )
        until = LAPSE - DAY
        extended = operations.extend_hold(
            hold_id=placed.hold.id, expires_in_seconds=DAY // timedelta(seconds=1), at=until
        )
        return extended.hold

    def buy(self, at: datetime, expires_at: datetime | None = None) -> Transaction:
        self.at = at
        result = operations.add_credits(owner=self.owner, amount=100, type="purchase", expires_at=expires_at, at=at)
        return result.transaction

    def spend(self, amount: int, at: datetime = NOON) -> Transaction:
        self.at = at
        return deduct(self.balance, amount, at=at).transaction

    def release(self, at: datetime) -> None:
        assert self.hold
        self.at = at
        operations.release_hold(hold_id=self.hold.id, at=at)

    def capture(self, amount: int, at: datetime) -> None:
        assert self.hold
        self.at = at
        operations.capture_hold(hold_id=self.hold.id, amount=amount, at=at)

    def reverse(self, at: datetime, amount: int | None = None) -> None:
        self.at = at
        operations.reverse_purchase(transaction_id=self.purchase.id, amount=amount, reason="Chargeback", at=at)

    def void(self, at: datetime) -> None:
        self.at = at
        operations.void_grant(grant_id=self.p.pk, reason="By mistake", at=at)

    def refund(self, usage: Transaction, at: datetime, amount: int | None = None) -> None:
        self.at = at
        operations.refund_usage(transaction_id=usage.id, amount=amount, reason="It failed", at=at)

    def run_expiry_job(self, at: datetime) -> None:
        self.at = at
        operations.expire_credits(balance_ids=[self.owner.pk], at=at)

    def new_transactions(self) -> list[tuple[str, int, list[tuple[str, int]]]]:
        """Return the transactions since the last call: type, amount, and the entries on P, another grant or debt."""
        named = {None: "debt", self.p.pk: "P"}
        reported, self.reported = self.reported, self.balance.transactions.count()
        return [
            (
                transaction.type,
                transaction.amount,
                [
                    (named.get(entry.grant_id, "other"), entry.amount)
                    for entry in transaction.entries.order_by("position")
                ],
            )
            for transaction in self.balance.transactions.filter(sequence__gt=reported).order_by("sequence")
        ]

    def dated(self, last: int) -> list[datetime]:
        """Return the timestamps of the last transactions, latest first."""
        return list(self.balance.transactions.order_by("-sequence").values_list("timestamp", flat=True)[:last])

    def columns(self) -> tuple[int, int, int, int, int]:
        check_sums(self.balance)
        assert verify_balance(self.balance.pk).differences == ()
        free = sum(self.balance.grants.values_list("remaining", flat=True))
        current = queries.load_settled_balance(operations.Owner.of(self.owner), at=self.at).snapshot()
        stored = (free, self.balance.held, self.balance.debt, self.balance.balance, current.available)
        assert stored[1:4] == (current.held, current.debt, current.balance)
        return stored


class TestPurchase:
    def test_adds_100(self):
        story = Story(held=0)

        entries = [entry.amount for entry in story.purchase.entries]
        assert (story.purchase.type, story.purchase.amount, entries) == ("purchase", 100, [100])
        assert story.columns() == (100, 0, 0, 100, 100)


class TestHold:
    def test_reserves_credits_without_a_transaction(self):
        story = Story()

        assert story.balance.transactions.count() == 1
        assert story.columns() == (40, 60, 0, 100, 40)

    def test_release_returns_all_credits(self):
        story = Story()

        story.release(AFTER)

        assert story.new_transactions() == []
        assert story.columns() == (100, 0, 0, 100, 100)

    def test_lapse_returns_all_credits(self):
        story = Story()

        story.run_expiry_job(LAPSE)

        assert story.new_transactions() == []
        assert story.columns() == (100, 0, 0, 100, 100)

    def test_partial_capture_releases_the_rest(self):
        story = Story()

        story.capture(25, AFTER)

        assert story.new_transactions() == [("usage", -25, [("P", -25)])]
        assert story.columns() == (75, 0, 0, 75, 75)

    def test_capture_above_the_hold_is_one_usage(self):
        story = Story()

        story.capture(80, AFTER)

        assert story.new_transactions() == [("usage", -80, [("P", -80)])]
        assert story.columns() == (20, 0, 0, 20, 20)


class TestExpiryWhilePinned:
    def test_expires_only_free_credits(self):
        story = Story(EXPIRY)

        story.run_expiry_job(AFTER)

        assert story.new_transactions() == [("expiry", -40, [("P", -40)])]
        assert story.dated(1) == [EXPIRY]
        assert story.columns() == (0, 60, 0, 60, 0)

    @pytest.mark.parametrize("swept", [True, False])
    def test_capture_expires_the_rest_at_once(self, swept):
        story = Story(EXPIRY)
        if swept:
            story.run_expiry_job(EXPIRY)

        story.capture(25, AFTER)

        assert story.new_transactions() == [
            ("expiry", -40, [("P", -40)]),
            ("usage", -25, [("P", -25)]),
            ("expiry", -35, [("P", -35)]),
        ]
        assert story.dated(3) == [AFTER, AFTER, EXPIRY]
        assert story.columns() == (0, 0, 0, 0, 0)

    @pytest.mark.parametrize("swept", [True, False])
    def test_release_expires_all_at_once(self, swept):
        story = Story(EXPIRY)
        if swept:
            story.run_expiry_job(EXPIRY)

        story.release(AFTER)

        assert story.new_transactions() == [("expiry", -40, [("P", -40)]), ("expiry", -60, [("P", -60)])]
        assert story.dated(2) == [AFTER, EXPIRY]
        assert story.columns() == (0, 0, 0, 0, 0)

    def test_lapse_expires_all_at_its_own_instant(self):
        story = Story(EXPIRY)

        story.run_expiry_job(LAPSE + DAY)

        assert story.new_transactions() == [("expiry", -40, [("P", -40)]), ("expiry", -60, [("P", -60)])]
        assert story.dated(2) == [LAPSE, EXPIRY]
        assert story.columns() == (0, 0, 0, 0, 0)


class TestVoidWhilePinned:
    def test_release_voids_the_rest(self):
        story = Story()

        story.void(AFTER)
        assert story.columns() == (0, 60, 0, 60, 0)
        story.release(AFTER + HOUR / 2)

        assert story.new_transactions() == [("void", -40, [("P", -40)]), ("void", -60, [("P", -60)])]
        assert story.dated(2) == [AFTER + HOUR / 2, AFTER]
        assert story.columns() == (0, 0, 0, 0, 0)


class TestReversalWhilePinned:
    def test_keeps_the_pins_and_creates_debt(self):
        story = Story()

        story.reverse(AFTER)

        assert story.new_transactions() == [("reversal", -100, [("P", -40), ("debt", -60)])]
        assert story.columns() == (0, 60, 60, 0, 0)

    def test_release_repays_the_debt(self):
        story = Story()
        story.reverse(EXPIRY)
        story.new_transactions()

        story.release(AFTER)

        assert story.new_transactions() == [("reversal", 0, [("P", -60), ("debt", 60)])]
        assert story.columns() == (0, 0, 0, 0, 0)

    def test_capture_keeps_the_debt(self):
        story = Story()
        story.reverse(EXPIRY)
        story.new_transactions()

        story.capture(60, AFTER)

        assert story.new_transactions() == [("usage", -60, [("P", -60)])]
        assert story.columns() == (0, 0, 60, -60, 0)

    def test_next_purchase_repays_the_debt_first(self):
        story = Story()
        story.reverse(EXPIRY)
        story.capture(60, AFTER)
        story.new_transactions()

        story.buy(AFTER)

        assert story.new_transactions() == [("purchase", 100, [("other", 40), ("debt", 60)])]
        assert story.columns() == (40, 0, 0, 40, 40)


class TestRefund:
    def test_refund_of_expired_credits_expires_at_once(self):
        story = Story(EXPIRY, held=0)
        usage = story.spend(60)
        story.run_expiry_job(EXPIRY)
        story.new_transactions()

        story.refund(usage, AFTER)

        assert story.new_transactions() == [("refund", 60, [("P", 60)]), ("expiry", -60, [("P", -60)])]
        assert story.dated(2) == [AFTER, AFTER]
        assert story.columns() == (0, 0, 0, 0, 0)

    def test_refund_repays_debt_first(self):
        story = Story(held=0)
        usage = story.spend(100)
        story.reverse(LATER, 15)
        assert story.columns() == (0, 0, 15, -15, 0)
        story.new_transactions()

        story.refund(usage, AFTER, 20)

        assert story.new_transactions() == [("refund", 20, [("P", 5), ("debt", 15)])]
        assert story.columns() == (5, 0, 0, 5, 5)


class TestRollover:
    def test_credits_beyond_the_cap_expire(self):
        story = Story(EXPIRY, held=0, roll_cap=100)

        story.run_expiry_job(EXPIRY)

        assert story.new_transactions() == [
            ("expiry", -50, [("P", -50)]),
            ("rollover", 0, [("P", -100), ("other", 100)]),
        ]
        assert story.columns() == (100, 0, 0, 100, 100)

    @pytest.mark.parametrize(("left", "expected"), [(10, 15), (80, 80)])
    def test_refund_after_the_end_rolls_over_as_far_as_the_cap_has_room(self, left, expected):
        story = Story(EXPIRY, held=0, roll_cap=80)
        usage = story.spend(150 - left)
        story.run_expiry_job(EXPIRY)
        story.new_transactions()

        story.refund(usage, AFTER, 5)

        second = ("expiry", -5, [("P", -5)]) if left == 80 else ("rollover", 0, [("P", -5), ("other", 5)])
        assert story.new_transactions() == [("refund", 5, [("P", 5)]), second]
        assert story.columns() == (expected, 0, 0, expected, expected)


@transaction_with_retry
def allocate(owner, amount, **terms):
    """Give an allocation as the tiers do."""
    request = build_request("add_monthly_allocation", actor=None, key=None)
    with lock_balance(operations.Owner.of(owner), at=NOON, create=True) as page:
        given = plan_grant(page, request, amount=amount, kind="allocation", terms=terms, details={})
        page.record(request, transaction=given)
