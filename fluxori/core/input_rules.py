"""Rules for values that the HTTP API and the ledger both validate: idempotency keys, metadata and stored text.

Each rule is written once. A rule returns None for a valid value, or the field code and a sentence for a person. The
callers turn that into their own kind of error.
"""

import json
import re
import unicodedata
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from fluxori.core.constants import MAX_IDEMPOTENCY_KEY, MAX_METADATA_BYTES

# Control, format, surrogate, private use, line and paragraph separator.
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
# Letters and signs that are shown as a blank, or not at all.
_BLANK_LETTERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")

# The joiners change the shape of letters: in Persian between two letters, in the scripts of India after a virama.
_ZERO_WIDTH_NON_JOINER, _ZERO_WIDTH_JOINER = "\u200c", "\u200d"
_VIRAMA = 9  # its canonical combining class
_CURSIVE = ("ARABIC LETTER ", "SYRIAC LETTER ")

# NUL and surrogate code points: PostgreSQL stores neither.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def idempotency_key_error(key: object) -> tuple[str, str] | None:
    """Return what is wrong with an idempotency key: it has 1 to 255 printable characters."""
    if not isinstance(key, str):
        return "wrong_type", "This must be a string."
    if len(key) > MAX_IDEMPOTENCY_KEY:
        return "key_too_long", f"At most {MAX_IDEMPOTENCY_KEY} characters."
    if not key or not key.isprintable():
        return "wrong_type", "Printable characters are needed."
    return None


def metadata_error(value: object) -> tuple[str, str] | None:
    """Return what is wrong with metadata.

    Metadata is a JSON object of at most 4 KiB as canonical JSON, without NUL and without lone surrogates.
    """
    if not isinstance(value, dict):
        return "wrong_type", "This must be a JSON object."
    try:
        text = canonical_json(value)
    except (TypeError, ValueError, RecursionError):
        return "wrong_type", "This cannot be written as JSON."
    # JSON escapes NUL. An escaped backslash in front of "u0000" is removed first, because it is ordinary text.
    if "\\u0000" in text.replace("\\\\", ""):
        return "wrong_type", "NUL is not allowed."
    if not is_storable(text):
        return "wrong_type", "A lone surrogate is not a character."
    if len(text.encode()) > MAX_METADATA_BYTES:
        return "too_long", f"At most {MAX_METADATA_BYTES} bytes as canonical JSON."
    return None


def name_error(name: str) -> tuple[str, str] | None:
    """Return what is wrong with the name of something that people choose from: every character can be seen.

    Control and format characters, such as a change of the writing direction, make two names look alike. The joiners are
    accepted where a script needs them.
    """
    invisible = next(
        (each for index, each in enumerate(name) if _is_invisible(each) and not _shapes_letters(name, index)), None
    )
    if invisible is not None:
        return "wrong_type", f"The character U+{ord(invisible):04X} cannot be seen."
    return None


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in _INVISIBLE_CATEGORIES or character in _BLANK_LETTERS


def _shapes_letters(name: str, index: int) -> bool:
    """Return whether a character is a joiner in a place where it changes how its neighbours are written.

    The places are those of RFC 5892, appendix A.1 and A.2, without the joining types of single letters.
    """
    character, before, after = name[index], name[index - 1 : index], name[index + 1 : index + 2]
    if character not in {_ZERO_WIDTH_NON_JOINER, _ZERO_WIDTH_JOINER} or not before:
        return False
    if unicodedata.combining(before) == _VIRAMA:
        return True
    return character == _ZERO_WIDTH_NON_JOINER and _is_cursive(before) and _is_cursive(after)


def _is_cursive(character: str) -> bool:
    return bool(character) and unicodedata.name(character, "").startswith(_CURSIVE)


def is_storable(text: str) -> bool:
    """Return whether PostgreSQL can store ``text``."""
    return not _UNSTORABLE.search(text)


def canonical_json(value: Any) -> str:
    """Return the canonical JSON of ``value``: the form that is stored, hashed and compared.

    Keys are sorted and there is no white space. Times are written in UTC; ids and decimals are strings.

    >>> canonical_json({"b": 1, "a": Decimal("0.10")})
    '{"a":"0.10","b":1}'
    """
    return _encoder.encode(value)


def _serialize(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, UUID | Decimal):
        return str(value)
    raise TypeError(type(value).__name__)


# Created once: json.dumps with options builds an encoder for every call.
_encoder = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_serialize
)
