"""Filters of lists that staff keep under a name, for themselves or for everybody who sees the list."""

from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from fluxori.console.actions import constants
from fluxori.console.errors import FilterNameTakenError, FilterTooLongError, TooManyFiltersError
from fluxori.console.models import SavedFilter
from fluxori.identity.models import User


@dataclass(frozen=True, slots=True)
class Kept:
    """A saved filter as a list shows it: ``by`` is empty where it is the reader's own."""

    id: UUID
    name: str
    query: str
    shared: bool
    by: str


@transaction.atomic
def keep_filter(*, owner: User, of_list: str, name: str, query: str, shared: bool) -> SavedFilter:
    """Keep a filter of one list under a name. The same again is kept once.

    ``query`` is a filter that this list understands: its page says so, and spells it. Names are one's own, so that two
    people may use the same.

    :raises FilterTooLongError: if it has more than ``MAX_FILTER`` characters
    :raises FilterNameTakenError: if another filter of theirs in this list is called that
    :raises TooManyFiltersError: if they keep ``MAX_FILTERS`` already, over all lists
    """
    if len(query) > constants.MAX_FILTER:
        raise FilterTooLongError

    # Whoever sends the form twice, or from two windows, is served one after the other.
    User.objects.select_for_update(no_key=True).get(pk=owner.pk)

    kept = SavedFilter.objects.filter(owner=owner)
    named = kept.filter(of_list=of_list, name=name).first()
    if named is not None:
        if (named.query, named.shared) != (query, shared):
            raise FilterNameTakenError(name=name)
        return named
    if kept.count() >= constants.MAX_FILTERS:
        raise TooManyFiltersError(most=constants.MAX_FILTERS)

    return SavedFilter.objects.create(owner=owner, of_list=of_list, name=name, query=query, shared=shared)


def filters_of(of_list: str, *, staff: User) -> list[Kept]:
    """Return the saved filters of a list that somebody sees: their own, then what colleagues share, each by name.

    What was shared by somebody who has been deactivated is not shown any more.
    """
    theirs = Q(owner=staff) | Q(shared=True, owner__is_active=True)
    found = SavedFilter.objects.filter(theirs, of_list=of_list).select_related("owner").order_by("name", "pk")
    shown = [
        Kept(row.pk, row.name, row.query, row.shared, "" if row.owner_id == staff.pk else str(row.owner))
        for row in found
    ]
    return sorted(shown, key=lambda one: bool(one.by))
