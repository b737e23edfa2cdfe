"""Usage roll-ups: sums of transactions that ``aggregate_usage`` maintains for fast reads.

The ledger is the source; every row here can be computed again from it, and ``verify_ledger`` compares the two. The
watermark of a balance separates the transactions in the roll-ups from those that a read takes from the ledger.
"""

from django.db import models
from django.db.models import Q

from credits.models.balance import CreditBalance
from credits.models.constraints import unconstrained_fk
from fluxori.core.ids import uuid7
from fluxori.identity.models import User


class _Sums(models.Model):
    """Sums over transactions: ``credits_in`` and ``credits_out`` in whole credits, ``count`` the transactions.

    ``value`` is what the credits of the entries were sold for, in rand. ``unpriced`` is the credits of entries without
    a price, debt included. Both are signed like entries: negative if credits left.
    """

    day = models.DateField(help_text="The day in UTC.")
    type = models.CharField(max_length=16)
    feature = unconstrained_fk("credits.Feature")
    credits_in = models.BigIntegerField()
    credits_out = models.BigIntegerField()
    count = models.BigIntegerField()
    value = models.DecimalField(max_digits=38, decimal_places=6)
    unpriced = models.BigIntegerField()

    class Meta:
        abstract = True


def _sums_valid(name: str) -> models.CheckConstraint:
    return models.CheckConstraint(name=name, condition=Q(credits_in__gte=0, credits_out__gte=0, count__gte=1))


class CreditRollup(_Sums):
    """The sums of the transactions of one balance, day, type, feature and member, up to the balance's watermark.

    A refund counts on its own day, for the feature and the member of the usage that it refunds.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    balance = models.ForeignKey(
        CreditBalance, on_delete=models.PROTECT, related_name="rollups", db_constraint=False, db_index=False
    )
    member = unconstrained_fk(User)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="credits_rollup_unique_group",
                fields=["balance", "day", "type", "feature", "member"],
                nulls_distinct=False,
            ),
            _sums_valid("credits_rollup_sums_valid"),
        ]

    def __str__(self) -> str:
        return f"{self.count} of type {self.type} on {self.day}"


class UsageWatermark(models.Model):
    """The watermark of one balance: its roll-ups include the transactions up to ``sequence`` and no others."""

    balance = models.OneToOneField(
        CreditBalance, on_delete=models.PROTECT, primary_key=True, related_name="usage_watermark"
    )
    sequence = models.BigIntegerField()

    class Meta:
        constraints = [models.CheckConstraint(name="credits_watermark_not_negative", condition=Q(sequence__gte=0))]

    def __str__(self) -> str:
        return f"Aggregated up to {self.sequence}"


class CreditTotal(_Sums):
    """The sums of the roll-ups of all balances by day, type and feature. Only the aggregation writes them."""

    id = models.UUIDField(primary_key=True, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="credits_total_unique_group", fields=["day", "type", "feature"], nulls_distinct=False
            ),
            _sums_valid("credits_total_sums_valid"),
        ]

    def __str__(self) -> str:
        return f"{self.count} of type {self.type} on {self.day}"


class AggregationRun(models.Model):
    """One completed run of the aggregation: the transactions that it aggregated and how many balances were busy."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    started_at = models.DateTimeField(
        help_text="The sums include every transaction stored before, unless balances were busy."
    )
    finished_at = models.DateTimeField()
    transactions = models.BigIntegerField()
    busy = models.BigIntegerField()

    class Meta:
        ordering = ["-started_at"]
        indexes = [models.Index(name="credits_aggregation_complete", fields=["-started_at"], condition=Q(busy=0))]

    def __str__(self) -> str:
        return f"Aggregation of {self.started_at:%Y-%m-%d %H:%M}"
