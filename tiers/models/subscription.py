import pgtrigger
from django.db import models
from django.db.models import F, Q

from credits.models import CreditBalance, CreditTransaction
from credits.models.constraints import append_only, forbid
from fluxori.core.ids import uuid7
from tiers.models.tier import Tier


class Subscription(models.Model):
    """The tier of one balance. The primary key is the balance's id; operations lock the balance row.

    Periods are counted from ``anchor``, which never changes. ``next_period`` is the first period, from 1 on, that the
    monthly run has not processed, and ``next_allocation_at`` is the instant at which that period begins. A scheduled
    change takes effect at ``scheduled_at``, whether or not it is stored by then. ``changes`` is the number of stored
    changes. ``initial_credits`` never changes; they count toward the allocation of period 0.
    """

    class Status(models.TextChoices):
        ACTIVE = "active", "Active"
        CANCELLED = "cancelled", "Cancelled"

    balance = models.OneToOneField(
        CreditBalance, on_delete=models.PROTECT, primary_key=True, related_name="subscription"
    )
    tier = models.ForeignKey(Tier, on_delete=models.PROTECT, related_name="subscriptions")
    anchor = models.DateTimeField(help_text="When period 0 began.")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.ACTIVE)
    next_period = models.IntegerField(default=1)
    next_allocation_at = models.DateTimeField()
    scheduled_tier = models.ForeignKey(Tier, on_delete=models.PROTECT, related_name="+", null=True, blank=True)
    scheduled_at = models.DateTimeField(null=True, blank=True)
    changes = models.IntegerField(default=0)
    initial_credits = models.BigIntegerField(
        default=0, db_default=0, help_text="What the initial allocation gave for period 0."
    )
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-balance_id"]
        constraints = [
            models.CheckConstraint(
                name="tiers_subscription_status_valid", condition=Q(status__in=["active", "cancelled"])
            ),
            models.CheckConstraint(
                name="tiers_subscription_schedule_complete",
                condition=Q(scheduled_tier__isnull=True, scheduled_at__isnull=True)
                | Q(scheduled_tier__isnull=False, scheduled_at__isnull=False),
            ),
            models.CheckConstraint(
                name="tiers_subscription_next_after_anchor",
                condition=Q(next_period__gte=1, next_allocation_at__gt=F("anchor")),
            ),
            models.CheckConstraint(name="tiers_subscription_changes_not_negative", condition=Q(changes__gte=0)),
            models.CheckConstraint(
                name="tiers_subscription_initial_credits_not_negative", condition=Q(initial_credits__gte=0)
            ),
        ]
        indexes = [
            models.Index(
                name="tiers_subscription_due", fields=["balance", "next_allocation_at"], condition=Q(status="active")
            ),
        ]
        triggers = [
            pgtrigger.Protect(
                name="subscription_anchor_immutable",
                operation=pgtrigger.Update,
                condition=pgtrigger.AnyChange("anchor", "balance", "created_at", "initial_credits"),
            ),
            *forbid(pgtrigger.Delete, name="subscription"),
        ]

    def __str__(self) -> str:
        return f"{self.tier_id} of {self.balance_id}"


class TierChange(models.Model):
    """One change of tier of one balance, and the credits that proration granted for it. Append-only.

    ``number`` counts the changes of one balance from 1. ``high_credits`` is the most monthly credits of any tier held
    in the period so far, the new tier included. ``credits`` is what proration granted, or 0.
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
            models.UniqueConstraint(name="tiers_change_unique_number", fields=["balance", "number"]),
            models.CheckConstraint(name="tiers_change_numbers_in_range", condition=Q(number__gte=1, period__gte=0)),
            models.CheckConstraint(name="tiers_change_tiers_differ", condition=~Q(from_tier=F("to_tier"))),
            models.CheckConstraint(
                name="tiers_change_credits_have_transaction",
                condition=Q(credits__gt=0, transaction__isnull=False) | Q(credits=0, transaction__isnull=True),
            ),
            models.CheckConstraint(
                name="tiers_change_credits_within_high",
                condition=Q(high_credits__gte=1, credits__lte=F("high_credits")),
            ),
        ]
        triggers = append_only("change")

    def __str__(self) -> str:
        return f"{self.from_tier_id} to {self.to_tier_id} of {self.balance_id}"
