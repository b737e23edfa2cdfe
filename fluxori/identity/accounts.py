"""What people do with their own account: password, e-mail address, logging out everywhere, and accepting an invitation.

Mail is sent after the commit by the functions in ``fluxori.identity.account_mail``.
"""

from datetime import datetime

from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.db.models import F

from fluxori.core.errors import InvalidRequestError
from fluxori.db.measured import measured
from fluxori.identity import account_mail
from fluxori.identity.change_log import record_changes
from fluxori.identity.constraints import constraint_errors
from fluxori.identity.emails import email_for_lookup
from fluxori.identity.errors import EmailTakenError, InvalidCredentialsError, PermissionDeniedError
from fluxori.identity.input_checks import check_password_strength, checked_email
from fluxori.identity.lock_out import counted_attempt
from fluxori.identity.models import OneTimeToken, User
from fluxori.identity.one_time_tokens import invalidate_tokens, lock_user, use_token


@measured
def change_password(*, user: User, current: str, new: str, address: str = "", at: datetime) -> None:
    """Change the password of a user who gives the present one. Every session and token of the user ends.

    ``address`` is the IP address of the caller, for the lock after repeated failures.

    :raises InvalidRequestError: the new password is easily guessed (``new``: ``out_of_range``)
    :raises LoginLockedError: too many passwords were wrong
    :raises LoginBusyError: the process hashes as many passwords as it may
    :raises InvalidCredentialsError: the present password is wrong, or was changed in the meantime
    """
    check_password_strength(new, user, field="new")
    _confirm_password(user, current, address, at)
    password_hash = make_password(new)
    with transaction.atomic():
        locked = lock_user(user.pk)
        if locked is None or locked.password != user.password:
            raise InvalidCredentialsError
        _store_password(locked, password_hash, at)


@measured
def request_password_reset(*, email: str) -> None:
    """Send a link for a new password to the owner of an address.

    The work is the same whether or not there is an account: a job looks for it.
    """
    account_mail.defer("send_password_reset", email=email_for_lookup(email))


@measured
def set_password(*, token: str, password: str, at: datetime) -> None:
    """Set the password with the token of a reset or of an invitation. Every session and token of the user ends.

    :raises InvalidRequestError: there is no such token (``token``), or the password is easily guessed (``password``:
        ``out_of_range``); the token can then be used again
    :raises TokenUsedError: it was used, or a later change made it invalid
    :raises TokenExpiredError: it has expired
    :raises LoginBusyError: the process hashes as many passwords as it may
    """
    with transaction.atomic():
        purposes = (OneTimeToken.Purpose.PASSWORD_RESET, OneTimeToken.Purpose.INVITATION)
        user = use_token(token, purposes, at=at).user
        check_password_strength(password, user, field="password")
        _store_password(user, make_password(password), at)


@measured
def request_email_change(*, user: User, email: str, password: str, address: str = "", at: datetime) -> None:
    """Send a link to a new address of a user who gives the password. The address changes when the link is used.

    :raises InvalidRequestError: ``email`` is not an address, or is the present one (``invalid_choice``)
    :raises LoginLockedError: too many passwords were wrong
    :raises LoginBusyError: the process hashes as many passwords as it may
    :raises InvalidCredentialsError: the password is wrong
    :raises EmailTakenError: another user has this e-mail address
    """
    new_email = checked_email(email)
    if new_email == user.email:
        raise InvalidRequestError.field("email", "invalid_choice", "This is the present address.")
    _confirm_password(user, password, address, at)
    if User.objects.filter(email=new_email).exists():
        raise EmailTakenError
    account_mail.defer("send_email_change", user_id=str(user.pk), email=new_email)


@measured
@transaction.atomic
def confirm_email(*, user: User, token: str, at: datetime) -> None:
    """Change the address of a user to the one to which the token was sent, and announce that at the earlier one.

    :raises InvalidRequestError: there is no such token of this user (``token``)
    :raises TokenUsedError: it was used, or a later change made it invalid
    :raises TokenExpiredError: it has expired
    :raises EmailTakenError: another user has this e-mail address by now
    """
    used = use_token(token, (OneTimeToken.Purpose.EMAIL_CHANGE,), at=at, user_id=user.pk)
    changed, former, new = used.user, used.user.email, str(used.email)
    changed.email = new
    with constraint_errors():
        changed.save(update_fields=["email"])
    record_changes(changed, {"e-mail": (former, new)}, actor=changed)
    account_mail.defer("send_email_changed", former=former, email=new)


@measured
@transaction.atomic
def end_sessions(*, user: User) -> None:
    """End every session and token of the user that exists now."""
    User.objects.filter(pk=user.pk).update(session_generation=F("session_generation") + 1)


@measured
@transaction.atomic
def invite(*, user: User, actor: User | None = None) -> None:
    """Send a link to a user without a password, with which the person sets one.

    :raises PermissionDeniedError: the user is deactivated, or has a password
    """
    if not user.is_active or user.has_usable_password():
        raise PermissionDeniedError
    record_changes(user, {"invitation": ("", f"sent to {user.email}")}, actor=actor)
    account_mail.defer("send_invitation", user_id=str(user.pk))


def _confirm_password(user: User, password: str, address: str, at: datetime) -> None:
    with counted_attempt(email=user.email, address=address, at=at):
        if not user.check_password(password):
            raise InvalidCredentialsError


def _store_password(user: User, password_hash: str, at: datetime) -> None:
    user.password = password_hash
    user.save(update_fields=["password"])
    invalidate_tokens(user, at=at)
    record_changes(user, {"password": ("", "changed by the user")}, actor=user)
    account_mail.defer("send_password_changed", user_id=str(user.pk))
