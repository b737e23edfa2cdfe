"""Batches of deductions: each item has the result of a single request."""

import json

import pytest
from django.conf import settings

from credits.models import CreditBalance
from tests.support.batch import BATCH, DEDUCT, INSIGHT, UNKNOWN_ID, amount, send, summary
from tests.support.factories.credits import make_balance
from tests.support.factories.identity import MembershipFactory, OrganizationFactory, ServiceFactory, UserFactory
from tests.support.ledger import table_digests
from tests.support.operations import captured_statements
from tests.support.times import DAY, NOON
from tiers.operations import initialize_balance

pytestmark = pytest.mark.usefixtures("noon")

DIFFERING_FIELDS = {"id", "requestId", "sequence", "version", "timestamp"}


@pytest.fixture
def user(db):
    user = UserFactory.create()
    make_balance(user)
    return user


@pytest.mark.django_db
class TestResults:
    def test_are_in_the_order_of_the_items_with_the_balance_after_each(self, api, user):
        response = send(api(user), INSIGHT, amount(1), {**INSIGHT, "quantity": 2, "referenceId": "r"})

        results = response.json()["results"]
        assert [set(result) for result in results] == [{"status", "body"}] * 3
        assert summary(response) == [(200, -9), (200, -1), (200, -18)]
        assert [result["body"]["available"] for result in results] == [91, 90, 72]
        assert [result["body"]["sequence"] for result in results] == [2, 3, 4]
        assert results[2]["body"]["transaction"]["referenceId"] == "r"

    @pytest.mark.parametrize(
        "item",
        [
            INSIGHT,
            amount(100, metadata={"a_b": [1]}, referenceId="r"),
            amount(101),
            amount(0),
            {"amount": 5},
            {},
            {"colour": "red"},
            {"feature": "time-travel"},
            {"feature": "ai-generated-report", "quantity": 10**12},
            amount(5, userId=UNKNOWN_ID),
            amount(5, userId="me"),
            amount(5, organizationId=UNKNOWN_ID),
        ],
        ids=str,
    )
    def test_equal_the_responses_of_single_requests(self, api, item):
        first, second = UserFactory.create(), UserFactory.create()
        make_balance(first, [(100, DAY)])
        make_balance(second, [(100, DAY)])

        single = api(first).post(DEDUCT, item)
        [result] = send(api(second), item).json()["results"]

        assert result["status"] == single.status_code
        assert without_differences(result["body"], second) == without_differences(single.json(), first)

    @pytest.mark.parametrize("item", [None, 7, "deduct", []])
    def test_reject_only_the_item_that_is_not_an_object(self, api, user, item):
        response = send(api(user), amount(1), item, amount(1))

        assert summary(response) == [(200, -1), (400, "invalid"), (200, -1)]
        [error] = response.json()["results"][1]["body"]["errors"]
        assert (error["field"], error["code"]) == ("", "wrong_type")

    def test_have_the_facts_of_an_error_and_the_request_id(self, api, user):
        response = send(api(user), amount(60), amount(60))

        body = response.json()["results"][1]["body"]
        assert body["requestId"] == response["X-Request-Id"]
        assert {"required": 60, "available": 40, "held": 0, "shortfall": 20, "status": 402}.items() <= body.items()

    def test_have_the_tier_of_each_balance(self, api):
        service, subscriber, other = api(ServiceFactory.create()), UserFactory.create(), UserFactory.create()
        initialize_balance(owner=subscriber, tier="explorer", at=NOON)
        make_balance(other)

        response = send(service, amount(1, userId=str(subscriber.pk)), amount(1, userId=str(other.pk)))

        assert [result["body"]["tier"] for result in response.json()["results"]] == ["explorer", None]


@pytest.mark.django_db
class TestOwners:
    def test_are_resolved_for_each_item(self, api):
        membership = MembershipFactory.create()
        viewed = MembershipFactory.create(user=membership.user, role="viewer")
        stranger = UserFactory.create()
        for owner in (membership.user, membership.organization, viewed.organization, stranger):
            make_balance(owner)

        response = send(
            api(membership.user),
            amount(1),
            amount(2, organizationId=str(membership.organization.pk)),
            amount(3, organization_id=str(viewed.organization.pk)),
            amount(4, userId=str(stranger.pk)),
            amount(5, organizationId=str(MembershipFactory.create().organization.pk)),
            amount(6, userId=str(membership.user.pk)),
        )

        assert summary(response) == [
            (200, -1),
            (200, -2),
            (403, "permission_denied"),
            (403, "permission_denied"),
            (404, "organization_not_found"),
            (200, -6),
        ]
        pooled = response.json()["results"][1]["body"]
        assert pooled["organizationId"] == str(membership.organization.pk)
        assert pooled["transaction"]["userId"] == str(membership.user.pk)

    def test_are_looked_up_once_for_all_items(self, api):
        membership = MembershipFactory.create()
        client = api(membership.user)
        unrelated, pool = OrganizationFactory.create(), str(membership.organization.pk)
        items = [amount(1, organizationId=pool), amount(1, organizationId=str(unrelated.pk))]
        make_balance(membership.organization)

        with captured_statements() as statements:
            send(client, *items * 100)

        # The caller, both memberships, the tiers; the operation's lock, load and write.
        assert len(statements) == 1 + 2 + 1 + 3

    def test_without_a_balance_are_rejected(self, api):
        response = send(api(UserFactory.create()), amount(1), amount(0))

        assert summary(response) == [(404, "balance_not_found"), (400, "invalid")]


@pytest.mark.django_db
class TestBatchRequest:
    @pytest.mark.parametrize(
        ("body", "errors"),
        [
            ({}, [("items", "required")]),
            ({"items": []}, [("items", "out_of_range")]),
            ({"items": [INSIGHT] * 501}, [("items", "out_of_range")]),
            ({"items": None}, [("items", "wrong_type")]),
            ({"items": INSIGHT}, [("items", "wrong_type")]),
            ({"items": "all"}, [("items", "wrong_type")]),
            ({"items": [INSIGHT], "atomic": "true"}, [("atomic", "wrong_type")]),
            ({"items": [INSIGHT], "atomic": None}, [("atomic", "wrong_type")]),
            ({"items": [INSIGHT], "userId": UNKNOWN_ID}, [("userId", "unknown_field")]),
            ({"deductions": [INSIGHT]}, [("deductions", "unknown_field"), ("items", "required")]),
        ],
        ids=lambda part: str(part)[:60],
    )
    def test_is_rejected_with_an_invalid_field(self, api, user, body, errors):
        before = table_digests()

        rejected = api(user).post(BATCH, body)

        assert rejected.status_code == 400
        assert [(error["field"], error["code"]) for error in rejected.json()["errors"]] == errors
        assert table_digests() == before

    def test_requires_a_token(self, api, db):
        assert api().post(BATCH, {"items": [INSIGHT]}).status_code == 401

    def test_is_at_most_one_mebibyte(self, api, user):
        body = json.dumps({"items": [amount(1)]}).encode()

        def send_padded(size):
            return api(user).generic("POST", BATCH, body.ljust(size), content_type="application/json")

        assert send_padded(1024 * 1024).status_code == 200
        rejected = send_padded(1024 * 1024 + 1)
        assert (rejected.status_code, rejected.json()["limit"]) == (413, 1024 * 1024)

    def test_counts_as_one_request_for_the_throttle(self, api, user, monkeypatch):
        monkeypatch.setitem(settings.THROTTLES, "user", 2)
        client = api(user)

        statuses = [client.post(BATCH, {"items": [amount(1)] * 20}).status_code for _ in range(3)]

        assert statuses == [200, 200, 429]


def without_differences(body, owner):
    """Return a body without ids, numbers and times that differ between two users."""
    if isinstance(body, dict):
        return {name: without_differences(value, owner) for name, value in body.items() if name not in DIFFERING_FIELDS}
    if isinstance(body, list):
        return [without_differences(value, owner) for value in body]
    grants = {str(grant.pk): "the grant" for grant in CreditBalance.objects.get(pk=owner.pk).grants.all()}
    return {str(owner.pk): "the owner", **grants}.get(body, body) if isinstance(body, str) else body
