import pgtrigger
from django.conf import settings
from django.db import models
from django.db.models import F, Q

from credits.domain.constants import MAX_REASON
from credits.models import CreditBalance, CreditTransaction
from credits.models.constraints import append_only, forbid, unconstrained_fk
from fluxori.core.ids import uuid7
from tiers.domain import constants
from tiers.domain.subscription_timeline import ACTIVE, ENDED
from tiers.models.tier import Tier


class Subscription(models.Model):
    """The tier of one balance. The primary key is the balance's id; operations lock the balance row.

    Period ``first_period`` begins at ``anchor``. ``next_period`` is the first period after it that the monthly run has
    not processed, and ``next_allocation_at`` is the instant at which that period begins. What is scheduled takes effect
    at ``scheduled_at``, whether or not it is stored by then: a change to ``scheduled_tier``, or the end if that is
    empty. A period that begins at ``paused_at`` or later is skipped. ``changes`` is the number of stored entries of the
    history. ``initial_credits`` and ``overlap_credits`` count toward the allocation of the first period.

    An ended subscription never changes, except that it starts again with a later anchor. :class:`PastSubscription` then
    keeps the earlier terms, and the numbers of the periods go on.
    """

    class Status(models.TextChoices):
        ACTIVE = ACTIVE, "Active"
        ENDED = ENDED, "Ended"

    balance = models.OneToOneField(
        CreditBalance, on_delete=models.PROTECT, primary_key=True, related_name="subscription"
    )
    tier = models.ForeignKey(Tier, on_delete=models.PROTECT, related_name="subscriptions")
    anchor = models.DateTimeField(help_text="When the first period began.")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.ACTIVE)
    first_period = models.IntegerField(default=0, db_default=0, help_text="The number of the period at the anchor.")
    next_period = models.IntegerField(default=1)
    next_allocation_at = models.DateTimeField()
    scheduled_tier = models.ForeignKey(Tier, on_delete=models.PROTECT, related_name="+", null=True, blank=True)
    scheduled_at = models.DateTimeField(null=True, blank=True)
    scheduled_by = unconstrained_fk(settings.AUTH_USER_MODEL)
    scheduled_reason = models.CharField(max_length=MAX_REASON, blank=True, default="", db_default="")
    paused_at = models.DateTimeField(null=True, help_text="Periods from this instant on are skipped.")
    ended_at = models.DateTimeField(null=True)
    changes = models.IntegerField(default=0)
    initial_credits = models.BigIntegerField(
        default=0, db_default=0, help_text="What the initial allocation gave for the first period."
    )
    overlap_credits = models.BigIntegerField(
        default=0,
        db_default=0,
        help_text="What was given for the periods of an earlier subscription that overlap the first period.",
    )
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-balance_id"]
        constraints = [
            models.CheckConstraint(
                name="tiers_subscription_status_valid",
                condition=Q(status="active", ended_at__isnull=True)
                | Q(status="ended", ended_at__gte=F("anchor"), scheduled_at__isnull=True),
            ),
            models.CheckConstraint(
                name="tiers_subscription_schedule_complete",
                condition=Q(scheduled_at__isnull=False)
                | Q(scheduled_tier__isnull=True, scheduled_by__isnull=True, scheduled_reason=""),
            ),
            models.CheckConstraint(
                name="tiers_subscription_next_after_anchor",
                condition=Q(first_period__gte=0, next_period__gt=F("first_period"), next_allocation_at__gt=F("anchor")),
            ),
            models.CheckConstraint(name="tiers_subscription_changes_not_negative", condition=Q(changes__gte=0)),
            models.CheckConstraint(
                name="tiers_subscription_initial_credits_not_negative",
                condition=Q(initial_credits__gte=0, overlap_credits__gte=0),
            ),
            models.CheckConstraint(
                name="tiers_subscription_paused_after_anchor",
                condition=Q(paused_at__isnull=True) | Q(paused_at__gte=F("anchor")),
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
                condition=pgtrigger.Condition(
                    "OLD.balance_id IS DISTINCT FROM NEW.balance_id OR OLD.created_at IS DISTINCT FROM NEW.created_at"
                    " OR OLD.status = 'active' AND"
                    " (OLD.anchor, OLD.first_period, OLD.initial_credits, OLD.overlap_credits) IS DISTINCT FROM"
                    " (NEW.anchor, NEW.first_period, NEW.initial_credits, NEW.overlap_credits)"
                ),
            ),
            pgtrigger.Protect(
                name="subscription_end_is_final",
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition(
                    "OLD.status = 'ended' AND NOT (NEW.status = 'active' AND NEW.first_period >= OLD.next_period"
                    " AND NEW.anchor >= OLD.ended_at)"
                ),
            ),
            *forbid(pgtrigger.Delete, name="subscription"),
        ]

    def __str__(self) -> str:
        return f"{self.tier_id} of {self.balance_id}"


class PastSubscription(models.Model):
    """The terms of a subscription that ended, kept when the balance was subscribed again. Append-only.

    Its periods are ``first_period`` to ``next_period - 1``, counted from ``anchor``.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    balance = models.ForeignKey(
        CreditBalance, on_delete=models.PROTECT, related_name="past_subscriptions", db_index=False
    )
    tier = models.ForeignKey(Tier, on_delete=models.PROTECT, related_name="+", db_index=False)
    anchor = models.DateTimeField()
    first_period = models.IntegerField()
    next_period = models.IntegerField()
    initial_credits = models.BigIntegerField()
    overlap_credits = models.BigIntegerField()
    ended_at = models.DateTimeField()

    class Meta:
        ordering = ["-balance_id", "-first_period"]
        constraints = [
            models.UniqueConstraint(name="tiers_past_unique_first_period", fields=["balance", "first_period"]),
            models.CheckConstraint(
                name="tiers_past_terms_valid",
                condition=Q(
                    first_period__gte=0,
                    next_period__gt=F("first_period"),
                    ended_at__gte=F("anchor"),
                    initial_credits__gte=0,
                    overlap_credits__gte=0,
                ),
            ),
        ]
        triggers = append_only("past")

    def __str__(self) -> str:
        return f"{self.tier_id} of {self.balance_id}, periods {self.first_period} to {self.next_period - 1}"


class TierChange(models.Model):
    """One entry in the history of the subscription of one balance. Append-only.

    A ``change`` leads from one tier to another; ``credits`` is what proration granted for it, and ``high_credits`` the
    most monthly credits of any tier held in the period so far, the new tier included. A ``pause`` and a ``resume`` keep
    the tier, an ``end`` has no tier after it, and the ``start`` of a later subscription none before it. ``number``
    counts the entries of one balance from 1. ``actor`` requested the entry, also one that was scheduled.
    """

    class Kind(models.TextChoices):
        CHANGE = constants.KIND_CHANGE, "Change"
        START = constants.KIND_START, "Start"
        END = constants.KIND_END, "End"
        PAUSE = constants.KIND_PAUSE, "Pause"
        RESUME = constants.KIND_RESUME, "Resume"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    balance = models.ForeignKey(CreditBalance, on_delete=models.PROTECT, related_name="tier_changes", db_index=False)
    number = models.IntegerField()
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.CHANGE, db_default=Kind.CHANGE)
    period = models.IntegerField()
    at = models.DateTimeField()
    from_tier = models.ForeignKey(Tier, on_delete=models.PROTECT, related_name="+", db_index=False, null=True)
    to_tier = models.ForeignKey(Tier, on_delete=models.PROTECT, related_name="+", db_index=False, null=True)
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
    actor = unconstrained_fk(settings.AUTH_USER_MODEL)
    reason = models.CharField(max_length=MAX_REASON, blank=True, default="", db_default="")

    class Meta:
        ordering = ["-balance_id", "-number"]
        constraints = [
            models.UniqueConstraint(name="tiers_change_unique_number", fields=["balance", "number"]),
            models.CheckConstraint(name="tiers_change_numbers_in_range", condition=Q(number__gte=1, period__gte=0)),
            models.CheckConstraint(
                name="tiers_change_tiers_match_kind",
                condition=Q(kind="change", from_tier__isnull=False, to_tier__isnull=False) & ~Q(from_tier=F("to_tier"))
                | Q(kind="start", from_tier__isnull=True, to_tier__isnull=False)
                | Q(kind="end", from_tier__isnull=False, to_tier__isnull=True)
                | Q(kind__in=["pause", "resume"], from_tier=F("to_tier")),
            ),
            models.CheckConstraint(
                name="tiers_change_credits_have_transaction",
                condition=Q(credits__gt=0, transaction__isnull=False, kind="change")
                | Q(credits=0, transaction__isnull=True),
            ),
            models.CheckConstraint(
                name="tiers_change_credits_within_high",
                condition=Q(high_credits__gte=1, credits__lte=F("high_credits")),
            ),
        ]
        triggers = append_only("change")

    def __str__(self) -> str:
        return f"{self.from_tier_id or 'none'} to {self.to_tier_id or 'none'} of {self.balance_id}"
