"""The record of the periodic jobs. The queue itself has its tables from ``procrastinate.contrib.django``."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import models

from fluxori.core import clock


class PeriodicJob(models.Model):
    """When a periodic job last succeeded. The jobs themselves are removed from the queue after some days."""

    name = models.CharField(max_length=128, primary_key=True)
    first_run_at = models.DateTimeField()
    succeeded_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name


@contextmanager
def success_recorded(name: str) -> Iterator[None]:
    """Record the success of the periodic job ``name`` if the block raises no error."""
    PeriodicJob.objects.get_or_create(name=name, defaults={"first_run_at": clock.now()})
    yield
    PeriodicJob.objects.filter(name=name).update(succeeded_at=clock.now())
