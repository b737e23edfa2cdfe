"""Who is calling, and for whose balance they may act. Scoping is the permission.

Each function reads the database at most once; the caller itself was read when the token was.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from rest_framework.request import Request

from fluxori.api.errors import InvalidInputError
from fluxori.core.errors import FieldError
from fluxori.identity import queries
from fluxori.identity.errors import OrganizationNotFoundError, PermissionDeniedError, UserNotFoundError
from fluxori.identity.models import Membership, User
from fluxori.identity.owner import Owner

_FOR_ANYONE = (User.Role.ADMIN, User.Role.SERVICE)
_MANAGERS = (Membership.Role.OWNER, Membership.Role.MANAGER)


@dataclass(frozen=True, slots=True)
class BalanceAccess:
    """Whose balance is meant, and, in an organization's pool, the member acted for (None: for nobody in particular).

    ``may_spend`` is false for a viewer, who sees the pool but cannot spend from it. ``role`` is the member's there.
    """

    owner: Owner
    member: UUID | None = None
    may_spend: bool = True
    role: str | None = None


def caller_of(request: Request) -> User:
    """Return the authenticated caller, as the database knows them now."""
    user = request.user
    assert isinstance(user, User)
    return user


def acts_for_anyone(caller: User) -> bool:
    """Tell whether the caller's role reaches every balance: admins and services."""
    return caller.role in _FOR_ANYONE


def reading(request: Request, asked: Mapping[str, Any]) -> BalanceAccess:
    """Return whose balance is to be read.

    ``asked`` are the understood values of a body or query: ``organization_id`` and ``user_id`` where given, others are
    ignored. Neither means the caller's own balance.

    :raises PermissionDeniedError: a plain user names another's ``user_id``
    :raises OrganizationNotFoundError: no such organization, or a plain user who is no member of it
    :raises UserNotFoundError: no such user, or beside an organization nobody who is a member of it
    """
    return _acting(caller_of(request), asked.get("organization_id"), asked.get("user_id"))


def meant(request: Request, asked: Mapping[str, Any]) -> Owner:
    """Return whose balance ``asked`` names, whether or not there is one and the caller may use it."""
    organization_id, user_id = asked.get("organization_id"), asked.get("user_id")
    if organization_id is not None:
        return Owner.organization(organization_id)
    return Owner.user(user_id or caller_of(request).pk)


def spending(request: Request, asked: Mapping[str, Any]) -> BalanceAccess:
    """Return whose balance is to be spent from. Refuses as ``reading`` does, and then:

    :raises PermissionDeniedError: the member acted for is a viewer
    """
    acting = reading(request, asked)
    if not acting.may_spend:
        raise PermissionDeniedError
    return acting


def managing(request: Request, asked: Mapping[str, Any]) -> Owner:
    """Return whose balance is to be managed: one's own, one's organization's as an owner or manager; admins any.

    Refuses as ``reading`` does, and then:

    :raises PermissionDeniedError: any other member of the organization, or a service
    """
    caller = caller_of(request)
    acting = reading(request, asked)
    manages = acting.owner.id == caller.pk or (acting.member == caller.pk and acting.role in _MANAGERS)
    if caller.role != User.Role.ADMIN and (acts_for_anyone(caller) or not manages):
        raise PermissionDeniedError
    return acting.owner


def named_owner(asked: Mapping[str, Any]) -> Owner:
    """Return the one owner that an admin names.

    :raises BadInput: unless exactly one of ``user_id`` and ``organization_id`` is given (``exactly_one_owner``)
    :raises UserNotFoundError:
    :raises OrganizationNotFoundError:
    """
    user_id, organization_id = asked.get("user_id"), asked.get("organization_id")
    if (user_id is None) == (organization_id is None):
        raise InvalidInputError(
            [FieldError("userId", "exactly_one_owner", "Give exactly one of userId and organizationId.")]
        )
    if organization_id is None:
        return _existing_user(user_id)
    if not queries.organization_exists(organization_id):
        raise OrganizationNotFoundError
    return Owner.organization(organization_id)


def visible_balances(request: Request) -> set[UUID] | None:
    """Return the ids of every balance the caller may see: their own and their organizations'. None means all."""
    caller = caller_of(request)
    if acts_for_anyone(caller):
        return None
    return {caller.pk, *queries.organization_ids_of(caller.pk)}


def require_placer(request: Request, actor_id: UUID | None) -> None:
    """Let whoever began the work, admins and services pass. :raises PermissionDeniedError: for everybody else"""
    caller = caller_of(request)
    if caller.pk != actor_id and not acts_for_anyone(caller):
        raise PermissionDeniedError


def require_admin_for(request: Request, asked: Mapping[str, Any], name: str) -> None:
    """Let admins give ``name``. :raises PermissionDeniedError: for everybody else who does"""
    if asked.get(name) is not None and caller_of(request).role != User.Role.ADMIN:
        raise PermissionDeniedError


def require_member(request: Request, organization_id: UUID) -> None:
    """Let members and admins pass. :raises OrganizationNotFoundError: for everybody else"""
    _member_role(caller_of(request), organization_id)


def require_owner(request: Request, organization_id: UUID) -> None:
    """Let the organization's owners and admins pass.

    :raises OrganizationNotFoundError: no such organization, or the caller is no member
    :raises PermissionDeniedError: a member who is not an owner
    """
    caller = caller_of(request)
    role = _member_role(caller, organization_id)
    if caller.role != User.Role.ADMIN and role != Membership.Role.OWNER:
        raise PermissionDeniedError


def _member_role(caller: User, organization_id: UUID) -> str | None:
    seat = queries.seat(organization_id=organization_id, user_id=caller.pk)
    if seat is None or (seat.role is None and caller.role != User.Role.ADMIN):
        raise OrganizationNotFoundError
    return seat.role


def _acting(caller: User, organization_id: UUID | None, user_id: UUID | None) -> BalanceAccess:
    if user_id not in (None, caller.pk) and not acts_for_anyone(caller):
        raise PermissionDeniedError
    if organization_id is not None:
        return _in_pool(caller, organization_id, user_id)
    if user_id in (None, caller.pk):
        return BalanceAccess(Owner.user(caller.pk))
    return BalanceAccess(_existing_user(user_id))


def _in_pool(caller: User, organization_id: UUID, user_id: UUID | None) -> BalanceAccess:
    member = user_id or caller.pk
    seat = queries.seat(organization_id=organization_id, user_id=member)
    if seat is None or (seat.role is None and not acts_for_anyone(caller)):
        raise OrganizationNotFoundError
    if seat.role is None:
        if user_id is not None:
            raise UserNotFoundError
        return BalanceAccess(Owner.organization(organization_id))
    # An admin or a service that happens to be a viewer may spend in its own right, but not in a viewer's.
    for_itself = user_id is None and acts_for_anyone(caller)
    may_spend = for_itself or seat.role != Membership.Role.VIEWER
    return BalanceAccess(Owner.organization(organization_id), member, may_spend, seat.role)


def _existing_user(user_id: UUID | None) -> Owner:
    if user_id is None or not queries.user_exists(user_id):
        raise UserNotFoundError
    return Owner.user(user_id)
