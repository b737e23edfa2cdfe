from django.db import models
from django.db.models import Q

from credits.models.balance import CreditBalance
from credits.models.constraints import unconstrained_fk
from fluxori.core.ids import uuid7
from fluxori.identity.models import User


class RejectedAttempt(models.Model):
    """How often spending from one balance was rejected in one hour, for one reason and one feature.

    These counters are for support and are not part of the ledger. They are written after the rejected operation has
    rolled back; if that write fails, the count is lost. ``feature`` is empty where the request named an amount.
    ``actor``, ``member`` and ``facts`` are those of the last attempt.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    balance = models.ForeignKey(
        CreditBalance, on_delete=models.PROTECT, related_name="rejected_attempts", db_index=False
    )
    hour = models.DateTimeField(help_text="The start of the hour.")
    code = models.CharField(max_length=64)
    feature = models.CharField(max_length=64, blank=True)
    count = models.BigIntegerField()
    last_at = models.DateTimeField()
    actor = unconstrained_fk(User)
    member = unconstrained_fk(User)
    facts = models.JSONField(default=dict, help_text="The numbers that the rejection is based on.")

    class Meta:
        ordering = ["-id"]
        constraints = [
            # Bounds the table: one row per hour, reason and feature, however many attempts there are.
            models.UniqueConstraint(name="credits_rejected_unique_hour", fields=["balance", "hour", "code", "feature"]),
            models.CheckConstraint(name="credits_rejected_count_positive", condition=Q(count__gte=1)),
        ]
        indexes = [
            # For the admin. Ordered by the hour, which is constant; each further attempt changes ``last_at``.
            models.Index(name="credits_rejected_admin_time", fields=["hour", "id"]),
            models.Index(name="credits_rejected_admin_code", fields=["code", "hour", "id"]),
        ]

    def __str__(self) -> str:
        return f"{self.code}, {self.count} times"
