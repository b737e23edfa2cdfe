"""The condition of keyset pagination: the rows after a given row, in a given order.

A page that starts at a key costs the same at any depth, provided that an index has the order. The paginated lists of
the HTTP API and the change lists of the admin share this condition.
"""

from collections.abc import Sequence
from typing import Any

from django.db.models import Q


def after_key(ordering: Sequence[str], values: Sequence[Any]) -> Q:
    """Return the condition for the rows after the row that has ``values`` in the columns of ``ordering``.

    ``ordering`` is written as in ``QuerySet.order_by``: a leading minus means descending. Its columns must be unique
    together. The outer bound on the first column follows from the rest. PostgreSQL needs it to start in the index at
    that position.
    """
    first, *rest = ordering
    name = first.lstrip("-")
    lookup = "lt" if first.startswith("-") else "gt"
    after = Q(**{f"{name}__{lookup}": values[0]})
    if not rest:
        return after
    tied = Q(**{name: values[0]}) & after_key(rest, values[1:])
    return Q(**{f"{name}__{lookup}e": values[0]}) & (after | tied)
