"""Sample history of the demo: four months of a customer, an organization and three further customers.

Only public operations write it, back-dated with ``at``. The random choices have a fixed seed, so every demo shows the
same history.
"""

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
from fluxori.devtools.demo.accounts import DOMAIN, DemoAccounts
from fluxori.identity.models import User
from tiers import operations as tiers
from tiers import queries as tier_queries

MONTHS = 4
_FEATURES = ("simple-ai-insight", "advanced-ai-analysis", "ai-generated-report", "realtime-ai-dashboard")
_WEIGHTS = (50, 15, 6, 29)
_SUBJECTS = ("Spring catalogue", "Abandoned carts", "Returns in Gauteng", "Courier delays", "Price of rooibos")


def seed(accounts: DemoAccounts, *, until: datetime) -> Iterator[None]:
    """Write the history up to ``until``. Yields after each day, for a progress display."""
    rng = random.Random(7)  # noqa: S311 (sample data)
    start = until - timedelta(days=30 * MONTHS)
    user, organization = accounts.user.user, accounts.organization
    tiers.initialize_balance(owner=user, tier="explorer", actor=accounts.admin.user, at=start)
    tiers.initialize_balance(owner=organization, tier="pro", actor=accounts.admin.user, at=start)
    ledger.set_limit(
        owner=organization, member=accounts.member.user, period="day", amount=60, actor=accounts.owner.user, at=start
    )
    ledger.set_limit(owner=organization, period="month", amount=5_000, actor=accounts.owner.user, at=start)
    spenders: list[tuple[Any, list[User], int]] = [
        (user, [user], 3),
        (organization, [accounts.owner.user, accounts.member.user], 5),
    ]
    charge_time = _last_tuesday(until)
    for day in range(30 * MONTHS):
        morning = start + timedelta(days=day, minutes=1)
        _allocate(morning)
        if day % 45 == 20:
            _purchase(accounts, morning)
        for owner, members, pace in spenders:
            timestamps = [morning + timedelta(hours=rng.uniform(1, 14)) for _ in range(rng.randint(0, pace))]
            if owner is user and morning <= charge_time < morning + timedelta(days=1):
                timestamps.append(charge_time)
            for timestamp in sorted(timestamps):
                if timestamp == charge_time:
                    _charge_to_explain(accounts, timestamp)
                else:
                    _spend(owner, rng.choice(members), timestamp, rng)
        yield
    _add_customers(accounts, until=until, rng=rng)
    _add_staff_actions(accounts, until)
    # The console shows one open hold.
    _write_report(organization, accounts.owner.user, until, rng, done=False)


def _add_customers(accounts: DemoAccounts, *, until: datetime, rng: random.Random) -> None:
    """Let three more customers spend for some weeks. One of them spends nearly all of their credits."""
    for name, credits_bought, pace in (("thandi", 0, 24), ("pieter", 900, 30), ("zanele", 250, 12)):
        user = User.objects.create_user(f"{name}@{DOMAIN}")
        started = until - timedelta(days=24)
        tiers.initialize_balance(owner=user, tier="explorer", actor=accounts.admin.user, at=started)
        if credits_bought:
            ledger.add_credits(
                owner=user,
                amount=credits_bought,
                type="purchase",
                description=f"{credits_bought} credits",
                unit_price=Decimal("0.10"),
                actor=accounts.admin.user,
                at=started,
            )
        for day in range(1, pace):
            _spend(user, user, started + timedelta(days=24 * day / pace), rng)


def _add_staff_actions(accounts: DemoAccounts, until: datetime) -> None:
    """Let support add credits to one customer, and request approval to add more than its limit to another."""

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
            actor=accounts.support.user,
            at=until - timedelta(hours=2),
            idempotency_key=f"demo-{name}",
            **reason,
        )

    perform(add_credits("zanele", 50, reason="goodwill", note="Waited two days for an answer", ticket="SUP-4702"))
    request_approval(
        add_credits("pieter", 900, reason="outage", note="Three reports came out empty", ticket="SUP-4711")
    )


def _allocate(at: datetime) -> None:
    """Run the monthly allocation, as a scheduler does, if a subscription is due."""
    due = [subscription.pk for subscription in tier_queries.due(at=at)]
    if due:
        run = tiers.start_run(at=at, started_at=at, started_by="allocate_monthly_credits", due=len(due))
        totals = tiers.allocate_due(balance_ids=due, at=at, run=run.pk)
        tiers.finish_run(run=run, totals=totals, status="done", finished_at=at + timedelta(seconds=1))


def _last_tuesday(until: datetime) -> datetime:
    """Return 10:30 on the last Tuesday before the day of ``until``."""
    back = (until.weekday() - 1) % 7 or 7
    return (until - timedelta(days=back)).replace(hour=10, minute=30, second=0, microsecond=0)


def _charge_to_explain(accounts: DemoAccounts, at: datetime) -> None:
    """Record a charge of 40 credits that a customer can ask support about."""
    user = accounts.user.user
    ledger.add_credits(
        owner=user,
        amount=100,
        type="purchase",
        description="100 credits",
        reference_id=f"order-{at:%Y%m%d}",
        unit_price=Decimal("0.12"),
        actor=accounts.admin.user,
        at=at - timedelta(minutes=8),
    )
    ledger.deduct_credits(
        owner=user,
        feature="ai-generated-report",
        description="Spring catalogue",
        reference_id="report-1042",
        actor=accounts.service.user,
        member=user,
        at=at,
    )


def _purchase(accounts: DemoAccounts, at: datetime) -> None:
    ledger.add_credits(
        owner=accounts.user.user,
        amount=500,
        type="purchase",
        description="500 credits",
        reference_id=f"order-{at:%Y%m%d}",
        unit_price=Decimal("0.11"),
        actor=accounts.admin.user,
        at=at,
    )
    ledger.add_credits(
        owner=accounts.organization,
        amount=300,
        type="promotion",
        description="Spring promotion",
        expires_at=at + timedelta(days=30),
        actor=accounts.admin.user,
        at=at,
    )


def _spend(owner: Any, member: User, at: datetime, rng: random.Random) -> None:
    [feature] = rng.choices(_FEATURES, _WEIGHTS)
    # Towards the end of a month some deductions are rejected.
    with suppress(ledger.InsufficientCreditsError, ledger.SpendingLimitReachedError):
        if feature == "ai-generated-report":
            _write_report(owner, member, at, rng, done=True)
            return
        ledger.deduct_credits(
            owner=owner,
            feature=feature,
            quantity=rng.randint(1, 8) if feature == "realtime-ai-dashboard" else 1,
            description=rng.choice(_SUBJECTS),
            actor=member,
            member=member,
            at=at,
        )


def _write_report(owner: Any, member: User, at: datetime, rng: random.Random, *, done: bool) -> None:
    """Place a hold for a report and capture it minutes later. Some reports fail or are empty: release or refund."""
    hold = ledger.place_hold(
        owner=owner,
        feature="ai-generated-report",
        description=rng.choice(_SUBJECTS),
        reference_id=f"report-{rng.randrange(16**6):06x}",
        actor=member,
        member=member,
        at=at,
    ).hold
    if not done:
        return
    later, outcome = at + timedelta(minutes=rng.randint(1, 9)), rng.random()
    if outcome < 0.1:
        ledger.release_hold(hold_id=hold.id, actor=member, at=later)
        return
    usage = ledger.capture_hold(hold_id=hold.id, actor=member, at=later).transaction
    if usage is not None and outcome < 0.4:
        ledger.refund_usage(transaction_id=usage.id, reason="The report came out empty", at=later)
