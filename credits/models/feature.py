from typing import Any

import pgtrigger
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from simple_history.models import HistoricalRecords

from credits.domain import constants
from fluxori.core.ids import uuid7


class Feature(models.Model):
    """Something that costs credits. The code is the primary key and never changes, because history refers to it."""

    code = models.CharField(
        max_length=64,
        primary_key=True,
        validators=[RegexValidator(r"^[a-z0-9]+(-[a-z0-9]+)*$", "Lower-case words joined by hyphens.")],
        help_text="Lower-case words joined by hyphens, for example simple-ai-insight. The code never changes.",
    )
    name = models.CharField(max_length=100)
    unit = models.CharField(max_length=50, help_text="The name of one unit, for example insight or refresh.")
    history: Any = HistoricalRecords()

    class Meta:
        ordering = ["code"]

    def __str__(self) -> str:
        return self.name


class FeaturePrice(models.Model):
    """The price of one unit of a feature from ``effective_from`` until the next price takes effect.

    A price that has taken effect is immutable; a new price is a new row.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    feature = models.ForeignKey(Feature, on_delete=models.PROTECT, related_name="prices")
    credits = models.BigIntegerField(
        validators=[MinValueValidator(1), MaxValueValidator(constants.MAX_CREDITS)],
        help_text="Whole credits for one unit.",
    )
    effective_from = models.DateTimeField(help_text="The first instant at which this price applies.")
    history: Any = HistoricalRecords()

    class Meta:
        ordering = ["feature", "-effective_from"]
        constraints = [
            models.UniqueConstraint(name="credits_featureprice_unique_instant", fields=["feature", "effective_from"]),
            models.CheckConstraint(
                name="credits_featureprice_positive", condition=Q(credits__gte=1, credits__lte=constants.MAX_CREDITS)
            ),
        ]
        triggers = [
            # A price that has not taken effect may be removed. Once effective it is part of history.
            pgtrigger.Protect(
                name="price_immutable_once_effective",
                operation=pgtrigger.Update | pgtrigger.Delete,
                condition=pgtrigger.Condition("OLD.effective_from <= now()"),
            )
        ]

    def __str__(self) -> str:
        return f"{self.feature_id}: {self.credits} from {self.effective_from:%Y-%m-%d}"
