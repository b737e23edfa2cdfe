"""The owner of a balance: exactly one user or one organization."""

from dataclasses import dataclass
from typing import Literal, Union
from uuid import UUID

from fluxori.identity.models import Organization, User


@dataclass(frozen=True, slots=True)
class Owner:
    """A reference to the owner of a balance, without a database row. The id of a balance is its owner's id."""

    kind: Literal["user", "organization"]
    id: UUID

    @classmethod
    def user(cls, id: UUID) -> "Owner":  # noqa: A002 - reads as Owner.user(id)
        return cls("user", id)

    @classmethod
    def organization(cls, id: UUID) -> "Owner":  # noqa: A002 - reads as Owner.organization(id)
        return cls("organization", id)

    @classmethod
    def of(cls, owner: "OwnerLike") -> "Owner":
        """Return the owner for a user, an organization or an owner.

        :raises TypeError: any other value, also an id, which does not tell a user from an organization
        """
        match owner:
            case Owner():
                return owner
            case User():
                return cls.user(owner.pk)
            case Organization():
                return cls.organization(owner.pk)
            case _:
                raise TypeError(f"an owner is a User, an Organization or an Owner, not {type(owner).__name__}")

    @property
    def user_id(self) -> UUID | None:
        return self.id if self.kind == "user" else None

    @property
    def organization_id(self) -> UUID | None:
        return self.id if self.kind == "organization" else None


OwnerLike = Union[Owner, User, Organization]  # noqa: UP007 - the class uses the name before it is complete
