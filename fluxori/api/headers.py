"""Request headers that have one value: ``Authorization``, ``Idempotency-Key`` and ``X-Request-Id``.

RFC 9110 lets every server and proxy join repeated header lines with commas, and WSGI servers do. A comma in such a
header therefore separates repetitions, and cannot be part of the value.
"""

from collections.abc import Mapping
from typing import Any

from fluxori.api.errors import InvalidInputError
from fluxori.core.errors import FieldError


def single_value(meta: Mapping[str, Any], name: str) -> str:
    """Return the value of a header, or an empty string if it is missing. Repetitions of one value are one value.

    :raises InvalidInputError: the header has several different values
    """
    text: str = meta.get(f"HTTP_{name.upper().replace('-', '_')}", "")
    values = {value for part in text.split(",") if (value := part.strip())}
    if len(values) > 1:
        detail = "This header has several values. A comma separates them, and cannot be part of one."
        raise InvalidInputError([FieldError(name, "wrong_type", detail)])
    return next(iter(values), "")
