"""Idempotency keys and atomic batches of deductions."""

import pytest

from credits.models import CreditBalance, CreditTransaction
from tests.support.batch import BATCH, DEDUCT, INSIGHT, amount, send, summary
from tests.support.factories.credits import make_balance
from tests.support.factories.identity import MembershipFactory, ServiceFactory, UserFactory
from tests.support.ledger import table_digests
from tests.support.times import DAY, NOON

pytestmark = pytest.mark.usefixtures("noon")


@pytest.fixture
def user(db):
    user = UserFactory.create()
    make_balance(user)
    return user


@pytest.mark.django_db
class TestIdempotencyKeys:
    def test_belong_to_each_item(self, api, user):
        client = api(user)
        client.post(DEDUCT, INSIGHT, headers={"Idempotency-Key": "a"})

        response = send(
            client,
            {**INSIGHT, "idempotencyKey": "a"},
            {**INSIGHT, "idempotencyKey": "b"},
            {**INSIGHT, "idempotency_key": "b"},
            {**INSIGHT, "idempotencyKey": "b", "quantity": 2},
            INSIGHT,
        )

        results = response.json()["results"]
        assert summary(response) == [(200, -9), (200, -9), (200, -9), (422, "idempotency_key_reused"), (200, -9)]
        assert results[1] == results[2]
        assert "Idempotency-Replayed" not in response
        assert CreditTransaction.objects.filter(type="usage").count() == 3

    def test_of_an_item_are_replayed_by_a_single_request(self, api, user):
        client = api(user)
        [first] = send(client, {**INSIGHT, "idempotencyKey": "a"}).json()["results"]

        repeated = client.post(DEDUCT, INSIGHT, headers={"Idempotency-Key": "a"})

        assert repeated.json() == first["body"]
        assert repeated["Idempotency-Replayed"] == "true"

    @pytest.mark.parametrize("atomic", [True, False])
    def test_make_a_retry_of_the_batch_safe(self, api, user, clock_at, atomic):
        other = MembershipFactory.create(user=user).organization
        make_balance(other)
        items = [
            {**INSIGHT, "idempotencyKey": f"k{index}", **({"organizationId": str(other.pk)} if index % 2 else {})}
            for index in range(10)
        ]
        first = send(api(user), *items, atomic=atomic)
        clock_at(NOON + DAY)
        before = table_digests()

        repeated = send(api(user), *items, atomic=atomic)

        assert repeated.content == first.content
        assert repeated["Idempotency-Replayed"] == "true"
        assert table_digests() == before

    def test_come_from_the_header_for_items_without_a_key(self, api, user):
        body = {"items": [INSIGHT, {**INSIGHT, "idempotencyKey": "own"}, INSIGHT]}
        first = api(user).post(BATCH, body, headers={"Idempotency-Key": "all"})
        before = table_digests()

        repeated = api(user).post(BATCH, body, headers={"Idempotency-Key": "all"})

        keys = [result["body"]["transaction"]["idempotencyKey"] for result in first.json()["results"]]
        assert keys == ["all/0", "own", "all/2"]
        assert (repeated.content, repeated["Idempotency-Replayed"]) == (first.content, "true")
        assert table_digests() == before

    @pytest.mark.parametrize(
        ("key", "code"),
        [
            ("x" * 256, "key_too_long"),
            ("a\tb", "wrong_type"),
            ("", "required"),
            (7, "wrong_type"),
            (None, "wrong_type"),
        ],
    )
    def test_must_be_short_and_printable(self, api, user, key, code):
        response = send(api(user), amount(1), amount(1, idempotencyKey=key))

        assert summary(response) == [(200, -1), (400, "invalid")]
        [error] = response.json()["results"][1]["body"]["errors"]
        assert (error["field"], error["code"]) == ("idempotencyKey", code)


@pytest.mark.django_db
class TestAtomic:
    def test_takes_nothing_from_a_balance_with_a_rejected_item(self, api, user):
        pool = MembershipFactory.create(user=user).organization
        make_balance(pool)

        response = send(
            api(user), amount(60), amount(5, organizationId=str(pool.pk)), amount(60), amount(40), atomic=True
        )

        assert summary(response) == [
            (424, "batch_aborted"),
            (200, -5),
            (402, "insufficient_credits"),
            (424, "batch_aborted"),
        ]
        assert CreditBalance.objects.get(pk=user.pk).sequence == 1
        assert CreditBalance.objects.get(pk=pool.pk).balance == 95

    @pytest.mark.parametrize(
        ("item", "status"),
        [
            (amount(0), 400),
            ({"amount": 5}, 400),
            (amount(1, idempotencyKey=""), 400),
            (amount(1, colour="red"), 400),
            ({"feature": "time-travel"}, 404),
        ],
    )
    def test_aborts_the_balance_for_an_invalid_item(self, api, user, item, status):
        before = table_digests()

        response = send(api(user), amount(1), item, atomic=True)

        assert [result["status"] for result in response.json()["results"]] == [424, status]
        assert table_digests() == before

    def test_aborts_the_balance_for_an_item_without_permission(self, api):
        membership, viewer = MembershipFactory.create(), MembershipFactory.create(role="viewer")
        viewer.organization = membership.organization
        viewer.save()
        make_balance(membership.organization)
        pool = str(membership.organization.pk)
        before = table_digests()

        response = send(
            api(ServiceFactory.create()),
            amount(1, organizationId=pool, userId=str(membership.user.pk)),
            amount(1, organizationId=pool, userId=str(viewer.user.pk)),
            atomic=True,
        )

        assert summary(response) == [(424, "batch_aborted"), (403, "permission_denied")]
        assert table_digests() == before

    def test_ignores_an_item_that_names_no_balance(self, api, user):
        response = send(api(user), amount(1), amount(1, userId="me"), 7, atomic=True)

        assert summary(response) == [(200, -1), (400, "invalid"), (400, "invalid")]

    def test_takes_all_if_all_are_possible(self, api, user):
        response = send(api(user), amount(60), amount(40), atomic=True)

        assert summary(response) == [(200, -60), (200, -40)]
