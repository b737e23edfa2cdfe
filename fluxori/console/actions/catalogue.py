"""All staff actions, by code.

To add one, declare it in the module of its subject, list it here, and add its permission to
``models.ACTION_PERMISSIONS`` and to the groups of staff.
"""

from typing import Any

from fluxori.console.actions.base import Action
from fluxori.console.actions.credits import AddCredits, AdjustCredits, RefundUsage, ReversePurchase, TransferCredits
from fluxori.console.actions.grants import ExtendGrant, VoidGrant
from fluxori.console.actions.holds import ReleaseHold
from fluxori.console.actions.limits import RemoveLimit, SetLimit
from fluxori.console.actions.spending import ResumeSpending, SuspendSpending
from fluxori.console.actions.tiers import (
    AllocateMonth,
    CancelScheduledTierChange,
    ChangeTier,
    EndSubscription,
    PauseSubscription,
    ResumeSubscription,
)

ACTIONS: dict[str, Action] = {
    action.code: action
    for action in (
        AddCredits(),
        AdjustCredits(),
        TransferCredits(),
        RefundUsage(),
        ReversePurchase(),
        VoidGrant(),
        ExtendGrant(),
        ReleaseHold(),
        ChangeTier(),
        CancelScheduledTierChange(),
        EndSubscription(),
        PauseSubscription(),
        ResumeSubscription(),
        AllocateMonth(),
        SetLimit(),
        RemoveLimit(),
        SuspendSpending(),
        ResumeSpending(),
    )
}


def allowed_actions(staff: Any) -> dict[str, bool]:
    """Return for each action, by code, whether a member of staff has its permission."""
    return {code: staff.has_perm(action.permission) for code, action in ACTIONS.items()}
