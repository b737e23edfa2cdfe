"""A customer's quarter, with the balance after each step. Growth: 2,000 credits a month."""

from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import call_command

from credits import operations as ledger
from credits import queries
from credits.models import CreditBalance, CreditGrant
from tests.support.factories.credits import make_user
from tests.support.tier_tables import check_ledger
from tiers import operations

pytestmark = pytest.mark.django_db


def on(month, day, hour=9):
    return datetime(2026, month, day, hour, tzinfo=UTC)


class Customer:
    """A customer with a balance that the story reads after every step."""

    def __init__(self):
        self.user = make_user()

    def balance(self, at):
        current = queries.get_balance(owner=self.user, at=at)
        assert current.balance == current.available
        return current.balance

    def uses(self, feature, at, quantity=1):
        return ledger.deduct_credits(owner=self.user, feature=feature, quantity=quantity, at=at)


def run_monthly_allocation(at):
    call_command("allocate_monthly_credits", at=at, stdout=StringIO())


def run_expiry_job(at):
    call_command("expire_credits", at=at, stdout=StringIO())


def test_a_quarter_in_the_life_of_a_growth_customer(clock_at):
    clock_at(on(12, 31))
    thandi = Customer()

    # On the last day of January she subscribes to Growth and has her first 2,000 credits.
    operations.initialize_balance(owner=thandi.user, tier="growth", at=on(1, 31))
    assert thandi.balance(on(1, 31)) == 2_000

    # She tries the features: an insight for 9, two reports for 40 each, and the dashboard, refreshed 100 times for 3.
    thandi.uses("simple-ai-insight", on(2, 2))
    thandi.uses("ai-generated-report", on(2, 3), quantity=2)
    thandi.uses("realtime-ai-dashboard", on(2, 5), quantity=100)
    assert thandi.balance(on(2, 5)) == 2_000 - 9 - 80 - 300 == 1_611

    # A campaign gives her 500 credits that expire in a week. They are used first.
    ledger.add_credits(owner=thandi.user, amount=500, type="promotion", expires_at=on(2, 17), at=on(2, 10))
    assert thandi.balance(on(2, 10)) == 2_111
    thandi.uses("ai-generated-report", on(2, 12), quantity=5)
    assert thandi.balance(on(2, 12)) == 1_911

    # The credits that are left expire at nine on the seventeenth, although the expiry job has not run.
    assert thandi.balance(on(2, 17, hour=8)) == 1_911
    assert thandi.balance(on(2, 17)) == 1_611

    # February has no 31st, so her period begins on the 28th. The scheduler runs twice; the month is allocated once.
    run_monthly_allocation(on(2, 28, hour=8))
    assert thandi.balance(on(2, 28, hour=8)) == 1_611
    run_monthly_allocation(on(2, 28))
    run_monthly_allocation(on(2, 28, hour=10))
    assert thandi.balance(on(2, 28, hour=10)) == 3_611

    # In March she analyses 140 products for 25 credits each.
    thandi.uses("advanced-ai-analysis", on(3, 9), quantity=140)
    assert thandi.balance(on(3, 9)) == 111

    # Three more reports would cost 120. The error names the shortfall, and no credits are used.
    with pytest.raises(ledger.InsufficientCreditsError) as error:
        thandi.uses("ai-generated-report", on(3, 10), quantity=3)
    assert error.value.facts == {"required": 120, "available": 111, "held": 0, "shortfall": 9}
    assert thandi.balance(on(3, 10)) == 111

    # She buys 1,000 credits and sends the request twice; the second request returns the first result.
    for _ in range(2):
        ledger.add_credits(
            owner=thandi.user,
            amount=1_000,
            type="purchase",
            unit_price=Decimal("0.13"),
            idempotency_key="order-4711",
            at=on(3, 10, hour=10),
        )
    assert thandi.balance(on(3, 10, hour=10)) == 1_111

    # The three reports use her allocation first, and 9 credits of the purchase.
    paid = thandi.uses("ai-generated-report", on(3, 11), quantity=3)
    sources = [(CreditGrant.objects.get(pk=entry.grant_id).source, entry.amount) for entry in paid.transaction.entries]
    assert sources == [("allocation", -111), ("purchase", -9)]
    assert thandi.balance(on(3, 11)) == 991

    # She changes to Pro, which does not change the balance today.
    operations.update_subscription_tier(owner=thandi.user, tier="pro", at=on(3, 20))
    assert thandi.balance(on(3, 20)) == 991

    # On the 31st of March, not the 28th, Pro's 7,000 credits are allocated.
    run_monthly_allocation(on(3, 28))
    assert thandi.balance(on(3, 28)) == 991
    run_monthly_allocation(on(3, 31))
    assert thandi.balance(on(3, 31)) == 7_991

    # Support allocates the month on request, which has no effect; the next allocation is on the thirtieth.
    requested = operations.add_monthly_allocation(owner=thandi.user, reason="She asked for it", at=on(4, 2))
    assert not requested.allocated
    assert requested.tier_facts.next_allocation_at == on(4, 30)
    assert thandi.balance(on(4, 2)) == 7_991

    # The scheduler does not run for two months. The next run allocates both.
    run_monthly_allocation(on(6, 1))
    assert thandi.balance(on(6, 1)) == 7_991 + 2 * 7_000 == 21_991

    # The history contains every step, oldest first, and all invariants hold.
    run_expiry_job(on(6, 1))
    transactions = queries.get_transaction_history(owner=thandi.user).order_by("sequence")
    assert [(transaction.type, transaction.amount, transaction.balance_after) for transaction in transactions] == [
        ("allocation", 2_000, 2_000),
        ("usage", -9, 1_991),
        ("usage", -80, 1_911),
        ("usage", -300, 1_611),
        ("promotion", 500, 2_111),
        ("usage", -200, 1_911),
        ("expiry", -300, 1_611),
        ("allocation", 2_000, 3_611),
        ("usage", -3_500, 111),
        ("purchase", 1_000, 1_111),
        ("usage", -120, 991),
        ("allocation", 7_000, 7_991),
        ("allocation", 7_000, 14_991),
        ("allocation", 7_000, 21_991),
    ]
    assert CreditBalance.objects.get(pk=thandi.user.pk).balance == 21_991
    check_ledger()
