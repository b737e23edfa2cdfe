"""A balance with many grants: only the first ones in burn order are loaded, with the results of a complete load."""

from dataclasses import replace
from datetime import timedelta
from unittest.mock import patch
from uuid import UUID

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from credits.engine import operation_queue
from credits.engine.deductions import Deduction, DeductionRequest
from credits.engine.idempotency import build_request
from credits.engine.plan_grants import AddRequest
from credits.engine.plan_holds import CaptureRequest, PlaceHoldRequest, ReleaseRequest
from credits.models import CreditBalance
from credits.queries.loading import load_balances
from fluxori.core.errors import DomainError
from fluxori.identity.owner import Owner
from tests.support.factories.credits import deduct, hold, make_balance, make_user
from tests.support.operations import check_balance
from tests.support.times import DAY, HOUR, MINUTE, NOON

LIMITS = "credits.engine.operation_queue.GRANT_LIMITS"


def load(balance, limit, at=NOON, **needs):
    [loaded] = load_balances([balance.pk], at=at, grant_limit=limit, **needs)
    return loaded.state


@pytest.mark.django_db
class TestLoadWithALimit:
    def test_loads_the_first_grants_in_burn_order_and_the_sums_of_the_others(self):
        balance = make_balance(grants=[(1, 3 * DAY), (2, DAY), (4, 2 * DAY), (8, 4 * DAY), (16, None)])

        state = load(balance, 1)

        assert sorted(grant.amount for grant in state.grants.values()) == [2, 4]
        assert state.omitted.by_source == {"promotion": 25}
        assert state.omitted.next_expiry == (1, NOON + 3 * DAY)
        assert state.snapshot() == load(balance, None).snapshot()

    def test_loads_all_grants_if_there_are_no_more(self):
        balance = make_balance(grants=[(1, DAY), (2, None)])

        assert load(balance, 1).omitted is None or load(balance, 1).omitted.by_source == {}
        assert load(balance, 2).omitted is None

    def test_loads_grants_that_are_due_named_or_pinned_in_addition(self):
        balance = make_balance(grants=[(1, HOUR), (2, 2 * DAY), (4, 3 * DAY), (8, None), (16, None)])
        last = balance.grants.get(amount=16)
        placed = hold(balance, 15)

        state = load(balance, 0, at=NOON + 2 * HOUR, hold_ids=[placed.pk], grant_ids=[last.pk])

        assert sorted(grant.amount for grant in state.grants.values()) == [1, 2, 4, 8, 16]
        assert state.omitted is None or state.omitted.by_source == {}

    def test_pays_with_grants_that_were_not_loaded_at_first(self):
        balance = make_balance(grants=[(1, n * DAY) for n in range(1, 8)])

        with patch(LIMITS, (0, 2, None)):
            result = deduct(balance, 6)

        assert [entry.amount for entry in result.transaction.entries] == [-1] * 6
        assert result.balance.next_expiry == (1, NOON + 7 * DAY)
        check_balance(balance)


minutes = st.integers(0, 300)
grants = st.tuples(
    st.integers(1, 30),
    st.none() | st.integers(1, 300),
    st.sampled_from([0, 50, 60]),
    st.sampled_from(["purchase", "promotion", "allocation"]),
    st.none() | st.integers(0, 20),
)
steps = st.tuples(
    minutes,
    st.sampled_from(["deduct", "hold", "capture", "release", "add"]),
    st.integers(1, 60),
    st.integers(0, 3),
    grants,
)


class Run:
    """The steps of one balance, in groups, with the results without ids."""

    def __init__(self):
        self.owner = Owner.of(make_user())
        self.holds = []
        self.results = []

    def add(self, grant, at):
        amount, expires, priority, kind, cap = grant
        terms = {"priority": priority, "expires_at": expires and at + expires * MINUTE}
        if expires and cap is not None:
            terms |= {"roll_cap": cap, "roll_until": terms["expires_at"] + HOUR}
        return AddRequest(amount, kind, terms, {}, build_request("add_credits", actor=None, key=None), at)

    def request(self, step):
        minute, kind, amount, which, grant = step
        at = NOON + minute * MINUTE
        identity = build_request(kind, actor=None, key=None)
        deduction = Deduction(amount=amount, description="In a test")
        if kind == "add":
            return self.add(grant, at)
        if kind == "hold":
            return PlaceHoldRequest(deduction, timedelta(minutes=20), identity, at)
        if kind == "deduct" or not self.holds:
            return DeductionRequest(deduction, identity, at)
        hold_id = self.holds[which % len(self.holds)]
        if kind == "release":
            return ReleaseRequest(hold_id, identity, at)
        return CaptureRequest(hold_id, amount, identity, at)

    def process(self, requests):
        results = operation_queue.process_group(self.owner, lambda: [(self.owner, request) for request in requests])
        for result in results:
            if isinstance(result, DomainError):
                self.results.append((result.code, result.facts))
                continue
            assert result is not None
            if result.hold_id not in (None, *self.holds):
                self.holds.append(result.hold_id)
            self.results.append(replace(result.snapshot, id=UUID(int=0), user_id=None))

    def history(self):
        balance = CreditBalance.objects.get(pk=self.owner.id)
        check_balance(balance)
        order = {key: number for number, key in enumerate(balance.grants.order_by("pk").values_list("pk", flat=True))}
        return [
            (
                (row.type, row.amount, row.balance_after, row.timestamp),
                [
                    (entry.grant_id and order[entry.grant_id], entry.amount)
                    for entry in row.entries.order_by("position")
                ],
            )
            for row in balance.transactions.order_by("sequence")
        ]


@pytest.mark.django_db
class TestPartialLoad:
    @settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(grants, min_size=1, max_size=9), st.lists(st.lists(steps, min_size=1, max_size=4), max_size=4))
    def test_has_the_results_of_a_complete_load(self, wallet, groups):
        with transaction.atomic():
            runs = []
            for limits in ((None,), (0, 2, None)):
                run = Run()
                with patch(LIMITS, limits):
                    run.process([run.add(grant, NOON) for grant in wallet])
                    for group in groups:
                        run.process([run.request(step) for step in group])
                runs.append(run)
            complete, partial = runs
            assert partial.results == complete.results
            assert partial.history() == complete.history()
            transaction.set_rollback(True)
