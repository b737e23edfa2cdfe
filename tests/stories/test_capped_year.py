"""A year of a customer on a capped tier, with the balance after each step.

Studio gives 1,000 credits a month. What is left when a month ends rolls over, up to half of that, for three months.
"""

from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import call_command

from credits import operations as ledger
from credits import queries
from credits.domain.records import Entry
from credits.models import CreditGrant
from credits.tier_registry import PendingTier
from tests.support.factories.credits import make_user
from tests.support.factories.tiers import make_capped_tier
from tests.support.tier_tables import check_ledger
from tiers import operations
from tiers.queries import tier_facts

pytestmark = pytest.mark.django_db


def on(month, day, hour=9, year=2025):
    return datetime(year, month, day, hour, tzinfo=UTC)


class Customer:
    """A customer with a balance that the story reads after every step."""

    def __init__(self):
        self.user = make_user()

    def balance(self, at):
        current = queries.get_balance(owner=self.user, at=at)
        assert current.balance == current.available
        return current.balance

    def spends(self, amount, at):
        """Use credits and return (source, credits) of each grant used, in burn order."""
        paid = ledger.deduct_credits(owner=self.user, amount=amount, description="Analyses", at=at)
        return [(source_of(entry), -entry.amount) for entry in paid.transaction.entries]

    def moves(self, to, at, **arguments):
        return operations.update_subscription_tier(owner=self.user, tier=to, at=at, **arguments)


def run_monthly_allocation(at):
    call_command("allocate_monthly_credits", at=at, stdout=StringIO())


def test_a_year_on_a_capped_tier():
    make_capped_tier(1_000, code="studio", percent=50, months=3)
    sipho = Customer()

    # He subscribes on the first of January and spends 700 of his first 1,000 credits.
    operations.initialize_balance(owner=sipho.user, tier="studio", at=on(1, 1))
    assert sipho.balance(on(1, 1)) == 1_000
    sipho.spends(700, on(1, 20))
    assert sipho.balance(on(1, 20)) == 300

    # On the first of February at nine, the remaining 300 roll over and 1,000 new credits are allocated.
    assert sipho.balance(on(2, 1)) == 300
    run_monthly_allocation(on(2, 1))
    assert sipho.balance(on(2, 1)) == 1_300

    # Rolled-over credits are used first.
    assert sipho.spends(400, on(2, 10)) == [("rollover", 300), ("allocation", 100)]
    assert sipho.balance(on(2, 10)) == 900

    # He buys 200 more. Renewals never expire purchased credits.
    ledger.add_credits(owner=sipho.user, amount=200, type="purchase", at=on(2, 15))
    assert sipho.balance(on(2, 15)) == 1_100

    # March: of February's 900, only 500 roll over. With 200 purchased and 1,000 new credits that makes 1,700.
    assert sipho.balance(on(3, 1)) == 700
    run_monthly_allocation(on(3, 1))
    assert sipho.balance(on(3, 1)) == 1_700

    # He uses nothing in March. In April, 500 of March's credits roll over and replace February's 500: the cap is 500.
    run_monthly_allocation(on(4, 1))
    assert sipho.balance(on(4, 1)) == 500 + 200 + 1_000

    # In mid-April, half a month before the next period, he changes to Pro with a prorated difference to 7,000.
    assert sipho.moves("pro", on(4, 16), proration="difference").transaction.amount == 3_000
    assert sipho.balance(on(4, 16)) == 4_700

    # Further changes down and up on the same day grant nothing more.
    sipho.moves("studio", on(4, 16, hour=10))
    assert sipho.moves("pro", on(4, 16, hour=11), proration="difference").transaction is None
    assert sipho.balance(on(4, 16, hour=11)) == 4_700

    # Pro credits never expire, but Studio credits of April do: 500 of them roll over and replace the oldest rollover.
    run_monthly_allocation(on(5, 1))
    assert sipho.balance(on(5, 1)) == 500 + 200 + 3_000 + 7_000

    # He schedules a change back to Studio from June, changes the schedule twice, and returns to Studio.
    sipho.moves("studio", on(5, 10), effective="nextPeriod")
    operations.cancel_scheduled_change(owner=sipho.user, at=on(5, 11))
    sipho.moves("studio", on(5, 12), effective="nextPeriod")
    assert tier_facts(owner=sipho.user, at=on(5, 31)).pending_tier == PendingTier("studio", on(6, 1))
    assert sipho.balance(on(5, 31)) == 10_700

    # From the first of June at nine he is on Studio, although the scheduler does not run until August.
    assert tier_facts(owner=sipho.user, at=on(6, 1)).tier == "studio"
    assert sipho.balance(on(6, 1)) == 10_700

    # April's rolled-over credits last three months and expire on the first of August.
    assert sipho.balance(on(7, 31)) == 10_700
    assert sipho.balance(on(8, 1)) == 10_200

    # When the scheduler runs again, June and July each grant what would have rolled over, 500, and August its 1,000.
    run_monthly_allocation(on(8, 2))
    assert sipho.balance(on(8, 2)) == 10_200 + 500 + 1_000

    # In autumn he uses rolled-over credits first, then the month's, then those without expiry, and purchased ones last.
    assert sipho.spends(11_600, on(8, 20)) == [
        ("rollover", 500),
        ("allocation", 1_000),
        ("allocation", 3_000),
        ("allocation", 7_000),
        ("purchase", 100),
    ]
    assert sipho.balance(on(8, 20)) == 100

    # From September on he uses 900 a month, rolled-over credits first, so each month leaves 100 more than the last.
    for month, balance in {9: 1_100, 10: 1_200, 11: 1_300, 12: 1_400}.items():
        run_monthly_allocation(on(month, 1))
        assert sipho.balance(on(month, 1)) == balance
        sipho.spends(900, on(month, 25))
        assert sipho.balance(on(month, 25)) == balance - 900

    # On New Year's Day, 400 of December's credits roll over, in addition to the 100 purchased credits.
    assert sipho.balance(on(1, 1, year=2026)) == 500
    run_monthly_allocation(on(1, 1, year=2026))
    assert sipho.balance(on(1, 1, year=2026)) == 1_500
    check_ledger()


def source_of(entry: Entry) -> str:
    """Return the source of the grant that an entry changes."""
    assert entry.grant_id is not None
    return CreditGrant.objects.get(pk=entry.grant_id).source
