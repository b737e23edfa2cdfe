"""The ceiling of a group: how many credits its members may give."""

from typing import Any

from django.contrib.auth.models import Group
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from simple_history.models import HistoricalRecords

from credits.domain import constants as ledger
from fluxori.console.models.fields import staff_reference


class ManualCreditCeiling(models.Model):
    """How many credits each member of a group may give through staff actions.

    A member of several groups has the highest ceiling of them. A user in no group with a ceiling may give nothing.
    An increase waits until a second person confirms it.
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
    # An increase that waits for a second person. ``approvals.ceilings`` writes it.
    proposed_per_action = models.BigIntegerField(null=True, editable=False)
    proposed_per_day = models.BigIntegerField(null=True, editable=False)
    proposed_by = staff_reference(null=True, editable=False)
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
            ),
            models.CheckConstraint(
                name="console_ceiling_proposal_is_an_increase",
                condition=Q(proposed_per_action__isnull=True, proposed_per_day__isnull=True, proposed_by__isnull=True)
                | Q(proposed_by__isnull=False, proposed_per_action__isnull=False, proposed_per_day__isnull=False)
                & Q(proposed_per_action__lte=ledger.MAX_CREDITS, proposed_per_day__lte=ledger.MAX_CREDITS)
                & (Q(proposed_per_action__gt=F("per_action")) | Q(proposed_per_day__gt=F("per_day"))),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.group}: {self.per_action:,} per action, {self.per_day:,} per day"
