"""The precomputed part of the dashboard."""

from django.db import models
from django.db.models import Q


class DashboardSnapshot(models.Model):
    """Figures over all balances and subscriptions, which are too slow to compute for each view of the dashboard.

    There is one row. The command ``refresh_dashboard`` replaces it.
    """

    id = models.SmallIntegerField(primary_key=True, default=1)
    taken_at = models.DateTimeField()
    tiers = models.JSONField(help_text="The number of balances on each tier, and of those without a tier.")
    running_out = models.JSONField(help_text="The balances that run out first, at the rate of the last thirty days.")
    late = models.JSONField(help_text="The number of overdue monthly allocations, and the time of the oldest.")

    class Meta:
        default_permissions = ()
        constraints = [models.CheckConstraint(name="console_dashboardsnapshot_single_row", condition=Q(id=1))]

    def __str__(self) -> str:
        return f"As of {self.taken_at:%Y-%m-%d %H:%M}"
