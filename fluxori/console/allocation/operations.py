"""Retrying the rejected subscriptions of a run on behalf of a member of staff."""

from fluxori.console.actions.execution import check_permission
from fluxori.identity.models import User
from tiers import operations
from tiers.models import AllocationRun

RETRY_RUNS = "console.allocate_month"


def retry_run(*, run: AllocationRun, actor: User) -> AllocationRun:
    """Process the rejected subscriptions of a run again, as a new run at the same instant.

    :raises StaffPermissionError: the actor may not allocate months
    """
    check_permission(actor, RETRY_RUNS)
    return operations.rerun_rejected(run=run, started_by=str(actor))
