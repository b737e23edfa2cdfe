from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Q

from credits.domain import constants
from credits.models.balance import CreditBalance
from credits.models.constraints import append_only, inside, outside
from fluxori.core.ids import uuid7
from fluxori.identity.models import User

if TYPE_CHECKING:
    from credits.domain.records import BalanceSnapshot


class CreditTransaction(models.Model):
    """One movement of one balance, numbered without gaps, chained by hash, and never changed again.

    ``timestamp`` is the instant at which it took effect, ``recorded_at`` when it was written down.
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

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    balance = models.ForeignKey(CreditBalance, on_delete=models.PROTECT, related_name="transactions", db_index=False)
    sequence = models.BigIntegerField()
    type = models.CharField(max_length=16, choices=Type.choices)
    amount = models.BigIntegerField(help_text="Whole credits, negative where they leave.")
    balance_after = models.BigIntegerField()
    timestamp = models.DateTimeField(help_text="When it took effect.")
    recorded_at = models.DateTimeField(help_text="When it was written down.")
    description = models.CharField(max_length=constants.MAX_DESCRIPTION, blank=True)
    reference_id = models.CharField(max_length=constants.MAX_REFERENCE_ID, blank=True)
    feature = outside("credits.Feature")
    price = outside("credits.FeaturePrice")
    quantity = models.BigIntegerField(null=True)
    actor = outside(User)
    member = outside(User)
    hold = inside("credits.CreditHold", "transactions", null=True)
    reverses = inside("self", "reversed_by", null=True)
    idempotency_key = models.CharField(max_length=constants.MAX_IDEMPOTENCY_KEY, null=True)
    reason = models.CharField(max_length=constants.MAX_REASON, blank=True)
    request_id = models.CharField(max_length=128, blank=True)
    metadata = models.TextField(null=True, help_text="The caller's own facts, as canonical JSON.")
    previous_hash = models.BinaryField()
    hash = models.BinaryField()
    hash_version = models.SmallIntegerField()

    # Set by the operation that answers with this row, and by its replay; not columns.
    after: "BalanceSnapshot"
    alongside: dict[str, Any]
    replayed: bool

    class Meta:
        ordering = ["-balance_id", "-sequence"]
        constraints = [
            models.UniqueConstraint(name="credits_transaction_numbered", fields=["balance", "sequence"]),
            models.UniqueConstraint(name="credits_transaction_in_balance", fields=["balance", "id"]),
            models.CheckConstraint(name="credits_transaction_numbered_from_one", condition=Q(sequence__gte=1)),
            models.CheckConstraint(
                name="credits_transaction_type_fits_amount",
                condition=Q(type__in=["allocation", "purchase", "promotion", "refund"], amount__gt=0)
                | Q(type__in=["usage", "expiry", "void"], amount__lt=0)
                | Q(type="reversal", amount__lte=0)
                | Q(type="adjustment")
                | Q(type="rollover", amount=0),
            ),
            models.CheckConstraint(
                name="credits_transaction_priced_by_feature",
                condition=Q(feature__isnull=True, price__isnull=True, quantity__isnull=True)
                | Q(feature__isnull=False, price__isnull=False, quantity__isnull=False, quantity__gte=1),
            ),
            models.CheckConstraint(name="credits_transaction_hash_version_known", condition=Q(hash_version=1)),
        ]
        indexes = [
            models.Index(name="credits_transaction_by_time", fields=["balance", "timestamp", "sequence"]),
            models.Index(
                name="credits_transaction_by_ref",
                fields=["balance", "reference_id", "sequence"],
                condition=~Q(reference_id=""),
            ),
            models.Index(
                name="credits_transaction_reversing",
                fields=["balance", "reverses"],
                condition=Q(reverses__isnull=False),
            ),
            models.Index(
                name="credits_transaction_of_hold", fields=["balance", "hold"], condition=Q(hold__isnull=False)
            ),
            # For the desk, which asks across balances; no request of the API uses them.
            models.Index(name="credits_transaction_desk_time", fields=["timestamp", "id"]),
            models.Index(
                name="credits_transaction_desk_type", fields=["type", "timestamp", "id"], condition=~Q(type="usage")
            ),
            models.Index(
                name="credits_transaction_desk_ref", fields=["reference_id", "id"], condition=~Q(reference_id="")
            ),
        ]
        triggers = append_only("transaction")

    def __str__(self) -> str:
        return f"{self.type} {self.amount:+}"


class CreditEntry(models.Model):
    """The share of one transaction that fell on one grant or, without a grant, on debt. Signed; never changed again.

    ``remaining_after`` is what the grant had free afterwards.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    balance = models.ForeignKey(
        CreditBalance, on_delete=models.PROTECT, related_name="entries", db_constraint=False, db_index=False
    )
    transaction = inside(CreditTransaction, "entries")
    grant = inside("credits.CreditGrant", "entries", null=True)
    position = models.SmallIntegerField(help_text="Its place in the burn order of the transaction, from 0.")
    amount = models.BigIntegerField()
    remaining_after = models.BigIntegerField(null=True)

    class Meta:
        ordering = ["transaction", "position"]
        verbose_name_plural = "credit entries"
        constraints = [
            models.UniqueConstraint(name="credits_entry_in_place", fields=["balance", "transaction", "position"]),
            models.UniqueConstraint(
                name="credits_entry_one_per_grant", fields=["balance", "grant", "transaction"], nulls_distinct=False
            ),
            models.CheckConstraint(name="credits_entry_moves_something", condition=~Q(amount=0)),
            models.CheckConstraint(name="credits_entry_placed_from_zero", condition=Q(position__gte=0)),
            models.CheckConstraint(
                name="credits_entry_says_what_remains",
                condition=Q(grant__isnull=True, remaining_after__isnull=True)
                | Q(grant__isnull=False, remaining_after__isnull=False, remaining_after__gte=0),
            ),
        ]
        triggers = append_only("entry")

    def __str__(self) -> str:
        return f"{self.amount:+}"
