"""The one spelling of an e-mail address. It is computed here only, never by PostgreSQL.

An address is stored and compared in lower case, composed (Unicode NFC), and with the domain in its ASCII form (IDNA).
The result is ASCII, so every database and every locale agrees on it.
"""

import unicodedata

MAX_EMAIL = 254  # characters
INVALID = "This is not an e-mail address."

# IDNA 2003, which Python and Django use for mail, replaces or drops these. IDNA 2008 makes a domain of its own of them.
_AMBIGUOUS = frozenset("ß\u03c2\u200c\u200d")


def normalize_email(text: str) -> str:
    """Return the one spelling of an address.

    >>> normalize_email("Info@MÜNCHEN.example")
    'info@xn--mnchen-3ya.example'

    :raises ValueError: there is no @, the part before it is not ASCII, or the domain has no unambiguous ASCII form
    """
    local, at, domain = unicodedata.normalize("NFC", text.lower()).rpartition("@")
    if not at or not local.isascii() or _AMBIGUOUS & set(domain):
        raise ValueError(text)
    return f"{local}@{domain.encode('idna').decode('ascii').lower()}"


def email_for_lookup(text: str) -> str:
    """Return the one spelling of an address, or the lower case of a text that is not one: no user has it."""
    try:
        return normalize_email(text)
    except ValueError:
        return text.lower()
