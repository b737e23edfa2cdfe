"""Approval requests: staff actions above a ceiling, stored until a second person decides."""

from uuid import UUID

import pgtrigger
from django.db import models
from django.db.models import Q

from credits.domain import constants as ledger
from credits.models.constraints import forbid, immutable_except
from fluxori.console.actions import constants
from fluxori.console.models.fields import Reason, staff_reference
from fluxori.core.ids import uuid7
from fluxori.identity.models import Organization, User


class ApprovalRequest(models.Model):
    """A staff action that exceeds the ceiling of the requester. A second person approves or declines it.

    The database enforces that the requester does not decide and that a decision is final.
    """

    class Status(models.TextChoices):
        PENDING = "pending", "Pending"
        APPROVED = "approved", "Approved"
        DECLINED = "declined", "Declined"
        WITHDRAWN = "withdrawn", "Withdrawn"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    action = models.CharField(max_length=32)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", db_index=False, null=True)
    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="+", db_index=False, null=True
    )
    arguments = models.JSONField(help_text="The arguments of the staff action.")
    credits = models.BigIntegerField(help_text="The credits that the action would have given at the time of request.")
    reason = models.CharField(max_length=16, choices=Reason.choices)
    note = models.TextField(max_length=constants.MAX_NOTE_LENGTH)
    ticket = models.CharField(max_length=constants.MAX_TICKET_LENGTH)
    idempotency_key = models.CharField(max_length=ledger.MAX_IDEMPOTENCY_KEY)
    requested_by = staff_reference()
    requested_at = models.DateTimeField()
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    decided_by = staff_reference(null=True)
    decided_at = models.DateTimeField(null=True)
    decision_note = models.TextField(max_length=constants.MAX_NOTE_LENGTH, default="")

    class Meta:
        ordering = ["-id"]
        verbose_name = "approval request"
        verbose_name_plural = "approval requests"
        permissions = [("approve_requests", "Can approve and decline requests of others")]
        constraints = [
            models.UniqueConstraint(name="console_request_unique_key", fields=["requested_by", "idempotency_key"]),
            models.CheckConstraint(
                name="console_request_one_owner",
                condition=Q(user__isnull=False, organization__isnull=True)
                | Q(user__isnull=True, organization__isnull=False),
            ),
            models.CheckConstraint(
                name="console_request_decision_complete",
                condition=Q(status="pending", decided_by__isnull=True, decided_at__isnull=True)
                | Q(status__in=["approved", "declined", "withdrawn"], decided_by__isnull=False)
                & Q(decided_at__isnull=False),
            ),
            models.CheckConstraint(
                name="console_request_not_decided_by_requester",
                condition=~Q(status__in=["approved", "declined"]) | ~Q(decided_by=models.F("requested_by")),
            ),
        ]
        indexes = [
            models.Index(name="console_request_by_time", fields=["-requested_at", "-id"]),
            models.Index(name="console_request_pending", fields=["id"], condition=Q(status="pending")),
        ]
        triggers = [
            *forbid(pgtrigger.Delete, name="request"),
            immutable_except(
                ["status", "decided_by", "decided_at", "decision_note"],
                model_fields=[
                    "id",
                    "action",
                    "user",
                    "organization",
                    "arguments",
                    "credits",
                    "reason",
                    "note",
                    "ticket",
                    "idempotency_key",
                    "requested_by",
                    "requested_at",
                    "status",
                    "decided_by",
                    "decided_at",
                    "decision_note",
                ],
                name="request",
            ),
            pgtrigger.Protect(
                name="request_decision_is_final",
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition("OLD.status <> 'pending'"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} for {self.owner}"

    @property
    def owner(self) -> User | Organization:
        owner = self.user or self.organization
        assert owner is not None
        return owner

    @property
    def owner_id(self) -> UUID:
        key = self.user_id or self.organization_id
        assert key is not None
        return key
