"""Assertions about the tables of the ledger and of tiers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from credits import verification
from credits.models import CreditBalance
from tests.support.operations import unchanged
from tiers.models import AllocationRun, MonthlyAllocation, PastSubscription, Subscription, TierChange


def _rows() -> list[list[tuple[Any, ...]]]:
    return [
        list(model.objects.order_by("pk").values_list())
        for model in (Subscription, PastSubscription, TierChange, MonthlyAllocation, AllocationRun)
    ]


@contextmanager
def assert_nothing_written() -> Iterator[None]:
    """Fail if the block changes any row of the ledger or of tiers."""
    before = _rows()
    with unchanged():
        yield
    assert _rows() == before


def check_ledger() -> None:
    """Verify every invariant of every balance and its subscription, and the hash chain."""
    findings = list(verification.verify_all(chunk=1000))
    assert [difference for each in findings for difference in each.differences] == []
    assert sum(each.balances for each in findings) == CreditBalance.objects.count() > 0
