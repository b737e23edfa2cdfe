"""A chargeback after spending, with what the customer sees after each step."""

from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import call_command

from credits import operations as ledger
from credits import queries
from tests.support.factories.credits import make_user
from tests.support.tier_tables import check_ledger
from tests.support.times import DAY, NOON
from tiers import operations

pytestmark = pytest.mark.django_db


def day(number):
    return NOON + number * DAY


class Customer:
    """A customer on Explorer, 400 credits a month, who uses 350 on the first day."""

    def __init__(self):
        self.user = make_user()
        operations.initialize_balance(owner=self.user, tier="explorer", at=day(0))
        self.spends(350, day(0))

    def sees(self, at):
        """Return (balance, held, debt, available) at an instant."""
        current = queries.get_balance(owner=self.user, at=at)
        return current.balance, current.held, current.debt, current.available

    def buys(self, amount, at):
        return ledger.add_credits(
            owner=self.user, amount=amount, type="purchase", unit_price=Decimal("0.13"), reference_id="order-7", at=at
        )

    def spends(self, amount, at):
        return ledger.deduct_credits(owner=self.user, amount=amount, description="AI features", at=at)

    def last(self):
        """Return the newest transaction: type, amount, and which entries are on grants and on debt."""
        transaction = queries.get_transaction_history(owner=self.user)[0]
        entries = [
            ("grant" if entry.grant_id else "debt", entry.amount) for entry in transaction.entries.order_by("position")
        ]
        return transaction.type, transaction.amount, entries


def test_a_chargeback_after_spending():
    sipho = Customer()
    assert sipho.sees(day(0)) == (50, 0, 0, 50)

    # He buys 300 credits, uses the 50 he had and 220 of the new ones, and places a hold of 30 for a report.
    bought = sipho.buys(300, day(1))
    spent = sipho.spends(270, day(2))
    report = ledger.place_hold(
        owner=sipho.user, amount=30, description="A report", expires_in_seconds=24 * 3600, at=day(2)
    )
    assert sipho.sees(day(2)) == (80, 30, 0, 50)

    # His bank charges the payment back. Support reverses the purchase: 50 remaining credits, and 250 as debt.
    ledger.reverse_purchase(
        transaction_id=bought.transaction.id, reason="Chargeback of order-7", idempotency_key="chargeback-7", at=day(2)
    )
    assert sipho.last() == ("reversal", -300, [("grant", -50), ("debt", -250)])
    assert sipho.sees(day(2)) == (-220, 30, 250, 0)

    # The bank repeats its message, and a colleague reverses manually: the purchase is reversed once.
    repeated = ledger.reverse_purchase(
        transaction_id=bought.transaction.id, reason="Chargeback of order-7", idempotency_key="chargeback-7", at=day(2)
    )
    assert repeated.replayed
    with pytest.raises(ledger.ReversalExceedsPurchaseError) as error:
        ledger.reverse_purchase(transaction_id=bought.transaction.id, reason="Chargeback", amount=1, at=day(2))
    assert error.value.facts == {"reversible": 0}

    # While he is in debt, he can spend nothing, not even one credit.
    with pytest.raises(ledger.InsufficientCreditsError):
        sipho.spends(1, day(2))
    assert sipho.sees(day(2)) == (-220, 30, 250, 0)

    # The report costs 20 of the 30 held credits; the other 10 repay debt when they are released.
    ledger.capture_hold(hold_id=report.hold.id, amount=20, at=day(2))
    assert sipho.last() == ("reversal", 0, [("grant", -10), ("debt", 10)])
    assert sipho.sees(day(2)) == (-240, 0, 240, 0)

    # Support refunds 40 credits for a report that failed. The refund repays debt too.
    ledger.refund_usage(transaction_id=spent.transaction.id, amount=40, reason="The report was empty", at=day(3))
    assert sipho.last() == ("refund", 40, [("debt", 40)])
    assert sipho.sees(day(3)) == (-200, 0, 200, 0)

    # A campaign adds 150 credits. All of them repay debt; 50 are still owed.
    ledger.add_credits(owner=sipho.user, amount=150, type="promotion", expires_at=day(9), at=day(5))
    assert sipho.last() == ("promotion", 150, [("debt", 150)])
    assert sipho.sees(day(5)) == (-50, 0, 50, 0)

    # His next period begins: 50 of its 400 credits repay the rest of the debt, and 350 are available.
    call_command("allocate_monthly_credits", at=day(31), stdout=StringIO())
    assert sipho.last() == ("allocation", 400, [("grant", 350), ("debt", 50)])
    assert sipho.sees(day(31)) == (350, 0, 0, 350)
    sipho.spends(350, day(32))
    assert sipho.sees(day(32)) == (0, 0, 0, 0)

    # Reads as of earlier days have not changed, and all invariants hold.
    assert sipho.sees(day(2) - DAY / 2) == (350, 0, 0, 350)
    assert sipho.sees(day(4)) == (-200, 0, 200, 0)
    assert sipho.sees(day(30)) == (-50, 0, 50, 0)
    check_ledger()
