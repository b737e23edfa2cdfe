"""Create a large ledger quickly: plan complete histories in memory, and write them with the ledger's own writer.

The work is split into independent parts for several processes. The same seed gives the same users, transactions,
amounts and timestamps for any number of processes. Each part commits by itself. Read next: ``history_generator.py``.
"""

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.db import connection, transaction

from credits import queries
from credits.domain.records import Price
from credits.engine.locked_balance import GroupTierFacts, lock_balances
from credits.models import CreditBalance
from fluxori.core import clock
from fluxori.db import statements
from fluxori.db.chunked_work import gc_frozen
from fluxori.devtools.bench import workers
from fluxori.devtools.bench.history_generator import FEATURES, BalanceHistory
from fluxori.identity.models import Membership, Organization, User
from tiers.domain.periods import period_start
from tiers.models import MonthlyAllocation, Subscription, Tier
from tiers.queries import subscription_facts

DOMAIN = "seed.fluxori.example"

# Transactions in one commit: enough to make the overhead of a statement negligible, few enough for memory.
PART_SIZE = 4000
_MAX_PROCESSES = 16

# The percentage of balances that belong to organizations; the tiers of every ten subscriptions.
_ORGANIZATIONS = 10
_TIERS = ("explorer",) * 5 + ("growth",) * 3 + ("pro", "enterprise")
_MEMBERS = (Membership.Role.OWNER, Membership.Role.MANAGER, Membership.Role.MEMBER, Membership.Role.MEMBER)
# The shape of the Pareto distribution of history lengths: a larger value makes the lengths more equal.
_PARETO_SHAPE = 1.3


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the work: ``balances`` with about ``transactions`` in total, or with ``hot`` one balance with all."""

    number: int
    seed: int
    begin: datetime
    until: datetime
    balances: int
    transactions: int
    hot: bool = False


@dataclass(slots=True)
class RowCounts:
    """The numbers of rows that were written."""

    users: int = 0
    organizations: int = 0
    balances: int = 0
    transactions: int = 0
    entries: int = 0
    grants: int = 0
    holds: int = 0
    requests: int = 0

    def add(self, other: "RowCounts") -> None:
        for column in fields(self):
            setattr(self, column.name, getattr(self, column.name) + getattr(other, column.name))

    def as_json(self) -> dict[str, int]:
        return asdict(self)


def split_work(
    *, transactions: int, balances: int, hot: int, seed: int, begin: datetime, until: datetime
) -> Iterator[Part]:
    """Split the work: ``balances`` with ``transactions`` in total, and one more balance with ``hot`` transactions.

    The hot balance comes first, because it takes longest and cannot be split.
    """
    if hot:
        yield Part(0, seed, begin, until, 1, hot, hot=True)
    count = min(-(-transactions // PART_SIZE), balances)
    for number in range(count):
        # Rounding the boundaries down, instead of the sizes, makes the sizes add up to the total.
        balance_count, transaction_count = (
            total * (number + 1) // count - total * number // count for total in (balances, transactions)
        )
        yield Part(number + 1, seed, begin, until, balance_count, transaction_count)


def seed(work: Sequence[Part], *, processes: int) -> Iterator[RowCounts]:
    """Write the parts with this number of processes. Yields the row counts of each commit, or of each part."""
    if processes == 1:
        for part in work:
            yield from write(part)
        return
    # Forked processes would share the database connection of this process.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn, initializer=workers.set_up, initargs=(_database(),)) as pool:
        yield from pool.map(_write_part, work)


def fill(transactions: int, *, number: int) -> None:
    """Write about this many transactions over one year, a hundred per balance, with ``number`` as the seed."""
    until = clock.now().replace(microsecond=0)
    begin = until - timedelta(days=360)
    balances = max(transactions // 100, 1)
    work = split_work(transactions=transactions, balances=balances, hot=0, seed=number, begin=begin, until=until)
    for _ in seed(list(work), processes=default_processes()):
        pass
    analyze()


def is_seeded(seed: int) -> bool:
    """Return True if the database contains users of this seed."""
    return User.objects.filter(email__startswith=f"{seed}-", email__endswith=f"@{DOMAIN}").exists()


def write(part: Part) -> Iterator[RowCounts]:
    """Write one part. Yields the row counts of each commit."""
    with gc_frozen():
        yield from _write(part)


def _write(part: Part) -> Iterator[RowCounts]:
    rng = Random(f"{part.seed}/{part.number}")  # noqa: S311 (sample data)
    owners = _Owners(part, rng)
    histories = owners.create_histories()
    prices = {feature: [price] for feature, price in queries.prices(FEATURES, at=part.begin).items()}
    while histories:
        batch, remaining = [], PART_SIZE
        for history in histories:
            batch.append(history)
            remaining -= history.movements - history.written
            if remaining <= 0:
                break
        with transaction.atomic():
            counts = owners.insert([history for history in batch if not history.written])
            counts.add(_write_batch(batch, prices))
        histories = [history for history in histories if not history.is_complete]
        yield counts


def _write_batch(histories: Sequence[BalanceHistory], prices: dict[str, list[Price]]) -> RowCounts:
    counts = RowCounts()
    allocations: list[dict[str, Any]] = []
    by_id = {history.subscription.pk: history for history in histories}
    with lock_balances(by_id, at=min(history.subscription.anchor for history in histories)) as balances:
        for balance_id, balance in balances.items():
            history = by_id[balance_id]
            balance.prices = prices
            balance.tier_facts = GroupTierFacts(
                [balance_id], balance.at, {balance_id: subscription_facts(history.subscription)}
            )
            allocations += history.generate(balance, PART_SIZE)
            counts.transactions += len(balance.state.transactions)
            counts.entries += sum(len(recorded.entries) for recorded in balance.state.transactions)
            counts.grants += len(balance.state.opened_grants)
            counts.holds += len(balance.state.opened_holds)
            counts.requests += len(balance.request_rows)
    statements.insert(MonthlyAllocation, allocations)
    Subscription.objects.bulk_create(
        [history.subscription for history in histories],
        update_conflicts=True,
        unique_fields=["balance"],
        update_fields=["next_period", "next_allocation_at"],
    )
    return counts


class _Owners:
    """The users and organizations of one part, with their memberships, balances and subscriptions."""

    def __init__(self, part: Part, rng: Random) -> None:
        self._part = part
        self._rng = rng
        self._tiers = Tier.objects.in_bulk()
        self._rows: dict[UUID, tuple[User | Organization, list[Membership], Subscription]] = {}

    def create_histories(self) -> list[BalanceHistory]:
        """Return the histories of this part's balances: unequal lengths that add up to the requested total."""
        part, rng = self._part, self._rng
        weights = [rng.paretovariate(_PARETO_SHAPE) for _ in range(part.balances)]
        histories, assigned, cumulative = [], 0, 0.0
        users: list[User] = []
        for number, weight in enumerate(weights):
            cumulative += weight
            boundary = round(part.transactions * cumulative / sum(weights))
            movements, assigned = max(boundary - assigned, 1), boundary
            histories.append(self._create_history(number, movements, users))
        return histories

    def _create_history(self, number: int, movements: int, users: list[User]) -> BalanceHistory:
        part, rng = self._part, self._rng
        # A balance with few movements was created recently.
        share = min(movements / 40, 1) * rng.uniform(0.3, 1)
        anchor = part.begin if part.hot else part.until - share * (part.until - part.begin)
        anchor = anchor.replace(microsecond=0)
        name = "hot" if part.hot else f"{part.number}-{number}"
        pool = not part.hot and len(users) >= len(_MEMBERS) and rng.randrange(100) < _ORGANIZATIONS
        owner: User | Organization
        memberships: list[Membership] = []
        if pool:
            owner = Organization(id=self._id(anchor), name=f"Organization {part.seed}-{name}", created_at=anchor)
            organization_users = rng.sample(users, len(_MEMBERS))
            memberships = [
                Membership(id=self._id(anchor), organization=owner, user=user, role=role, created_at=anchor)
                for user, role in zip(organization_users, _MEMBERS, strict=True)
            ]
            members = [user.pk for user in organization_users]
        else:
            owner = User(
                id=self._id(anchor),
                email=f"{part.seed}-{name}@{DOMAIN}",
                password=UNUSABLE_PASSWORD_PREFIX,
                created_at=anchor,
            )
            users.append(owner)
            members = [owner.pk]
        tier = self._tiers["enterprise" if part.hot else rng.choice(_TIERS)]
        subscription = Subscription(
            balance_id=owner.pk,
            tier=tier,
            anchor=anchor,
            next_allocation_at=period_start(anchor, 1),
            created_at=anchor,
        )
        self._rows[owner.pk] = owner, memberships, subscription
        return BalanceHistory(subscription, tier, members, part.until, movements, rng)

    def insert(self, histories: Sequence[BalanceHistory]) -> RowCounts:
        """Insert the owners of these histories and their balances."""
        rows = [self._rows.pop(history.subscription.pk) for history in histories]
        users = [owner for owner, _, _ in rows if isinstance(owner, User)]
        organizations = [owner for owner, _, _ in rows if isinstance(owner, Organization)]
        User.objects.bulk_create(users)
        Organization.objects.bulk_create(organizations)
        Membership.objects.bulk_create([membership for _, memberships, _ in rows for membership in memberships])
        CreditBalance.objects.bulk_create(
            CreditBalance(
                id=owner.pk,
                user_id=owner.pk if isinstance(owner, User) else None,
                organization_id=owner.pk if isinstance(owner, Organization) else None,
                last_at=subscription.anchor,
                created_at=subscription.anchor,
            )
            for owner, _, subscription in rows
        )
        return RowCounts(users=len(users), organizations=len(organizations), balances=len(rows))

    def _id(self, at: datetime) -> UUID:
        """Return a UUID version 7 for ``at``, like all ids, but from the seeded random generator."""
        milliseconds = (at - _EPOCH) // timedelta(milliseconds=1)
        low = self._rng.getrandbits(74)
        return UUID(int=milliseconds << 80 | 7 << 76 | (low >> 62) << 64 | 2 << 62 | low & (1 << 62) - 1)


def default_processes() -> int:
    """Return the number of processes for this machine."""
    return min(os.cpu_count() or 1, _MAX_PROCESSES)


def analyze() -> None:
    """Update the table statistics, as autovacuum would do later."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _write_part(part: Part) -> RowCounts:
    total = RowCounts()
    for counts in write(part):
        total.add(counts)
    return total


def _database() -> str:
    return str(connection.settings_dict["NAME"])
