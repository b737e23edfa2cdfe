"""Access tokens of an external OpenID Connect issuer.

The settings ``OIDC_*`` name the issuer. Its tokens are verified with the keys it publishes (JWKS); see
``fluxori.identity.tokens`` for how a token becomes a user.
"""

from dataclasses import dataclass
from functools import cache
from time import time
from typing import Any

import jwt
from django.conf import settings

from fluxori.identity.errors import IssuerUnavailableError, TokenNotValidError
from fluxori.identity.verified_tokens import VerifiedTokens

ALGORITHM = "RS256"
# An unknown key id causes one fetch of the keys at once, and then none for this long: tokens with invented key ids must
# not cause a fetch each.
KEY_FETCH_COOLDOWN_SECONDS = 10
# How long the keys that were fetched are used.
KEY_SECONDS = 300
# A token is verified again after this time, because the issuer may have withdrawn its key.
REMEMBERED_SECONDS = 60

_verified = VerifiedTokens()


@dataclass(frozen=True, slots=True)
class Issuer:
    """The accepted issuer, the URL of its keys, and the audience that its tokens must have."""

    jwks_url: str
    issuer: str
    audience: str


def configured_issuer() -> Issuer | None:
    """Return the issuer of the settings, or None if there is none."""
    values: dict[str, str] | None = getattr(settings, "OIDC_ISSUER", None)
    return Issuer(**values) if values else None


def verified_subject(token: str, issuer: Issuer) -> str:
    """Return the subject of a token. It is verified unless that was done within the last minute.

    :raises IssuerUnavailableError: the issuer's keys cannot be fetched
    :raises TokenNotValidError: the key, signature, algorithm, issuer, audience, expiry or subject is not valid
    """
    verified_with = f"{issuer.jwks_url} {issuer.issuer} {issuer.audience}"
    subject: str | None = _verified.subject_of(token, key=verified_with)
    if subject is None:
        subject, expires_at = _verify(token, issuer)
        until = min(expires_at, time() + REMEMBERED_SECONDS)
        _verified.remember(token, subject, key=verified_with, until=until)
    return subject


def _verify(token: str, issuer: Issuer) -> tuple[str, float]:
    """Return the subject of a token and the time at which it expires."""
    try:
        key = _key_client(issuer.jwks_url).get_signing_key_from_jwt(token)
    except (jwt.PyJWKClientConnectionError, ValueError) as error:
        raise IssuerUnavailableError from error
    except jwt.PyJWTError:
        raise TokenNotValidError from None
    claims = _claims(token, key, issuer)
    subject: str = claims["sub"]
    if not subject.isprintable():  # PostgreSQL cannot store or compare NUL and lone surrogates
        raise TokenNotValidError
    return subject, float(claims["exp"])


def _claims(token: str, key: jwt.PyJWK, issuer: Issuer) -> dict[str, Any]:
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            issuer=issuer.issuer,
            audience=issuer.audience,
            leeway=settings.TOKEN_LEEWAY_SECONDS,
            options={"require": ["exp", "sub", "iss", "aud"]},
        )
    # All but the first: a claim of another type, or out of range.
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
        raise TokenNotValidError from None
    return claims


@cache
def _key_client(jwks_url: str) -> jwt.PyJWKClient:
    return jwt.PyJWKClient(jwks_url, lifespan=KEY_SECONDS, timeout=5, cooldown_duration=KEY_FETCH_COOLDOWN_SECONDS)
