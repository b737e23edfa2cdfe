"""Issuing, refreshing, verifying and revoking tokens (JWT). No other module creates or reads tokens.

Claims: ``sub`` (the user's id), ``role``, ``token_type``, ``jti``, ``iat``, ``exp``. An access token lasts 15 minutes,
a refresh token 14 days. The user's row is read for every request and the claim ``role`` is not used, so deactivation
and a change of role take effect at the next request. The signature and the claims of an access token are verified once
in each process; see ``fluxori.identity.verified_tokens``.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import jwt
from django.conf import settings
from django.contrib.auth import authenticate
from django.db import DataError, transaction
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, Token

from fluxori.core.ids import id_from_text
from fluxori.identity import external_issuer, queries
from fluxori.identity.errors import InvalidCredentialsError, TokenNotValidError
from fluxori.identity.models import User
from fluxori.identity.verified_tokens import VerifiedTokens

_verified = VerifiedTokens()

T = TypeVar("T", bound=Token)


@dataclass(frozen=True, slots=True)
class TokenPair:
    """An access token for requests, and a refresh token for the next pair."""

    access: str
    refresh: str


def log_in(*, email: str, password: str) -> TokenPair:
    """Return a pair of tokens for an e-mail address and a password.

    A password is hashed also if the account does not exist, so that the response time does not reveal accounts.

    :raises LoginBusyError: the process hashes as many passwords as it may
    :raises InvalidCredentialsError: the account does not exist, the password is wrong, or the user is deactivated
    """
    user = authenticate(username=email, password=password)
    if not isinstance(user, User):
        raise InvalidCredentialsError
    return issue(user)


@transaction.atomic
def issue(user: User) -> TokenPair:
    """Return a new pair of tokens for ``user``."""
    refresh = RefreshToken()
    refresh["sub"], refresh["role"] = str(user.pk), user.role
    OutstandingToken.objects.create(
        user=user,
        jti=refresh["jti"],
        token="",  # the id is enough to revoke it, and a copy of the database must not contain usable tokens
        created_at=refresh.current_time,
        expires_at=datetime.fromtimestamp(refresh["exp"], UTC),
    )
    return TokenPair(access=str(refresh.access_token), refresh=str(refresh))


@transaction.atomic
def rotate(refresh: str) -> TokenPair:
    """Return a new pair for a refresh token and revoke that token. Of two concurrent calls, exactly one succeeds.

    :raises TokenNotValidError: expired, revoked, not a refresh token, or its user is deactivated
    """
    token = _parse(RefreshToken, refresh)
    user = _user_of(token)
    _revoke(token)
    return issue(user)


@transaction.atomic
def revoke(refresh: str) -> None:
    """Revoke a refresh token.

    :raises TokenNotValidError: expired, already revoked, or not a refresh token
    """
    _revoke(_parse(RefreshToken, refresh))


def verify(token: str) -> None:
    """Check that an access or refresh token would be accepted now.

    :raises TokenNotValidError: it would not
    """
    try:
        user_from_access_token(token)
    except TokenNotValidError:
        _user_of(_parse(RefreshToken, token))


def user_from_access_token(access: str) -> User:
    """Return the user of an access token, as stored in the database now. One query.

    :raises IssuerUnavailableError: the keys of the external issuer cannot be fetched
    :raises TokenNotValidError: expired, not an access token, not signed by an accepted issuer, or the user does not
        exist or is deactivated
    """
    issuer = external_issuer.configured_issuer()
    if issuer is not None and _algorithm(access) == external_issuer.ALGORITHM:
        return _require_active(queries.user_by_subject(external_issuer.verified_subject(access, issuer)))
    key: str = settings.SIMPLE_JWT["SIGNING_KEY"]
    subject = _verified.subject_of(access, key=key)
    if subject is None:
        token = _parse(AccessToken, access)
        user = _user_of(token)
        _verified.remember(access, token["sub"], key=key, until=float(token["exp"]))
        return user
    return _user_with_id(subject)


def _parse(token_class: type[T], token: Any) -> T:
    try:
        return token_class(token)
    # All but the first: a claim of another type, out of range, or with characters that PostgreSQL cannot compare.
    except (TokenError, ValueError, TypeError, OverflowError, DataError):
        raise TokenNotValidError from None


def _user_of(token: Token) -> User:
    return _user_with_id(token.get("sub"))


def _user_with_id(text: Any) -> User:
    user_id = id_from_text(text)
    return _require_active(None if user_id is None else queries.user_by_id(user_id))


def _require_active(user: User | None) -> User:
    if user is None or not user.is_active:
        raise TokenNotValidError
    return user


def _revoke(token: RefreshToken) -> None:
    issued = OutstandingToken.objects.filter(jti=token["jti"]).first()
    if issued is None:
        raise TokenNotValidError
    # A unique constraint decides between two concurrent calls: the second waits for the first and then finds its row.
    _, revoked_now = BlacklistedToken.objects.get_or_create(token=issued)
    if not revoked_now:
        raise TokenNotValidError


def _algorithm(token: str) -> str | None:
    try:
        return jwt.get_unverified_header(token).get("alg")
    except jwt.PyJWTError:
        return None
