import pgtrigger
from django.db import models

from credits.domain import constants
from credits.models.balance import CreditBalance
from credits.models.constraints import append_only
from fluxori.core.ids import uuid7


class BalanceRepair(models.Model):
    """One repair of a balance from its history: why, what changed, and when. The owner of the tables writes it.

    ``before`` and ``after`` list the changed columns as objects with ``row``, ``id``, ``column`` and ``value``.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    balance = models.ForeignKey(CreditBalance, on_delete=models.PROTECT, related_name="repairs", db_index=False)
    reason = models.CharField(max_length=constants.MAX_REASON)
    before = models.JSONField()
    after = models.JSONField()
    at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(name="credits_repair_by_balance", fields=["balance", "id"])]
        # The rejection of INSERT keeps the privilege from the application; ``rebuild_balance`` ignores this trigger.
        triggers = [*append_only("repair"), pgtrigger.Protect(name="repair_by_owner", operation=pgtrigger.Insert)]

    def __str__(self) -> str:
        return f"Repair at {self.at:%Y-%m-%d %H:%M}"
