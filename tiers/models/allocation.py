from datetime import datetime, timedelta

from django.db import models
from django.db.models import F, Q

from credits.models import CreditBalance, CreditTransaction
from credits.models.constraints import append_only
from fluxori.core.ids import uuid7
from tiers.domain import constants
from tiers.models.tier import Tier


class AllocationRun(models.Model):
    """One run of the monthly allocation: what started it, how many subscriptions were due, and the results so far.

    Every chunk updates the counts and ``seen_at``. A run with the status ``running`` whose ``seen_at`` is older than
    :attr:`HEARTBEAT_TIMEOUT` was killed. Its allocations remain valid, and the next run continues.
    """

    HEARTBEAT_TIMEOUT = timedelta(minutes=2)

    class Status(models.TextChoices):
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        STOPPED = "stopped", "Stopped"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    seen_at = models.DateTimeField(help_text="When the run last recorded its progress.")
    at = models.DateTimeField(help_text="Periods that began by this instant are due.")
    tier = models.ForeignKey(Tier, on_delete=models.PROTECT, related_name="+", null=True)
    started_by = models.CharField(max_length=255)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.RUNNING)
    due = models.BigIntegerField(default=0, help_text="Subscriptions that were due at the start of the run.")
    subscriptions = models.BigIntegerField(default=0, help_text="Subscriptions processed so far.")
    allocated = models.BigIntegerField(default=0)
    skipped = models.BigIntegerField(default=0)
    rejected = models.BigIntegerField(default=0)
    credits = models.BigIntegerField(default=0)
    rejections = models.JSONField(default=list, help_text="The first rejected subscriptions, each with the reason.")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                name="tiers_run_status_valid", condition=Q(status__in=["running", "done", "stopped"])
            )
        ]

    def __str__(self) -> str:
        return f"Run of {self.started_at:%Y-%m-%d %H:%M}"

    def interrupted(self, at: datetime) -> bool:
        """Return whether the run was killed before it could record its end."""
        return self.status == self.Status.RUNNING and at - self.seen_at > self.HEARTBEAT_TIMEOUT


class MonthlyAllocation(models.Model):
    """The allocation of one period of one balance, or the record that the period was skipped. Append-only.

    The period ``first_period + k`` of a subscription is ``[anchor + k months, anchor + k+1 months)``. ``credits`` is
    what was granted: 0 if the period was skipped, or if proration had granted everything already.
    """

    class Skipped(models.TextChoices):
        OVER = constants.SKIPPED_OVER, "The period was over, and nothing would have rolled over"
        PAUSED = constants.SKIPPED_PAUSED, "The subscription was paused when the period began"
        INACTIVE = constants.SKIPPED_INACTIVE, "The user is deactivated, or the organization is closed"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    balance = models.ForeignKey(CreditBalance, on_delete=models.PROTECT, related_name="allocations", db_index=False)
    period = models.IntegerField()
    tier = models.ForeignKey(Tier, on_delete=models.PROTECT, related_name="+", db_index=False)
    credits = models.BigIntegerField()
    skipped = models.CharField(
        max_length=16, choices=Skipped.choices, blank=True, default="", db_default="", help_text="Why, if skipped."
    )
    transaction = models.ForeignKey(
        CreditTransaction,
        on_delete=models.PROTECT,
        related_name="allocations",
        null=True,
        db_constraint=False,
        db_index=False,
    )
    run = models.ForeignKey(
        AllocationRun,
        on_delete=models.PROTECT,
        related_name="allocations",
        null=True,
        db_constraint=False,
        db_index=False,
    )
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    allocated_at = models.DateTimeField()

    class Meta:
        ordering = ["-balance_id", "-period"]
        constraints = [
            models.UniqueConstraint(name="tiers_allocation_unique_period", fields=["balance", "period"]),
            models.CheckConstraint(
                name="tiers_allocation_period_valid", condition=Q(period__gte=0, ends_at__gt=F("starts_at"))
            ),
            models.CheckConstraint(
                name="tiers_allocation_skipped_valid",
                condition=Q(skipped="") | Q(skipped__in=["over", "paused", "inactive"], credits=0),
            ),
            models.CheckConstraint(
                name="tiers_allocation_credits_have_transaction",
                condition=Q(credits__gt=0, transaction__isnull=False) | Q(credits=0, transaction__isnull=True),
            ),
        ]
        # For the admin, which lists the allocations of a run.
        indexes = [
            models.Index(name="tiers_allocation_admin_run", fields=["run", "id"], condition=Q(run__isnull=False))
        ]
        triggers = append_only("allocation")

    def __str__(self) -> str:
        return f"Period {self.period} of {self.balance_id}"
