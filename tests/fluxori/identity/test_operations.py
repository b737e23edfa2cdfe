from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection

from fluxori.identity import operations
from fluxori.identity.errors import EmailTakenError, LastOwnerError
from fluxori.identity.models import User
from tests.support.factories.identity import MembershipFactory, OrganizationFactory

pytestmark = pytest.mark.django_db(transaction=True)


def run_together(*attempts):
    """Run the attempts concurrently and return the error code of each, or ``done``."""
    start = Barrier(len(attempts))

    def run(attempt):
        start.wait()
        try:
            attempt()
        except (LastOwnerError, EmailTakenError) as error:
            return error.code
        else:
            return "done"
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=len(attempts)) as pool:
        return sorted(pool.map(run, attempts))


class TestRemoveOwnersConcurrently:
    def test_keeps_one_owner_if_two_are_removed_at_once(self):
        for _ in range(8):
            organization = OrganizationFactory.create()
            first, second = (MembershipFactory.create(organization=organization, role="owner") for _ in range(2))

            outcomes = run_together(
                lambda o=organization, m=first: operations.remove_member(organization_id=o.pk, user_id=m.user_id),
                lambda o=organization, m=second: operations.set_member(
                    organization_id=o.pk, user_id=m.user_id, role="member"
                ),
            )

            assert outcomes == ["done", "last_owner"]
            assert organization.memberships.filter(role="owner").count() == 1


class TestCreateUserConcurrently:
    def test_creates_one_of_two_users_with_the_same_email(self):
        outcomes = run_together(*[lambda: operations.create_user(email="sipho@example.com")] * 2)

        assert outcomes == ["done", "email_taken"]
        assert User.objects.filter(email="sipho@example.com").count() == 1
