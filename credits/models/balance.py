import pgtrigger
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce

from credits.domain import constants, hash_chain
from credits.models.constraints import forbid, immutable_except, unconstrained_fk
from fluxori.identity.models import Organization, User
from fluxori.identity.owner import Owner


def genesis() -> bytes:
    """Return the hash that precedes the first transaction of a balance."""
    return hash_chain.GENESIS


class CreditBalance(models.Model):
    """The credit balance of one user or one organization.

    Its id is the owner's id. Every operation on the balance locks this row.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    user = models.OneToOneField(
        User, on_delete=models.PROTECT, related_name="credit_balance", null=True, editable=False
    )
    organization = models.OneToOneField(
        Organization, on_delete=models.PROTECT, related_name="credit_balance", null=True, editable=False
    )
    balance = models.BigIntegerField(default=0, help_text="The sum of all transactions, in whole credits.")
    held = models.BigIntegerField(default=0, help_text="Credits reserved by open holds.")
    debt = models.BigIntegerField(default=0, help_text="Credits that were taken back after they had been spent.")
    sequence = models.BigIntegerField(default=0, help_text="The sequence number of the last transaction.")
    version = models.BigIntegerField(default=0, help_text="How many changes have been committed.")
    head_hash = models.BinaryField(default=genesis, help_text="The hash of the last transaction.")
    last_at = models.DateTimeField(help_text="When the balance last changed; the next change is never earlier.")
    suspended_at = models.DateTimeField(
        null=True, blank=True, help_text="When spending was suspended; empty while spending is allowed."
    )
    suspension_actor = unconstrained_fk(User, editable=False)
    suspension_reason = models.CharField(
        max_length=constants.MAX_REASON, blank=True, help_text="Why spending was last suspended or resumed."
    )
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                name="credits_balance_one_owner",
                condition=Q(user__isnull=False, organization__isnull=True)
                | Q(user__isnull=True, organization__isnull=False),
            ),
            models.CheckConstraint(
                name="credits_balance_id_is_owner", condition=Q(id=Coalesce(F("user_id"), F("organization_id")))
            ),
            models.CheckConstraint(
                name="credits_balance_counts_not_negative",
                condition=Q(held__gte=0, debt__gte=0, sequence__gte=0, version__gte=0),
            ),
            models.CheckConstraint(
                name="credits_balance_remaining_not_negative", condition=Q(balance__gte=F("held") - F("debt"))
            ),
            models.CheckConstraint(
                name="credits_balance_debt_without_remaining", condition=Q(debt=0) | Q(balance=F("held") - F("debt"))
            ),
        ]
        indexes = [
            # For the admin: partial indexes, because few balances match.
            models.Index(name="credits_balance_admin_suspend", fields=["id"], condition=Q(suspended_at__isnull=False)),
            models.Index(name="credits_balance_admin_debt", fields=["id"], condition=Q(debt__gt=0)),
        ]
        triggers = [
            *forbid(pgtrigger.Delete, name="balance"),
            immutable_except(
                [
                    "balance",
                    "held",
                    "debt",
                    "sequence",
                    "version",
                    "head_hash",
                    "last_at",
                    "suspended_at",
                    "suspension_actor",
                    "suspension_reason",
                ],
                model_fields=[
                    "id",
                    "user",
                    "organization",
                    "balance",
                    "held",
                    "debt",
                    "sequence",
                    "version",
                    "head_hash",
                    "last_at",
                    "suspended_at",
                    "suspension_actor",
                    "suspension_reason",
                    "created_at",
                ],
                name="balance",
            ),
            pgtrigger.Protect(
                name="balance_monotonic",
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition(
                    "NEW.version <= OLD.version OR NEW.sequence < OLD.sequence OR NEW.last_at < OLD.last_at"
                    " OR (NEW.sequence = OLD.sequence"
                    " AND (NEW.balance <> OLD.balance OR NEW.head_hash <> OLD.head_hash))"
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"Balance {self.pk}"

    @property
    def owner(self) -> Owner:
        return Owner.user(self.pk) if self.user_id else Owner.organization(self.pk)


CREDITS = Q(amount__gte=1, amount__lte=constants.MAX_CREDITS)
