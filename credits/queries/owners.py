"""The owner of a balance from the two columns of its row."""

from uuid import UUID

from fluxori.identity.owner import Owner


def owner_from_ids(user_id: UUID | None, organization_id: UUID | None) -> Owner:
    """Return the owner; exactly one of the ids is set, by a CHECK on the table."""
    if user_id is not None:
        return Owner.user(user_id)
    assert organization_id is not None
    return Owner.organization(organization_id)
