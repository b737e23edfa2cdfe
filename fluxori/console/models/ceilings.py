"""The ceiling of a group: how many credits its members may give."""

from typing import Any

from django.contrib.auth.models import Group
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from simple_history.models import HistoricalRecords

from credits.domain import constants as ledger


class ManualCreditCeiling(models.Model):
    """How many credits each member of a group may give through staff actions.

    A member of several groups has the highest ceiling of them. A user in no group with a ceiling may give nothing.
    """

    group = models.OneToOneField(Group, on_delete=models.PROTECT, related_name="credit_ceiling")
    per_action = models.BigIntegerField(
        "credits per action",
        validators=[MinValueValidator(0), MaxValueValidator(ledger.MAX_CREDITS)],
        help_text="A staff action that gives more needs the approval of a second person.",
    )
    per_day = models.BigIntegerField(
        "credits per day",
        validators=[MinValueValidator(0), MaxValueValidator(ledger.MAX_CREDITS)],
        help_text="The total for one person from midnight to midnight UTC. It includes the requests that they approve.",
    )
    history: Any = HistoricalRecords()

    class Meta:
        ordering = ["group__name"]
        verbose_name = "ceiling"
        verbose_name_plural = "ceilings"
        constraints = [
            models.CheckConstraint(
                name="console_ceiling_in_bounds",
                condition=Q(per_action__gte=0, per_day__gte=0, per_action__lte=ledger.MAX_CREDITS)
                & Q(per_day__lte=ledger.MAX_CREDITS),
            )
        ]

    def __str__(self) -> str:
        return f"{self.group}: {self.per_action:,} per action, {self.per_day:,} per day"
