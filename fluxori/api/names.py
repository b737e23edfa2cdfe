"""Conversion of Python names to JSON names."""

from functools import lru_cache


@lru_cache(maxsize=4096)
def camel(name: str) -> str:
    """Convert a snake_case name to camelCase.

    A trailing underscore, which avoids a Python keyword, is dropped.

    >>> camel("organization_id"), camel("from_"), camel("limit")
    ('organizationId', 'from', 'limit')
    """
    first, *rest = name.rstrip("_").split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)
