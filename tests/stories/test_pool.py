"""An organization with three members and caps, with the balance after each step."""

from datetime import UTC, datetime
from typing import Any

import pytest

from credits import operations as ledger
from credits import queries
from credits.models import CreditBalance
from tests.support.factories.identity import MembershipFactory, OrganizationFactory
from tests.support.tier_tables import check_ledger
from tiers import operations

pytestmark = pytest.mark.django_db


def on(month, day, hour=9, minute=0):
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


class Agency:
    """An organization with three members who spend from one balance."""

    def __init__(self):
        self.organization = OrganizationFactory.create(name="Agency")
        self.lerato, self.sipho, self.anna = (
            MembershipFactory.create(organization=self.organization, role=role).user
            for role in ("owner", "member", "member")
        )

    def balance(self, at):
        return queries.get_balance(owner=self.organization, at=at).balance

    def available(self, at):
        return queries.get_balance(owner=self.organization, at=at).available

    def limits(self, amount, period, at, member=None):
        return ledger.set_limit(
            owner=self.organization, actor=self.lerato, member=member, amount=amount, period=period, at=at
        ).limit

    def spends(self, who, feature, at, quantity=1):
        return ledger.deduct_credits(
            owner=self.organization, actor=who, member=who, feature=feature, quantity=quantity, at=at
        )

    def is_rejected(self, who, feature, at, quantity=1) -> Any:
        with pytest.raises(ledger.SpendingLimitReachedError) as error:
            self.spends(who, feature, at, quantity)
        return tuple(error.value.facts.values())

    def used(self, at):
        """Return the usage of each limit, in the order in which the limits were set."""
        found = queries.limit_statuses(queries.get_limits(owner=self.organization), at=at)
        return [limit.used for limit in reversed(found)]


def test_an_agency_of_three_keeps_to_its_caps(clock_at):
    clock_at(on(12, 31))
    agency = Agency()
    lerato, sipho, anna = agency.lerato, agency.sipho, agency.anna

    # On the first of June Lerato's agency subscribes to Pro: a pool of 7,000 credits a month for three members.
    operations.initialize_balance(owner=agency.organization, tier="pro", at=on(6, 1))
    assert agency.balance(on(6, 1)) == 7_000

    # By noon on the second, Sipho has had 20 reports written, for 40 credits each.
    agency.spends(sipho, "ai-generated-report", on(6, 2, 12), quantity=20)
    assert agency.balance(on(6, 2, 12)) == 6_200

    # Lerato limits the pool to 5,000 a month, and Sipho and Anna to 1,000 a day each. Today's usage counts.
    agency.limits(5_000, "month", on(6, 2, 13))
    agency.limits(1_000, "day", on(6, 2, 13), member=sipho)
    agency.limits(1_000, "day", on(6, 2, 13), member=anna)
    assert agency.used(on(6, 2, 13)) == [800, 800, 0]

    # Five more reports are within his daily limit. A sixth is rejected with the numbers and costs nothing.
    agency.spends(sipho, "ai-generated-report", on(6, 2, 14), quantity=5)
    assert agency.is_rejected(sipho, "ai-generated-report", on(6, 2, 15)) == (1_000, 1_000, on(6, 3, 0))
    assert agency.balance(on(6, 2, 15)) == 6_000

    # The limit is Sipho's only: Anna analyses 20 products for 25 credits each, and Lerato, who has no limit, refreshes
    # a dashboard.
    agency.spends(anna, "advanced-ai-analysis", on(6, 2, 16), quantity=20)
    agency.spends(lerato, "realtime-ai-dashboard", on(6, 2, 16))
    assert agency.balance(on(6, 2, 16)) == 5_497
    assert agency.used(on(6, 2, 16)) == [1_503, 1_000, 500]

    # A minute before midnight Anna places a hold of 480 credits: 20 of her daily limit are left.
    work = ledger.place_hold(
        owner=agency.organization,
        actor=anna,
        member=anna,
        amount=480,
        description="A catalogue, rewritten",
        at=on(6, 2, 23, 59),
    )
    assert agency.is_rejected(anna, "advanced-ai-analysis", on(6, 2, 23, 59)) == (1_000, 980, on(6, 3, 0))
    assert (agency.balance(on(6, 2, 23, 59)), agency.available(on(6, 2, 23, 59))) == (5_497, 5_017)

    # The work ends at five past midnight and costs 400, which counts on the third. A new daily window has begun.
    ledger.capture_hold(hold_id=work.hold.id, amount=400, actor=anna, at=on(6, 3, 0, 5))
    assert agency.used(on(6, 3, 0, 5)) == [1_903, 0, 400]
    assert agency.balance(on(6, 3, 0, 5)) == 5_097

    # One of Sipho's reports of yesterday was empty and is refunded. That day is over; the month has 40 more.
    empty = CreditBalance.objects.get(pk=agency.organization.pk).transactions.filter(member=sipho).latest("sequence")
    ledger.refund_usage(transaction_id=empty.pk, amount=40, reason="Empty report", at=on(6, 3, 9))
    assert agency.used(on(6, 3, 9)) == [1_863, 0, 400]
    assert agency.balance(on(6, 3, 9)) == 5_137

    # On the tenth and the eleventh Lerato has analyses made for 1,500 credits; the month has 137 left.
    for day in (10, 11):
        agency.spends(lerato, "advanced-ai-analysis", on(6, day), quantity=60)
    assert agency.used(on(6, 11)) == [4_863, 0, 0]
    assert agency.balance(on(6, 11)) == 2_137

    # Now the limit of the pool rejects all members. Of two exceeded limits, the error names the one that resets later.
    assert agency.is_rejected(lerato, "ai-generated-report", on(6, 12), quantity=4) == (5_000, 4_863, on(7, 1, 0))
    assert agency.is_rejected(sipho, "ai-generated-report", on(6, 12), quantity=30) == (5_000, 4_863, on(7, 1, 0))
    agency.spends(anna, "ai-generated-report", on(6, 12), quantity=3)
    assert agency.balance(on(6, 12)) == 2_017

    # Lerato raises the monthly limit to 6,000 and removes Sipho's limit.
    agency.limits(6_000, "month", on(6, 13))
    [_, his, _] = reversed(queries.get_limits(owner=agency.organization))
    ledger.remove_limit(limit_id=his.pk, actor=lerato, at=on(6, 13))
    agency.spends(sipho, "advanced-ai-analysis", on(6, 13), quantity=40)
    assert agency.used(on(6, 13)) == [5_983, 0]
    assert agency.balance(on(6, 13)) == 1_017

    # In the last minute of June, 17 credits of the month are left; in the first minute of July, all of the next month.
    assert agency.is_rejected(sipho, "advanced-ai-analysis", on(6, 30, 23, 59)) == (6_000, 5_983, on(7, 1, 0))
    agency.spends(sipho, "advanced-ai-analysis", on(7, 1, 0))
    assert agency.used(on(7, 1, 0)) == [25, 0]
    assert agency.balance(on(7, 1, 0)) == 992

    # All invariants hold.
    check_ledger()
