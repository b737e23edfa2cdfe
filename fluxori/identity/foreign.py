"""Tokens of another issuer: accepted by configuration, verified by the keys it publishes."""

import time
from dataclasses import dataclass
from functools import cache
from typing import Any

import jwt
from django.conf import settings

from fluxori.identity.errors import IssuerUnavailableError, TokenNotValidError

ALGORITHM = "RS256"
SECONDS_BETWEEN_FETCHES = 10


class _Keys(jwt.PyJWKClient):
    """Fetches again for a key it does not know, but not for every token that names a made-up one."""

    _fetched_at = float("-inf")

    def get_jwk_set(self, refresh: bool = False) -> jwt.PyJWKSet:
        if refresh and time.monotonic() - self._fetched_at < SECONDS_BETWEEN_FETCHES:
            refresh = False
        return super().get_jwk_set(refresh)

    def fetch_data(self) -> Any:
        self._fetched_at = time.monotonic()
        return super().fetch_data()


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who else may name our users, and for whom such tokens must be meant."""

    jwks_url: str
    issuer: str
    audience: str


def configured() -> Issuer | None:
    """Return the issuer of the settings, or None where there is none."""
    told: dict[str, str] | None = getattr(settings, "FOREIGN_ISSUER", None)
    return Issuer(**told) if told else None


def subject_of(raw: str, issuer: Issuer) -> str:
    """Return whom the token names.

    :raises TokenNotValidError: any flaw: key, signature, algorithm, issuer, audience, expiry, or no subject
    :raises IssuerUnavailableError: its keys cannot be fetched
    """
    try:
        key = _keys(issuer.jwks_url).get_signing_key_from_jwt(raw)
        claims: dict[str, Any] = jwt.decode(
            raw,
            key,
            algorithms=[ALGORITHM],
            issuer=issuer.issuer,
            audience=issuer.audience,
            options={"require": ["exp", "sub", "iss", "aud"]},
        )
    except jwt.PyJWKClientConnectionError as fault:
        raise IssuerUnavailableError from fault
    except jwt.PyJWTError:
        raise TokenNotValidError from None
    subject: str = claims["sub"]
    return subject


@cache
def _keys(jwks_url: str) -> _Keys:
    return _Keys(jwks_url, lifespan=300, timeout=5)
