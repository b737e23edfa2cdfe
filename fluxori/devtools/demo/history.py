"""Some months of a customer's and an organization's life, made by the same operations as everyone else's."""

import random
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from credits import operations as ledger
from fluxori.console.actions.base import ActionRequest
from fluxori.console.actions.catalogue import ACTIONS
from fluxori.console.actions.operations import perform
from fluxori.console.approvals.operations import request_approval
from fluxori.devtools.demo.accounts import DOMAIN, People
from fluxori.identity.models import User
from tiers import operations as tiers
from tiers import queries as tier_queries

MONTHS = 4
_FEATURES = ("simple-ai-insight", "advanced-ai-analysis", "ai-generated-report", "realtime-ai-dashboard")
_WEIGHTS = (50, 15, 6, 29)
_SUBJECTS = ("Spring catalogue", "Abandoned carts", "Returns in Gauteng", "Courier delays", "Price of rooibos")


def seed(people: People, *, until: datetime) -> Iterator[None]:
    """Write the history day by day, up to ``until``; yields after each day, so that progress can be told."""
    chance = random.Random(7)  # noqa: S311 - believable, and the same every time
    begin = until - timedelta(days=30 * MONTHS)
    user, organization = people.user.user, people.organization
    tiers.initialize_balance(owner=user, tier="explorer", actor=people.admin.user, at=begin)
    tiers.initialize_balance(owner=organization, tier="pro", actor=people.admin.user, at=begin)
    ledger.set_limit(
        owner=organization, member=people.member.user, period="day", amount=60, actor=people.owner.user, at=begin
    )
    ledger.set_limit(owner=organization, period="month", amount=5_000, actor=people.owner.user, at=begin)
    spenders: list[tuple[Any, list[User], int]] = [
        (user, [user], 3),
        (organization, [people.owner.user, people.member.user], 5),
    ]
    tuesday = _last_tuesday(until)
    for day in range(30 * MONTHS):
        morning = begin + timedelta(days=day, minutes=1)
        _allocate(morning)
        if day % 45 == 20:
            _buy(people, morning)
        for owner, members, pace in spenders:
            moments = [morning + timedelta(hours=chance.uniform(1, 14)) for _ in range(chance.randint(0, pace))]
            if owner is user and morning <= tuesday < morning + timedelta(days=1):
                moments.append(tuesday)
            for moment in sorted(moments):
                if moment == tuesday:
                    _question(people, moment)
                else:
                    _spend(owner, chance.choice(members), moment, chance)
        yield
    _neighbours(people, until=until, chance=chance)
    _desk(people, until)
    # What somebody is at work on while others look.
    _report(organization, people.owner.user, until, chance, done=False)


def _neighbours(people: People, *, until: datetime, chance: random.Random) -> None:
    """Let three more customers use what they have for some weeks, one of them nearly all of it."""
    for name, credits_bought, pace in (("thandi", 0, 24), ("pieter", 900, 30), ("zanele", 250, 12)):
        user = User.objects.create_user(f"{name}@{DOMAIN}")
        begun = until - timedelta(days=24)
        tiers.initialize_balance(owner=user, tier="explorer", actor=people.admin.user, at=begun)
        if credits_bought:
            ledger.add_credits(
                owner=user,
                amount=credits_bought,
                type="purchase",
                description=f"{credits_bought} credits",
                unit_price=Decimal("0.10"),
                actor=people.admin.user,
                at=begun,
            )
        for day in range(1, pace):
            _spend(user, user, begun + timedelta(days=24 * day / pace), chance)


def _desk(people: People, until: datetime) -> None:
    """Let support give somebody credits, and ask for more than it may give."""

    def add_credits(name: str, amount: int, **reason: Any) -> ActionRequest:
        return ActionRequest(
            action=ACTIONS["add"],
            owner=User.objects.get(email=f"{name}@{DOMAIN}"),
            arguments={
                "amount": amount,
                "type": "promotion",
                "description": "",
                "expires_at": None,
                "unit_price": None,
            },
            actor=people.support.user,
            at=until - timedelta(hours=2),
            idempotency_key=f"demo-{name}",
            **reason,
        )

    perform(add_credits("zanele", 50, reason="goodwill", note="Waited two days for an answer", ticket="SUP-4702"))
    request_approval(
        add_credits("pieter", 900, reason="outage", note="Three reports came out empty", ticket="SUP-4711")
    )


def _allocate(at: datetime) -> None:
    """Run the monthly allocation, as a scheduler would, where something is due."""
    due = [subscription.pk for subscription in tier_queries.due(at=at)]
    if due:
        run = tiers.start_run(at=at, started_at=at, started_by="allocate_monthly_credits", due=len(due))
        totals = tiers.allocate_due(balance_ids=due, at=at, run=run.pk)
        tiers.finish_run(run=run, totals=totals, status="done", finished_at=at + timedelta(seconds=1))


def _last_tuesday(until: datetime) -> datetime:
    """Return half past ten of the last Tuesday that was over before ``until``."""
    back = (until.weekday() - 1) % 7 or 7
    return (until - timedelta(days=back)).replace(hour=10, minute=30, second=0, microsecond=0)


def _question(people: People, at: datetime) -> None:
    """Charge 40 credits, for staff to be asked why."""
    user = people.user.user
    ledger.add_credits(
        owner=user,
        amount=100,
        type="purchase",
        description="100 credits",
        reference_id=f"order-{at:%Y%m%d}",
        unit_price=Decimal("0.12"),
        actor=people.admin.user,
        at=at - timedelta(minutes=8),
    )
    ledger.deduct_credits(
        owner=user,
        feature="ai-generated-report",
        description="Spring catalogue",
        reference_id="report-1042",
        actor=people.service.user,
        member=user,
        at=at,
    )


def _buy(people: People, at: datetime) -> None:
    ledger.add_credits(
        owner=people.user.user,
        amount=500,
        type="purchase",
        description="500 credits",
        reference_id=f"order-{at:%Y%m%d}",
        unit_price=Decimal("0.11"),
        actor=people.admin.user,
        at=at,
    )
    ledger.add_credits(
        owner=people.organization,
        amount=300,
        type="promotion",
        description="Spring promotion",
        expires_at=at + timedelta(days=30),
        actor=people.admin.user,
        at=at,
    )


def _spend(owner: Any, member: User, at: datetime, chance: random.Random) -> None:
    [feature] = chance.choices(_FEATURES, _WEIGHTS)
    # As in life: towards the end of a month some are refused.
    with suppress(ledger.InsufficientCreditsError, ledger.SpendingLimitReachedError):
        if feature == "ai-generated-report":
            _report(owner, member, at, chance, done=True)
            return
        ledger.deduct_credits(
            owner=owner,
            feature=feature,
            quantity=chance.randint(1, 8) if feature == "realtime-ai-dashboard" else 1,
            description=chance.choice(_SUBJECTS),
            actor=member,
            member=member,
            at=at,
        )


def _report(owner: Any, member: User, at: datetime, chance: random.Random, *, done: bool) -> None:
    """Set 40 credits aside for a report and, minutes later, pay for it; now and then it fails, or comes out empty."""
    held = ledger.place_hold(
        owner=owner,
        feature="ai-generated-report",
        description=chance.choice(_SUBJECTS),
        reference_id=f"report-{chance.randrange(16**6):06x}",
        actor=member,
        member=member,
        at=at,
    )
    if not done:
        return
    later, fate = at + timedelta(minutes=chance.randint(1, 9)), chance.random()
    if fate < 0.1:
        ledger.release_hold(hold_id=held.pk, actor=member, at=later)
        return
    paid = ledger.capture_hold(hold_id=held.pk, actor=member, at=later).transaction
    if paid is not None and fate < 0.4:
        ledger.refund_usage(transaction_id=paid.pk, reason="The report came out empty", at=later)
