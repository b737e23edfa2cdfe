"""What staff did and asked for, and how much they may give: shape and constraints only.

Only ``fluxori.console.actions.operations`` writes acts and requests; ceilings are edited in the admin, with their history.
"""

from typing import Any
from uuid import UUID

import pgtrigger
from django.contrib.auth.models import Group
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from simple_history.models import HistoricalRecords

from credits.domain import constants as ledger
from credits.models import CreditBalance, CreditTransaction
from credits.models.constraints import append_only, inside, never, only_changes
from fluxori.console.actions import constants
from fluxori.core.ids import uuid7
from fluxori.identity.models import Organization, User

# What each act needs, as a permission on ``StaffAction``; its page, its button and its request stand behind it.
ACT_PERMISSIONS = [
    ("add_credits", "Can add credits to a balance"),
    ("adjust_credits", "Can adjust a balance up or down"),
    ("refund_usage", "Can refund a usage"),
    ("reverse_purchase", "Can reverse a purchase"),
    ("void_grant", "Can void a grant"),
    ("extend_grant", "Can extend a grant"),
    ("release_hold", "Can release a hold"),
    ("change_tier", "Can change the tier of a balance"),
    ("allocate_month", "Can allocate the month of a balance"),
    ("limit_spending", "Can set and remove limits of a balance"),
    ("suspend_spending", "Can suspend and resume the spending of a balance"),
]


class Reason(models.TextChoices):
    """Why staff act. Kept beside the note, so that acts can be counted by it."""

    GOODWILL = "goodwill", "Goodwill"
    CORRECTION = "correction", "Correction of a mistake"
    OUTAGE = "outage", "Outage or failed work"
    CHARGEBACK = "chargeback", "Chargeback"
    FRAUD = "fraud", "Fraud"
    MIGRATION = "migration", "Migration"
    CONTRACT = "contract", "Change of contract"
    OTHER = "other", "Other"


def person(*, null: bool = False) -> Any:
    """Return a reference to a member of staff, without a database constraint: the record outlives the account."""
    return models.ForeignKey(
        User, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False, null=null
    )


def subject(to: Any) -> Any:
    """Return a reference to the row of the ledger that an act was about."""
    return models.ForeignKey(
        to, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False, null=True
    )


class ManualCreditCeiling(models.Model):
    """How many credits members of a group may give by hand. Of several groups, the highest counts; of none, nothing."""

    group = models.OneToOneField(Group, on_delete=models.PROTECT, related_name="credit_ceiling")
    per_act = models.BigIntegerField(
        "credits in one act",
        validators=[MinValueValidator(0), MaxValueValidator(ledger.MAX_CREDITS)],
        help_text="Above it, the act becomes a request that a second person approves.",
    )
    per_day = models.BigIntegerField(
        "credits in one day",
        validators=[MinValueValidator(0), MaxValueValidator(ledger.MAX_CREDITS)],
        help_text="All that one person gives from midnight to midnight UTC, approved requests of others included.",
    )
    history: Any = HistoricalRecords()

    class Meta:
        ordering = ["group__name"]
        constraints = [
            models.CheckConstraint(
                name="console_ceiling_in_bounds",
                condition=Q(per_act__gte=0, per_day__gte=0, per_act__lte=ledger.MAX_CREDITS)
                & Q(per_day__lte=ledger.MAX_CREDITS),
            )
        ]

    def __str__(self) -> str:
        return f"{self.group}: {self.per_act:,} an act, {self.per_day:,} a day"


class ApprovalRequest(models.Model):
    """An act above the ceiling of whoever asks for it, kept as data until a second person decides."""

    class Status(models.TextChoices):
        PENDING = "pending", "Pending"
        APPROVED = "approved", "Approved"
        DECLINED = "declined", "Declined"
        WITHDRAWN = "withdrawn", "Withdrawn"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    act = models.CharField(max_length=32)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", db_index=False, null=True)
    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="+", db_index=False, null=True
    )
    arguments = models.JSONField(help_text="What the act was asked to do.")
    credits = models.BigIntegerField(help_text="What it would have given when it was asked for.")
    reason = models.CharField(max_length=16, choices=Reason.choices)
    note = models.TextField(max_length=constants.MAX_NOTE)
    ticket = models.CharField(max_length=constants.MAX_TICKET)
    idempotency_key = models.CharField(max_length=ledger.MAX_IDEMPOTENCY_KEY)
    asked_by = person()
    asked_at = models.DateTimeField()
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    decided_by = person(null=True)
    decided_at = models.DateTimeField(null=True)
    decision_note = models.TextField(max_length=constants.MAX_NOTE, default="")

    class Meta:
        ordering = ["-id"]
        verbose_name = "request for an act"
        verbose_name_plural = "requests for acts"
        permissions = [("approve_requests", "Can approve and decline requests of others")]
        constraints = [
            models.UniqueConstraint(name="console_request_once", fields=["asked_by", "idempotency_key"]),
            models.CheckConstraint(
                name="console_request_one_owner",
                condition=Q(user__isnull=False, organization__isnull=True)
                | Q(user__isnull=True, organization__isnull=False),
            ),
            models.CheckConstraint(
                name="console_request_decided_whole",
                condition=Q(status="pending", decided_by__isnull=True, decided_at__isnull=True)
                | Q(status__in=["approved", "declined", "withdrawn"], decided_by__isnull=False)
                & Q(decided_at__isnull=False),
            ),
            models.CheckConstraint(
                name="console_request_never_by_oneself",
                condition=~Q(status__in=["approved", "declined"]) | ~Q(decided_by=models.F("asked_by")),
            ),
        ]
        indexes = [
            models.Index(name="console_request_when", fields=["-asked_at", "-id"]),
            models.Index(name="console_request_pending", fields=["id"], condition=Q(status="pending")),
        ]
        triggers = [
            *never(pgtrigger.Delete, name="request"),
            only_changes(
                ["status", "decided_by", "decided_at", "decision_note"],
                model_fields=[
                    "id",
                    "act",
                    "user",
                    "organization",
                    "arguments",
                    "credits",
                    "reason",
                    "note",
                    "ticket",
                    "idempotency_key",
                    "asked_by",
                    "asked_at",
                    "status",
                    "decided_by",
                    "decided_at",
                    "decision_note",
                ],
                name="request",
            ),
            pgtrigger.Protect(
                name="request_once_decided_stays",
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition("OLD.status <> 'pending'"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.act} for {self.whom}"

    @property
    def whom(self) -> User | Organization:
        found = self.user or self.organization
        assert found is not None
        return found

    @property
    def owner_id(self) -> UUID:
        key = self.user_id or self.organization_id
        assert key is not None
        return key


class StaffAction(models.Model):
    """One thing a member of staff did to one balance: written once, in the database transaction of what was done.

    ``credits`` are those newly given by hand, and ``authority`` is whose ceiling they count against: the approver's
    where there is one.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    created_at = models.DateTimeField()
    actor = person()
    act = models.CharField(max_length=32)
    balance = models.ForeignKey(CreditBalance, on_delete=models.PROTECT, related_name="staff_acts", db_index=False)
    of_transaction = subject("credits.CreditTransaction")
    of_grant = subject("credits.CreditGrant")
    of_hold = subject("credits.CreditHold")
    of_limit = subject("credits.SpendingLimit")
    arguments = models.JSONField()
    reason = models.CharField(max_length=16, choices=Reason.choices)
    note = models.TextField(max_length=constants.MAX_NOTE)
    ticket = models.CharField(max_length=constants.MAX_TICKET)
    said = models.CharField(max_length=500, help_text="What was done, in a sentence.")
    before = models.JSONField(help_text="The balance before the act: counts in whole credits, tier and suspension.")
    after = models.JSONField()
    transaction = inside(CreditTransaction, "staff_acts", null=True)
    credits = models.BigIntegerField(default=0)
    authority = person()
    approver = person(null=True)
    on_request = models.OneToOneField(ApprovalRequest, on_delete=models.PROTECT, related_name="done", null=True)
    idempotency_key = models.CharField(max_length=ledger.MAX_IDEMPOTENCY_KEY)
    request_id = models.CharField(max_length=128)

    class Meta:
        ordering = ["-id"]
        default_permissions = ("view",)
        permissions = [*ACT_PERMISSIONS, ("export_csv", "Can export lists as CSV"), ("view_value", "Can see rand")]
        constraints = [
            models.UniqueConstraint(name="console_act_once", fields=["balance", "actor", "idempotency_key"]),
            models.CheckConstraint(name="console_act_credits_not_negative", condition=Q(credits__gte=0)),
            models.CheckConstraint(
                name="console_act_approved_by_another",
                condition=Q(approver__isnull=True, on_request__isnull=True, authority=models.F("actor"))
                | Q(approver__isnull=False, on_request__isnull=False, authority=models.F("approver"))
                & ~Q(approver=models.F("actor")),
            ),
        ]
        indexes = [
            models.Index(name="console_act_when", fields=["-created_at", "-id"]),
            models.Index(name="console_act_of_balance", fields=["balance", "-id"]),
            models.Index(name="console_act_by_actor", fields=["actor", "-id"]),
            models.Index(name="console_act_by_ticket", fields=["ticket"], condition=~Q(ticket="")),
            models.Index(name="console_act_given", fields=["authority", "created_at"], condition=Q(credits__gt=0)),
        ]
        triggers = append_only("act")

    def __str__(self) -> str:
        return self.said


class LoginFailures(models.Model):
    """How often a login to the admin has failed of late, by the hash of an account and an address, or of an address."""

    name = models.CharField(max_length=64, primary_key=True)
    failures = models.IntegerField()
    last_at = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.failures} until {self.last_at:%Y-%m-%d %H:%M}"


class DashboardSnapshot(models.Model):
    """How all balances stood when somebody last looked at them all, so that the first page need not.

    There is one row; ``refresh_dashboard`` writes it anew.
    """

    id = models.SmallIntegerField(primary_key=True, default=1)
    taken_at = models.DateTimeField()
    tiers = models.JSONField(help_text="How many balances each tier has, and how many have none.")
    running_out = models.JSONField(help_text="The balances that will be empty first, at the pace of thirty days.")
    late = models.JSONField(help_text="How many subscriptions wait for a month that has begun, and since when.")

    class Meta:
        default_permissions = ()
        constraints = [models.CheckConstraint(name="console_dashboardsnapshot_only_one", condition=Q(id=1))]

    def __str__(self) -> str:
        return f"As of {self.taken_at:%Y-%m-%d %H:%M}"


class SavedFilter(models.Model):
    """A filter of one list under a name, kept by a member of staff for themselves or for everybody who sees the list.

    ``query`` is what follows the ``?`` in the list's address, and nothing that says where. It goes with its owner.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+", db_index=False)
    of_list = models.CharField(max_length=100, help_text="Whose list: like credits.creditgrant.")
    name = models.CharField(max_length=constants.MAX_FILTER_NAME)
    query = models.CharField(max_length=constants.MAX_FILTER)
    shared = models.BooleanField(default=False)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(name="console_filter_named_once", fields=["owner", "of_list", "name"]),
            models.CheckConstraint(name="console_filter_says_something", condition=~Q(name="") & ~Q(query="")),
        ]
        indexes = [models.Index(name="console_filter_of_list", fields=["of_list"])]

    def __str__(self) -> str:
        return self.name
