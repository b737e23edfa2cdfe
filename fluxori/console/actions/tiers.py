"""Staff actions on the tier and the monthly allocation of a balance."""

from fluxori.adminkit.formatting import format_credit_count, format_timestamp
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
    """Cancel the tier change or the end that is scheduled for the next period."""

    code, title, icon = "cancel_tier_change", "Cancel what is scheduled", "event_busy"
    permission = "console.change_tier"

    def execute(self, request: ActionRequest) -> Outcome:
        pending = queries.tier_facts(owner=request.owner, at=request.at).pending_tier
        result = operations.cancel_scheduled_change(owner=request.owner, **request.common_arguments)
        what = "end of the subscription" if pending and pending.tier is None else "tier change"
        target = f"the scheduled {what} of {request.owner}, who stays on {result.tier_facts.tier}"
        return Outcome(f"Cancel {target}", f"Cancelled {target}", result.transaction)


class EndSubscription(Action):
    """End the subscription of a balance, now or when the current month ends."""

    code, title, icon = "end_subscription", "End the subscription", "event_busy"
    permission = "console.change_tier"
    form = forms.EndForm

    def execute(self, request: ActionRequest) -> Outcome:
        result = operations.end_subscription(
            owner=request.owner, reason=request.reason_label, **request.arguments, **request.common_arguments
        )
        pending = result.tier_facts.pending_tier
        when = f" on {format_timestamp(pending.at)}" if pending else ""
        target = f"the subscription of {request.owner}{when}"
        return Outcome(f"End {target}", f"Ended {target}")


class PauseSubscription(Action):
    """Pause the monthly allocations of a balance."""

    code, title, icon = "pause_subscription", "Pause the subscription", "pause_circle"
    permission = "console.change_tier"

    def execute(self, request: ActionRequest) -> Outcome:
        operations.pause_subscription(owner=request.owner, reason=request.reason_label, **request.common_arguments)
        target = f"the subscription of {request.owner}"
        return Outcome(f"Pause {target}", f"Paused {target}")


class ResumeSubscription(Action):
    """Resume the monthly allocations of a balance. Nothing is given for the months that were skipped."""

    code, title, icon = "resume_subscription", "Resume the subscription", "play_circle"
    permission = "console.change_tier"

    def execute(self, request: ActionRequest) -> Outcome:
        result = operations.resume_subscription(
            owner=request.owner, reason=request.reason_label, **request.common_arguments
        )
        target = f"the subscription of {request.owner}"
        next_at = result.tier_facts.next_allocation_at
        facts = [("Next allocation", format_timestamp(next_at))] if next_at else []
        return Outcome(f"Resume {target}", f"Resumed {target}", facts=facts)


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
        reason = "" if result.allocated else "This month was already allocated, or is skipped."
        return Outcome(f"Allocate {target}", f"Allocated {target}", transaction, no_op_reason=reason)
