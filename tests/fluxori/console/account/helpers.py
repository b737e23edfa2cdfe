"""The pages of an account and of a transaction, and a balance that has something in every section."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.urls import reverse

from credits import operations
from credits.models import CreditBalance, RejectedAttempt
from fluxori.identity.models import Membership, Organization
from tests.support.admin import superuser_client
from tests.support.factories.credits import make_balance, make_user
from tests.support.factories.tiers import make_subscribed_balance
from tests.support.times import DAY, MINUTE


def get_account(balance, client=None):
    return (client or superuser_client()).get(reverse("admin:credits_creditbalance_change", args=[balance.pk]))


def get_transaction_page(transaction_id: UUID, client=None):
    return (client or superuser_client()).get(reverse("admin:credits_credittransaction_change", args=[transaction_id]))


def make_busy_balance(at: datetime) -> CreditBalance:
    """Return the balance of an organization with grants, a limit, usage, a refund, holds and rejected attempts."""
    organization = Organization.objects.create(name="Karoo Outfitters")
    member = make_user()
    Membership.objects.create(organization=organization, user=member, role="owner")
    balance = make_subscribed_balance(owner=organization, at=at - 20 * DAY)
    make_balance(
        organization,
        grants=[(500, timedelta(days=90))],
        at=at - 19 * DAY,
        type="purchase",
        unit_price=Decimal("0.11"),
    )
    operations.set_limit(owner=organization, amount=200, period="month", at=at - 18 * DAY)
    spend: dict[str, Any] = {"owner": organization, "actor": member, "member": member, "feature": "ai-generated-report"}
    usage = operations.deduct_credits(**spend, at=at - 3 * DAY)
    operations.refund_usage(
        transaction_id=usage.transaction.id, amount=10, reason="Half of it was empty", at=at - 2 * DAY
    )
    placed = operations.place_hold(**spend, at=at - DAY)
    operations.capture_hold(hold_id=placed.hold.id, at=at - DAY + MINUTE)
    operations.place_hold(**spend, at=at - MINUTE)
    RejectedAttempt.objects.create(
        balance=balance,
        hour=at.replace(minute=0, second=0, microsecond=0),
        code="insufficient_credits",
        feature="ai-generated-report",
        count=3,
        last_at=at,
        member_id=member.pk,
        facts={"required": 40, "available": 12, "held": 0, "shortfall": 28},
    )
    return balance
