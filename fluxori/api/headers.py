"""Request headers that have one value: ``Authorization``, ``Idempotency-Key`` and ``X-Request-Id``.

WSGI servers join repeated header lines with a comma and no space, as RFC 9110 allows. Such a comma therefore separates
repetitions. A comma that a space follows is part of a value.
"""

import re
from collections.abc import Mapping
from typing import Any

from fluxori.api.errors import InvalidInputError
from fluxori.core.errors import FieldError

_JOIN = re.compile(",(?! )")


def single_value(meta: Mapping[str, Any], name: str) -> str:
    """Return the value of a header, or an empty string if it is missing. Repetitions of one value are one value.

    :raises InvalidInputError: the header has several different values
    """
    text: str = meta.get(f"HTTP_{name.upper().replace('-', '_')}", "").strip()
    if "," not in text:
        return text
    values = {part.strip() for part in text.split(",")}  # some proxies join with a space
    if len(values) == 1:
        return values.pop()
    if _JOIN.search(text):
        detail = "This header has several values. A comma without a space after it separates repeated lines."
        raise InvalidInputError([FieldError(name, "wrong_type", detail)])
    return text
