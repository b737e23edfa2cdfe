"""The mails about accounts. Each is a job that runs after the commit of the operation that asked for it.

A job creates the token that it sends, so no token that can be used is stored, neither in the queue nor elsewhere. A job
that fails is repeated with a new token. The worker runs a job at least once, so a mail can be sent twice.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db import transaction

from fluxori.core import clock
from fluxori.db import jobs
from fluxori.identity import mail
from fluxori.identity.models import OneTimeToken, User
from fluxori.identity.one_time_tokens import create_token, lock_user


@transaction.atomic
def send_password_reset(*, email: str) -> None:
    """Send a link for a new password, if an active user with a password has this address."""
    user = _lock_active(User.objects.filter(email=email).values_list("pk", flat=True).first())
    if user is None or not user.has_usable_password():
        return
    _send_link(user, OneTimeToken.Purpose.PASSWORD_RESET, page="password", to=user.email)


@transaction.atomic
def send_invitation(*, user_id: str) -> None:
    """Send a link with which a new user sets the first password."""
    user = _lock_active(UUID(user_id))
    if user is None or user.has_usable_password():
        return
    organization = user.organizations.order_by("-memberships__created_at").first()
    _send_link(user, OneTimeToken.Purpose.INVITATION, page="password", to=user.email, organization=organization)


@transaction.atomic
def send_email_change(*, user_id: str, email: str) -> None:
    """Send a link to the new address of a user, with which the change is confirmed."""
    user = _lock_active(UUID(user_id))
    if user is not None:
        _send_link(user, OneTimeToken.Purpose.EMAIL_CHANGE, page="email", to=email, email=email)


def send_email_changed(*, former: str, email: str) -> None:
    """Announce a change of address at the former one."""
    mail.send("email_changed", former, {"email": email, "former": former})


def send_password_changed(*, user_id: str) -> None:
    """Announce a change of password."""
    user = User.objects.filter(pk=user_id).first()
    if user is not None:
        mail.send("password_changed", user.email, {"user": user})


JOBS: tuple[Callable[..., None], ...] = (
    send_password_reset,
    send_invitation,
    send_email_change,
    send_email_changed,
    send_password_changed,
)


def defer(job: str, **arguments: str) -> None:
    """Add a job of this module to the queue, in the transaction of the caller."""
    jobs.defer(f"mail.{job}", arguments={**arguments})


def _lock_active(user_id: UUID | None) -> User | None:
    user = None if user_id is None else lock_user(user_id)
    return user if user is not None and user.is_active else None


def _send_link(
    user: User, purpose: OneTimeToken.Purpose, *, page: str, to: str, email: str | None = None, **context: Any
) -> None:
    token = create_token(user, purpose, at=clock.now(), email=email)
    if token is not None:
        mail.send(purpose.value, to, {"user": user, "link": mail.link(page, token), "to": to, **context})
