"""Staff actions that suspend and resume the spending of a balance."""

from credits import operations, queries
from fluxori.console.actions.base import Action, ActionRequest, Outcome


class SuspendSpending(Action):
    """Stop all spending from a balance."""

    code, title, icon = "suspend", "Suspend spending", "pause_circle"
    permission = "console.suspend_spending"

    def execute(self, request: ActionRequest) -> Outcome:
        before = queries.find_balance(request.owner)
        operations.suspend_spending(owner=request.owner, **request.common_arguments)
        reason = "Spending is already suspended." if before and before.suspended_at else ""
        target = f"spending of {request.owner}"
        return Outcome(f"Suspend {target}", f"Suspended {target}", no_op_reason=reason)


class ResumeSpending(Action):
    """Allow spending from a suspended balance again."""

    code, title, icon = "resume", "Resume spending", "play_circle"
    permission = "console.suspend_spending"

    def execute(self, request: ActionRequest) -> Outcome:
        before = queries.find_balance(request.owner)
        operations.resume_spending(owner=request.owner, **request.common_arguments)
        reason = "Spending is not suspended." if before and not before.suspended_at else ""
        target = f"spending of {request.owner}"
        return Outcome(f"Resume {target}", f"Resumed {target}", no_op_reason=reason)
