"""Acts of staff on what is promised."""

from datetime import datetime
from typing import Any

from credits import queries as ledger
from credits.admin.acts import Act, Done, Plan, change_said
from credits.admin.forms import ActForm
from credits.admin.read_only import credits_said, instant_said
from fluxori.identity.models import Organization, User
from tiers import operations, queries
from tiers.models import MonthlyAllocation, Subscription


class AllocateMonth(Act):
    """Give a balance its tier's credits for the month under way, where it has not had them."""

    title = "Allocate the month"
    permission = "tiers.add_monthlyallocation"
    form_class = ActForm

    def plan(self, whom: User | Organization, asked: dict[str, Any], at: datetime) -> Plan:
        subscription = queries.subscription_of(owner=whom, at=at)
        if subscription is None or subscription.status != Subscription.Status.ACTIVE:
            raise operations.NoSubscriptionError()
        tenure = queries.tenure_of(subscription, at=at)
        promise = tenure.promise(tenure.period_at(at))
        earlier = MonthlyAllocation.objects.filter(balance=whom.pk, period=promise.period).first()
        amount = 0 if earlier else promise.credits
        before = ledger.get_balance(owner=whom, at=at).balance
        facts = [
            ("To", str(whom)),
            ("Balance", change_said(before, before + amount)),
            ("Tier", str(promise.tier)),
            ("Month", f"{instant_said(promise.starts_at)} to {instant_said(promise.ends_at)}"),
            ("Reason", asked["reason"]),
        ]
        if earlier is not None:
            when = instant_said(earlier.allocated_at)
            return Plan("", facts, f"This month was allocated on {when}. There is nothing to do.")
        return Plan(f"Allocate {credits_said(amount)} credits to {whom}", facts)

    def act(self, whom: User | Organization, asked: dict[str, Any], actor: User, at: datetime) -> Done:
        result = operations.add_monthly_allocation(owner=whom, actor=actor, at=at, **asked)
        if result.replayed or not result.allocated:
            return Done(f"{whom} has this month's credits already. Nothing was allocated again.", again=True)
        amount = result.transaction.amount if result.transaction else 0
        moved = change_said(result.after.balance - amount, result.after.balance)
        return Done(f"Allocated {credits_said(amount)} credits to {whom}. Balance {moved}.")
