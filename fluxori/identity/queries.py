"""Questions about people and organizations. Nothing here writes or locks.

The two that every request asks, who is calling and which seat they have, are fixed SQL: composing them anew costs
several times what PostgreSQL needs to answer.
"""

import re
from contextlib import suppress
from typing import NamedTuple
from uuid import UUID

from django.contrib.postgres.search import SearchQuery
from django.db.models import Q, QuerySet

from fluxori.db import statements
from fluxori.identity.errors import OrganizationNotFoundError, UserNotFoundError
from fluxori.identity.models import WORDS_OF_NAME, Membership, Organization, User
from fluxori.identity.owner import Owner


class MembershipLookup(NamedTuple):
    """One person's place in an existing organization; ``role`` is None for somebody who is no member."""

    role: str | None


_SEAT = """
SELECT membership.role
FROM identity_organization AS organization
LEFT JOIN identity_membership AS membership
    ON membership.organization_id = organization.id AND membership.user_id = %s
WHERE organization.id = %s
"""


def user_by_id(user_id: UUID) -> User | None:
    return statements.get(User, user_id)


def user_by_subject(subject: str) -> User | None:
    """Return the user whom another issuer calls ``subject``: by external id, else by id."""
    named = Q(external_id=subject)
    with suppress(ValueError):
        named |= Q(pk=UUID(subject))
    found = {user.external_id == subject: user for user in User.objects.filter(named)}
    return found.get(True) or found.get(False)


def user_exists(user_id: UUID) -> bool:
    return User.objects.filter(pk=user_id).exists()


def seat(*, organization_id: UUID, user_id: UUID) -> MembershipLookup | None:
    """Return the user's seat in the organization, in one query; None if there is no such organization."""
    rows = statements.fetch(_SEAT, [user_id, organization_id])
    return MembershipLookup(rows[0]["role"]) if rows else None


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


def users_like(term: str, *, limit: int) -> list[User]:
    """Return users whose e-mail begins with ``term``, and the one with this external id. Each part by an index."""
    begins = list(User.objects.filter(email__startswith=term.lower()).order_by("email")[:limit])
    named = [user for user in User.objects.filter(external_id=term) if user not in begins]
    return [*named, *begins][:limit]


def organizations_like(term: str, *, limit: int) -> list[Organization]:
    """Return organizations whose name has, for each word of ``term``, one that begins with it; or this external id.

    Words are found by an index, in any case and order; nothing is found for what has no letter or digit.
    """
    named = list(Organization.objects.filter(external_id=term))
    words = re.findall(r"\w+", term)
    if not words:
        return named
    asked = SearchQuery(" & ".join(f"{word}:*" for word in words), config="simple", search_type="raw")
    found = Organization.objects.annotate(words=WORDS_OF_NAME).filter(words=asked).order_by("name")
    return [*named, *(row for row in found[:limit] if row not in named)][:limit]


def members_of(organization_id: UUID) -> QuerySet[Membership]:
    return Membership.objects.filter(organization=organization_id).select_related("user")
