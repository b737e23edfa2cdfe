import pytest
from django.db import IntegrityError, connection, transaction

from fluxori.identity.models import User
from fluxori.identity.owner import Owner
from tests.support.factories.identity import MembershipFactory, OrganizationFactory, UserFactory

pytestmark = pytest.mark.django_db


class TestUser:
    def test_stores_and_compares_the_email_in_lower_case(self):
        user = User.objects.create_user("Thandi@EXAMPLE.com", None)

        assert user.email == "thandi@example.com"
        assert User.objects.get(email="THANDI@example.COM") == user

    def test_rejects_the_same_email_in_another_case(self):
        UserFactory.create(email="thandi@example.com")

        with pytest.raises(IntegrityError):
            UserFactory.create(email="Thandi@Example.com")

    def test_has_the_admin_role_if_created_as_superuser(self):
        root = User.objects.create_superuser("root@example.com", "a long enough password")

        assert (root.is_staff, root.is_superuser, root.role) == (True, True, "admin")

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE identity_user SET email = 'Upper@example.com'",
            "UPDATE identity_user SET email = ''",
            "UPDATE identity_user SET role = 'king'",
            "UPDATE identity_user SET external_id = ''",
            "UPDATE identity_membership SET role = 'king'",
            "UPDATE identity_organization SET name = ''",
        ],
    )
    def test_violates_a_check_constraint_with_an_invalid_value(self, change):
        MembershipFactory.create()

        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(change)


class TestOwner:
    def test_of_accepts_a_user_an_organization_and_an_owner(self):
        user, organization = UserFactory.create(), OrganizationFactory.create()

        assert Owner.of(user) == Owner.user(user.pk) == Owner.of(Owner.user(user.pk))
        assert Owner.of(organization) == Owner.organization(organization.pk)
        assert (Owner.of(user).user_id, Owner.of(user).organization_id) == (user.pk, None)

    def test_of_rejects_an_id(self):
        with pytest.raises(TypeError, match="not UUID"):
            Owner.of(UserFactory.create().pk)  # type: ignore[arg-type]
