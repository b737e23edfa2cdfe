"""Saving filters of admin lists, and reading those that a member of staff can see."""

from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from fluxori.console.errors import FilterNameTakenError, FilterTooLongError, TooManyFiltersError
from fluxori.console.models import SavedFilter
from fluxori.console.saved_filters import constants
from fluxori.identity.models import User


@dataclass(frozen=True, slots=True)
class VisibleFilter:
    """A saved filter as a list shows it. ``shared_by`` is empty for a filter of the reader."""

    id: UUID
    name: str
    query: str
    shared: bool
    shared_by: str


@transaction.atomic
def save_filter(*, owner: User, model_label: str, name: str, query: str, shared: bool) -> SavedFilter:
    """Save a filter of one list under a name. Saving the same filter again returns the first.

    ``query`` must be the normalized filter of the list (``KeysetChangeList.filter_query``). A name is unique per owner
    and list.

    :raises FilterTooLongError: the query is longer than ``MAX_QUERY_LENGTH``
    :raises FilterNameTakenError: the owner has a different filter of this list with this name
    :raises TooManyFiltersError: the owner has ``MAX_FILTERS_PER_USER`` filters, over all lists
    """
    if len(query) > constants.MAX_QUERY_LENGTH:
        raise FilterTooLongError

    # The lock serializes the forms of one user, so that the maximum holds.
    User.objects.select_for_update(no_key=True).get(pk=owner.pk)

    saved = SavedFilter.objects.filter(owner=owner)
    existing = saved.filter(model_label=model_label, name=name).first()
    if existing is not None:
        if (existing.query, existing.shared) != (query, shared):
            raise FilterNameTakenError(name=name)
        return existing
    if saved.count() >= constants.MAX_FILTERS_PER_USER:
        raise TooManyFiltersError(maximum=constants.MAX_FILTERS_PER_USER)

    return SavedFilter.objects.create(owner=owner, model_label=model_label, name=name, query=query, shared=shared)


def visible_filters(model_label: str, *, staff: User) -> list[VisibleFilter]:
    """Return the saved filters of a list that a member of staff can see: their own, then shared ones, each by name.

    Filters that a deactivated user shared are left out.
    """
    visible = Q(owner=staff) | Q(shared=True, owner__is_active=True)
    rows = SavedFilter.objects.filter(visible, model_label=model_label).select_related("owner").order_by("name", "pk")
    filters = [
        VisibleFilter(row.pk, row.name, row.query, row.shared, "" if row.owner_id == staff.pk else str(row.owner))
        for row in rows
    ]
    return sorted(filters, key=lambda saved: bool(saved.shared_by))
