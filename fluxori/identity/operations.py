"""The only code that writes people and organizations. Each function is one transaction."""

from typing import Any
from uuid import UUID

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from fluxori.core.errors import DomainError, InvalidRequestError
from fluxori.identity.errors import (
    EmailTakenError,
    ExternalIdTakenError,
    LastOwnerError,
    OrganizationNotFoundError,
    UserNotFoundError,
)
from fluxori.identity.models import Membership, Organization, User

_TAKEN: dict[str, type[DomainError]] = {
    "identity_user_email_key": EmailTakenError,
    "identity_user_external_id_key": ExternalIdTakenError,
    "identity_organization_external_id_key": ExternalIdTakenError,
}


def create_user(
    *, email: str, password: str | None = None, role: str = User.Role.USER, external_id: str | None = None
) -> User:
    """Create a user. Without a password they can only come with another issuer's token.

    :raises Invalid: a password that is easily guessed (field ``password``, ``out_of_range``)
    :raises EmailTakenError:
    :raises ExternalIdTakenError:
    """
    user = User(email=email, role=role, external_id=external_id)
    if password is not None:
        _check_password(password, user)
    user.set_password(password)
    _insert(user)
    return user


@transaction.atomic
def change_user(*, user_id: UUID, is_active: bool | None = None, role: str | None = None) -> User:
    """Change what is given. A deactivated user's tokens stop working at their next request.

    :raises UserNotFoundError:
    """
    user = User.objects.select_for_update(no_key=True).filter(pk=user_id).first()
    if user is None:
        raise UserNotFoundError
    user.is_active = user.is_active if is_active is None else is_active
    user.role = role or user.role
    user.save(update_fields=["is_active", "role"])
    return user


@transaction.atomic
def create_organization(*, name: str, owner_id: UUID, external_id: str | None = None) -> Organization:
    """Create an organization with its first owner.

    :raises UserNotFoundError: the owner
    :raises ExternalIdTakenError:
    """
    owner = _user(owner_id)
    organization = Organization(name=name, external_id=external_id)
    _insert(organization)
    Membership.objects.create(organization=organization, user=owner, role=Membership.Role.OWNER)
    return organization


@transaction.atomic
def set_member(*, organization_id: UUID, user_id: UUID, role: str) -> Membership:
    """Make the user a member in this role, or change the role they have.

    :raises OrganizationNotFoundError:
    :raises UserNotFoundError:
    :raises LastOwnerError: it would leave the organization without an owner
    """
    organization = _locked(organization_id)
    user = _user(user_id)
    if role != Membership.Role.OWNER:
        _keep_an_owner(organization, without=user_id)
    membership, _ = Membership.objects.update_or_create(organization=organization, user=user, defaults={"role": role})
    return membership


@transaction.atomic
def remove_member(*, organization_id: UUID, user_id: UUID) -> None:
    """End a membership.

    :raises OrganizationNotFoundError:
    :raises UserNotFoundError: nobody who is a member
    :raises LastOwnerError: it would leave the organization without an owner
    """
    organization = _locked(organization_id)
    membership = organization.memberships.filter(user=user_id).first()
    if membership is None:
        raise UserNotFoundError
    _keep_an_owner(organization, without=user_id)
    membership.delete()


def _locked(organization_id: UUID) -> Organization:
    """Lock the organization, so that two owners cannot leave at the same time."""
    organization = Organization.objects.select_for_update(no_key=True).filter(pk=organization_id).first()
    if organization is None:
        raise OrganizationNotFoundError
    return organization


def _keep_an_owner(organization: Organization, *, without: UUID) -> None:
    owners = set(organization.memberships.filter(role=Membership.Role.OWNER).values_list("user_id", flat=True))
    if owners == {without}:
        raise LastOwnerError


def _user(user_id: UUID) -> User:
    user = User.objects.filter(pk=user_id).first()
    if user is None:
        raise UserNotFoundError
    return user


def _insert(row: User | Organization) -> None:
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as refusal:
        diagnosis: Any = getattr(refusal.__cause__, "diag", None)
        taken = _TAKEN.get(getattr(diagnosis, "constraint_name", ""))
        if taken is None:
            raise
        raise taken from None


def _check_password(password: str, user: User) -> None:
    try:
        validate_password(password, user)
    except ValidationError as weak:
        raise InvalidRequestError.field("password", "out_of_range", " ".join(weak.messages)) from None
