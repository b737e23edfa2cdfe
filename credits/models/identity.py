import pgtrigger
from django.db import models
from django.db.models import Q

from credits.models.constraints import forbid


class LedgerIdentity(models.Model):
    """The identity of the ledger in this database: one row, which a migration writes.

    A restored backup has the same id, whether it is a copy of the files or a dump. Another database has another id.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    single = models.BooleanField(unique=True, default=True, editable=False, help_text="Always true: there is one row.")

    class Meta:
        verbose_name_plural = "ledger identities"
        constraints = [models.CheckConstraint(name="credits_identity_one_row", condition=Q(single=True))]
        triggers = forbid(pgtrigger.Insert, pgtrigger.Update, pgtrigger.Delete, name="identity")

    def __str__(self) -> str:
        return f"Ledger {self.pk}"
