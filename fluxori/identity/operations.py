"""Write operations on users, organizations and memberships. Each function is one database transaction."""

from typing import Any
from uuid import UUID

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from fluxori.core.errors import DomainError, InvalidRequestError
from fluxori.identity.administrators import require_other_administrator
from fluxori.identity.errors import (
    EmailTakenError,
    ExternalIdTakenError,
    LastOwnerError,
    OrganizationNotFoundError,
    UserNotFoundError,
)
from fluxori.identity.models import Membership, Organization, User

_ERROR_BY_CONSTRAINT: dict[str, type[DomainError]] = {
    "identity_user_email_key": EmailTakenError,
    "identity_user_external_id_key": ExternalIdTakenError,
    "identity_organization_external_id_key": ExternalIdTakenError,
}


def create_user(
    *, email: str, password: str | None = None, role: str = User.Role.USER, external_id: str | None = None
) -> User:
    """Create a user. Without a password the user can only use tokens of the external issuer.

    :raises InvalidRequestError: the password is easily guessed (field ``password``, ``out_of_range``)
    :raises EmailTakenError: another user has this e-mail address
    :raises ExternalIdTakenError: another user has this external id
    """
    user = User(email=email, role=role, external_id=external_id)
    if password is not None:
        _check_password(password, user)
    user.set_password(password)
    _insert(user)
    return user


@transaction.atomic
def change_user(*, user_id: UUID, is_active: bool | None = None, role: str | None = None) -> User:
    """Change a user's role or active state; None leaves a value as it is. Tokens of a deactivated user stop working.

    :raises UserNotFoundError: the user does not exist
    :raises LastAdministratorError: the user is the last administrator and would not be one any more
    """
    user = User.objects.select_for_update(no_key=True).filter(pk=user_id).first()
    if user is None:
        raise UserNotFoundError
    user.is_active = user.is_active if is_active is None else is_active
    user.role = role or user.role
    require_other_administrator(user)
    user.save(update_fields=["is_active", "role"])
    return user


@transaction.atomic
def create_organization(*, name: str, owner_id: UUID, external_id: str | None = None) -> Organization:
    """Create an organization with its first owner.

    :raises UserNotFoundError: the owner does not exist
    :raises ExternalIdTakenError: another organization has this external id
    """
    owner = _get_user(owner_id)
    organization = Organization(name=name, external_id=external_id)
    _insert(organization)
    Membership.objects.create(organization=organization, user=owner, role=Membership.Role.OWNER)
    return organization


@transaction.atomic
def set_member(*, organization_id: UUID, user_id: UUID, role: str) -> Membership:
    """Add a member, or change a member's role.

    :raises OrganizationNotFoundError: the organization does not exist
    :raises UserNotFoundError: the user does not exist
    :raises LastOwnerError: the user is the only owner and would lose that role
    """
    organization = _lock_organization(organization_id)
    user = _get_user(user_id)
    if role != Membership.Role.OWNER:
        _require_other_owner(organization, user_id)
    membership, _ = Membership.objects.update_or_create(organization=organization, user=user, defaults={"role": role})
    return membership


@transaction.atomic
def remove_member(*, organization_id: UUID, user_id: UUID) -> None:
    """Remove a member.

    :raises OrganizationNotFoundError: the organization does not exist
    :raises UserNotFoundError: the user is not a member
    :raises LastOwnerError: the user is the only owner
    """
    organization = _lock_organization(organization_id)
    membership = organization.memberships.filter(user=user_id).first()
    if membership is None:
        raise UserNotFoundError
    _require_other_owner(organization, user_id)
    membership.delete()


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


def _check_password(password: str, user: User) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise InvalidRequestError.field("password", "out_of_range", " ".join(error.messages)) from None
