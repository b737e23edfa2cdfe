"""The duration of one deduction from a balance with few and with many live grants."""

import statistics
import time
from datetime import datetime, timedelta

from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.db import transaction

from credits import operations
from credits.engine.idempotency import build_request
from credits.engine.locked_balance import BalanceLoader, flush_on_exit, lock
from credits.engine.plan_grants import plan_grant
from fluxori.core import clock
from fluxori.devtools.bench import seeding
from fluxori.devtools.bench.session import BenchSession
from fluxori.identity.models import User
from fluxori.identity.owner import Owner

SECTION = "grants"
CREDITS_PER_GRANT = 1_000
_REQUESTS = 20
_PART_SIZE = 5_000


def measure(session: BenchSession) -> None:
    owners = {count: _create(count) for count in session.sizes.grants}
    seeding.analyze()
    values: dict[int, list[float]] = {count: [] for count in owners}
    for _ in range(session.sizes.repeats):
        for count, owner in owners.items():
            values[count].append(_milliseconds(owner))
    for count, durations in values.items():
        session.figures.add(SECTION, f"deduct_credits with {count:,} live grants", "ms", durations)


def _create(count: int) -> Owner:
    """Return a new owner with this many grants, each with another expiry."""
    user = User.objects.create(email=f"grants-{count}@bench.fluxori.example", password=UNUSABLE_PASSWORD_PREFIX)
    owner, now = Owner.of(user), clock.now()
    operations.add_credits(owner=owner, amount=CREDITS_PER_GRANT, type="promotion", at=now)
    for begin in range(1, count, _PART_SIZE):
        _add_grants(owner, range(begin, min(begin + _PART_SIZE, count)), now)
    return owner


@transaction.atomic
def _add_grants(owner: Owner, numbers: range, at: datetime) -> None:
    # Like any request of a group, it loads the first grants only.
    with flush_on_exit(BalanceLoader(lock([owner.id]), at).load(grant_limit=1)) as balances:
        balance = balances.of(owner)
        for number in numbers:
            request = build_request("add_credits", actor=None, key=None)
            terms = {"expires_at": at + timedelta(days=30, seconds=number)}
            plan_grant(balance, request, amount=CREDITS_PER_GRANT, kind="promotion", terms=terms, details={})
        balance.mark_changed()


def _milliseconds(owner: Owner) -> float:
    """Return the median duration of a deduction that one grant pays for."""
    durations = []
    for _ in range(_REQUESTS):
        began = time.perf_counter()
        operations.deduct_credits(owner=owner, amount=1, description="One of many", at=clock.now())
        durations.append((time.perf_counter() - began) * 1000)
    return statistics.median(durations)
