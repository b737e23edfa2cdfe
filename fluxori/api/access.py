"""The balances that the caller of a request may use.

Each ``resolve_*`` function returns the owner that a request names, or raises an error if the caller has no access.
Organizations that the caller does not belong to are reported as not found. Each function runs at most one query; the
caller's own row was read by authentication.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from rest_framework.request import Request

from fluxori.core.errors import InvalidRequestError
from fluxori.identity import queries
from fluxori.identity.errors import OrganizationNotFoundError, PermissionDeniedError, UserNotFoundError
from fluxori.identity.models import Membership, User
from fluxori.identity.owner import Owner

_ROLES_FOR_ALL_BALANCES = (User.Role.ADMIN, User.Role.SERVICE)
_MANAGING_ROLES = (Membership.Role.OWNER, Membership.Role.MANAGER)


@dataclass(frozen=True, slots=True)
class BalanceAccess:
    """The owner of a balance and how the caller may use it.

    ``member`` is the member that a request on an organization's pool is made for; None means no member in particular.
    ``may_spend`` is false for a viewer, who can see the pool but not spend from it. ``role`` is the member's role.
    """

    owner: Owner
    member: UUID | None = None
    may_spend: bool = True
    role: str | None = None


def caller_of(request: Request) -> User:
    """Return the authenticated caller, as stored in the database now."""
    user = request.user
    assert isinstance(user, User)
    return user


def can_access_all_balances(caller: User) -> bool:
    """Return whether the caller's role gives access to every balance: admins and services."""
    return caller.role in _ROLES_FOR_ALL_BALANCES


def resolve_for_read(request: Request, payload: Mapping[str, Any]) -> BalanceAccess:
    """Return access to the balance that a request reads.

    ``payload`` is a parsed body or query. Only ``organization_id`` and ``user_id`` are used; without either, it is the
    caller's own balance.

    :raises PermissionDeniedError: a plain user names another user
    :raises OrganizationNotFoundError: the organization does not exist, or a plain user is not a member of it
    :raises UserNotFoundError: the user does not exist, or is not a member of the organization that is also named
    """
    return _resolve(caller_of(request), payload.get("organization_id"), payload.get("user_id"))


def resolve_owner(request: Request, payload: Mapping[str, Any]) -> Owner:
    """Return the owner that ``payload`` names, without checking that it exists or that the caller has access."""
    organization_id, user_id = payload.get("organization_id"), payload.get("user_id")
    if organization_id is not None:
        return Owner.organization(organization_id)
    return Owner.user(user_id or caller_of(request).pk)


def resolve_for_spend(request: Request, payload: Mapping[str, Any]) -> BalanceAccess:
    """Return access to the balance that a request spends from.

    After what ``resolve_for_read`` raises:

    :raises PermissionDeniedError: the member is a viewer
    """
    access = resolve_for_read(request, payload)
    if not access.may_spend:
        raise PermissionDeniedError
    return access


def resolve_for_transfer(request: Request, payload: Mapping[str, Any]) -> Owner:
    """Return the owner of a balance that a transfer moves credits out of.

    A spending limit does not count transfers, so a member who may only spend from a pool cannot transfer from it. After
    what ``resolve_for_spend`` raises:

    :raises PermissionDeniedError: the member is neither an owner nor a manager of the organization
    """
    access = resolve_for_spend(request, payload)
    is_pool = payload.get("organization_id") is not None
    if is_pool and access.role not in _MANAGING_ROLES and not can_access_all_balances(caller_of(request)):
        raise PermissionDeniedError
    return access.owner


def resolve_for_manage(request: Request, payload: Mapping[str, Any]) -> Owner:
    """Return the owner of the balance that a request manages.

    Users manage their own balance, owners and managers that of their organization, admins every balance. After what
    ``resolve_for_read`` raises:

    :raises PermissionDeniedError: another member of the organization, or a service
    """
    caller = caller_of(request)
    access = resolve_for_read(request, payload)
    manages = access.owner.id == caller.pk or (access.member == caller.pk and access.role in _MANAGING_ROLES)
    if caller.role != User.Role.ADMIN and (can_access_all_balances(caller) or not manages):
        raise PermissionDeniedError
    return access.owner


def named_owner(payload: Mapping[str, Any]) -> Owner:
    """Return the existing owner that an admin names.

    :raises InvalidRequestError: ``user_id`` and ``organization_id`` are both given or both missing
    :raises UserNotFoundError: the user does not exist
    :raises OrganizationNotFoundError: the organization does not exist
    """
    user_id, organization_id = payload.get("user_id"), payload.get("organization_id")
    if (user_id is None) == (organization_id is None):
        raise InvalidRequestError.field(
            "user_id", "exactly_one_owner", "Give exactly one of userId and organizationId."
        )
    if organization_id is None:
        return _existing_user(user_id)
    if not queries.organization_exists(organization_id):
        raise OrganizationNotFoundError
    return Owner.organization(organization_id)


def visible_balances(request: Request) -> set[UUID] | None:
    """Return the ids of the balances the caller may see: their own and those of their organizations. None means all."""
    caller = caller_of(request)
    if can_access_all_balances(caller):
        return None
    return {caller.pk, *queries.organization_ids_of(caller.pk)}


def require_actor(request: Request, actor_id: UUID | None) -> None:
    """Check that the caller is the given actor, an admin or a service.

    :raises PermissionDeniedError: any other caller
    """
    caller = caller_of(request)
    if caller.pk != actor_id and not can_access_all_balances(caller):
        raise PermissionDeniedError


def require_admin_for_field(request: Request, payload: Mapping[str, Any], name: str) -> None:
    """Check that only admins use the field ``name``.

    :raises PermissionDeniedError: the field is given and the caller is not an admin
    """
    if payload.get(name) is not None and caller_of(request).role != User.Role.ADMIN:
        raise PermissionDeniedError


def require_organization_member(request: Request, organization_id: UUID) -> None:
    """Check that the caller is a member of the organization, or an admin.

    :raises OrganizationNotFoundError: any other caller, or the organization does not exist
    """
    _membership_role(caller_of(request), organization_id)


def require_organization_owner(request: Request, organization_id: UUID) -> None:
    """Check that the caller is an owner of the organization, or an admin.

    :raises OrganizationNotFoundError: the organization does not exist, or the caller is not a member
    :raises PermissionDeniedError: the caller is a member but not an owner
    """
    caller = caller_of(request)
    role = _membership_role(caller, organization_id)
    if caller.role != User.Role.ADMIN and role != Membership.Role.OWNER:
        raise PermissionDeniedError


def _membership_role(caller: User, organization_id: UUID) -> str | None:
    membership = queries.look_up_membership(organization_id=organization_id, user_id=caller.pk)
    if membership is None or (membership.role is None and caller.role != User.Role.ADMIN):
        raise OrganizationNotFoundError
    return membership.role


def _resolve(caller: User, organization_id: UUID | None, user_id: UUID | None) -> BalanceAccess:
    if user_id not in (None, caller.pk) and not can_access_all_balances(caller):
        raise PermissionDeniedError
    if organization_id is not None:
        return _resolve_pool(caller, organization_id, user_id)
    if user_id in (None, caller.pk):
        return BalanceAccess(Owner.user(caller.pk))
    return BalanceAccess(_existing_user(user_id))


def _resolve_pool(caller: User, organization_id: UUID, user_id: UUID | None) -> BalanceAccess:
    member = user_id or caller.pk
    membership = queries.look_up_membership(organization_id=organization_id, user_id=member)
    if membership is None or (membership.role is None and not can_access_all_balances(caller)):
        raise OrganizationNotFoundError
    if membership.role is None:
        if user_id is not None:
            raise UserNotFoundError
        return BalanceAccess(Owner.organization(organization_id))
    # An admin or a service that is a viewer itself may spend for the organization, but not on behalf of a viewer.
    for_itself = user_id is None and can_access_all_balances(caller)
    may_spend = for_itself or membership.role != Membership.Role.VIEWER
    return BalanceAccess(Owner.organization(organization_id), member, may_spend, membership.role)


def _existing_user(user_id: UUID | None) -> Owner:
    if user_id is None or not queries.user_exists(user_id):
        raise UserNotFoundError
    return Owner.user(user_id)
