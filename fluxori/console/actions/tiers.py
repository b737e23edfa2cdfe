"""Staff actions on the tier and the monthly allocation of a balance."""

from fluxori.adminkit.formatting import format_credit_count
from fluxori.console.actions import forms
from fluxori.console.actions.base import Action, ActionRequest, Outcome
from tiers import operations, queries


class ChangeTier(Action):
    """Change the tier of a balance, now or from the next period on."""

    code, title, icon = "tier", "Change tier", "stairs"
    permission = "console.change_tier"
    form = forms.TierForm

    def execute(self, request: ActionRequest) -> Outcome:
        before = queries.tier_facts(owner=request.owner, at=request.at)
        result = operations.update_subscription_tier(
            owner=request.owner, **request.arguments, **request.common_arguments
        )
        start = "" if request.arguments["effective"] == "now" else " from the next month"
        target = f"{request.owner} to {request.arguments['tier']}{start}"
        reason = f"{request.owner} is already on {before.tier}." if before == result.tier_facts else ""
        return Outcome(f"Change {target}", f"Changed {target}", result.transaction, no_op_reason=reason)


class CancelScheduledTierChange(Action):
    """Cancel the tier change that is scheduled for the next period."""

    code, title, icon = "cancel_tier_change", "Cancel the scheduled tier change", "event_busy"
    permission = "console.change_tier"

    def execute(self, request: ActionRequest) -> Outcome:
        result = operations.cancel_scheduled_change(owner=request.owner, **request.common_arguments)
        target = f"the scheduled tier change of {request.owner}, who stays on {result.tier_facts.tier}"
        return Outcome(f"Cancel {target}", f"Cancelled {target}", result.transaction)


class AllocateMonth(Action):
    """Give a balance the credits of its tier for the current month, if they were not given yet."""

    code, title, icon = "allocate", "Allocate the month", "event_repeat"
    permission = "console.allocate_month"
    counts_toward_ceiling = False

    def execute(self, request: ActionRequest) -> Outcome:
        result = operations.add_monthly_allocation(
            owner=request.owner, reason=request.reason_label, **request.common_arguments
        )
        transaction = result.transaction if result.allocated else None
        target = f"{format_credit_count(transaction.amount if transaction else 0)} to {request.owner}"
        reason = "" if result.allocated else "This month was already allocated."
        return Outcome(f"Allocate {target}", f"Allocated {target}", transaction, no_op_reason=reason)
