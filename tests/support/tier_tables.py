"""Looking at the tables of both apps from outside."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from credits import verification
from credits.models import CreditBalance
from tests.support.operations import unchanged
from tiers.models import AllocationRun, MonthlyAllocation, Subscription, TierChange
from tiers.verification import RULES


def _rows() -> list[list[tuple[Any, ...]]]:
    return [
        list(model.objects.order_by("pk").values_list())
        for model in (Subscription, TierChange, MonthlyAllocation, AllocationRun)
    ]


@contextmanager
def unwritten() -> Iterator[None]:
    """Fail if any row of the ledger or of the tiers is not afterwards as it was before."""
    before = _rows()
    with unchanged():
        yield
    assert _rows() == before


def check_ledger() -> None:
    """Every invariant of every balance and its tier, and the hash chain."""
    findings = list(verification.verify_all(chunk=1000, extra_rules=RULES))
    assert [difference for found in findings for difference in found.differences] == []
    assert sum(found.balances for found in findings) == CreditBalance.objects.count() > 0
