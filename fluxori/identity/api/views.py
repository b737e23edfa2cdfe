"""Logging in, who am I, and the provisioning of users, organizations and members."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import viewsets
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from fluxori.api.access import caller_of, require_member, require_owner
from fluxori.api.permissions import IsAdmin
from fluxori.api.throttling import CallerThrottle, LoginThrottle
from fluxori.identity import operations, queries, tokens
from fluxori.identity.api import serializers
from fluxori.identity.api.filters import UserFilters
from fluxori.identity.models import Membership, User


class LoginViewSet(viewsets.ViewSet):
    """A pair of tokens for a password: few guesses a minute at one account."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = (CallerThrottle, LoginThrottle)

    @extend_schema(request=serializers.LoginIn, responses=serializers.PairOut)
    def token(self, request: Request) -> Response:
        """Log in by e-mail address and password."""
        asked = serializers.LoginIn.read(request.data)
        return Response(serializers.PairOut.of(tokens.log_in(**asked)))


class TokenViewSet(viewsets.ViewSet):
    """Tokens: renewed, checked, given back."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(request=serializers.RefreshIn, responses=serializers.PairOut)
    def refresh(self, request: Request) -> Response:
        """Exchange a refresh token for a new pair. The old one is revoked."""
        asked = serializers.RefreshIn.read(request.data)
        return Response(serializers.PairOut.of(tokens.rotate(**asked)))

    @extend_schema(request=serializers.TokenIn, responses=serializers.NothingOut)
    def verify(self, request: Request) -> Response:
        """Tell whether a token would be accepted now."""
        asked = serializers.TokenIn.read(request.data)
        tokens.verify(asked["token"])
        return Response({})

    @extend_schema(request=serializers.RefreshIn, responses={204: None})
    def logout(self, request: Request) -> Response:
        """Revoke a refresh token."""
        asked = serializers.RefreshIn.read(request.data)
        tokens.revoke(asked["refresh"])
        return Response(status=204)


class MeViewSet(viewsets.ViewSet):
    """The caller."""

    @extend_schema(responses=serializers.MeOut)
    def retrieve(self, request: Request) -> Response:
        """Who am I, and where do I belong?"""
        me = caller_of(request)
        seats = queries.organizations_of(me.pk)
        return Response(serializers.MeOut.of({"id": me.pk, "email": me.email, "role": me.role, "organizations": seats}))


class UserViewSet(viewsets.GenericViewSet[User]):
    """Everybody who may call the API."""

    permission_classes = (IsAdmin,)
    serializer_class = serializers.UserOut
    queryset = queries.users()
    filterset_class = UserFilters

    def list(self, request: Request) -> Response:  # noqa: ARG002 - the filters read it
        """Every user, newest first."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response([serializers.UserOut.of(user) for user in page or []])

    @extend_schema(request=serializers.UserIn, responses={201: serializers.UserOut})
    def create(self, request: Request) -> Response:
        """Create a user."""
        asked = serializers.UserIn.read(request.data)
        return Response(serializers.UserOut.of(operations.create_user(**asked)), status=201)

    @extend_schema(request=serializers.UserChangeIn, responses=serializers.UserOut)
    def partial_update(self, request: Request, user_id: UUID) -> Response:
        """Change a user's role, or deactivate them: their tokens stop working at the next request."""
        asked = serializers.UserChangeIn.read(request.data)
        return Response(serializers.UserOut.of(operations.change_user(user_id=user_id, **asked)))


class OrganizationViewSet(viewsets.ViewSet):
    """Groups of people who share one pool of credits."""

    permission_classes = (IsAdmin,)

    @extend_schema(request=serializers.OrganizationIn, responses={201: serializers.OrganizationOut})
    def create(self, request: Request) -> Response:
        """Create an organization with its first owner."""
        asked = serializers.OrganizationIn.read(request.data)
        return Response(serializers.OrganizationOut.of(operations.create_organization(**asked)), status=201)


class MemberViewSet(viewsets.GenericViewSet[Membership]):
    """Who belongs to an organization, and as what."""

    serializer_class = serializers.MemberOut
    queryset = Membership.objects.none()

    def list(self, request: Request, organization_id: UUID) -> Response:
        """Every member, the newest first. Members and admins see them."""
        require_member(request, organization_id)
        page = self.paginate_queryset(self.filter_queryset(queries.members_of(organization_id)))
        return self.get_paginated_response([serializers.MemberOut.of(member) for member in page or []])

    @extend_schema(request=serializers.MemberIn, responses=serializers.MemberOut)
    def update(self, request: Request, organization_id: UUID, user_id: UUID) -> Response:
        """Add a member, or change their role. Owners and admins may."""
        require_owner(request, organization_id)
        asked: dict[str, Any] = serializers.MemberIn.read(request.data)
        member = operations.set_member(organization_id=organization_id, user_id=user_id, **asked)
        return Response(serializers.MemberOut.of(member))

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, organization_id: UUID, user_id: UUID) -> Response:
        """End a membership. Owners and admins may; the last owner stays."""
        require_owner(request, organization_id)
        operations.remove_member(organization_id=organization_id, user_id=user_id)
        return Response(status=204)
