"""Runs of ``verify_ledger``, so that monitoring can report how old the last successful one is."""

from django.db import models

from fluxori.core.ids import uuid7


class VerificationRun(models.Model):
    """One completed run over all balances: how many balances and transactions it read, and the differences it found."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    balances = models.BigIntegerField()
    transactions = models.BigIntegerField()
    differences = models.BigIntegerField()

    class Meta:
        ordering = ["-finished_at"]
        indexes = [models.Index(name="credits_verification_newest", fields=["-finished_at"])]

    def __str__(self) -> str:
        return f"Verification of {self.finished_at:%Y-%m-%d %H:%M}"
