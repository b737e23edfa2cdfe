from datetime import timedelta

import pytest

from credits.engine.deductions import Deduction, DeductionRequest
from credits.engine.locked_balance import OperationResult
from credits.engine.operation_queue import process_group
from credits.operations import Owner
from credits.tier_registry import PendingTier
from tests.credits.operations.verbs import subscribe
from tests.support.factories.credits import deduct, make_balance
from tests.support.factories.tiers import month
from tests.support.operations import captured_statements, statement_kinds
from tests.support.times import HOUR, NOON
from tiers import operations as tiers

MICROSECOND = timedelta(microseconds=1)

pytestmark = pytest.mark.django_db


def schedule_pro(balance):
    subscribe(balance, "growth")
    tiers.update_subscription_tier(owner=balance.owner, tier="pro", effective="nextPeriod", at=NOON)


class TestTierFactsOfAGroup:
    def test_are_those_of_the_instant_of_each_request_and_read_once(self):
        balance = make_balance()
        schedule_pro(balance)
        owner = Owner.of(balance.owner)
        requests = [
            DeductionRequest.of(Deduction(amount=1, description="Spent in a test"), at)
            for at in (month(1) + HOUR, month(1), month(1) - MICROSECOND)
        ]

        with captured_statements() as run:
            results = process_group(owner, lambda: [(owner, request) for request in requests])

        facts = [result.tier_facts for result in results if isinstance(result, OperationResult)]
        assert [(each.tier, each.pending_tier) for each in facts] == [
            ("pro", None),
            ("pro", None),
            ("growth", PendingTier("pro", month(1))),
        ]
        assert statement_kinds(run) == ["lock", "load", "tier facts", "write"]

    def test_are_those_of_the_last_change_of_the_balance_if_at_is_earlier(self):
        balance = make_balance()
        schedule_pro(balance)
        deduct(balance, 1, at=month(1))

        assert deduct(balance, 1, at=NOON).tier_facts.tier == "pro"
