"""Tokens: who holds one is who it names, until it expires, is revoked, or the user may no longer log in.

The only module that knows how tokens are made. Claims: ``sub`` (the user's id), ``role``, ``token_type``, ``jti``,
``iat``, ``exp``; an access token lasts 15 minutes, a refresh token 14 days. The claims are never believed about the
user: the row is read every time, so that deactivation and a change of role act at the next request.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import jwt
from django.contrib.auth import authenticate
from django.db import transaction
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, Token

from fluxori.identity import external_issuer, queries
from fluxori.identity.errors import InvalidCredentialsError, TokenNotValidError
from fluxori.identity.models import User

T = TypeVar("T", bound=Token)


@dataclass(frozen=True, slots=True)
class Pair:
    """What a client holds: a short-lived token to call with, and one to get the next pair with."""

    access: str
    refresh: str


def log_in(*, email: str, password: str) -> Pair:
    """Return a pair of tokens.

    A password is hashed whether or not the account exists, so that the time taken does not tell.

    :raises InvalidCredentialsError: no such account, a wrong password, or a user who may no longer log in
    """
    user = authenticate(username=email, password=password)
    if not isinstance(user, User):
        raise InvalidCredentialsError
    return issue(user)


@transaction.atomic
def issue(user: User) -> Pair:
    """Return a new pair of tokens for ``user``."""
    refresh = RefreshToken()
    refresh["sub"], refresh["role"] = str(user.pk), user.role
    OutstandingToken.objects.create(
        user=user,
        jti=refresh["jti"],
        token="",  # the id is enough to revoke it; a copy of the database must not be a key ring
        created_at=refresh.current_time,
        expires_at=datetime.fromtimestamp(refresh["exp"], UTC),
    )
    return Pair(access=str(refresh.access_token), refresh=str(refresh))


@transaction.atomic
def rotate(refresh: str) -> Pair:
    """Return a new pair for a refresh token, which is thereby revoked. Of two at once, exactly one succeeds.

    :raises TokenNotValidError: expired, revoked, not a refresh token, or of a user who may no longer log in
    """
    token = _read(RefreshToken, refresh)
    user = _holder(token)
    _revoke(token)
    return issue(user)


@transaction.atomic
def revoke(refresh: str) -> None:
    """Make a refresh token worthless. :raises TokenNotValidError: if it already is"""
    _revoke(_read(RefreshToken, refresh))


def verify(raw: str) -> None:
    """:raises TokenNotValidError: unless ``raw``, an access or a refresh token, would be accepted now"""
    try:
        user_of(raw)
    except TokenNotValidError:
        _holder(_read(RefreshToken, raw))


def user_of(access: str) -> User:
    """Return the user an access token names, as the database knows them now. One query.

    :raises TokenNotValidError: expired, not an access token, not signed by an accepted issuer, user unknown or
        deactivated
    :raises IssuerUnavailableError: another issuer's keys cannot be fetched
    """
    issuer = external_issuer.configured()
    if issuer is not None and _algorithm(access) == external_issuer.ALGORITHM:
        return _active(queries.user_by_subject(external_issuer.subject_of(access, issuer)))
    return _holder(_read(AccessToken, access))


def _read(kind: type[T], raw: Any) -> T:
    try:
        return kind(raw)
    except TokenError:
        raise TokenNotValidError from None


def _holder(token: Token) -> User:
    return _active(queries.user_by_id(UUID(token["sub"])))


def _active(user: User | None) -> User:
    if user is None or not user.is_active:
        raise TokenNotValidError
    return user


def _revoke(token: RefreshToken) -> None:
    issued = OutstandingToken.objects.filter(jti=token["jti"]).first()
    if issued is None:
        raise TokenNotValidError
    # The unique row decides between two at once: the second waits for the first and finds it there.
    _, revoked_now = BlacklistedToken.objects.get_or_create(token=issued)
    if not revoked_now:
        raise TokenNotValidError


def _algorithm(raw: str) -> str | None:
    try:
        return jwt.get_unverified_header(raw).get("alg")
    except jwt.PyJWTError:
        return None
