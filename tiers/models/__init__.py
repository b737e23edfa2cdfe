"""Who is promised what: shape and constraints, nothing else. Only ``tiers.operations`` writes subscriptions."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pgtrigger
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q
from simple_history.models import HistoricalRecords

from credits.domain import constants
from credits.models import CreditBalance, CreditTransaction
from credits.models.constraints import append_only, never
from fluxori.core.ids import uuid7

MAX_CAP_PERCENT = 1000
MAX_ROLLED_MONTHS = 120


class Tier(models.Model):
    """What a subscription promises each month. Its code is its name for ever.

    Under ``capped`` at least one cap stands, in whole credits or in percent of the monthly credits; elsewhere none.
    """

    class Rollover(models.TextChoices):
        UNLIMITED = "unlimited", "Unlimited: allocated credits stay"
        CAPPED = "capped", "Capped: up to the cap they roll over when their period ends"
        NONE = "none", "None: a period's credits expire when it ends"

    code = models.CharField(
        max_length=64,
        primary_key=True,
        validators=[RegexValidator(r"^[a-z0-9]+(-[a-z0-9]+)*$", "Lower-case words joined by hyphens.")],
        help_text="Lower-case words joined by hyphens, like explorer. It never changes.",
    )
    name = models.CharField(max_length=100)
    monthly_credits = models.BigIntegerField(
        validators=[MinValueValidator(1), MaxValueValidator(constants.MAX_CREDITS)],
        help_text="Whole credits granted for each month.",
    )
    price_min = models.DecimalField(
        "lowest monthly price",
        max_digits=12,
        decimal_places=2,
        validators=[MinValueValidator(Decimal(0))],
        help_text="In rand.",
    )
    price_max = models.DecimalField(
        "highest monthly price",
        max_digits=12,
        decimal_places=2,
        validators=[MinValueValidator(Decimal(0))],
        help_text="In rand.",
    )
    rollover = models.CharField(
        max_length=16,
        choices=Rollover.choices,
        default=Rollover.UNLIMITED,
        help_text="What becomes of a period's unspent credits. A change touches later grants only.",
    )
    rollover_cap_credits = models.BigIntegerField(
        "cap in credits",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(constants.MAX_CREDITS)],
        help_text="The most whole credits that may be rolled over at a time. Of two caps the smaller counts.",
    )
    rollover_cap_percent = models.IntegerField(
        "cap in percent",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_CAP_PERCENT)],
        help_text="The same as a share of the monthly credits, rounded down.",
    )
    rollover_months = models.IntegerField(
        "rolled credits last",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_ROLLED_MONTHS)],
        help_text="Months from the end of their period; for ever where nothing stands.",
    )
    is_public = models.BooleanField("public", default=True, help_text="Whether the API lists it.")
    history: Any = HistoricalRecords()

    class Meta:
        ordering = ["monthly_credits", "code"]
        constraints = [
            models.CheckConstraint(
                name="tiers_tier_credits_in_bounds",
                condition=Q(monthly_credits__gte=1, monthly_credits__lte=constants.MAX_CREDITS),
            ),
            models.CheckConstraint(
                name="tiers_tier_price_is_a_range", condition=Q(price_min__gte=0, price_max__gte=F("price_min"))
            ),
            models.CheckConstraint(
                name="tiers_tier_rollover_known", condition=Q(rollover__in=["unlimited", "capped", "none"])
            ),
            models.CheckConstraint(
                name="tiers_tier_capped_has_a_cap",
                condition=Q(rollover="capped")
                & (Q(rollover_cap_credits__isnull=False) | Q(rollover_cap_percent__isnull=False))
                | ~Q(rollover="capped")
                & Q(
                    rollover_cap_credits__isnull=True,
                    rollover_cap_percent__isnull=True,
                    rollover_months__isnull=True,
                ),
            ),
            models.CheckConstraint(
                name="tiers_tier_caps_in_bounds",
                condition=(
                    Q(rollover_cap_credits__isnull=True)
                    | Q(rollover_cap_credits__gte=1, rollover_cap_credits__lte=constants.MAX_CREDITS)
                )
                & (
                    Q(rollover_cap_percent__isnull=True)
                    | Q(rollover_cap_percent__gte=1, rollover_cap_percent__lte=MAX_CAP_PERCENT)
                )
                & (Q(rollover_months__isnull=True) | Q(rollover_months__gte=1, rollover_months__lte=MAX_ROLLED_MONTHS)),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class RecoveryCost(models.Model):
    """What serving one credit costs us, in rand, from an instant on. Dated, never overwritten; for staff only."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    rand_per_credit = models.DecimalField(
        max_digits=12, decimal_places=6, validators=[MinValueValidator(Decimal(0))], help_text="In rand."
    )
    effective_from = models.DateTimeField(unique=True)
    history: Any = HistoricalRecords()

    class Meta:
        ordering = ["-effective_from"]
        triggers = [
            pgtrigger.Protect(
                name="cost_once_begun_stays",
                operation=pgtrigger.Update | pgtrigger.Delete,
                condition=pgtrigger.Condition("OLD.effective_from <= now()"),
            )
        ]

    def __str__(self) -> str:
        return f"R{self.rand_per_credit} from {self.effective_from:%Y-%m-%d}"


class Subscription(models.Model):
    """The tier of one balance. Its key is the balance's id, and the balance's lock is its lock.

    Periods are counted from ``anchor``, which never moves. ``next_period`` is the first period, from 1 on, that the
    monthly run has not yet looked after, and ``next_allocation_at`` the instant at which that period begins.
    A scheduled change takes effect at ``scheduled_at``, whether or not it is written by then; ``changes`` counts those
    that are.
    """

    class Status(models.TextChoices):
        ACTIVE = "active", "Active"
        CANCELLED = "cancelled", "Cancelled"

    balance = models.OneToOneField(
        CreditBalance, on_delete=models.PROTECT, primary_key=True, related_name="subscription"
    )
    tier = models.ForeignKey(Tier, on_delete=models.PROTECT, related_name="subscriptions")
    anchor = models.DateTimeField(help_text="The instant at which period 0 began.")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.ACTIVE)
    next_period = models.IntegerField(default=1)
    next_allocation_at = models.DateTimeField()
    scheduled_tier = models.ForeignKey(Tier, on_delete=models.PROTECT, related_name="+", null=True, blank=True)
    scheduled_at = models.DateTimeField(null=True, blank=True)
    changes = models.IntegerField(default=0)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-balance_id"]
        constraints = [
            models.CheckConstraint(
                name="tiers_subscription_status_known", condition=Q(status__in=["active", "cancelled"])
            ),
            models.CheckConstraint(
                name="tiers_subscription_schedule_whole",
                condition=Q(scheduled_tier__isnull=True, scheduled_at__isnull=True)
                | Q(scheduled_tier__isnull=False, scheduled_at__isnull=False),
            ),
            models.CheckConstraint(
                name="tiers_subscription_next_after_anchor",
                condition=Q(next_period__gte=1, next_allocation_at__gt=F("anchor")),
            ),
            models.CheckConstraint(name="tiers_subscription_changes_counted", condition=Q(changes__gte=0)),
        ]
        indexes = [
            models.Index(
                name="tiers_subscription_due", fields=["balance", "next_allocation_at"], condition=Q(status="active")
            ),
        ]
        triggers = [
            pgtrigger.Protect(
                name="subscription_anchor_stays",
                operation=pgtrigger.Update,
                condition=pgtrigger.AnyChange("anchor", "balance", "created_at"),
            ),
            *never(pgtrigger.Delete, name="subscription"),
        ]

    def __str__(self) -> str:
        return f"{self.tier_id} of {self.balance_id}"


class TierChange(models.Model):
    """That one balance left one tier for another at an instant, and what proration gave for it. Written once.

    ``number`` counts the changes of one balance, 1, 2, 3. ``high_credits`` is the most monthly credits that its period
    has known so far, this change included; ``credits`` is what proration granted, 0 where it granted nothing.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    balance = models.ForeignKey(CreditBalance, on_delete=models.PROTECT, related_name="tier_changes", db_index=False)
    number = models.IntegerField()
    period = models.IntegerField()
    at = models.DateTimeField()
    from_tier = models.ForeignKey(Tier, on_delete=models.PROTECT, related_name="+", db_index=False)
    to_tier = models.ForeignKey(Tier, on_delete=models.PROTECT, related_name="+", db_index=False)
    high_credits = models.BigIntegerField()
    credits = models.BigIntegerField(default=0)
    transaction = models.ForeignKey(
        CreditTransaction,
        on_delete=models.PROTECT,
        related_name="tier_changes",
        null=True,
        db_constraint=False,
        db_index=False,
    )

    class Meta:
        ordering = ["-balance_id", "-number"]
        constraints = [
            models.UniqueConstraint(name="tiers_change_numbered", fields=["balance", "number"]),
            models.CheckConstraint(name="tiers_change_counts", condition=Q(number__gte=1, period__gte=0)),
            models.CheckConstraint(name="tiers_change_changes", condition=~Q(from_tier=F("to_tier"))),
            models.CheckConstraint(
                name="tiers_change_credits_have_transaction",
                condition=Q(credits__gt=0, transaction__isnull=False) | Q(credits=0, transaction__isnull=True),
            ),
            models.CheckConstraint(
                name="tiers_change_gives_no_more_than_the_highest",
                condition=Q(high_credits__gte=1, credits__lte=F("high_credits")),
            ),
        ]
        triggers = append_only("change")

    def __str__(self) -> str:
        return f"{self.from_tier_id} to {self.to_tier_id} of {self.balance_id}"


class AllocationRun(models.Model):
    """One run of the monthly allocation: by whom or what, what was due, and what came of it.

    Its counts are brought up to date with every chunk, and so is ``seen_at``. A run that says it is running and was not
    seen for :attr:`PATIENCE` was killed; what it gave stays, and the next run goes on.
    """

    PATIENCE = timedelta(minutes=2)

    class Status(models.TextChoices):
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        STOPPED = "stopped", "Stopped"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    seen_at = models.DateTimeField(help_text="When it last said how far it was.")
    at = models.DateTimeField(help_text="The instant up to which periods were due.")
    tier = models.ForeignKey(Tier, on_delete=models.PROTECT, related_name="+", null=True)
    started_by = models.CharField(max_length=255)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.RUNNING)
    due = models.BigIntegerField(default=0, help_text="Subscriptions that were due when it began.")
    subscriptions = models.BigIntegerField(default=0, help_text="Subscriptions looked after so far.")
    allocated = models.BigIntegerField(default=0)
    skipped = models.BigIntegerField(default=0)
    refused = models.BigIntegerField(default=0)
    credits = models.BigIntegerField(default=0)
    refusals = models.JSONField(default=list, help_text="The first refused subscriptions, each with its reason.")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                name="tiers_run_status_known", condition=Q(status__in=["running", "done", "stopped"])
            )
        ]

    def __str__(self) -> str:
        return f"Run of {self.started_at:%Y-%m-%d %H:%M}"

    def interrupted(self, at: datetime) -> bool:
        """Return whether the run was killed before it could say how it ended."""
        return self.status == self.Status.RUNNING and at - self.seen_at > self.PATIENCE


class MonthlyAllocation(models.Model):
    """That one balance was given its credits for one period, or that a missed period was skipped. Written once.

    ``period`` k is ``[anchor + k months, anchor + k+1 months)``. ``credits`` is what was granted, 0 where skipped or
    where proration had already given it all.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    balance = models.ForeignKey(CreditBalance, on_delete=models.PROTECT, related_name="allocations", db_index=False)
    period = models.IntegerField()
    tier = models.ForeignKey(Tier, on_delete=models.PROTECT, related_name="+", db_index=False)
    credits = models.BigIntegerField()
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
            models.UniqueConstraint(name="tiers_allocation_once", fields=["balance", "period"]),
            models.CheckConstraint(
                name="tiers_allocation_period_whole", condition=Q(period__gte=0, ends_at__gt=F("starts_at"))
            ),
            models.CheckConstraint(
                name="tiers_allocation_credits_have_transaction",
                condition=Q(credits__gt=0, transaction__isnull=False) | Q(credits=0, transaction__isnull=True),
            ),
        ]
        # For the desk, which asks what a run gave.
        indexes = [models.Index(name="tiers_allocation_of_run", fields=["run", "id"], condition=Q(run__isnull=False))]
        triggers = append_only("allocation")

    def __str__(self) -> str:
        return f"Period {self.period} of {self.balance_id}"
