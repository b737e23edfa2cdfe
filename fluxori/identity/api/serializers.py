"""Request and response serializers of the identity endpoints."""

from rest_framework import serializers

from fluxori.api.fields import Choice, Email, Flag, Id, Name, Text
from fluxori.api.serializers import RequestSerializer, ResponseSerializer
from fluxori.identity.models import Membership, User


class LoginRequest(RequestSerializer):
    email = Text(max_length=254)
    password = Text(max_length=1024)


class RefreshTokenRequest(RequestSerializer):
    refresh = Text(max_length=4096)


class TokenRequest(RequestSerializer):
    token = Text(max_length=4096)


class TokenPairResponse(ResponseSerializer):
    access = Text()
    refresh = Text()


class ChangePasswordRequest(RequestSerializer):
    current = Text(max_length=1024)
    new = Text(max_length=1024)


class ResetPasswordRequest(RequestSerializer):
    email = Email()


class SetPasswordRequest(RequestSerializer):
    token = Text(max_length=255)
    password = Text(max_length=1024)


class ChangeEmailRequest(RequestSerializer):
    email = Email()
    password = Text(max_length=1024)


class ConfirmEmailRequest(RequestSerializer):
    token = Text(max_length=255)


class NoFieldsRequest(RequestSerializer):
    """An empty object, or no body."""


class EmptyResponse(ResponseSerializer):
    """An empty object."""


class CreateUserRequest(RequestSerializer):
    email = Email()
    password = Text(max_length=1024, required=False)
    role = Choice(User.Role.choices, required=False)
    external_id = Text(max_length=255, required=False)
    invite = Flag(required=False, help_text="Send a mail with a link with which the person sets a password.")


class ChangeUserRequest(RequestSerializer):
    is_active = Flag(required=False)
    role = Choice(User.Role.choices, required=False)


class UserResponse(ResponseSerializer):
    id = Id()
    email = Text()
    role = Choice(User.Role.choices)
    external_id = Text(allow_null=True)
    is_active = Flag()
    created_at = serializers.DateTimeField()


class OrganizationOfCallerResponse(ResponseSerializer):
    """An organization that the caller belongs to, and the caller's role in it."""

    id = Id(source="organization_id")
    name = Text(source="organization.name")
    role = Choice(Membership.Role.choices)


class MeResponse(ResponseSerializer):
    id = Id()
    email = Text()
    role = Choice(User.Role.choices)
    organizations = OrganizationOfCallerResponse(many=True)


class CreateOrganizationRequest(RequestSerializer):
    name = Name(max_length=200)
    owner_id = Id()
    external_id = Text(max_length=255, required=False)


class OrganizationResponse(ResponseSerializer):
    id = Id()
    name = Text()
    external_id = Text(allow_null=True)
    created_at = serializers.DateTimeField()


class SetMemberRequest(RequestSerializer):
    role = Choice(Membership.Role.choices)
    email = Email(
        required=False, help_text="The e-mail address of the user. The other members see it if it is given here."
    )


class AddMemberRequest(RequestSerializer):
    email = Email()
    role = Choice(Membership.Role.choices)


class MemberResponse(ResponseSerializer):
    user_id = Id()
    email = Text(source="shown_email", allow_null=True, help_text="Null: the organization does not know it.")
    role = Choice(Membership.Role.choices)
