"""What comes in and what goes out at the doors of identity."""

from rest_framework import serializers

from fluxori.api.fields import Choice, Email, Flag, Id, Text
from fluxori.api.serializers import In, Out
from fluxori.identity.models import Membership, User


class LoginIn(In):
    email = Text(max_length=254)
    password = Text(max_length=1024)


class RefreshIn(In):
    refresh = Text(max_length=4096)


class TokenIn(In):
    token = Text(max_length=4096)


class PairOut(Out):
    access = Text()
    refresh = Text()


class NothingOut(Out):
    """An empty object."""


class UserIn(In):
    email = Email()
    password = Text(max_length=1024, required=False)
    role = Choice(User.Role.choices, required=False)
    external_id = Text(max_length=255, required=False)


class UserChangeIn(In):
    is_active = Flag(required=False)
    role = Choice(User.Role.choices, required=False)


class UserOut(Out):
    id = Id()
    email = Text()
    role = Choice(User.Role.choices)
    external_id = Text(allow_null=True)
    is_active = Flag()
    created_at = serializers.DateTimeField()


class SeatOut(Out):
    id = Id(source="organization_id")
    name = Text(source="organization.name")
    role = Choice(Membership.Role.choices)


class MeOut(Out):
    id = Id()
    email = Text()
    role = Choice(User.Role.choices)
    organizations = SeatOut(many=True)


class OrganizationIn(In):
    name = Text(max_length=200)
    owner_id = Id()
    external_id = Text(max_length=255, required=False)


class OrganizationOut(Out):
    id = Id()
    name = Text()
    external_id = Text(allow_null=True)
    created_at = serializers.DateTimeField()


class MemberIn(In):
    role = Choice(Membership.Role.choices)


class MemberOut(Out):
    user_id = Id()
    email = Text(source="user.email")
    role = Choice(Membership.Role.choices)
