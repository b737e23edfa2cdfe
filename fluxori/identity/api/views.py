"""Views for login, the caller's own data, and the provisioning of users, organizations and members."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from fluxori.api.access import caller_of, require_organization_member, require_organization_owner
from fluxori.api.permissions import IsAdmin
from fluxori.api.serializers import EmptyQuery
from fluxori.api.throttling import CallerThrottle, LoginThrottle, address_of
from fluxori.api.views import GenericViewSet, ViewSet
from fluxori.core import clock
from fluxori.identity import accounts, operations, queries, tokens
from fluxori.identity.api import serializers
from fluxori.identity.api.filters import UserFilters
from fluxori.identity.models import Membership, User


class LoginViewSet(ViewSet):
    """Login with a password. Attempts are limited for each account."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = (CallerThrottle, LoginThrottle)

    @extend_schema(request=serializers.LoginRequest, responses=serializers.TokenPairResponse)
    def token(self, request: Request) -> Response:
        """Log in by e-mail address and password."""
        payload = serializers.LoginRequest.parse(request.data)
        pair = tokens.log_in(**payload, address=address_of(request))
        return Response(serializers.TokenPairResponse.render(pair))


class TokenViewSet(ViewSet):
    """Refresh, verification and revocation of tokens."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(request=serializers.RefreshTokenRequest, responses=serializers.TokenPairResponse)
    def refresh(self, request: Request) -> Response:
        """Exchange a refresh token for a new pair. The old one is revoked."""
        payload = serializers.RefreshTokenRequest.parse(request.data)
        pair = tokens.rotate(**payload)
        return Response(serializers.TokenPairResponse.render(pair))

    @extend_schema(request=serializers.TokenRequest, responses=serializers.EmptyResponse)
    def verify(self, request: Request) -> Response:
        """Check whether a token would be accepted now."""
        payload = serializers.TokenRequest.parse(request.data)
        tokens.verify(payload["token"])
        return Response({})

    @extend_schema(request=serializers.RefreshTokenRequest, responses={204: None})
    def logout(self, request: Request) -> Response:
        """Revoke a refresh token."""
        payload = serializers.RefreshTokenRequest.parse(request.data)
        tokens.revoke(payload["refresh"])
        return Response(status=204)


class PasswordResetViewSet(ViewSet):
    """A new password by e-mail. Requests are limited for each account."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = (CallerThrottle, LoginThrottle)

    @extend_schema(request=serializers.ResetPasswordRequest, responses={202: None})
    def request_reset(self, request: Request) -> Response:
        """Send a link for a new password. The response is the same for every address."""
        payload = serializers.ResetPasswordRequest.parse(request.data)
        accounts.request_password_reset(**payload)
        return Response(status=202)

    @extend_schema(request=serializers.SetPasswordRequest, responses={204: None})
    def confirm(self, request: Request) -> Response:
        """Set the password with the token of a reset or of an invitation. Every session and token of the user ends."""
        payload = serializers.SetPasswordRequest.parse(request.data)
        accounts.set_password(**payload, at=clock.now())
        return Response(status=204)


class AccountViewSet(ViewSet):
    """The caller's own password, e-mail address and sessions."""

    @extend_schema(request=serializers.ChangePasswordRequest, responses={204: None})
    def change_password(self, request: Request) -> Response:
        """Change the password. Every session and token of the caller ends, also the one of this request."""
        payload = serializers.ChangePasswordRequest.parse(request.data)
        accounts.change_password(user=caller_of(request), address=address_of(request), at=clock.now(), **payload)
        return Response(status=204)

    @extend_schema(request=serializers.ChangeEmailRequest, responses={202: None})
    def request_email_change(self, request: Request) -> Response:
        """Send a link to a new e-mail address. The address changes when the link is used."""
        payload = serializers.ChangeEmailRequest.parse(request.data)
        accounts.request_email_change(user=caller_of(request), address=address_of(request), at=clock.now(), **payload)
        return Response(status=202)

    @extend_schema(request=serializers.ConfirmEmailRequest, responses={204: None})
    def confirm_email(self, request: Request) -> Response:
        """Change the e-mail address to the one to which the token was sent."""
        payload = serializers.ConfirmEmailRequest.parse(request.data)
        accounts.confirm_email(user=caller_of(request), at=clock.now(), **payload)
        return Response(status=204)

    @extend_schema(request=None, responses={204: None})
    def end_sessions(self, request: Request) -> Response:
        """Log out everywhere: end every session and token of the caller."""
        serializers.NoFieldsRequest.parse(request.data)
        accounts.end_sessions(user=caller_of(request))
        return Response(status=204)


class MeViewSet(ViewSet):
    """The caller."""

    @extend_schema(responses=serializers.MeResponse)
    def retrieve(self, request: Request) -> Response:
        """The caller and their organizations."""
        EmptyQuery.parse(request.query_params)
        caller = caller_of(request)
        memberships = queries.organizations_of(caller.pk)
        me = {"id": caller.pk, "email": caller.email, "role": caller.role, "organizations": memberships}
        return Response(serializers.MeResponse.render(me))


class UserViewSet(GenericViewSet[User]):
    """Users of the API."""

    permission_classes = (IsAdmin,)
    serializer_class = serializers.UserResponse
    queryset = queries.users()
    filterset_class = UserFilters
    keyset = ("number",)
    followable = True

    def list(self, request: Request) -> Response:  # noqa: ARG002 - the filters read it
        """Every user, newest first."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response([serializers.UserResponse.render(user) for user in page or []])

    @extend_schema(request=serializers.CreateUserRequest, responses={201: serializers.UserResponse})
    def create(self, request: Request) -> Response:
        """Create a user."""
        payload = serializers.CreateUserRequest.parse(request.data)
        user = operations.create_user(actor=caller_of(request), **payload)
        return Response(serializers.UserResponse.render(user), status=201)

    @extend_schema(request=serializers.ChangeUserRequest, responses=serializers.UserResponse)
    def partial_update(self, request: Request, user_id: UUID) -> Response:
        """Change a user's role, or deactivate them. The tokens of a deactivated user stop working at once."""
        payload = serializers.ChangeUserRequest.parse(request.data)
        user = operations.change_user(user_id=user_id, actor=caller_of(request), **payload)
        return Response(serializers.UserResponse.render(user))


class OrganizationViewSet(ViewSet):
    """Organizations, which share one pool of credits."""

    permission_classes = (IsAdmin,)

    @extend_schema(request=serializers.CreateOrganizationRequest, responses={201: serializers.OrganizationResponse})
    def create(self, request: Request) -> Response:
        """Create an organization with its first owner."""
        payload = serializers.CreateOrganizationRequest.parse(request.data)
        organization = operations.create_organization(actor=caller_of(request), **payload)
        return Response(serializers.OrganizationResponse.render(organization), status=201)


class MemberViewSet(GenericViewSet[Membership]):
    """The members of an organization and their roles."""

    serializer_class = serializers.MemberResponse
    queryset = Membership.objects.none()

    def list(self, request: Request, organization_id: UUID) -> Response:
        """Every member, newest first. For members and admins."""
        require_organization_member(request, organization_id)
        page = self.paginate_queryset(self.filter_queryset(queries.members_of(organization_id)))
        return self.get_paginated_response([_render_member(request, member) for member in page or []])

    @extend_schema(
        request=serializers.AddMemberRequest,
        responses={200: serializers.MemberResponse, 201: serializers.MemberResponse},
    )
    def create(self, request: Request, organization_id: UUID) -> Response:
        """Add a person by e-mail address. For owners and admins.

        If no user has the address, a user is created and receives an invitation by e-mail. A repeated request changes
        the role and sends no second invitation.
        """
        require_organization_owner(request, organization_id)
        payload = serializers.AddMemberRequest.parse(request.data)
        member, is_new = operations.add_member(organization_id=organization_id, actor=caller_of(request), **payload)
        return Response(_render_member(request, member), status=201 if is_new else 200)

    @extend_schema(request=serializers.SetMemberRequest, responses=serializers.MemberResponse)
    def update(self, request: Request, organization_id: UUID, user_id: UUID) -> Response:
        """Add a member, or change a member's role. For owners and admins.

        An owner who does not give the e-mail address of the user does not learn it.
        """
        require_organization_owner(request, organization_id)
        payload = serializers.SetMemberRequest.parse(request.data)
        member = operations.set_member(
            organization_id=organization_id, user_id=user_id, actor=caller_of(request), **payload
        )
        return Response(_render_member(request, member))

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, organization_id: UUID, user_id: UUID) -> Response:
        """Remove a member. For owners and admins. The last owner cannot be removed.

        Open holds of the member stay until they lapse; owners and managers can release them.
        """
        EmptyQuery.parse(request.query_params)
        require_organization_owner(request, organization_id)
        operations.remove_member(organization_id=organization_id, user_id=user_id, actor=caller_of(request))
        return Response(status=204)


def _render_member(request: Request, member: Membership) -> dict[str, Any]:
    """Return the member; with the e-mail address if the organization knows it, for the member itself and for admins."""
    caller = caller_of(request)
    is_shown = member.email_is_shared or caller.role == User.Role.ADMIN or caller.pk == member.user_id
    shown = {"user_id": member.user_id, "role": member.role, "shown_email": member.user.email if is_shown else None}
    return serializers.MemberResponse.render(shown)
