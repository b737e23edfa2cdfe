"""Tables of the console: staff actions, approval requests, ceilings, saved filters and the dashboard snapshot.

The models define columns and constraints only. Operations write staff actions and approval requests; ceilings are
edited in the admin, with their history.
"""

from fluxori.console.models.actions import ACTION_PERMISSIONS, StaffAction
from fluxori.console.models.approvals import ApprovalRequest
from fluxori.console.models.ceilings import ManualCreditCeiling
from fluxori.console.models.dashboard import DashboardSnapshot
from fluxori.console.models.fields import Reason
from fluxori.console.models.saved_filters import SavedFilter

__all__ = [
    "ACTION_PERMISSIONS",
    "ApprovalRequest",
    "DashboardSnapshot",
    "ManualCreditCeiling",
    "Reason",
    "SavedFilter",
    "StaffAction",
]
