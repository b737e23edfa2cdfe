"""Filters of admin lists that staff save under a name."""

from django.db import models
from django.db.models import Q

from fluxori.console.saved_filters import constants
from fluxori.core.ids import uuid7
from fluxori.identity.models import User


class SavedFilter(models.Model):
    """A filter of one admin list under a name, private to its owner or shared with all staff who see the list.

    ``query`` is the query string of the list, never a whole address. The filter is deleted with its owner.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+", db_index=False)
    model_label = models.CharField(max_length=100, help_text="The model of the list, like credits.creditgrant.")
    name = models.CharField(max_length=constants.MAX_NAME_LENGTH)
    query = models.CharField(max_length=constants.MAX_QUERY_LENGTH)
    shared = models.BooleanField(default=False)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(name="console_filter_unique_name", fields=["owner", "model_label", "name"]),
            models.CheckConstraint(name="console_filter_not_empty", condition=~Q(name="") & ~Q(query="")),
        ]
        indexes = [models.Index(name="console_filter_by_list", fields=["model_label"])]

    def __str__(self) -> str:
        return self.name
