from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection

from fluxori.identity import operations
from fluxori.identity.errors import EmailTakenError, LastOwnerError
from fluxori.identity.models import User
from tests.support.factories.identity import MembershipFactory, OrganizationFactory

pytestmark = pytest.mark.django_db(transaction=True)


def together(*attempts):
    """Run the attempts at one time and return what each said or refused."""
    start = Barrier(len(attempts))

    def run(attempt):
        start.wait()
        try:
            attempt()
        except (LastOwnerError, EmailTakenError) as refusal:
            return refusal.code
        else:
            return "done"
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=len(attempts)) as pool:
        return sorted(pool.map(run, attempts))


class TestOwnersUnderContention:
    """Two owners leave at one time, again and again: one always stays."""

    def test_never_leave_an_organization_without_one(self):
        for _ in range(8):
            organization = OrganizationFactory.create()
            first, second = (MembershipFactory.create(organization=organization, role="owner") for _ in range(2))

            outcomes = together(
                lambda o=organization, m=first: operations.remove_member(organization_id=o.pk, user_id=m.user_id),
                lambda o=organization, m=second: operations.set_member(
                    organization_id=o.pk, user_id=m.user_id, role="member"
                ),
            )

            assert outcomes == ["done", "last_owner"]
            assert organization.memberships.filter(role="owner").count() == 1


class TestCreateUserUnderContention:
    def test_lets_one_of_two_have_the_address(self):
        outcomes = together(*[lambda: operations.create_user(email="sipho@example.com")] * 2)

        assert outcomes == ["done", "email_taken"]
        assert User.objects.filter(email="sipho@example.com").count() == 1
