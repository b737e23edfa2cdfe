"""A large ledger, made fast: whole lives planned in memory, written set-wise by the ledger's own writer.

The work is cut into parts that know nothing of one another, so that several processes share it and the same seed gives
the same people, movements, amounts and instants however many there are. Each part commits by itself.
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
from credits.engine.locked_balance import lock_balances
from credits.models import CreditBalance
from fluxori.core import clock
from fluxori.db import statements
from fluxori.db.chunked_work import gc_frozen
from fluxori.devtools.bench import workers
from fluxori.devtools.bench.history_generator import FEATURES, Life
from fluxori.identity.models import Membership, Organization, User
from tiers.domain.periods import period_start
from tiers.models import MonthlyAllocation, Subscription, Tier

DOMAIN = "seed.fluxori.example"

# Transactions in one commit: enough that the statement's own cost does not show, few enough to hold in memory.
PART = 4000
_MOST_PROCESSES = 16

# Of a hundred balances; and of ten subscriptions, by what they promise.
_ORGANIZATIONS = 10
_TIERS = ("explorer",) * 5 + ("growth",) * 3 + ("pro", "enterprise")
_MEMBERS = (Membership.Role.OWNER, Membership.Role.MANAGER, Membership.Role.MEMBER, Membership.Role.MEMBER)
# How unequal balances are: the larger, the more alike.
_LIKENESS = 1.3


@dataclass(frozen=True, slots=True)
class Part:
    """A share of the work: ``balances`` that together have about ``transactions``, or with ``hot`` one that has all."""

    number: int
    seed: int
    begin: datetime
    until: datetime
    balances: int
    transactions: int
    hot: bool = False


@dataclass(slots=True)
class Written:
    """What was written."""

    users: int = 0
    organizations: int = 0
    balances: int = 0
    transactions: int = 0
    entries: int = 0
    grants: int = 0
    holds: int = 0
    requests: int = 0

    def add(self, other: "Written") -> None:
        for column in fields(self):
            setattr(self, column.name, getattr(self, column.name) + getattr(other, column.name))

    def as_json(self) -> dict[str, int]:
        return asdict(self)


def parts(*, transactions: int, balances: int, hot: int, seed: int, begin: datetime, until: datetime) -> Iterator[Part]:
    """Cut the work: ``balances`` with ``transactions`` together, and one more with ``hot`` of its own.

    The hot one comes first, because nobody can share it.
    """
    if hot:
        yield Part(0, seed, begin, until, 1, hot, hot=True)
    count = min(-(-transactions // PART), balances)
    for number in range(count):
        # The n-th share of a whole is what lies between the n-th and the next mark.
        few, share = (whole * (number + 1) // count - whole * number // count for whole in (balances, transactions))
        yield Part(number + 1, seed, begin, until, few, share)


def seed(work: Sequence[Part], *, processes: int) -> Iterator[Written]:
    """Write the parts, on several processes where asked, and yield what each commit has written."""
    if processes == 1:
        for part in work:
            yield from write(part)
        return
    # Forked processes would share the parent's connection to the database.
    afresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=afresh, initializer=workers.join, initargs=(_database(),)) as pool:
        yield from pool.map(_write_whole, work)


def fill(transactions: int, *, number: int) -> None:
    """Write so many transactions of a year, one balance for each hundred, from the seed ``number``."""
    until = clock.now().replace(microsecond=0)
    begin = until - timedelta(days=360)
    balances = max(transactions // 100, 1)
    work = parts(transactions=transactions, balances=balances, hot=0, seed=number, begin=begin, until=until)
    for _ in seed(list(work), processes=processors()):
        pass
    analyze()


def already_there(seed: int) -> bool:
    """Whether this seed has left people in this database."""
    return User.objects.filter(email__startswith=f"{seed}-", email__endswith=f"@{DOMAIN}").exists()


def write(part: Part) -> Iterator[Written]:
    """Write one part, and yield after each commit what it has written."""
    with gc_frozen():
        yield from _write(part)


def _write(part: Part) -> Iterator[Written]:
    chance = Random(f"{part.seed}/{part.number}")  # noqa: S311 - believable, and the same every time
    people = _People(part, chance)
    lives = people.lives()
    prices = queries.prices(FEATURES, at=part.begin)
    while lives:
        going, room = [], PART
        for life in lives:
            going.append(life)
            room -= life.movements - life.written
            if room <= 0:
                break
        with transaction.atomic():
            done = people.arrive([life for life in going if not life.written])
            done.add(_live(going, prices))
        lives = [life for life in lives if not life.over]
        yield done


def _live(lives: Sequence[Life], prices: dict[str, Price]) -> Written:
    done = Written()
    months: list[dict[str, Any]] = []
    by_id = {life.subscription.pk: life for life in lives}
    with lock_balances(by_id, at=min(life.subscription.anchor for life in lives)) as pages:
        for key, page in pages.items():
            page.prices = prices
            months += by_id[key].go_on(page, PART)
            done.transactions += len(page.book.transactions)
            done.entries += sum(len(recorded.entries) for recorded in page.book.transactions)
            done.grants += len(page.book.opened_grants)
            done.holds += len(page.book.opened_holds)
            done.requests += len(page.requests)
    statements.insert(MonthlyAllocation, months)
    Subscription.objects.bulk_create(
        [life.subscription for life in lives],
        update_conflicts=True,
        unique_fields=["balance"],
        update_fields=["next_period", "next_allocation_at"],
    )
    return done


class _People:
    """Who there is in one part: users, organizations with members, their balances and subscriptions."""

    def __init__(self, part: Part, chance: Random) -> None:
        self._part = part
        self._chance = chance
        self._tiers = Tier.objects.in_bulk()
        self._rows: dict[UUID, tuple[User | Organization, list[Membership], Subscription]] = {}

    def lives(self) -> list[Life]:
        """Return the lives of this part's balances, unequal as in life, which together are as long as is wanted."""
        part, chance = self._part, self._chance
        weights = [chance.paretovariate(_LIKENESS) for _ in range(part.balances)]
        lives, spent, passed = [], 0, 0.0
        users: list[User] = []
        for number, weight in enumerate(weights):
            passed += weight
            upto = round(part.transactions * passed / sum(weights))
            movements, spent = max(upto - spent, 1), upto
            lives.append(self._life(number, movements, users))
        return lives

    def _life(self, number: int, movements: int, users: list[User]) -> Life:
        part, chance = self._part, self._chance
        # Few movements make a short history: somebody who came lately.
        share = min(movements / 40, 1) * chance.uniform(0.3, 1)
        anchor = part.begin if part.hot else part.until - share * (part.until - part.begin)
        anchor = anchor.replace(microsecond=0)
        name = "hot" if part.hot else f"{part.number}-{number}"
        pool = not part.hot and len(users) >= len(_MEMBERS) and chance.randrange(100) < _ORGANIZATIONS
        owner: User | Organization
        seats: list[Membership] = []
        if pool:
            owner = Organization(id=self._id(anchor), name=f"Organization {part.seed}-{name}", created_at=anchor)
            people = chance.sample(users, len(_MEMBERS))
            seats = [
                Membership(id=self._id(anchor), organization=owner, user=person, role=role, created_at=anchor)
                for person, role in zip(people, _MEMBERS, strict=True)
            ]
            members = [person.pk for person in people]
        else:
            owner = User(
                id=self._id(anchor),
                email=f"{part.seed}-{name}@{DOMAIN}",
                password=UNUSABLE_PASSWORD_PREFIX,
                created_at=anchor,
            )
            users.append(owner)
            members = [owner.pk]
        tier = self._tiers["enterprise" if part.hot else chance.choice(_TIERS)]
        subscription = Subscription(
            balance_id=owner.pk,
            tier=tier,
            anchor=anchor,
            next_allocation_at=period_start(anchor, 1),
            created_at=anchor,
        )
        self._rows[owner.pk] = owner, seats, subscription
        return Life(subscription, tier, members, part.until, movements, chance)

    def arrive(self, lives: Sequence[Life]) -> Written:
        """Write these lives' people and their open balances."""
        found = [self._rows.pop(life.subscription.pk) for life in lives]
        users = [owner for owner, _, _ in found if isinstance(owner, User)]
        organizations = [owner for owner, _, _ in found if isinstance(owner, Organization)]
        User.objects.bulk_create(users)
        Organization.objects.bulk_create(organizations)
        Membership.objects.bulk_create([seat for _, seats, _ in found for seat in seats])
        CreditBalance.objects.bulk_create(
            CreditBalance(
                id=owner.pk,
                user_id=owner.pk if isinstance(owner, User) else None,
                organization_id=owner.pk if isinstance(owner, Organization) else None,
                last_at=subscription.anchor,
                created_at=subscription.anchor,
            )
            for owner, _, subscription in found
        )
        return Written(users=len(users), organizations=len(organizations), balances=len(found))

    def _id(self, at: datetime) -> UUID:
        """Return an id made at ``at``, the same every time: UUID version 7, as all ids are, but from our own chance."""
        milliseconds = (at - _EPOCH) // timedelta(milliseconds=1)
        low = self._chance.getrandbits(74)
        return UUID(int=milliseconds << 80 | 7 << 76 | (low >> 62) << 64 | 2 << 62 | low & (1 << 62) - 1)


def processors() -> int:
    """Return how many processes are worth their while here."""
    return min(os.cpu_count() or 1, _MOST_PROCESSES)


def analyze() -> None:
    """Let PostgreSQL know what it holds now; it would notice by itself, but later."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _write_whole(part: Part) -> Written:
    done = Written()
    for written in write(part):
        done.add(written)
    return done


def _database() -> str:
    return str(connection.settings_dict["NAME"])
