"""Staff actions: the append-only record of what staff did to balances."""

from django.db import models
from django.db.models import Q

from credits.domain import constants as ledger
from credits.models import CreditBalance, CreditTransaction
from credits.models.constraints import append_only, same_balance_fk
from fluxori.console.actions import constants
from fluxori.console.models.approvals import ApprovalRequest
from fluxori.console.models.fields import Reason, ledger_reference, staff_reference
from fluxori.core.ids import uuid7

# The permissions of staff actions. They are permissions of ``StaffAction``; each guards the page and the operation.
ACTION_PERMISSIONS = [
    ("add_credits", "Can add credits to a balance"),
    ("adjust_credits", "Can adjust a balance up or down"),
    ("refund_usage", "Can refund usage"),
    ("reverse_purchase", "Can reverse a purchase"),
    ("void_grant", "Can void a grant"),
    ("extend_grant", "Can extend a grant"),
    ("release_hold", "Can release a hold"),
    ("change_tier", "Can change the tier of a balance"),
    ("allocate_month", "Can allocate the month of a balance"),
    ("limit_spending", "Can set and remove limits of a balance"),
    ("suspend_spending", "Can suspend and resume the spending of a balance"),
]


class StaffAction(models.Model):
    """One action of a member of staff on one balance, written in the database transaction of the action.

    ``credits`` are the credits that the action newly gave and that count toward a ceiling. ``authority`` is the
    person with that ceiling: the approver if there is one, otherwise the actor.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    created_at = models.DateTimeField()
    actor = staff_reference()
    action = models.CharField(max_length=32)
    balance = models.ForeignKey(CreditBalance, on_delete=models.PROTECT, related_name="staff_actions", db_index=False)
    subject_transaction = ledger_reference("credits.CreditTransaction")
    subject_grant = ledger_reference("credits.CreditGrant")
    subject_hold = ledger_reference("credits.CreditHold")
    subject_limit = ledger_reference("credits.SpendingLimit")
    arguments = models.JSONField()
    reason = models.CharField(max_length=16, choices=Reason.choices)
    note = models.TextField(max_length=constants.MAX_NOTE_LENGTH)
    ticket = models.CharField(max_length=constants.MAX_TICKET_LENGTH)
    summary = models.CharField(max_length=500, help_text="What was done, in one sentence.")
    before = models.JSONField(help_text="The balance before the action: whole credits, tier, suspension and limits.")
    after = models.JSONField(help_text="The balance after the action.")
    transaction = same_balance_fk(CreditTransaction, "staff_actions", null=True)
    credits = models.BigIntegerField(default=0)
    authority = staff_reference()
    approver = staff_reference(null=True)
    approval_request = models.OneToOneField(
        ApprovalRequest, on_delete=models.PROTECT, related_name="staff_action", null=True
    )
    idempotency_key = models.CharField(max_length=ledger.MAX_IDEMPOTENCY_KEY)
    request_id = models.CharField(max_length=128)

    class Meta:
        ordering = ["-id"]
        verbose_name = "staff action"
        verbose_name_plural = "staff actions"
        default_permissions = ("view",)
        permissions = [
            *ACTION_PERMISSIONS,
            ("export_csv", "Can export lists as CSV"),
            ("view_value", "Can see amounts in rand"),
        ]
        constraints = [
            models.UniqueConstraint(name="console_action_unique_key", fields=["balance", "actor", "idempotency_key"]),
            models.CheckConstraint(name="console_action_credits_not_negative", condition=Q(credits__gte=0)),
            models.CheckConstraint(
                name="console_action_approved_by_another",
                condition=Q(approver__isnull=True, approval_request__isnull=True, authority=models.F("actor"))
                | Q(approver__isnull=False, approval_request__isnull=False, authority=models.F("approver"))
                & ~Q(approver=models.F("actor")),
            ),
        ]
        indexes = [
            models.Index(name="console_action_by_time", fields=["-created_at", "-id"]),
            models.Index(name="console_action_by_balance", fields=["balance", "-id"]),
            models.Index(name="console_action_by_actor", fields=["actor", "-id"]),
            models.Index(name="console_action_by_ticket", fields=["ticket"], condition=~Q(ticket="")),
            models.Index(name="console_action_given", fields=["authority", "created_at"], condition=Q(credits__gt=0)),
        ]
        triggers = append_only("action")

    def __str__(self) -> str:
        return self.summary
