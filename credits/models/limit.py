import pgtrigger
from django.db import models
from django.db.models import Q

from credits.domain import constants
from credits.models.balance import CreditBalance
from credits.models.constraints import forbid, immutable_except, unconstrained_fk
from fluxori.core.ids import uuid7
from fluxori.identity.models import User


class SpendingLimit(models.Model):
    """The most credits that one member, or the whole balance, may use in each calendar day or month (UTC).

    The row contains its own counter: ``used`` is the usage in the window that began at ``window_starts_at``. Operations
    update it when they count usage, so a window that began later appears only in ``queries.get_limits``.
    """

    class Period(models.TextChoices):
        DAY = "day", "Day"
        MONTH = "month", "Month"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    balance = models.ForeignKey(CreditBalance, on_delete=models.PROTECT, related_name="limits", db_index=False)
    member = unconstrained_fk(User)
    period = models.CharField(max_length=16, choices=Period.choices)
    amount = models.BigIntegerField(help_text="The most whole credits that may be used in one window.")
    window_starts_at = models.DateTimeField(help_text="The start of the window that ``used`` refers to.")
    used = models.BigIntegerField(help_text="Usage and open holds of the window, less refunds, in whole credits.")
    set_by = unconstrained_fk(User)
    set_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(name="credits_limit_in_balance", fields=["balance", "id"]),
            models.UniqueConstraint(
                name="credits_limit_unique_period",
                fields=["balance", "member", "period"],
                nulls_distinct=False,
                condition=Q(removed_at__isnull=True),
            ),
            models.CheckConstraint(name="credits_limit_period_valid", condition=Q(period__in=["day", "month"])),
            models.CheckConstraint(
                name="credits_limit_amount_in_range", condition=Q(amount__gte=0, amount__lte=constants.MAX_CREDITS)
            ),
            models.CheckConstraint(name="credits_limit_used_not_negative", condition=Q(used__gte=0)),
        ]
        triggers = [
            *forbid(pgtrigger.Delete, name="limit"),
            immutable_except(
                ["amount", "window_starts_at", "used", "set_by", "set_at", "removed_at"],
                model_fields=[
                    "id",
                    "balance",
                    "member",
                    "period",
                    "amount",
                    "window_starts_at",
                    "used",
                    "set_by",
                    "set_at",
                    "removed_at",
                ],
                name="limit",
            ),
            pgtrigger.Protect(
                name="limit_monotonic",
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition(
                    "OLD.removed_at IS NOT NULL OR NEW.window_starts_at < OLD.window_starts_at"
                    " OR NEW.set_at < OLD.set_at"
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} per {self.period}"
