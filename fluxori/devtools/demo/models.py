from django.db import models


class DemoMark(models.Model):
    """Marks a database as the demo's, so that the demo fills and drops no other one.

    ``secret`` is the key from which the passwords of the accounts are derived. There is at most one row.
    """

    id = models.SmallIntegerField(primary_key=True, default=1)
    secret = models.CharField(max_length=64)
    seeded = models.BooleanField(default=False)

    class Meta:
        constraints = [models.CheckConstraint(name="demo_mark_only_one", condition=models.Q(id=1))]

    def __str__(self) -> str:
        return "The database of the demo"
