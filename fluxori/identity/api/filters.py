"""Filters of the list of users."""

from fluxori.api.fields import Text
from fluxori.api.filters import Filters, QueryFilter


class UserFilters(Filters):
    email = QueryFilter(Text())
    external_id = QueryFilter(Text())
