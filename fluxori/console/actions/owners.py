"""The owner that staff name in a form or a command."""

from fluxori.core.ids import id_from_text
from fluxori.identity.errors import OrganizationNotFoundError, UserNotFoundError
from fluxori.identity.models import Organization, User


def find_owner(text: str) -> User | Organization:
    """Return the user with this e-mail address, or the organization with this id or external id.

    :raises UserNotFoundError: the text is an e-mail address, and no user has it
    :raises OrganizationNotFoundError: there is no such organization
    """
    return find_user(text) if "@" in text else find_organization(text)


def find_user(email: str) -> User:
    """Return the user with this e-mail address.

    :raises UserNotFoundError: there is none
    """
    user = User.objects.filter(email=email).first()
    if user is None:
        raise UserNotFoundError
    return user


def find_organization(text: str) -> Organization:
    """Return the organization with this id or external id.

    :raises OrganizationNotFoundError: there is none
    """
    organization_id = id_from_text(text)
    by_id = Organization.objects.filter(pk=organization_id).first() if organization_id else None
    organization = by_id or Organization.objects.filter(external_id=text).first()
    if organization is None:
        raise OrganizationNotFoundError
    return organization
