"""Tokens that are sent by e-mail: each has one purpose, expires, and can be used once.

All changes of the tokens of a user are made under the lock of the user's row.
"""

import hashlib
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from fluxori.core.errors import InvalidRequestError
from fluxori.identity.errors import TokenExpiredError, TokenUsedError
from fluxori.identity.models import OneTimeToken, User

LIFETIMES = {
    OneTimeToken.Purpose.PASSWORD_RESET: timedelta(hours=1),
    OneTimeToken.Purpose.EMAIL_CHANGE: timedelta(days=1),
    OneTimeToken.Purpose.INVITATION: timedelta(days=7),
}
# Of each purpose and user: a person cannot be sent any number of mails.
MAX_PER_HOUR = 5
_KEPT_AFTER_EXPIRY = timedelta(days=30)


def lock_user(user_id: UUID) -> User | None:
    """Return the user, locked until the end of the transaction."""
    return User.objects.select_for_update(no_key=True).filter(pk=user_id).first()


def create_token(user: User, purpose: OneTimeToken.Purpose, *, at: datetime, email: str | None = None) -> str | None:
    """Return a new token, or None if too many were created in the last hour. The caller has locked the user."""
    tokens = user.one_time_tokens
    tokens.filter(expires_at__lte=at - _KEPT_AFTER_EXPIRY).delete()
    if tokens.filter(purpose=purpose, created_at__gt=at - timedelta(hours=1)).count() >= MAX_PER_HOUR:
        return None
    token = secrets.token_urlsafe(32)
    tokens.create(
        purpose=purpose, digest=_digest(token), email=email, created_at=at, expires_at=at + LIFETIMES[purpose]
    )
    return token


def use_token(
    token: str, purposes: Collection[OneTimeToken.Purpose], *, at: datetime, user_id: UUID | None = None
) -> OneTimeToken:
    """Use a token, and return it with its user locked. Every other token of the user becomes invalid.

    :raises InvalidRequestError: there is no such token with one of these purposes, or it belongs to a user other than
        ``user_id``, or the user is deactivated
    :raises TokenUsedError: it was used, or a later change made it invalid
    :raises TokenExpiredError: it has expired
    """
    found = OneTimeToken.objects.filter(digest=_digest(token), purpose__in=purposes)
    owner_id = found.values_list("user_id", flat=True).first()
    user = lock_user(owner_id) if owner_id is not None and user_id in (None, owner_id) else None
    row = found.first() if user is not None and user.is_active else None
    if row is None or user is None:
        raise InvalidRequestError.field("token", "invalid_choice", "This is not a token from one of our mails to you.")
    row.user = user
    if row.used_at is not None:
        raise TokenUsedError
    if row.expires_at <= at:
        raise TokenExpiredError
    invalidate_tokens(user, at=at)
    return row


def invalidate_tokens(user: User, *, at: datetime) -> None:
    """Make every token of the user invalid. The caller has locked the user."""
    user.one_time_tokens.filter(used_at=None).update(used_at=at)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
