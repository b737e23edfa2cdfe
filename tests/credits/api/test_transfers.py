import pytest

from credits.models import CreditTransaction
from tests.support.factories.credits import make_balance
from tests.support.factories.identity import MembershipFactory, ServiceFactory, UserFactory
from tests.support.ledger import table_digests

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

URL = "/api/credits/transfers"


@pytest.fixture
def other(db):
    """Another user with 10 credits."""
    user = UserFactory.create()
    make_balance(user, [(10, None)])
    return user


def body(source, target, amount=300, **fields):
    return {"from": source, "to": target, "amount": amount, "reason": "Moved to the team", **fields}


def member(pool, role="member"):
    return MembershipFactory.create(organization=pool, role=role, user=make_balance(grants=[(10, None)]).user).user


class TestTransfer:
    def test_returns_both_balances_with_their_transactions(self, admin, user, other):
        response = admin.post(URL, body({"userId": str(user.pk)}, {"userId": str(other.pk)}))

        sent, received = response.json()["from"], response.json()["to"]
        assert response.status_code == 200
        assert (sent["balance"], sent["transaction"]["type"], sent["transaction"]["amount"]) == (700, "transfer", -300)
        assert (received["balance"], received["transaction"]["amount"]) == (310, 300)

    def test_explains_each_transaction_with_its_counterpart(self, api, admin, user, other):
        response = admin.post(URL, body({"userId": str(user.pk)}, {"userId": str(other.pk)})).json()

        sent, received = response["from"]["transaction"]["id"], response["to"]["transaction"]["id"]
        explained = api(user).get(f"/api/credits/transactions/{sent}").json()
        assert (explained["counterpartId"], explained["reason"]) == (received, "Moved to the team")
        assert api(user).get(f"/api/credits/transactions/{received}").status_code == 404

    def test_a_manager_transfers_between_the_pool_and_their_own_balance(self, api, pool):
        caller = api(member(pool, "manager"))

        response = caller.post(URL, body({"organizationId": str(pool.pk)}, {}))
        back = caller.post(URL, body({}, {"organizationId": str(pool.pk)}, 310))

        assert (response.status_code, response.json()["to"]["balance"]) == (200, 310)
        assert (back.status_code, back.json()["to"]["balance"]) == (200, 1000 + 10)

    def test_a_repeated_request_returns_the_first_response(self, admin, user, other):
        request = body({"userId": str(user.pk)}, {"userId": str(other.pk)})
        first = admin.post(URL, request, HTTP_IDEMPOTENCY_KEY="k")

        again = admin.post(URL, request, HTTP_IDEMPOTENCY_KEY="k")

        assert again.json() == first.json()
        assert again["Idempotency-Replayed"] == "true"
        assert CreditTransaction.objects.filter(type="transfer").count() == 2


class TestRefusals:
    @pytest.mark.parametrize(
        ("fields", "errors"),
        [
            ({"amount": 0}, [("amount", "out_of_range")]),
            ({"reason": ""}, [("reason", "required")]),
            ({"from": {"userId": "7"}}, [("from.userId", "wrong_type")]),
            ({"to": "me"}, [("to", "wrong_type")]),
            ({"to": {"name": "me"}}, [("to.name", "unknown_field")]),
        ],
    )
    def test_names_each_invalid_field(self, admin, user, fields, errors):
        response = admin.post(URL, {**body({"userId": str(user.pk)}, {}), **fields})

        assert response.status_code == 400
        assert [(error["field"], error["code"]) for error in response.json()["errors"]] == errors

    def test_requires_both_owners(self, admin):
        response = admin.post(URL, {"amount": 1, "reason": "Moved"})

        assert [(error["field"], error["code"]) for error in response.json()["errors"]] == [
            ("from", "required"),
            ("to", "required"),
        ]

    @pytest.mark.parametrize("as_target", [False, True])
    def test_rejects_a_caller_who_may_not_spend_from_one_of_them(self, api, user, other, as_target):
        source: dict[str, str] = {}
        target = {"userId": str(other.pk)}
        if not as_target:
            source, target = target, source
        before = table_digests()

        response = api(user).post(URL, body(source, target, 1))

        assert (response.status_code, response.json()["code"]) == (403, "permission_denied")
        assert table_digests() == before

    def test_a_member_gives_to_the_pool(self, api, pool):
        response = api(member(pool)).post(URL, body({}, {"organizationId": str(pool.pk)}, 5))

        assert (response.status_code, response.json()["to"]["balance"]) == (200, 1005)

    @pytest.mark.parametrize("role", ["viewer", "member"])
    def test_rejects_a_member_who_does_not_manage_the_pool(self, api, pool, role):
        response = api(member(pool, role)).post(URL, body({"organizationId": str(pool.pk)}, {}, 1))

        assert (response.status_code, response.json()["code"]) == (403, "permission_denied")

    def test_rejects_a_transfer_to_the_same_balance(self, api, user):
        response = api(user).post(URL, body({}, {"userId": str(user.pk)}, 1))

        assert (response.status_code, response.json()["code"]) == (409, "transfer_to_self")

    def test_rejects_more_than_is_available(self, api, user, other):
        response = api(ServiceFactory.create()).post(
            URL, body({"userId": str(user.pk)}, {"userId": str(other.pk)}, 1001)
        )

        assert (response.status_code, response.json()["code"], response.json()["shortfall"]) == (
            402,
            "insufficient_credits",
            1,
        )
