from decimal import Decimal
from typing import Any

import pgtrigger
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q
from simple_history.models import HistoricalRecords

from credits.domain.constants import MAX_CREDITS
from fluxori.core.ids import uuid7
from tiers.domain import constants


class Tier(models.Model):
    """The monthly credits of a subscription, their price, and what becomes of credits that are not spent.

    The code is the primary key and never changes. A tier with the ``capped`` policy has at least one cap, in whole
    credits or in percent of the monthly credits; the other policies have none.
    """

    class Rollover(models.TextChoices):
        UNLIMITED = constants.ROLLOVER_UNLIMITED, "Unlimited: allocated credits do not expire"
        CAPPED = constants.ROLLOVER_CAPPED, "Capped: up to the cap, credits roll over when their period ends"
        NONE = constants.ROLLOVER_NONE, "None: credits expire when their period ends"

    code = models.CharField(
        max_length=constants.MAX_TIER_CODE,
        primary_key=True,
        validators=[RegexValidator(r"^[a-z0-9]+(-[a-z0-9]+)*$", "Lower-case words joined by hyphens.")],
        help_text="Lower-case words joined by hyphens, for example explorer. The code never changes.",
    )
    name = models.CharField(max_length=100)
    monthly_credits = models.BigIntegerField(
        validators=[MinValueValidator(1), MaxValueValidator(MAX_CREDITS)],
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
        help_text="What becomes of the credits of a period that are not spent. A change applies to later grants only.",
    )
    rollover_cap_credits = models.BigIntegerField(
        "cap in credits",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_CREDITS)],
        help_text="The most whole credits that may be rolled over at a time. If both caps are set, the smaller counts.",
    )
    rollover_cap_percent = models.IntegerField(
        "cap in percent",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(constants.MAX_CAP_PERCENT)],
        help_text="The cap as a percentage of the monthly credits, rounded down.",
    )
    rollover_months = models.IntegerField(
        "rollover months",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(constants.MAX_ROLLOVER_MONTHS)],
        help_text="How many months after their period rolled-over credits expire. Leave empty for no expiry.",
    )
    is_public = models.BooleanField("public", default=True, help_text="Whether the API lists the tier.")
    history: Any = HistoricalRecords()

    class Meta:
        ordering = ["monthly_credits", "code"]
        constraints = [
            models.CheckConstraint(
                name="tiers_tier_credits_in_range",
                condition=Q(monthly_credits__gte=1, monthly_credits__lte=MAX_CREDITS),
            ),
            models.CheckConstraint(
                name="tiers_tier_price_range_valid", condition=Q(price_min__gte=0, price_max__gte=F("price_min"))
            ),
            models.CheckConstraint(
                name="tiers_tier_rollover_valid", condition=Q(rollover__in=["unlimited", "capped", "none"])
            ),
            models.CheckConstraint(
                name="tiers_tier_caps_match_policy",
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
                name="tiers_tier_caps_in_range",
                condition=(
                    Q(rollover_cap_credits__isnull=True)
                    | Q(rollover_cap_credits__gte=1, rollover_cap_credits__lte=MAX_CREDITS)
                )
                & (
                    Q(rollover_cap_percent__isnull=True)
                    | Q(rollover_cap_percent__gte=1, rollover_cap_percent__lte=constants.MAX_CAP_PERCENT)
                )
                & (
                    Q(rollover_months__isnull=True)
                    | Q(rollover_months__gte=1, rollover_months__lte=constants.MAX_ROLLOVER_MONTHS)
                ),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class RecoveryCost(models.Model):
    """What it costs Fluxori to serve one credit, in rand, from ``effective_from`` on. For staff only.

    A cost that has taken effect is immutable; a new cost is a new row.
    """

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
                name="cost_immutable_once_effective",
                operation=pgtrigger.Update | pgtrigger.Delete,
                condition=pgtrigger.Condition("OLD.effective_from <= now()"),
            )
        ]

    def __str__(self) -> str:
        return f"R{self.rand_per_credit} from {self.effective_from:%Y-%m-%d}"
