"""Issuing, refreshing, verifying and revoking tokens (JWT). No other module creates or reads tokens.

Claims: ``sub`` (the user's id), ``role``, ``token_type``, ``jti``, ``iat``, ``exp``, and ``generation`` if sessions of
the user were ended before. An access token lasts 15 minutes, a refresh token 14 days. The user's row is read for every
request and the claim ``role`` is not used, so deactivation, a change of role and the end of all sessions take effect at
the next request. The signature and the claims of an access token are verified once in each process; see
``fluxori.identity.verified_tokens``.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import jwt
import structlog
from django.conf import settings
from django.contrib.auth import authenticate
from django.db import DataError, transaction
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, Token

from fluxori.core import clock
from fluxori.core.ids import id_from_text
from fluxori.identity import external_issuer, queries
from fluxori.identity.accounts import end_sessions
from fluxori.identity.errors import InvalidCredentialsError, TokenNotValidError
from fluxori.identity.lock_out import counted_attempt
from fluxori.identity.models import User
from fluxori.identity.verified_tokens import VerifiedTokens

_verified = VerifiedTokens()

T = TypeVar("T", bound=Token)

# The claim with the session generation of the user. A token without it is of generation 0.
GENERATION = "generation"

logger = structlog.get_logger("fluxori.identity")


class _RotatedToken(RefreshToken):
    """A refresh token that may be revoked: ``rotate`` decides what follows from that."""

    is_revoked = False

    def check_blacklist(self) -> None:
        self.is_revoked = BlacklistedToken.objects.filter(token__jti=self["jti"]).exists()


@dataclass(frozen=True, slots=True)
class TokenPair:
    """An access token for requests, and a refresh token for the next pair."""

    access: str
    refresh: str


def log_in(*, email: str, password: str, address: str = "") -> TokenPair:
    """Return a pair of tokens for an e-mail address and a password.

    A password is hashed also if the account does not exist, so that the response time does not reveal accounts.
    ``address`` is the IP address of the caller, for the lock after repeated failures.

    :raises LoginLockedError: too many attempts failed
    :raises LoginBusyError: the process hashes as many passwords as it may
    :raises InvalidCredentialsError: the account does not exist, the password is wrong, or the user is deactivated
    """
    with counted_attempt(email=email, address=address, at=clock.now()):
        user = authenticate(username=email, password=password)
        if not isinstance(user, User):
            raise InvalidCredentialsError
    return issue(user)


@transaction.atomic
def issue(user: User) -> TokenPair:
    """Return a new pair of tokens for ``user``."""
    refresh = RefreshToken()
    refresh["sub"], refresh["role"] = str(user.pk), user.role
    if user.session_generation:
        refresh[GENERATION] = user.session_generation
    OutstandingToken.objects.create(
        user=user,
        jti=refresh["jti"],
        token="",  # the id is enough to revoke it, and a copy of the database must not contain usable tokens
        created_at=refresh.current_time,
        expires_at=datetime.fromtimestamp(refresh["exp"], UTC),
    )
    return TokenPair(access=str(refresh.access_token), refresh=str(refresh))


def rotate(refresh: str) -> TokenPair:
    """Return a new pair for a refresh token and revoke that token. Of two concurrent calls, exactly one succeeds.

    A token that was revoked before the call is used by a second party, which may be a thief: every session and token of
    the user ends.

    :raises TokenNotValidError: expired, revoked, not a refresh token, or its user is deactivated
    """
    token = _parse(_RotatedToken, refresh)
    user = _user_of(token)
    if token.is_revoked:
        end_sessions(user=user)
        logger.warning("refresh_token_reused", user_id=str(user.pk))
        raise TokenNotValidError
    with transaction.atomic():
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
    key = str(settings.SIMPLE_JWT["SIGNING_KEY"])
    subject = _verified.subject_of(access, key=key)
    if subject is None:
        token = _parse(AccessToken, access)
        user = _user_of(token)
        _verified.remember(access, (token["sub"], token.get(GENERATION, 0)), key=key, until=float(token["exp"]))
        return user
    return _user_with_id(*subject)


def _parse(token_class: type[T], token: Any) -> T:
    try:
        return token_class(token)
    # All but the first: a claim of another type, out of range, or with characters that PostgreSQL cannot compare.
    except (TokenError, ValueError, TypeError, OverflowError, DataError):
        raise TokenNotValidError from None


def _user_of(token: Token) -> User:
    return _user_with_id(token.get("sub"), token.get(GENERATION, 0))


def _user_with_id(text: Any, generation: Any) -> User:
    user_id = id_from_text(text)
    user = _require_active(None if user_id is None else queries.user_by_id(user_id))
    if generation != user.session_generation:
        raise TokenNotValidError
    return user


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
