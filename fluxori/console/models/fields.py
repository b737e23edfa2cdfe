"""Choices and reference fields that several console models use."""

from typing import Any

from django.db import models

from fluxori.identity.models import User


class Reason(models.TextChoices):
    """Why staff perform an action. It is stored separately from the note, so that actions can be counted by reason."""

    GOODWILL = "goodwill", "Goodwill"
    CORRECTION = "correction", "Correction of a mistake"
    OUTAGE = "outage", "Outage or failed work"
    CHARGEBACK = "chargeback", "Chargeback"
    FRAUD = "fraud", "Fraud"
    MIGRATION = "migration", "Migration"
    CONTRACT = "contract", "Change of contract"
    OTHER = "other", "Other"


def staff_reference(*, null: bool = False, editable: bool = True) -> Any:
    """Return a reference to a member of staff without a database constraint, because the record outlives the user."""
    return models.ForeignKey(
        User,
        on_delete=models.DO_NOTHING,
        related_name="+",
        db_constraint=False,
        db_index=False,
        null=null,
        editable=editable,
    )


def ledger_reference(to: str) -> Any:
    """Return a reference to the ledger row that a staff action was about, without a database constraint."""
    return models.ForeignKey(
        to, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False, null=True
    )
