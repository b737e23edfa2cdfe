"""Counters of failed logins to the admin."""

from django.db import models


class LoginFailures(models.Model):
    """The number of recent failed logins for one key: a hash of account and address, or of an address alone."""

    name = models.CharField(max_length=64, primary_key=True)
    failures = models.IntegerField()
    last_at = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.failures} until {self.last_at:%Y-%m-%d %H:%M}"
