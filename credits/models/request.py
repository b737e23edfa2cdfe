from django.db import models
from django.db.models import Q

from credits.domain import constants
from credits.models.balance import CreditBalance
from credits.models.constraints import append_only, same_balance_fk, unconstrained_fk
from fluxori.core.ids import uuid7
from fluxori.identity.models import User


class CreditRequest(models.Model):
    """A request with an idempotency key and its result. Written in the transaction of its effect, kept permanently.

    ``fingerprint`` distinguishes a repetition of the same request from a different request with the same key;
    ``result`` contains the balance right after the request.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    balance = models.ForeignKey(CreditBalance, on_delete=models.PROTECT, related_name="requests", db_index=False)
    caller = unconstrained_fk(User, blank=True)
    key = models.CharField(max_length=constants.MAX_IDEMPOTENCY_KEY)
    operation = models.CharField(max_length=64)
    fingerprint = models.BinaryField()
    result = models.TextField(help_text="JSON.")
    transaction = same_balance_fk("credits.CreditTransaction", "requests", null=True)
    hold = same_balance_fk("credits.CreditHold", "requests", null=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                name="credits_request_unique_key", fields=["balance", "caller", "key"], nulls_distinct=False
            ),
            models.CheckConstraint(name="credits_request_key_not_empty", condition=~Q(key="")),
        ]
        triggers = append_only("request")

    def __str__(self) -> str:
        return f"{self.operation} {self.key}"
