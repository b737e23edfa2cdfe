"""Write operations on users, organizations and memberships. Each function is one database transaction."""

from typing import Any
from uuid import UUID

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from fluxori.core.errors import DomainError, InvalidRequestError
from fluxori.core.input_rules import name_error
from fluxori.identity.administrators import require_other_administrator
from fluxori.identity.change_log import record_changes, record_creation
from fluxori.identity.emails import INVALID, MAX_EMAIL, email_for_lookup, normalize_email
from fluxori.identity.errors import (
    EmailTakenError,
    ExternalIdTakenError,
    LastOwnerError,
    OrganizationNotFoundError,
    PermissionDeniedError,
    UserNotFoundError,
)
from fluxori.identity.models import Membership, Organization, User

_ERROR_BY_CONSTRAINT: dict[str, type[DomainError]] = {
    "identity_user_email_key": EmailTakenError,
    "identity_user_external_id_key": ExternalIdTakenError,
    "identity_organization_external_id_key": ExternalIdTakenError,
}


@transaction.atomic
def create_user(
    *,
    email: str,
    password: str | None = None,
    role: str = User.Role.USER,
    external_id: str | None = None,
    actor: User | None = None,
) -> User:
    """Create a user. Without a password the user can only use tokens of the external issuer.

    :raises InvalidRequestError: the e-mail address is not one (``wrong_type``) or too long (``too_long``), or the
        password is easily guessed (``out_of_range``)
    :raises EmailTakenError: another user has this e-mail address
    :raises ExternalIdTakenError: another user has this external id
    """
    user = User(email=_checked_email(email), role=role, external_id=external_id)
    if password is not None:
        _check_password(password, user)
    user.set_password(password)
    _insert(user)
    record_creation(user, actor=actor)
    return user


@transaction.atomic
def change_user(
    *, user_id: UUID, is_active: bool | None = None, role: str | None = None, actor: User | None = None
) -> User:
    """Change a user's role or active state; None leaves a value as it is. Tokens of a deactivated user stop working.

    The history of the user records the change with the ``actor``. Without an actor, the caller is trusted code.

    :raises UserNotFoundError: the user does not exist
    :raises PermissionDeniedError: the user is a superuser and the actor is not
    :raises LastAdministratorError: the user is the last administrator and would not be one any more
    """
    user = User.objects.select_for_update(no_key=True).filter(pk=user_id).first()
    if user is None:
        raise UserNotFoundError
    if user.is_superuser and actor is not None and not actor.is_superuser:
        raise PermissionDeniedError
    before = user.is_active, user.role
    user.is_active = user.is_active if is_active is None else is_active
    user.role = role or user.role
    require_other_administrator(user)
    user.save(update_fields=["is_active", "role"])
    record_changes(user, {"active": (before[0], user.is_active), "role": (before[1], user.role)}, actor=actor)
    return user


@transaction.atomic
def create_organization(
    *, name: str, owner_id: UUID, external_id: str | None = None, actor: User | None = None
) -> Organization:
    """Create an organization with its first owner.

    :raises InvalidRequestError: the name contains characters that cannot be seen (``wrong_type``)
    :raises UserNotFoundError: the owner does not exist
    :raises ExternalIdTakenError: another organization has this external id
    """
    error = name_error(name)
    if error is not None:
        raise InvalidRequestError.field("name", *error)
    owner = _get_user(owner_id)
    organization = Organization(name=name, external_id=external_id)
    _insert(organization)
    Membership.objects.create(organization=organization, user=owner, role=Membership.Role.OWNER)
    record_creation(organization, actor=actor)
    _record_membership(organization, owner, None, Membership.Role.OWNER, actor)
    return organization


@transaction.atomic
def change_organization(*, organization_id: UUID, is_active: bool, actor: User | None = None) -> Organization:
    """Close an organization, or open it again. A closed organization gets no further monthly credits.

    Its balance stays, and its members can spend what it has. The history of the organization records the change.

    :raises OrganizationNotFoundError: the organization does not exist
    """
    organization = _lock_organization(organization_id)
    before, organization.is_active = organization.is_active, is_active
    organization.save(update_fields=["is_active"])
    record_changes(organization, {"active": (before, is_active)}, actor=actor)
    return organization


@transaction.atomic
def set_member(
    *, organization_id: UUID, user_id: UUID, role: str, email: str | None = None, actor: User | None = None
) -> Membership:
    """Add a member, or change a member's role.

    The other members see the e-mail address of a member whom an admin added, or whose ``email`` is given here.

    :raises OrganizationNotFoundError: the organization does not exist
    :raises UserNotFoundError: the user does not exist, or has another e-mail address than ``email``
    :raises LastOwnerError: the user is the only owner and would lose that role
    """
    organization = _lock_organization(organization_id)
    user = _get_user(user_id)
    if email is not None and user.email != email_for_lookup(email):
        raise UserNotFoundError
    if role != Membership.Role.OWNER:
        _require_other_owner(organization, user_id)
    membership = organization.memberships.filter(user=user).first()
    earlier_role = membership.role if membership else None
    knows_email = email is not None or actor is None or actor.role == User.Role.ADMIN or actor.pk == user.pk
    membership = membership or Membership(organization=organization, user=user, email_is_shared=False)
    membership.role, membership.email_is_shared = role, membership.email_is_shared or knows_email
    membership.save()
    _record_membership(organization, user, earlier_role, role, actor)
    return membership


@transaction.atomic
def remove_member(*, organization_id: UUID, user_id: UUID, actor: User | None = None) -> None:
    """Remove a member.

    :raises OrganizationNotFoundError: the organization does not exist
    :raises UserNotFoundError: the user is not a member
    :raises LastOwnerError: the user is the only owner
    """
    organization = _lock_organization(organization_id)
    membership = organization.memberships.select_related("user").filter(user=user_id).first()
    if membership is None:
        raise UserNotFoundError
    _require_other_owner(organization, user_id)
    membership.delete()
    _record_membership(organization, membership.user, membership.role, None, actor)


def _record_membership(
    organization: Organization, user: User, before: str | None, after: str | None, actor: User | None
) -> None:
    """Record a change of a role on the history pages of the organization and of the user."""
    change = before or "none", after or "none"
    record_changes(organization, {f"role of {user}": change}, actor=actor)
    record_changes(user, {f"role in {organization}": change}, actor=actor)


def _lock_organization(organization_id: UUID) -> Organization:
    """Return the organization, locked, so that two owners cannot be removed at the same time."""
    organization = Organization.objects.select_for_update(no_key=True).filter(pk=organization_id).first()
    if organization is None:
        raise OrganizationNotFoundError
    return organization


def _require_other_owner(organization: Organization, user_id: UUID) -> None:
    owners = set(organization.memberships.filter(role=Membership.Role.OWNER).values_list("user_id", flat=True))
    if owners == {user_id}:
        raise LastOwnerError


def _get_user(user_id: UUID) -> User:
    user = User.objects.filter(pk=user_id).first()
    if user is None:
        raise UserNotFoundError
    return user


def _insert(row: User | Organization) -> None:
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as error:
        diagnostics: Any = getattr(error.__cause__, "diag", None)
        domain_error = _ERROR_BY_CONSTRAINT.get(getattr(diagnostics, "constraint_name", ""))
        if domain_error is None:
            raise
        raise domain_error from None


def _checked_email(email: str) -> str:
    try:
        normalized = normalize_email(email)
    except ValueError:
        raise InvalidRequestError.field("email", "wrong_type", INVALID) from None
    if len(normalized) > MAX_EMAIL:
        raise InvalidRequestError.field("email", "too_long", f"At most {MAX_EMAIL} characters.")
    return normalized


def _check_password(password: str, user: User) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise InvalidRequestError.field("password", "out_of_range", " ".join(error.messages)) from None
