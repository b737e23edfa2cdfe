"""Some months of a customer's and an organization's life, made by the same operations as everyone else's."""

import random
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from credits import operations as ledger
from fluxori.demo.accounts import People
from fluxori.identity.models import User
from tiers import operations as tiers

MONTHS = 4
_FEATURES = ("simple-ai-insight", "advanced-ai-analysis", "ai-generated-report", "realtime-ai-dashboard")
_WEIGHTS = (50, 15, 6, 29)
_SUBJECTS = ("Spring catalogue", "Abandoned carts", "Returns in Gauteng", "Courier delays", "Price of rooibos")


def seed(people: People, *, until: datetime) -> Iterator[None]:
    """Write the history day by day, up to ``until``; yields after each day, so that progress can be told."""
    chance = random.Random(7)  # noqa: S311 - believable, and the same every time
    begin = until - timedelta(days=30 * MONTHS)
    user, organization = people.user.user, people.organization
    tiers.initialize_balance(owner=user, tier="growth", actor=people.admin.user, at=begin)
    tiers.initialize_balance(owner=organization, tier="pro", actor=people.admin.user, at=begin)
    spenders: list[tuple[Any, list[User], int]] = [
        (user, [user], 3),
        (organization, [people.owner.user, people.member.user], 5),
    ]
    for day in range(30 * MONTHS):
        morning = begin + timedelta(days=day, minutes=1)
        tiers.allocate_due(balance_ids=[user.pk, organization.pk], at=morning)
        if day % 45 == 20:
            _buy(people, morning)
        for owner, members, pace in spenders:
            for hour in sorted(chance.uniform(1, 14) for _ in range(chance.randint(0, pace))):
                _spend(owner, chance.choice(members), morning + timedelta(hours=hour), chance)
        yield


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
    quantity = chance.randint(1, 8) if feature == "realtime-ai-dashboard" else 1
    # As in life: towards the end of a month some are refused.
    with suppress(ledger.InsufficientCreditsError):
        ledger.deduct_credits(
            owner=owner,
            feature=feature,
            quantity=quantity,
            description=chance.choice(_SUBJECTS),
            actor=member,
            member=member,
            at=at,
        )
