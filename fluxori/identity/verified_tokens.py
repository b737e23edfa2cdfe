"""A memory of tokens whose signature and claims this process has verified, so that each is verified once.

It saves the cryptography and nothing else: what may change while a token is valid is read from the database for every
request. A token is stored as a digest under the key or the issuer that it was verified with. So a token that was
changed in one character, and every token after a change of the key, is verified again.
"""

import hmac
from threading import Lock
from time import time

# A client has one access token at a time. An entry takes about 300 bytes.
MAX_TOKENS = 10_000


class VerifiedTokens:
    """The subjects of verified tokens, each until a given time. The oldest entries make room for new ones."""

    def __init__(self, *, size: int = MAX_TOKENS) -> None:
        self._size = size
        self._lock = Lock()
        self._entries: dict[bytes, tuple[str, float]] = {}

    def subject_of(self, token: str, *, key: str) -> str | None:
        """Return the subject of a token that was verified with ``key`` and has not expired, or None."""
        subject, until = self._entries.get(_digest(token, key), (None, 0.0))
        return subject if time() < until else None

    def remember(self, token: str, subject: str, *, key: str, until: float) -> None:
        """Store the subject of a token that has just been verified with ``key``, until a time in seconds since 1970."""
        with self._lock:
            self._entries[_digest(token, key)] = subject, until
            while len(self._entries) > self._size:
                del self._entries[next(iter(self._entries))]

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()


def _digest(token: str, key: str) -> bytes:
    return hmac.digest(key.encode(), token.encode("utf-8", "surrogatepass"), "sha256")
