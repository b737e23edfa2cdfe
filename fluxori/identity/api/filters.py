"""How lists of people are narrowed."""

from fluxori.api.fields import Text
from fluxori.api.filters import Filters, Wire


class UserFilters(Filters):
    email = Wire(Text())
    external_id = Wire(Text())
