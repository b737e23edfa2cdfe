"""One balance for each user, and one row for each movement."""

from django.conf import settings
from django.db import models


class Balance(models.Model):
    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="balance")
    credits = models.BigIntegerField()

    class Meta:
        app_label = "naive"

    def __str__(self) -> str:
        return str(self.pk)


class Movement(models.Model):
    balance = models.ForeignKey(Balance, on_delete=models.CASCADE)
    amount = models.BigIntegerField()
    key = models.CharField(max_length=255)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "naive"
        constraints = [models.UniqueConstraint(fields=["balance", "key"], name="naive_movement_key")]

    def __str__(self) -> str:
        return str(self.pk)
