import pgtrigger
from django.db import models
from django.db.models import F, Q

from credits.domain import constants
from credits.models.balance import CREDITS, CreditBalance
from credits.models.constraints import forbid, immutable_except, same_balance_fk
from fluxori.core.ids import uuid7


class CreditGrant(models.Model):
    """Credits that were granted at once, spendable in ``[effective_at, expires_at)``.

    ``amount`` is what was granted; debt may have taken a part of it immediately. ``remaining`` is free, ``held`` is
    pinned by open holds. ``live`` marks the grants that still have credits: a partial index finds them at a cost that
    does not grow with the history.
    """

    class Source(models.TextChoices):
        ALLOCATION = "allocation", "Allocation"
        PURCHASE = "purchase", "Purchase"
        PROMOTION = "promotion", "Promotion"
        ADJUSTMENT = "adjustment", "Adjustment"
        ROLLOVER = "rollover", "Rollover"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    balance = models.ForeignKey(
        CreditBalance, on_delete=models.PROTECT, related_name="grants", db_constraint=False, db_index=False
    )
    transaction = same_balance_fk("credits.CreditTransaction", "opened_grants")
    parent = same_balance_fk("self", "children", null=True)
    source = models.CharField(max_length=16, choices=Source.choices)
    amount = models.BigIntegerField()
    remaining = models.BigIntegerField()
    held = models.BigIntegerField(default=0)
    live = models.BooleanField()
    priority = models.SmallIntegerField(default=constants.DEFAULT_PRIORITY)
    effective_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    voided_at = models.DateTimeField(null=True)
    unit_price = models.DecimalField(
        max_digits=constants.UNIT_PRICE_DIGITS, decimal_places=constants.UNIT_PRICE_PLACES, null=True
    )
    roll_cap = models.BigIntegerField(null=True)
    roll_until = models.DateTimeField(null=True)
    feature = models.ForeignKey(
        "credits.Feature", on_delete=models.DO_NOTHING, null=True, db_constraint=False, db_index=False
    )

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(name="credits_grant_in_balance", fields=["balance", "id"]),
            models.CheckConstraint(
                name="credits_grant_source_valid",
                condition=Q(source__in=["allocation", "purchase", "promotion", "adjustment", "rollover"]),
            ),
            models.CheckConstraint(name="credits_grant_amount_in_range", condition=CREDITS),
            models.CheckConstraint(
                name="credits_grant_remaining_within_amount",
                condition=Q(remaining__gte=0, held__gte=0, remaining__lte=F("amount") - F("held")),
            ),
            models.CheckConstraint(
                name="credits_grant_live_iff_credits",
                condition=Q(live=True) & (Q(remaining__gt=0) | Q(held__gt=0)) | Q(live=False, remaining=0, held=0),
            ),
            models.CheckConstraint(
                name="credits_grant_priority_in_range",
                condition=Q(priority__gte=0, priority__lte=constants.MAX_PRIORITY),
            ),
            models.CheckConstraint(
                name="credits_grant_expires_after_effective",
                condition=Q(expires_at__isnull=True) | Q(expires_at__gt=F("effective_at")),
            ),
            models.CheckConstraint(
                name="credits_grant_voided_without_remaining", condition=Q(voided_at__isnull=True) | Q(remaining=0)
            ),
            models.CheckConstraint(
                name="credits_grant_unit_price_not_negative",
                condition=Q(unit_price__isnull=True) | Q(unit_price__gte=0),
            ),
            models.CheckConstraint(
                name="credits_grant_rollover_valid",
                condition=Q(roll_cap__isnull=True, roll_until__isnull=True)
                | Q(roll_cap__isnull=False, roll_cap__gte=0, expires_at__isnull=False, roll_until__isnull=True)
                | Q(
                    roll_cap__isnull=False,
                    roll_cap__gte=0,
                    expires_at__isnull=False,
                    roll_until__isnull=False,
                    roll_until__gt=F("expires_at"),
                ),
            ),
        ]
        indexes = [
            models.Index(name="credits_grant_by_transaction", fields=["balance", "transaction"]),
            models.Index(name="credits_grant_live", fields=["balance"], condition=Q(live=True)),
            models.Index(
                name="credits_grant_due",
                fields=["expires_at", "balance"],
                condition=Q(live=True, expires_at__isnull=False),
            ),
            # For the admin, which searches across balances; no API request uses it.
            models.Index(name="credits_grant_admin_time", fields=["effective_at", "id"]),
        ]
        triggers = [
            *forbid(pgtrigger.Delete, name="grant"),
            immutable_except(
                ["remaining", "held", "live", "voided_at"],
                model_fields=[
                    "id",
                    "balance",
                    "transaction",
                    "parent",
                    "source",
                    "amount",
                    "remaining",
                    "held",
                    "live",
                    "priority",
                    "effective_at",
                    "expires_at",
                    "voided_at",
                    "unit_price",
                    "roll_cap",
                    "roll_until",
                    "feature",
                ],
                name="grant",
            ),
            pgtrigger.Protect(
                name="grant_voided_at_immutable",
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition(
                    "OLD.voided_at IS NOT NULL AND NEW.voided_at IS DISTINCT FROM OLD.voided_at"
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} from {self.source}"
