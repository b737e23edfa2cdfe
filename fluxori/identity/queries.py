"""Questions about people and organizations. Nothing here writes or locks."""

from contextlib import suppress
from typing import NamedTuple
from uuid import UUID

from django.db.models import FilteredRelation, Q, QuerySet

from fluxori.identity.errors import OrganizationNotFoundError, UserNotFoundError
from fluxori.identity.models import Membership, Organization, User
from fluxori.identity.owner import Owner


class Seat(NamedTuple):
    """One person's place in an existing organization; ``role`` is None for somebody who is no member."""

    role: str | None


def user_by_id(user_id: UUID) -> User | None:
    return User.objects.filter(pk=user_id).first()


def user_by_subject(subject: str) -> User | None:
    """Return the user whom another issuer calls ``subject``: by external id, else by id."""
    named = Q(external_id=subject)
    with suppress(ValueError):
        named |= Q(pk=UUID(subject))
    found = {user.external_id == subject: user for user in User.objects.filter(named)}
    return found.get(True) or found.get(False)


def user_exists(user_id: UUID) -> bool:
    return User.objects.filter(pk=user_id).exists()


def seat(*, organization_id: UUID, user_id: UUID) -> Seat | None:
    """Return the user's seat in the organization, in one query; None if there is no such organization."""
    roles = (
        Organization.objects.filter(pk=organization_id)
        .annotate(mine=FilteredRelation("memberships", condition=Q(memberships__user=user_id)))
        .values_list("mine__role")
    )
    found = roles.first()
    return None if found is None else Seat(*found)


def organization_exists(organization_id: UUID) -> bool:
    return Organization.objects.filter(pk=organization_id).exists()


def require_owner(owner: Owner) -> None:
    """Return if there is such a user or organization.

    :raises UserNotFoundError: if there is no such user
    :raises OrganizationNotFoundError: if there is no such organization
    """
    if owner.kind == "user" and not user_exists(owner.id):
        raise UserNotFoundError
    if owner.kind == "organization" and not organization_exists(owner.id):
        raise OrganizationNotFoundError


def organization_ids_of(user_id: UUID) -> set[UUID]:
    return set(Membership.objects.filter(user=user_id).values_list("organization_id", flat=True))


def organizations_of(user_id: UUID) -> QuerySet[Membership]:
    """Return the user's memberships with their organizations, by name."""
    return Membership.objects.filter(user=user_id).select_related("organization").order_by("organization__name", "id")


def users() -> QuerySet[User]:
    return User.objects.all()


def members_of(organization_id: UUID) -> QuerySet[Membership]:
    return Membership.objects.filter(organization=organization_id).select_related("user")
