"""The statements of one request over HTTP, from the row of the caller to the COMMIT. Each is one round trip."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from fluxori.identity.models import Membership, User
from tests.credits.engine.test_deduction_statements import ALONE, kind_of
from tests.support.factories.credits import make_balance, make_user
from tests.support.factories.identity import MembershipFactory, OrganizationFactory

pytestmark = pytest.mark.django_db(transaction=True)

CALLER = "read identity_user"
HOLD = "read credits_credithold"


def statements_of(send):
    """Return the response of a request, and the kinds of its statements in order."""
    with CaptureQueriesContext(connection) as captured:
        response = send()
    assert response.status_code < 300, response.content
    return response, [kind_of(query["sql"]) for query in captured]


class TestStatementsOfARequest:
    def test_a_deduction_reads_the_caller_and_runs_one_transaction_of_four_statements(self, api):
        client = api(make_balance().user)

        for body in ({"feature": "simple-ai-insight"}, {"amount": 2, "description": "A request"}):
            _, run = statements_of(lambda body=body: client.post("/api/credits/deduct", body))
            assert run == [CALLER, *ALONE]

    def test_a_deduction_with_a_key_has_no_more(self, api):
        client = api(make_balance().user)

        _, run = statements_of(
            lambda: client.post("/api/credits/deduct", {"feature": "simple-ai-insight"}, HTTP_IDEMPOTENCY_KEY="a-key")
        )

        assert run == [CALLER, *ALONE]

    def test_a_deduction_from_a_pool_reads_the_membership_in_addition(self, api):
        organization, member = OrganizationFactory.create(), make_user()
        MembershipFactory.create(organization=organization, user=member, role=Membership.Role.MEMBER)
        make_balance(organization)
        body = {"amount": 2, "description": "A request", "organizationId": str(organization.pk)}

        client = api(member)
        _, run = statements_of(lambda: client.post("/api/credits/deduct", body))

        assert run == [CALLER, "read identity_organization", *ALONE]

    def test_a_hold_has_those_of_a_deduction(self, api):
        client = api(make_balance().user)

        _, run = statements_of(lambda: client.post("/api/credits/holds", {"amount": 2, "description": "A hold"}))

        assert run == [CALLER, *ALONE]

    @pytest.mark.parametrize("end", ["capture", "release"])
    def test_the_end_of_a_hold_reads_the_hold_for_the_permission_and_for_its_balance(self, api, end):
        client = api(make_balance().user)
        placed = client.post("/api/credits/holds", {"amount": 2, "description": "A hold"}).json()["hold"]["id"]

        _, run = statements_of(lambda: client.post(f"/api/credits/holds/{placed}/{end}", {}))

        assert run == [CALLER, "read identity_membership", HOLD, HOLD, *ALONE]

    def test_added_credits_have_those_of_a_deduction(self, api):
        balance, admin = make_balance(), make_user(role=User.Role.ADMIN)
        body = {"amount": 2, "type": "promotion", "description": "Thanks", "userId": str(balance.user_id)}

        client = api(admin)
        _, run = statements_of(lambda: client.post("/api/credits/add", body))

        assert run == [CALLER, "read identity_user", *ALONE]
