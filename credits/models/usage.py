"""What is added up ahead of the questions. Everything here can be worked out again from the ledger."""

from django.db import models
from django.db.models import Q

from credits.models.balance import CreditBalance
from credits.models.constraints import outside
from fluxori.core.ids import uuid7
from fluxori.identity.models import User


class _Sums(models.Model):
    """Sums over transactions: ``credits_in`` and ``credits_out`` in whole credits, and how many transactions there
    were.

    ``value`` is what the entries' credits were sold for, in rand, and ``unpriced`` the credits of entries without a
    price, debt included; both signed like entries: negative where credits left.
    """

    day = models.DateField(help_text="In UTC.")
    type = models.CharField(max_length=16)
    feature = outside("credits.Feature")
    credits_in = models.BigIntegerField()
    credits_out = models.BigIntegerField()
    count = models.BigIntegerField()
    value = models.DecimalField(max_digits=38, decimal_places=6)
    unpriced = models.BigIntegerField()

    class Meta:
        abstract = True


def _counted(name: str) -> models.CheckConstraint:
    return models.CheckConstraint(name=name, condition=Q(credits_in__gte=0, credits_out__gte=0, count__gte=1))


class CreditRollup(_Sums):
    """The sums of one balance's transactions of one day, type, feature and member, up to the balance's watermark.

    A refund counts on the day it happened, for the feature and the member of the usage it gives back.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    balance = models.ForeignKey(
        CreditBalance, on_delete=models.PROTECT, related_name="rollups", db_constraint=False, db_index=False
    )
    member = outside(User)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="credits_rollup_one_per_group",
                fields=["balance", "day", "type", "feature", "member"],
                nulls_distinct=False,
            ),
            _counted("credits_rollup_counts_something"),
        ]

    def __str__(self) -> str:
        return f"{self.count} of type {self.type} on {self.day}"


class UsageWatermark(models.Model):
    """The watermark of one balance: its transactions up to ``sequence`` are in the roll-ups, those beyond are not."""

    balance = models.OneToOneField(CreditBalance, on_delete=models.PROTECT, primary_key=True, related_name="fold")
    sequence = models.BigIntegerField()

    class Meta:
        constraints = [models.CheckConstraint(name="credits_fold_not_negative", condition=Q(sequence__gte=0))]

    def __str__(self) -> str:
        return f"Folded up to {self.sequence}"


class CreditTotal(_Sums):
    """The sums of all balances' roll-ups of one day, type and feature: written by the fold only, never by spending."""

    id = models.UUIDField(primary_key=True, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="credits_total_one_per_group", fields=["day", "type", "feature"], nulls_distinct=False
            ),
            _counted("credits_total_counts_something"),
        ]

    def __str__(self) -> str:
        return f"{self.count} of type {self.type} on {self.day}"


class AggregationRun(models.Model):
    """One run of the fold that came to its end: how much it folded, and how many balances were busy."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    started_at = models.DateTimeField(help_text="All that was written before is in the sums, unless some were busy.")
    finished_at = models.DateTimeField()
    transactions = models.BigIntegerField()
    busy = models.BigIntegerField()

    class Meta:
        ordering = ["-started_at"]
        indexes = [models.Index(name="credits_aggregation_complete", fields=["-started_at"], condition=Q(busy=0))]

    def __str__(self) -> str:
        return f"Fold of {self.started_at:%Y-%m-%d %H:%M}"
