from typing import TYPE_CHECKING

import pgtrigger
from django.db import models
from django.db.models import F, Q

from credits.domain import constants
from credits.models.balance import CREDITS, CreditBalance
from credits.models.constraints import append_only, forbid, immutable_except, same_balance_fk, unconstrained_fk
from fluxori.core.ids import uuid7
from fluxori.identity.models import User

if TYPE_CHECKING:
    pass


class CreditHold(models.Model):
    """Credits reserved for work in progress: open until captured, released, or lapsed at ``expires_at``."""

    class Status(models.TextChoices):
        OPEN = "open", "Open"
        CAPTURED = "captured", "Captured"
        RELEASED = "released", "Released"
        LAPSED = "lapsed", "Lapsed"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    balance = models.ForeignKey(CreditBalance, on_delete=models.PROTECT, related_name="holds", db_index=False)
    status = models.CharField(max_length=16, choices=Status.choices)
    amount = models.BigIntegerField()
    captured = models.BigIntegerField(default=0)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    feature = unconstrained_fk("credits.Feature")
    price = unconstrained_fk("credits.FeaturePrice")
    quantity = models.BigIntegerField(null=True)
    description = models.CharField(max_length=constants.MAX_DESCRIPTION, blank=True)
    reference_id = models.CharField(max_length=constants.MAX_REFERENCE_ID, blank=True)
    metadata = models.TextField(null=True)
    actor = unconstrained_fk(User)
    member = unconstrained_fk(User)
    request_id = models.CharField(max_length=128, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(name="credits_hold_in_balance", fields=["balance", "id"]),
            models.CheckConstraint(name="credits_hold_amount_in_range", condition=CREDITS),
            models.CheckConstraint(
                name="credits_hold_status_consistent",
                condition=Q(status="open", closed_at__isnull=True, captured=0)
                | Q(status="captured", closed_at__isnull=False, closed_at__gte=F("created_at"), captured__gte=1)
                | Q(
                    status__in=["released", "lapsed"],
                    closed_at__isnull=False,
                    closed_at__gte=F("created_at"),
                    captured=0,
                ),
            ),
            models.CheckConstraint(
                name="credits_hold_expires_after_created", condition=Q(expires_at__gt=F("created_at"))
            ),
        ]
        indexes = [
            models.Index(name="credits_hold_open", fields=["balance", "expires_at"], condition=Q(status="open")),
            models.Index(name="credits_hold_due", fields=["expires_at", "balance"], condition=Q(status="open")),
            # For the admin, which searches across balances; no API request uses them.
            models.Index(name="credits_hold_admin_time", fields=["created_at", "id"]),
            models.Index(name="credits_hold_admin_ref", fields=["reference_id", "id"], condition=~Q(reference_id="")),
        ]
        triggers = [
            *forbid(pgtrigger.Delete, name="hold"),
            immutable_except(
                ["status", "captured", "closed_at", "expires_at"],
                model_fields=[
                    "id",
                    "balance",
                    "status",
                    "amount",
                    "captured",
                    "created_at",
                    "expires_at",
                    "closed_at",
                    "feature",
                    "price",
                    "quantity",
                    "description",
                    "reference_id",
                    "metadata",
                    "actor",
                    "member",
                    "request_id",
                ],
                name="hold",
            ),
            pgtrigger.Protect(
                name="hold_immutable_once_closed",
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition("OLD.status <> 'open'"),
            ),
        ]

    def __str__(self) -> str:
        return f"hold of {self.amount}"


class CreditPin(models.Model):
    """The credits that one hold pins on one grant, in burn order. The row remains as a record after the hold closes."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    balance = models.ForeignKey(
        CreditBalance, on_delete=models.PROTECT, related_name="pins", db_constraint=False, db_index=False
    )
    hold = same_balance_fk(CreditHold, "pins")
    grant = same_balance_fk("credits.CreditGrant", "pins")
    position = models.SmallIntegerField()
    amount = models.BigIntegerField()

    class Meta:
        ordering = ["hold", "position"]
        constraints = [
            models.UniqueConstraint(name="credits_pin_unique_grant", fields=["balance", "hold", "grant"]),
            models.CheckConstraint(name="credits_pin_amount_in_range", condition=CREDITS),
        ]
        indexes = [models.Index(name="credits_pin_by_grant", fields=["balance", "grant"])]
        triggers = append_only("pin")

    def __str__(self) -> str:
        return f"{self.amount} pinned"
