from django.db import models


class DemoMark(models.Model):
    """Says that this database was filled by the demo, so that it may fill it again, and never another one.

    ``secret`` is what its accounts' passwords are derived from. There is at most one.
    """

    id = models.SmallIntegerField(primary_key=True, default=1)
    secret = models.CharField(max_length=64)
    seeded = models.BooleanField(default=False)

    class Meta:
        constraints = [models.CheckConstraint(name="demo_mark_only_one", condition=models.Q(id=1))]

    def __str__(self) -> str:
        return "This database is the demo's"
