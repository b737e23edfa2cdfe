"""Factories of users, organizations and memberships."""

from factory.declarations import Sequence, SubFactory
from factory.django import DjangoModelFactory

from fluxori.identity.models import Membership, Organization, User

PASSWORD = "correct horse battery staple"


class UserFactory(DjangoModelFactory[User]):
    class Meta:
        model = User
        skip_postgeneration_save = True

    email = Sequence(lambda n: f"person{n}@example.com")
    role = User.Role.USER

    @classmethod
    def _create(cls, model_class, *args, password=PASSWORD, **fields):
        return model_class.objects.create_user(*args, password=password, **fields)


class AdminFactory(UserFactory):
    role = User.Role.ADMIN


class ServiceFactory(UserFactory):
    role = User.Role.SERVICE


class OrganizationFactory(DjangoModelFactory[Organization]):
    class Meta:
        model = Organization

    name = Sequence(lambda n: f"Organization {n}")


class MembershipFactory(DjangoModelFactory[Membership]):
    class Meta:
        model = Membership

    organization = SubFactory(OrganizationFactory)
    user = SubFactory(UserFactory)
    role = Membership.Role.MEMBER
