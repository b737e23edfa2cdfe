from django.db import models
from django.db.models import Q

from credits.models.balance import CreditBalance
from credits.models.constraints import outside
from fluxori.core.ids import uuid7
from fluxori.identity.models import User


class RejectedAttempt(models.Model):
    """How often spending from one balance was refused in one hour, for one reason and one feature.

    No part of the ledger, which a refusal leaves as it was: a count for the support desk, written once the refused
    operation is over, and lost if that fails. ``feature`` is empty where an amount was asked for. ``actor``, ``member``
    and ``facts`` are those of the last attempt.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    balance = models.ForeignKey(CreditBalance, on_delete=models.PROTECT, related_name="refused", db_index=False)
    hour = models.DateTimeField(help_text="The hour's first instant.")
    code = models.CharField(max_length=64)
    feature = models.CharField(max_length=64, blank=True)
    count = models.BigIntegerField()
    last_at = models.DateTimeField()
    actor = outside(User)
    member = outside(User)
    facts = models.JSONField(default=dict, help_text="The numbers that led to the refusal.")

    class Meta:
        ordering = ["-id"]
        constraints = [
            # The bound: however often somebody asks, an hour keeps one row for each reason and feature.
            models.UniqueConstraint(name="credits_refused_once_an_hour", fields=["balance", "hour", "code", "feature"]),
            models.CheckConstraint(name="credits_refused_counts_something", condition=Q(count__gte=1)),
        ]
        indexes = [
            # For the desk. By the hour, which stays: each further attempt moves ``last_at``, and would move its entry.
            models.Index(name="credits_refused_desk_time", fields=["hour", "id"]),
            models.Index(name="credits_refused_desk_code", fields=["code", "hour", "id"]),
        ]

    def __str__(self) -> str:
        return f"{self.code}, {self.count} times"
