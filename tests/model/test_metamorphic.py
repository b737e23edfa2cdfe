"""Metamorphic tests: two ways to do the same must lead to the same state, on two balances with equal grants."""

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from credits import operations, queries
from credits.engine.deductions import DeductionRequest
from credits.engine.locked_balance import OperationResult
from credits.engine.operation_queue import process_group
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
MICROSECOND = timedelta(microseconds=1)
Act = Callable[[User], Any]
tried = settings(
    # Each example runs dozens of operations.
    max_examples=settings().max_examples // 2,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
hours = st.integers(1, 96)
near = st.sampled_from([-HOUR, -MICROSECOND, timedelta(0), timedelta(0), MICROSECOND, HOUR])
stops = st.lists(st.integers(0, 5 * 24 * 2), max_size=4)


@st.composite
def additions(draw: st.DrawFn) -> list[tuple[str, dict[str, Any]]]:
    """Draw the additions that a balance starts with: one to four, of any type, with or without expiry."""
    result = []
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
        result.append((kind, terms))
    return result


def make_owner(initial: list[tuple[str, dict[str, Any]]]) -> User:
    """Return the owner of a new balance with these additions."""
    owner = make_user()
    for kind, terms in initial:
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


def run_expiry_job(owner: User, at: Any) -> None:
    operations.expire_credits(balance_ids=[owner.pk], at=at)


def read_stored(owner: User) -> stored.Stored:
    """Return the stored rows of the balance as records of the model."""
    result = stored.read(owner.pk, stored.Stored(), {})
    assert stored.differences(owner.pk) == []
    return result


def usage_by_grant(owner: User) -> dict[int | None, int]:
    """Return the usage of each grant."""
    result: dict[int | None, int] = {}
    for transaction in read_stored(owner).transactions:
        for entry in transaction.entries if transaction.type == "usage" else ():
            result[entry.grant] = result.get(entry.grant, 0) - entry.amount
    return result


def outcome_of(owner: User, amount: int, at: Any) -> Any:
    """Return the instant and the number of the usage, or the code of the error."""
    try:
        transaction = spend(owner, amount, at).transaction
    except DomainError as error:
        return error.code
    return transaction.timestamp, transaction.sequence


def deduct_as_group(owner: User, deductions: list[tuple[int, Any]]) -> list[Any]:
    """Run deductions as one group of the deduction queue, and return the outcome of each."""
    whose = operations.Owner.of(owner)
    group = [
        (whose, DeductionRequest.of(operations.Deduction(amount=amount, description="Work"), at))
        for amount, at in deductions
    ]
    results = process_group(None, lambda: group)
    return [
        (result.transaction.timestamp, result.transaction.sequence)
        if isinstance(result, OperationResult) and result.transaction
        else getattr(result, "code", None)
        for result in results
    ]


def available(owner: OwnerLike, at: Any = NOON) -> int:
    return queries.load_settled_balance(operations.Owner.of(owner), at=at).available


def part_of(amount: int, entry: float) -> int:
    return max(round(amount * entry), 1)


shares = st.floats(0, 1)


class TestDueEvents:
    @tried
    @given(additions(), st.lists(st.tuples(shares, hours), max_size=2), shares, st.booleans(), stops)
    def test_lead_to_the_same_state_in_one_step_or_several(self, initial, held, spent, indebted, instants):
        at_once, in_steps = make_owner(initial), make_owner(initial)
        for owner in (at_once, in_steps):
            spend(owner, part_of(available(owner), spent / 2))
            for entry, lasts in held:
                if available(owner):
                    place(owner, part_of(available(owner), entry), min(lasts * HOUR / 4, DAY))
            bought = read_stored(owner).ids["transaction"][1] if initial[0][0] == "purchase" else None
            if indebted and bought:
                operations.reverse_purchase(transaction_id=bought, reason="Chargeback", at=NOON)

        run_expiry_job(at_once, END)
        for half in sorted(instants):
            run_expiry_job(in_steps, NOON + half * HOUR / 2)
        run_expiry_job(in_steps, END)

        whole, split = read_stored(at_once), read_stored(in_steps)
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
    @given(additions(), shares, shares, st.integers(0, 120) | st.none())
    def test_captured_hold_equals_a_deduction(self, initial, held, used, limit):
        """For a hold that reserves less than the amount, as much, or more."""
        spending, holding = make_owner(initial), make_owner(initial)
        amount = part_of(available(spending), used)
        set_aside = part_of(available(spending), held)
        for owner in (spending, holding):
            if limit is not None:
                operations.set_limit(owner=owner, amount=max(limit, set_aside), period="day", at=NOON)

        outcomes = [outcome(lambda: spend(spending, amount))]
        work = place(holding, set_aside)
        outcomes.append(outcome(lambda: operations.capture_hold(hold_id=work.hold.id, amount=amount, at=NOON)))

        if outcomes[0] is not None:
            # The limit rejects the deduction and the capture; the hold remains.
            assert set(outcomes) == {"spending_limit_reached"}
            operations.release_hold(hold_id=work.hold.id, at=NOON)
        assert usage_by_grant(holding) == usage_by_grant(spending)
        assert (read_stored(holding).free, read_stored(holding).counts[:4]) == (
            read_stored(spending).free,
            read_stored(spending).counts[:4],
        )
        assert limit_statuses(holding) == limit_statuses(spending)
        run_expiry_job(spending, END)
        run_expiry_job(holding, END)
        assert read_stored(holding).free == read_stored(spending).free

    @tried
    @given(additions(), shares, hours)
    def test_released_hold_has_no_effect(self, initial, held, after):
        waiting, holding = make_owner(initial), make_owner(initial)
        operations.set_limit(owner=holding, amount=100, period="month", at=NOON)

        work = place(holding, part_of(available(holding), held))
        operations.release_hold(hold_id=work.hold.id, at=NOON)

        assert read_stored(holding).transactions == read_stored(waiting).transactions
        assert read_stored(holding).free == read_stored(waiting).free
        assert limit_statuses(holding) == [(100, 0)]
        then = NOON + after * HOUR
        assert available(holding, then) == available(waiting, then)
        run_expiry_job(waiting, END)
        run_expiry_job(holding, END)
        assert read_stored(holding).transactions == read_stored(waiting).transactions


class TestDeduction:
    @tried
    @given(additions(), shares, st.lists(shares, max_size=4))
    def test_uses_the_same_credits_at_once_or_in_parts(self, initial, used, cuts):
        whole, parted = make_owner(initial), make_owner(initial)
        amount = part_of(available(whole), used)
        edges = sorted({0, amount, *(round(amount * cut) for cut in cuts)})

        spend(whole, amount)
        for start, end in pairwise(edges):
            spend(parted, end - start)

        assert usage_by_grant(parted) == usage_by_grant(whole)
        assert read_stored(parted).free == read_stored(whole).free

    @tried
    @given(additions(), hours, st.lists(st.tuples(st.integers(1, 40), near), min_size=2, max_size=6))
    def test_has_the_same_result_in_a_group_as_alone(self, initial, end, drawn):
        """Concurrent deductions with their own instants, at the expiry of a grant and a microsecond around it."""
        initial = [*initial, ("promotion", {"amount": 30, "expires_at": NOON + end * HOUR})]
        deductions = [(amount, NOON + end * HOUR + offset) for amount, offset in drawn]
        grouped, alone = make_owner(initial), make_owner(initial)

        together = deduct_as_group(grouped, deductions)
        by_instant = sorted(enumerate(deductions), key=lambda each: (each[1][1], each[0]))
        separately = {index: outcome_of(alone, amount, at) for index, (amount, at) in by_instant}

        assert together == [separately[index] for index in range(len(deductions))]
        assert read_stored(grouped).transactions == read_stored(alone).transactions
        assert read_stored(grouped).free == read_stored(alone).free


class TestBalance:
    @tried
    @given(
        additions(),
        st.lists(st.tuples(st.sampled_from(["use", "hold", "release", "capture", "sweep"]), shares, hours), max_size=8),
        stops,
    )
    def test_as_of_an_instant_equals_the_read_at_that_instant(self, initial, actions, instants):
        owner = make_owner(initial)
        wanted = sorted(NOON + half * HOUR / 2 for half in instants)
        read: dict[Any, Any] = {}
        open_holds: list[Any] = []

        for name, entry, after in sorted(actions, key=lambda each: each[2]):
            at = NOON + after * HOUR
            read |= {then: snapshot(owner, then) for then in wanted if then not in read and then < at}
            outcome(lambda: perform(owner, name, entry, at, open_holds))  # noqa: B023 - called at once
        read |= {then: snapshot(owner, then) for then in wanted if then not in read}

        assert {then: facts(queries.get_balance(owner=owner, at=then)) for then in read} == read


def perform(owner: User, name: str, entry: float, at: Any, open_holds: list[Any]) -> None:
    amount = part_of(available(owner, at), entry)
    match name:
        case "use":
            spend(owner, amount, at)
        case "hold":
            open_holds.append(place(owner, amount, DAY, at))
        case "release" if open_holds:
            operations.release_hold(hold_id=open_holds.pop().hold.id, at=at)
        case "capture" if open_holds:
            work = open_holds.pop()
            operations.capture_hold(hold_id=work.hold.id, amount=part_of(work.hold.amount, entry), at=at)
        case "sweep":
            run_expiry_job(owner, at)


def outcome(attempt: Callable[[], Any]) -> str | None:
    """Return the error code of a rejected call, or None."""
    try:
        attempt()
    except DomainError as error:
        return error.code
    return None


def limit_statuses(owner: User) -> list[tuple[int, int]]:
    result = queries.limit_statuses(queries.get_limits(owner=owner), at=NOON)
    return [(status.amount, status.used) for status in result]


def snapshot(owner: User, at: Any) -> tuple[Any, ...]:
    return facts(queries.load_settled_balance(operations.Owner.of(owner), at=at).snapshot())


def facts(balance: Any) -> tuple[Any, ...]:
    return (
        balance.balance,
        balance.held,
        balance.available,
        balance.debt,
        balance.next_expiry,
        balance.sequence,
    )
