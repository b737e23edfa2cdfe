"""Reads of users, organizations and memberships. No function here writes or locks.

The reads of most HTTP requests, of the caller's row and of the owner that the request names, are prepared statements:
building them with the ORM takes several times as long as PostgreSQL needs to run them.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

from django.contrib.postgres.search import SearchQuery
from django.db.models import Q, QuerySet

from fluxori.core.ids import id_from_text
from fluxori.db import statements
from fluxori.identity.emails import email_for_lookup
from fluxori.identity.errors import OrganizationNotFoundError, UserNotFoundError
from fluxori.identity.models import NAME_SEARCH_VECTOR, FormerEmail, Membership, Organization, User
from fluxori.identity.owner import Owner


class MembershipLookup(NamedTuple):
    """A user's role in an existing organization; ``role`` is None if the user is not a member."""

    role: str | None


_LOOK_UP_USER = "SELECT id FROM identity_user WHERE id = %s"
_LOOK_UP_ORGANIZATION = "SELECT id FROM identity_organization WHERE id = %s"
_LOOK_UP_MEMBERSHIP = """
SELECT membership.role
FROM identity_organization AS organization
LEFT JOIN identity_membership AS membership
    ON membership.organization_id = organization.id AND membership.user_id = %s
WHERE organization.id = %s
"""

_INACTIVE_OWNERS = """
SELECT id FROM identity_user WHERE id = ANY(%(ids)s::uuid[]) AND NOT is_active
UNION ALL
SELECT id FROM identity_organization WHERE id = ANY(%(ids)s::uuid[]) AND NOT is_active
"""


def user_by_id(user_id: UUID) -> User | None:
    return statements.get(User, user_id)


def user_by_subject(subject: str) -> User | None:
    """Return the user with the external issuer's ``subject``: the external id, or else the id."""
    condition = Q(external_id=subject)
    user_id = id_from_text(subject)
    if user_id is not None:
        condition |= Q(pk=user_id)
    users = list(User.objects.filter(condition))
    return next((user for user in users if user.external_id == subject), users[0] if users else None)


def user_exists(user_id: UUID) -> bool:
    return bool(statements.fetch(_LOOK_UP_USER, [user_id]))


def look_up_membership(*, organization_id: UUID, user_id: UUID) -> MembershipLookup | None:
    """Return the user's membership in the organization, or None if the organization does not exist. One query."""
    rows = statements.fetch(_LOOK_UP_MEMBERSHIP, [user_id, organization_id])
    return MembershipLookup(rows[0]["role"]) if rows else None


def organization_exists(organization_id: UUID) -> bool:
    return bool(statements.fetch(_LOOK_UP_ORGANIZATION, [organization_id]))


def require_owner(owner: Owner) -> None:
    """Check that the owner exists.

    :raises UserNotFoundError: the user does not exist
    :raises OrganizationNotFoundError: the organization does not exist
    """
    if owner.kind == "user" and not user_exists(owner.id):
        raise UserNotFoundError
    if owner.kind == "organization" and not organization_exists(owner.id):
        raise OrganizationNotFoundError


def inactive_owners(owner_ids: Iterable[UUID]) -> set[UUID]:
    """Return those of the owners that are deactivated users or closed organizations, in one query."""
    ids = statements.array(owner_ids)
    return {row["id"] for row in statements.fetch(_INACTIVE_OWNERS, {"ids": ids})}


def organization_ids_of(user_id: UUID) -> set[UUID]:
    return set(Membership.objects.filter(user=user_id).values_list("organization_id", flat=True))


def organizations_of(user_id: UUID) -> QuerySet[Membership]:
    """Return the user's memberships with their organizations, by name."""
    return Membership.objects.filter(user=user_id).select_related("organization").order_by("organization__name", "id")


def users() -> QuerySet[User]:
    return User.objects.all()


def users_like(term: str, *, limit: int) -> list[User]:
    """Return users by the beginning of their e-mail or of an earlier one, and the user with this external id.

    The user with this external id comes first, users with an earlier e-mail last. All use an index.
    """
    beginning = email_for_lookup(term)
    by_email = list(User.objects.filter(email__startswith=beginning).order_by("email")[:limit])
    by_external_id = [user for user in User.objects.filter(external_id=term) if user not in by_email]
    former = FormerEmail.objects.filter(email__startswith=beginning).order_by("email").values_list("user")[:limit]
    found = {user.pk for user in (*by_external_id, *by_email)}
    by_former_email = User.objects.filter(pk__in=[key for (key,) in former if key not in found]).order_by("email")
    return [*by_external_id, *by_email, *by_former_email][:limit]


def organizations_like(term: str, *, limit: int) -> list[Organization]:
    """Return organizations that match ``term`` by name or external id.

    The name matches if each word of ``term`` is the beginning of one of its words, in any case and order. A full-text
    index serves the search. A term without letters or digits matches no name.
    """
    by_external_id = list(Organization.objects.filter(external_id=term))
    words = re.findall(r"\w+", term)
    if not words:
        return by_external_id
    query = SearchQuery(" & ".join(f"{word}:*" for word in words), config="simple", search_type="raw")
    by_name = Organization.objects.annotate(words=NAME_SEARCH_VECTOR).filter(words=query).order_by("name")
    return [*by_external_id, *(row for row in by_name[:limit] if row not in by_external_id)][:limit]


def members_of(organization_id: UUID) -> QuerySet[Membership]:
    return Membership.objects.filter(organization=organization_id).select_related("user")
