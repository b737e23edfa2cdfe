"""Two ways that must come to the same: each property is tried on twins, balances that began alike."""

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from credits import operations, queries
from fluxori.core.errors import DomainError
from fluxori.identity.models import User
from fluxori.identity.owner import OwnerLike
from tests.model import stored
from tests.model.machine import allocate
from tests.support.factories.credits import make_user
from tests.support.factories.tiers import make_subscribed_balances, month, periods_of, run_allocation
from tests.support.times import DAY, HOUR, NOON, SECOND

pytestmark = pytest.mark.django_db

END = NOON + 5 * DAY
Act = Callable[[User], Any]
tried = settings(
    max_examples=15,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
hours = st.integers(1, 96)
stops = st.lists(st.integers(0, 5 * 24 * 2), max_size=4)


@st.composite
def gifts(draw: st.DrawFn) -> list[tuple[str, dict[str, Any]]]:
    """What a balance is given at the beginning: at least one gift, of every kind, that ends or not."""
    found = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["purchase", "promotion", "allocation"]))
        terms: dict[str, Any] = {"amount": draw(st.integers(1, 40))}
        if kind == "allocation":
            terms["expires_at"] = NOON + draw(hours) * HOUR
            terms["roll_cap"] = draw(st.integers(0, 30))
            terms["roll_until"] = draw(st.none() | st.just(terms["expires_at"] + draw(hours) * HOUR))
        else:
            terms["expires_at"] = draw(st.none() | hours.map(lambda after: NOON + after * HOUR))
            terms["priority"] = draw(st.sampled_from([50, 50, 10]))
        found.append((kind, terms))
    return found


def born(given_to_it: list[tuple[str, dict[str, Any]]]) -> User:
    """Return the owner of a new balance with these gifts."""
    owner = make_user()
    for kind, terms in given_to_it:
        if kind == "allocation":
            whose = operations.Owner.of(owner)
            allocate(owner=whose, type=kind, actor=None, idempotency_key=None, at=NOON, **terms)
        else:
            operations.add_credits(owner=owner, type=kind, at=NOON, **terms)
    return owner


def spend(owner: User, amount: int, at: Any = NOON) -> Any:
    return operations.deduct_credits(owner=owner, amount=amount, description="Work", at=at)


def place(owner: User, amount: int, lasts: timedelta = HOUR, at: Any = NOON) -> Any:
    return operations.place_hold(
        owner=owner, amount=amount, description="Work", expires_in_seconds=lasts // SECOND, at=at
    )


def sweep(owner: User, at: Any) -> None:
    operations.expire_credits(balance_ids=[owner.pk], at=at)


def told(owner: User) -> stored.Stored:
    """What the tables say of the balance, its grants, holds and transactions called by number."""
    found = stored.read(owner.pk, stored.Stored(), {})
    assert stored.differences(owner.pk) == []
    return found


def drawn(owner: User) -> dict[int | None, int]:
    """What was used of each grant, whatever the number of transactions."""
    found: dict[int | None, int] = {}
    for said in told(owner).transactions:
        for share in said.shares if said.type == "usage" else ():
            found[share.grant] = found.get(share.grant, 0) - share.amount
    return found


def available(owner: OwnerLike, at: Any = NOON) -> int:
    return queries.settled(operations.Owner.of(owner), at=at).available


def part_of(amount: int, share: float) -> int:
    return max(round(amount * share), 1)


shares = st.floats(0, 1)


class TestDueEvents:
    @tried
    @given(gifts(), st.lists(st.tuples(shares, hours), max_size=2), shares, st.booleans(), stops)
    def test_lead_to_the_same_state_in_one_step_or_several(self, given_to_it, held, spent, indebted, instants):
        at_once, in_steps = born(given_to_it), born(given_to_it)
        for owner in (at_once, in_steps):
            spend(owner, part_of(available(owner), spent / 2))
            for share, lasts in held:
                if available(owner):
                    place(owner, part_of(available(owner), share), min(lasts * HOUR / 4, DAY))
            bought = told(owner).ids["transaction"][1] if given_to_it[0][0] == "purchase" else None
            if indebted and bought:
                operations.reverse_purchase(transaction_id=bought, reason="Chargeback", at=NOON)

        sweep(at_once, END)
        for half in sorted(instants):
            sweep(in_steps, NOON + half * HOUR / 2)
        sweep(in_steps, END)

        whole, split = told(at_once), told(in_steps)
        assert split.transactions == whole.transactions
        assert (split.grants, split.free, split.pinned) == (whole.grants, whole.free, whole.pinned)
        assert split.holds == whole.holds

    @tried
    @given(st.lists(st.integers(1, 179), max_size=5))
    def test_monthly_allocations_are_the_same_in_one_run_or_several(self, days):
        at_once, in_steps = make_subscribed_balances(2, tier="growth")
        end = month(6)

        run_allocation([at_once], at=end)
        for day in sorted(days):
            run_allocation([in_steps], at=NOON + day * DAY)
        run_allocation([in_steps], at=end)

        assert periods_of(in_steps) == periods_of(at_once) == [(k, 2_000) for k in range(1, 7)]
        assert available(in_steps.owner, end) == available(at_once.owner, end) == 14_000


class TestHold:
    @tried
    @given(gifts(), shares, shares, st.integers(0, 120) | st.none())
    def test_captured_hold_equals_a_deduction(self, given_to_it, held, used, limit):
        """Whatever was set aside at first: less, as much, or more."""
        spending, holding = born(given_to_it), born(given_to_it)
        amount = part_of(available(spending), used)
        set_aside = part_of(available(spending), held)
        for owner in (spending, holding):
            if limit is not None:
                operations.set_limit(owner=owner, amount=max(limit, set_aside), period="day", at=NOON)

        outcomes = [outcome(lambda: spend(spending, amount))]
        work = place(holding, set_aside)
        outcomes.append(outcome(lambda: operations.capture_hold(hold_id=work.pk, amount=amount, at=NOON)))

        if outcomes[0] is not None:
            # It was refused for its limit, and so is the capture; the hold stays.
            assert set(outcomes) == {"spending_limit_reached"}
            operations.release_hold(hold_id=work.pk, at=NOON)
        assert drawn(holding) == drawn(spending)
        assert (told(holding).free, told(holding).counts[:4]) == (told(spending).free, told(spending).counts[:4])
        assert limit_statuses(holding) == limit_statuses(spending)
        sweep(spending, END)
        sweep(holding, END)
        assert told(holding).free == told(spending).free

    @tried
    @given(gifts(), shares, hours)
    def test_released_hold_has_no_effect(self, given_to_it, held, after):
        waiting, holding = born(given_to_it), born(given_to_it)
        operations.set_limit(owner=holding, amount=100, period="month", at=NOON)

        work = place(holding, part_of(available(holding), held))
        operations.release_hold(hold_id=work.pk, at=NOON)

        assert told(holding).transactions == told(waiting).transactions
        assert told(holding).free == told(waiting).free
        assert limit_statuses(holding) == [(100, 0)]
        then = NOON + after * HOUR
        assert available(holding, then) == available(waiting, then)
        sweep(waiting, END)
        sweep(holding, END)
        assert told(holding).transactions == told(waiting).transactions


class TestDeduction:
    @tried
    @given(gifts(), shares, st.lists(shares, max_size=4))
    def test_uses_the_same_credits_at_once_or_in_parts(self, given_to_it, used, cuts):
        whole, parted = born(given_to_it), born(given_to_it)
        amount = part_of(available(whole), used)
        edges = sorted({0, amount, *(round(amount * cut) for cut in cuts)})

        spend(whole, amount)
        for start, end in pairwise(edges):
            spend(parted, end - start)

        assert drawn(parted) == drawn(whole)
        assert told(parted).free == told(whole).free


class TestBalance:
    @tried
    @given(
        gifts(),
        st.lists(st.tuples(st.sampled_from(["use", "hold", "release", "capture", "sweep"]), shares, hours), max_size=8),
        stops,
    )
    def test_as_of_an_instant_equals_the_read_at_that_instant(self, given_to_it, acts, instants):
        owner = born(given_to_it)
        wanted = sorted(NOON + half * HOUR / 2 for half in instants)
        read: dict[Any, Any] = {}
        running: list[Any] = []

        for what, share, after in sorted(acts, key=lambda each: each[2]):
            at = NOON + after * HOUR
            read |= {then: snapshot(owner, then) for then in wanted if then not in read and then < at}
            outcome(lambda: act(owner, what, share, at, running))  # noqa: B023 - called at once
        read |= {then: snapshot(owner, then) for then in wanted if then not in read}

        assert {then: facts(queries.get_balance(owner=owner, at=then)) for then in read} == read


def act(owner: User, what: str, share: float, at: Any, running: list[Any]) -> None:
    amount = part_of(available(owner, at), share)
    match what:
        case "use":
            spend(owner, amount, at)
        case "hold":
            running.append(place(owner, amount, DAY, at))
        case "release" if running:
            operations.release_hold(hold_id=running.pop().pk, at=at)
        case "capture" if running:
            work = running.pop()
            operations.capture_hold(hold_id=work.pk, amount=part_of(work.amount, share), at=at)
        case "sweep":
            sweep(owner, at)


def outcome(attempt: Callable[[], Any]) -> str | None:
    """Return the code of what was refused, None where it was done."""
    try:
        attempt()
    except DomainError as refusal:
        return refusal.code
    return None


def limit_statuses(owner: User) -> list[tuple[int, int]]:
    found = queries.limit_statuses(queries.get_limits(owner=owner), at=NOON)
    return [(standing.amount, standing.used) for standing in found]


def snapshot(owner: User, at: Any) -> tuple[Any, ...]:
    return facts(queries.settled(operations.Owner.of(owner), at=at).snapshot())


def facts(said: Any) -> tuple[Any, ...]:
    return (said.balance, said.held, said.available, said.debt, said.next_expiry, said.sequence)
