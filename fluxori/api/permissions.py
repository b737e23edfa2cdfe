"""Permissions by the role stored in the database. ``is_staff``, which opens the admin site, gives no API permission."""

from typing import Any, ClassVar

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from fluxori.identity.models import User


class _HasRole(BasePermission):
    roles: ClassVar[frozenset[str]]

    def has_permission(self, request: Request, view: Any) -> bool:  # noqa: ARG002 - the framework's signature
        return getattr(request.user, "role", None) in self.roles


class IsAdmin(_HasRole):
    roles = frozenset({User.Role.ADMIN})


class IsAdminOrService(_HasRole):
    roles = frozenset({User.Role.ADMIN, User.Role.SERVICE})
