"""How a Python name is spelled in JSON."""

from functools import lru_cache


@lru_cache(maxsize=4096)
def camel(name: str) -> str:
    """Return the camelCase spelling of a snake_case name.

    A trailing underscore, which keeps a Python keyword out of the way, is dropped; every other underscore that is
    followed by a letter or a digit goes, and what follows it is raised.

    >>> camel("organization_id"), camel("from_"), camel("limit")
    ('organizationId', 'from', 'limit')
    """
    first, *rest = name.rstrip("_").split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)
