"""Staff actions on holds."""

from credits import operations
from credits.models import CreditHold
from fluxori.adminkit.formatting import format_credit_count, format_timestamp
from fluxori.console.actions.base import Action, ActionRequest, Outcome


class ReleaseHold(Action):
    """Return the credits of an open hold to the balance."""

    code, title, icon = "release", "Release a hold", "lock_open"
    permission = "console.release_hold"
    subject_model = "hold"

    def describe(self, subject: CreditHold) -> str:
        return f"Hold of {format_credit_count(subject.amount)}, until {format_timestamp(subject.expires_at)}"

    def execute(self, request: ActionRequest) -> Outcome:
        hold = operations.release_hold(hold_id=request.required_subject_id, **request.common_arguments).hold
        target = f"{format_credit_count(hold.amount)} held for {request.owner}"
        return Outcome(f"Release {target}", f"Released {target}")
