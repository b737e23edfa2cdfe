import signal
import time

import pytest

from tests.support.factories.tiers import make_subscribed_balances, month, periods_of
from tests.support.processes import PATIENCE, start_python
from tests.support.threads import hold_lock
from tests.support.tier_tables import check_ledger
from tiers.models import AllocationRun, MonthlyAllocation

CHUNK = 10


def start():
    return start_python("manage.py", "allocate_monthly_credits", "--at", month(2).isoformat(), "--chunk", str(CHUNK))


def wait_for(given):
    """Wait until so many months have been committed, and the run has noted those it gave."""
    patience = time.monotonic() + PATIENCE
    while MonthlyAllocation.objects.count() < given or not AllocationRun.objects.filter(allocated=given).exists():
        assert time.monotonic() < patience
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
class TestAllocateMonthlyCreditsKilled:
    def test_next_run_completes_a_killed_run_and_allocates_each_period_once(self):
        balances = sorted(make_subscribed_balances(200), key=lambda balance: balance.pk)

        # It comes to a stand in the middle of the eleventh and twelfth chunk, their transactions open, and dies there.
        with hold_lock(balances[105]), hold_lock(balances[115]):
            killed = start()
            wait_for(2 * 100)
            killed.send_signal(signal.SIGKILL)
            killed.communicate(timeout=PATIENCE)
        given = [len(periods_of(balance)) for balance in balances]
        resumed = start()
        output, _ = resumed.communicate(timeout=PATIENCE)

        assert (killed.returncode, resumed.returncode) == (-signal.SIGKILL, 0), output
        assert given == [2] * 100 + [0] * 100
        assert [periods_of(balance) for balance in balances] == [[(1, 400), (2, 400)]] * 200
        assert list(AllocationRun.objects.order_by("started_at").values_list("status", "allocated")) == [
            ("running", 200),
            ("done", 200),
        ]
        check_ledger()
