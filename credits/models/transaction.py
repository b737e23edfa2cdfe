from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q

from credits.domain import constants
from credits.models.balance import CreditBalance
from credits.models.constraints import append_only, same_balance_fk, unconstrained_fk
from fluxori.core.ids import uuid7
from fluxori.identity.models import User

if TYPE_CHECKING:
    pass


class CreditTransaction(models.Model):
    """One movement of one balance: numbered without gaps, linked into a hash chain, immutable.

    ``timestamp`` is the instant at which it took effect, ``recorded_at`` the instant at which it was stored.
    """

    class Type(models.TextChoices):
        ALLOCATION = "allocation", "Allocation"
        PURCHASE = "purchase", "Purchase"
        PROMOTION = "promotion", "Promotion"
        USAGE = "usage", "Usage"
        REFUND = "refund", "Refund"
        REVERSAL = "reversal", "Reversal"
        EXPIRY = "expiry", "Expiry"
        VOID = "void", "Void"
        ADJUSTMENT = "adjustment", "Adjustment"
        ROLLOVER = "rollover", "Rollover"
        TRANSFER = "transfer", "Transfer"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    balance = models.ForeignKey(CreditBalance, on_delete=models.PROTECT, related_name="transactions", db_index=False)
    sequence = models.BigIntegerField()
    type = models.CharField(max_length=16, choices=Type.choices)
    amount = models.BigIntegerField(help_text="Whole credits; negative if credits leave the balance.")
    balance_after = models.BigIntegerField()
    timestamp = models.DateTimeField(help_text="When the transaction took effect.")
    recorded_at = models.DateTimeField(help_text="When the transaction was stored.")
    description = models.CharField(max_length=constants.MAX_DESCRIPTION, blank=True)
    reference_id = models.CharField(max_length=constants.MAX_REFERENCE_ID, blank=True)
    feature = unconstrained_fk("credits.Feature")
    price = unconstrained_fk("credits.FeaturePrice")
    quantity = models.BigIntegerField(null=True)
    actor = unconstrained_fk(User)
    member = unconstrained_fk(User)
    hold = same_balance_fk("credits.CreditHold", "transactions", null=True)
    reverses = same_balance_fk("self", "reversed_by", null=True)
    # In another balance. No foreign key, so that the two balances may be stored in different databases.
    counterpart_id = models.UUIDField(
        null=True, editable=False, help_text="The other transaction of a transfer, in the other balance."
    )
    idempotency_key = models.CharField(max_length=constants.MAX_IDEMPOTENCY_KEY, null=True)
    reason = models.CharField(max_length=constants.MAX_REASON, blank=True)
    request_id = models.CharField(max_length=128, blank=True)
    metadata = models.TextField(null=True, help_text="Metadata of the caller, as canonical JSON.")
    previous_hash = models.BinaryField()
    hash = models.BinaryField()
    hash_version = models.SmallIntegerField()

    class Meta:
        ordering = ["-balance_id", "-sequence"]
        constraints = [
            models.UniqueConstraint(name="credits_transaction_unique_sequence", fields=["balance", "sequence"]),
            models.UniqueConstraint(name="credits_transaction_in_balance", fields=["balance", "id"]),
            models.CheckConstraint(name="credits_transaction_sequence_positive", condition=Q(sequence__gte=1)),
            models.CheckConstraint(
                name="credits_transaction_type_fits_amount",
                condition=Q(type__in=["allocation", "purchase", "promotion", "refund"], amount__gt=0)
                | Q(type__in=["usage", "expiry", "void"], amount__lt=0)
                | Q(type="reversal", amount__lte=0)
                | Q(type="adjustment")
                | Q(type="rollover", amount=0)
                | Q(type="transfer") & ~Q(amount=0),
            ),
            models.CheckConstraint(
                name="credits_transaction_counterpart_iff_transfer",
                condition=Q(type="transfer", counterpart_id__isnull=False)
                | ~Q(type="transfer") & Q(counterpart_id__isnull=True),
            ),
            models.CheckConstraint(
                name="credits_transaction_price_complete",
                condition=Q(feature__isnull=True, price__isnull=True, quantity__isnull=True)
                | Q(feature__isnull=False, price__isnull=False, quantity__isnull=False, quantity__gte=1),
            ),
            models.CheckConstraint(name="credits_transaction_hash_version_valid", condition=Q(hash_version=1)),
        ]
        indexes = [
            models.Index(name="credits_transaction_by_time", fields=["balance", "timestamp", "sequence"]),
            models.Index(
                name="credits_transaction_by_ref",
                fields=["balance", "reference_id", "sequence"],
                condition=~Q(reference_id=""),
            ),
            models.Index(
                name="credits_transaction_reversals",
                fields=["balance", "reverses"],
                condition=Q(reverses__isnull=False),
            ),
            models.Index(
                name="credits_transaction_by_hold", fields=["balance", "hold"], condition=Q(hold__isnull=False)
            ),
            # For the admin, which searches across balances; no API request uses them.
            models.Index(name="credits_transaction_admin_time", fields=["timestamp", "id"]),
            models.Index(
                name="credits_transaction_admin_type", fields=["type", "timestamp", "id"], condition=~Q(type="usage")
            ),
            models.Index(
                name="credits_transaction_admin_ref", fields=["reference_id", "id"], condition=~Q(reference_id="")
            ),
        ]
        triggers = append_only("transaction")

    def __str__(self) -> str:
        return f"{self.type} {self.amount:+}"


class CreditEntry(models.Model):
    """The part of a transaction that applies to one grant or, where ``grant`` is null, to debt. Signed and immutable.

    ``remaining_after`` is the remaining credits of the grant after the entry.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    balance = models.ForeignKey(
        CreditBalance, on_delete=models.PROTECT, related_name="entries", db_constraint=False, db_index=False
    )
    transaction = same_balance_fk(CreditTransaction, "entries")
    grant = same_balance_fk("credits.CreditGrant", "entries", null=True)
    position = models.SmallIntegerField(help_text="The position in the burn order of the transaction, from 0.")
    amount = models.BigIntegerField()
    remaining_after = models.BigIntegerField(null=True)

    class Meta:
        verbose_name_plural = "credit entries"
        constraints = [
            models.UniqueConstraint(
                name="credits_entry_unique_position", fields=["balance", "transaction", "position"]
            ),
            models.UniqueConstraint(
                name="credits_entry_unique_grant", fields=["balance", "grant", "transaction"], nulls_distinct=False
            ),
            models.CheckConstraint(name="credits_entry_amount_not_zero", condition=~Q(amount=0)),
            models.CheckConstraint(name="credits_entry_position_not_negative", condition=Q(position__gte=0)),
            models.CheckConstraint(
                name="credits_entry_remaining_after_valid",
                condition=Q(grant__isnull=True, remaining_after__isnull=True)
                | Q(grant__isnull=False, remaining_after__isnull=False, remaining_after__gte=0),
            ),
        ]
        triggers = append_only("entry")

    def __str__(self) -> str:
        return f"{self.amount:+}"
