"""Tokens of another issuer: accepted by configuration, verified by the keys it publishes."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import jwt
from django.conf import settings

from fluxori.identity.errors import IssuerUnavailableError, TokenNotValidError

ALGORITHM = "RS256"
# A key that is not known yet is asked for at once, but not for every token that names a made-up one.
SECONDS_BETWEEN_FETCHES = 10


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who else may name our users, and for whom such tokens must be meant."""

    jwks_url: str
    issuer: str
    audience: str


def configured() -> Issuer | None:
    """Return the issuer of the settings, or None where there is none."""
    told: dict[str, str] | None = getattr(settings, "OIDC_ISSUER", None)
    return Issuer(**told) if told else None


def subject_of(raw: str, issuer: Issuer) -> str:
    """Return whom the token names.

    :raises TokenNotValidError: any flaw: key, signature, algorithm, issuer, audience, expiry, or no subject
    :raises IssuerUnavailableError: its keys cannot be fetched
    """
    try:
        key = _keys(issuer.jwks_url).get_signing_key_from_jwt(raw)
    except (jwt.PyJWKClientConnectionError, ValueError) as fault:
        raise IssuerUnavailableError from fault
    except jwt.PyJWTError:
        raise TokenNotValidError from None
    return _subject(raw, key, issuer)


def _subject(raw: str, key: jwt.PyJWK, issuer: Issuer) -> str:
    try:
        claims: dict[str, Any] = jwt.decode(
            raw,
            key,
            algorithms=[ALGORITHM],
            issuer=issuer.issuer,
            audience=issuer.audience,
            options={"require": ["exp", "sub", "iss", "aud"]},
        )
    except jwt.PyJWTError:
        raise TokenNotValidError from None
    subject: str = claims["sub"]
    if not subject.isprintable():  # NUL and lone surrogates name nobody, and no database takes them
        raise TokenNotValidError
    return subject


@cache
def _keys(jwks_url: str) -> jwt.PyJWKClient:
    return jwt.PyJWKClient(jwks_url, lifespan=300, timeout=5, cooldown_duration=SECONDS_BETWEEN_FETCHES)
