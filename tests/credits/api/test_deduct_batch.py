"""Many deductions in one request: each is answered as it would have been on its own."""

import json

import pytest
from django.conf import settings
from django.db import connection

from credits.models import CreditBalance, CreditTransaction
from tests.support.factories.credits import make_balance
from tests.support.factories.identity import MembershipFactory, OrganizationFactory, ServiceFactory, UserFactory
from tests.support.ledger import table_digests
from tests.support.operations import captured_statements, check_sums
from tests.support.threads import locked_in_other_thread, run_concurrently
from tests.support.times import DAY, NOON
from tiers.operations import initialize_balance

pytestmark = pytest.mark.usefixtures("noon")

BATCH = "/api/credits/deduct/batch"
DEDUCT = "/api/credits/deduct"
INSIGHT = {"feature": "simple-ai-insight"}
NOBODY = "01890a5d-ac96-774b-bcce-b302099a8057"
NOT_THE_SAME = {"id", "requestId", "sequence", "version", "timestamp"}


def amount(credits, **said):
    return {"amount": credits, "description": "Work", **said}


def send(client, *items, **envelope):
    answer = client.post(BATCH, {"items": items, **envelope})
    assert answer.status_code == 200, answer.json()
    return answer


def told(answer):
    """Return (status, code or credits moved) of each result."""
    return [
        (result["status"], result["body"].get("code") or result["body"]["transaction"]["amount"])
        for result in answer.json()["results"]
    ]


@pytest.fixture
def ann(db):
    made = UserFactory.create()
    make_balance(made)
    return made


@pytest.mark.django_db
class TestBatch:
    def test_answers_each_in_order_with_the_balance_after_it(self, api, ann):
        answer = send(api(ann), INSIGHT, amount(1), {**INSIGHT, "quantity": 2, "referenceId": "r"})

        results = answer.json()["results"]
        assert [set(result) for result in results] == [{"status", "body"}] * 3
        assert told(answer) == [(200, -9), (200, -1), (200, -18)]
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
            amount(5, userId=NOBODY),
            amount(5, userId="me"),
            amount(5, organizationId=NOBODY),
        ],
        ids=str,
    )
    def test_answers_each_as_the_single_endpoint_does(self, api, item):
        first, second = UserFactory.create(), UserFactory.create()
        make_balance(first, [(100, DAY)])
        make_balance(second, [(100, DAY)])

        alone = api(first).post(DEDUCT, item)
        [result] = send(api(second), item).json()["results"]

        assert result["status"] == alone.status_code
        assert comparable(result["body"], second) == comparable(alone.json(), first)

    @pytest.mark.parametrize("item", [None, 7, "deduct", []])
    def test_refuses_an_item_that_is_no_object_alone(self, api, ann, item):
        answer = send(api(ann), amount(1), item, amount(1))

        assert told(answer) == [(200, -1), (400, "invalid"), (200, -1)]
        [error] = answer.json()["results"][1]["body"]["errors"]
        assert (error["field"], error["code"]) == ("", "wrong_type")

    def test_gives_a_refusal_its_facts_and_the_requests_id(self, api, ann):
        answer = send(api(ann), amount(60), amount(60))

        body = answer.json()["results"][1]["body"]
        assert body["requestId"] == answer["X-Request-Id"]
        assert {"required": 60, "available": 40, "held": 0, "shortfall": 20, "status": 402}.items() <= body.items()

    def test_tells_the_tier_of_each_balance(self, api):
        service, cat, dan = api(ServiceFactory.create()), UserFactory.create(), UserFactory.create()
        initialize_balance(owner=cat, tier="explorer", at=NOON)
        make_balance(dan)

        answer = send(service, amount(1, userId=str(cat.pk)), amount(1, userId=str(dan.pk)))

        assert [result["body"]["tier"] for result in answer.json()["results"]] == ["explorer", None]


@pytest.mark.django_db
class TestOwners:
    def test_are_resolved_for_each_item(self, api):
        seat = MembershipFactory.create()
        watched = MembershipFactory.create(user=seat.user, role="viewer")
        stranger = UserFactory.create()
        for owner in (seat.user, seat.organization, watched.organization, stranger):
            make_balance(owner)

        answer = send(
            api(seat.user),
            amount(1),
            amount(2, organizationId=str(seat.organization.pk)),
            amount(3, organization_id=str(watched.organization.pk)),
            amount(4, userId=str(stranger.pk)),
            amount(5, organizationId=str(MembershipFactory.create().organization.pk)),
            amount(6, userId=str(seat.user.pk)),
        )

        assert told(answer) == [
            (200, -1),
            (200, -2),
            (403, "permission_denied"),
            (403, "permission_denied"),
            (404, "organization_not_found"),
            (200, -6),
        ]
        pooled = answer.json()["results"][1]["body"]
        assert pooled["organizationId"] == str(seat.organization.pk)
        assert pooled["transaction"]["userId"] == str(seat.user.pk)

    def test_are_asked_for_once_however_often_they_are_named(self, api):
        seat = MembershipFactory.create()
        client = api(seat.user)
        strangers, pool = OrganizationFactory.create(), str(seat.organization.pk)
        items = [amount(1, organizationId=pool), amount(1, organizationId=str(strangers.pk))]
        make_balance(seat.organization)

        with captured_statements() as run:
            send(client, *items * 100)

        # The caller, both seats, the tiers; the operation's lock, book and writes.
        assert len(run) == 1 + 2 + 1 + 3

    def test_need_a_balance(self, api):
        answer = send(api(UserFactory.create()), amount(1), amount(0))

        assert told(answer) == [(404, "balance_not_found"), (400, "invalid")]


@pytest.mark.django_db
class TestKeys:
    def test_are_each_items_own(self, api, ann):
        client = api(ann)
        client.post(DEDUCT, INSIGHT, headers={"Idempotency-Key": "a"})

        answer = send(
            client,
            {**INSIGHT, "idempotencyKey": "a"},
            {**INSIGHT, "idempotencyKey": "b"},
            {**INSIGHT, "idempotency_key": "b"},
            {**INSIGHT, "idempotencyKey": "b", "quantity": 2},
            INSIGHT,
        )

        results = answer.json()["results"]
        assert told(answer) == [(200, -9), (200, -9), (200, -9), (422, "idempotency_key_reused"), (200, -9)]
        assert results[1] == results[2]
        assert "Idempotency-Replayed" not in answer
        assert CreditTransaction.objects.filter(type="usage").count() == 3

    def test_taken_in_a_batch_are_replayed_alone(self, api, ann):
        client = api(ann)
        [first] = send(client, {**INSIGHT, "idempotencyKey": "a"}).json()["results"]

        again = client.post(DEDUCT, INSIGHT, headers={"Idempotency-Key": "a"})

        assert again.json() == first["body"]
        assert again["Idempotency-Replayed"] == "true"

    @pytest.mark.parametrize("atomic", [True, False])
    def test_make_a_retry_of_the_whole_batch_safe(self, api, ann, clock_at, atomic):
        other = MembershipFactory.create(user=ann).organization
        make_balance(other)
        items = [
            {**INSIGHT, "idempotencyKey": f"k{place}", **({"organizationId": str(other.pk)} if place % 2 else {})}
            for place in range(10)
        ]
        first = send(api(ann), *items, atomic=atomic)
        clock_at(NOON + DAY)
        before = table_digests()

        again = send(api(ann), *items, atomic=atomic)

        assert again.content == first.content
        assert again["Idempotency-Replayed"] == "true"
        assert table_digests() == before

    def test_may_be_one_header_for_all_items_without_their_own(self, api, ann):
        body = {"items": [INSIGHT, {**INSIGHT, "idempotencyKey": "own"}, INSIGHT]}
        first = api(ann).post(BATCH, body, headers={"Idempotency-Key": "all"})
        before = table_digests()

        again = api(ann).post(BATCH, body, headers={"Idempotency-Key": "all"})

        keys = [result["body"]["transaction"]["idempotencyKey"] for result in first.json()["results"]]
        assert keys == ["all/0", "own", "all/2"]
        assert (again.content, again["Idempotency-Replayed"]) == (first.content, "true")
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
    def test_are_short_and_printable(self, api, ann, key, code):
        answer = send(api(ann), amount(1), amount(1, idempotencyKey=key))

        assert told(answer) == [(200, -1), (400, "invalid")]
        [error] = answer.json()["results"][1]["body"]["errors"]
        assert (error["field"], error["code"]) == ("idempotencyKey", code)


@pytest.mark.django_db
class TestAtomic:
    def test_takes_nothing_from_a_balance_of_which_one_is_refused(self, api, ann):
        pool = MembershipFactory.create(user=ann).organization
        make_balance(pool)

        answer = send(api(ann), amount(60), amount(5, organizationId=str(pool.pk)), amount(60), amount(40), atomic=True)

        assert told(answer) == [
            (424, "batch_aborted"),
            (200, -5),
            (402, "insufficient_credits"),
            (424, "batch_aborted"),
        ]
        assert CreditBalance.objects.get(pk=ann.pk).sequence == 1
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
    def test_counts_an_items_own_faults(self, api, ann, item, status):
        before = table_digests()

        answer = send(api(ann), amount(1), item, atomic=True)

        assert [result["status"] for result in answer.json()["results"]] == [424, status]
        assert table_digests() == before

    def test_counts_an_item_that_may_not_be_spent(self, api):
        seat, viewer = MembershipFactory.create(), MembershipFactory.create(role="viewer")
        viewer.organization = seat.organization
        viewer.save()
        make_balance(seat.organization)
        pool = str(seat.organization.pk)
        before = table_digests()

        answer = send(
            api(ServiceFactory.create()),
            amount(1, organizationId=pool, userId=str(seat.user.pk)),
            amount(1, organizationId=pool, userId=str(viewer.user.pk)),
            atomic=True,
        )

        assert told(answer) == [(424, "batch_aborted"), (403, "permission_denied")]
        assert table_digests() == before

    def test_does_not_count_an_item_that_names_no_balance(self, api, ann):
        answer = send(api(ann), amount(1), amount(1, userId="me"), 7, atomic=True)

        assert told(answer) == [(200, -1), (400, "invalid"), (400, "invalid")]

    def test_takes_all_where_all_can_be(self, api, ann):
        answer = send(api(ann), amount(60), amount(40), atomic=True)

        assert told(answer) == [(200, -60), (200, -40)]


@pytest.mark.django_db
class TestEnvelope:
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
            ({"items": [INSIGHT], "userId": NOBODY}, [("userId", "unknown_field")]),
            ({"deductions": [INSIGHT]}, [("deductions", "unknown_field"), ("items", "required")]),
        ],
        ids=lambda part: str(part)[:60],
    )
    def test_that_cannot_be_understood_refuses_all(self, api, ann, body, errors):
        before = table_digests()

        refused = api(ann).post(BATCH, body)

        assert refused.status_code == 400
        assert [(error["field"], error["code"]) for error in refused.json()["errors"]] == errors
        assert table_digests() == before

    def test_needs_a_token(self, api, db):
        assert api().post(BATCH, {"items": [INSIGHT]}).status_code == 401

    def test_may_be_a_mebibyte_and_not_more(self, api, ann):
        body = json.dumps({"items": [amount(1)]}).encode()

        def send_padded(size):
            return api(ann).generic("POST", BATCH, body.ljust(size), content_type="application/json")

        assert send_padded(1024 * 1024).status_code == 200
        refused = send_padded(1024 * 1024 + 1)
        assert (refused.status_code, refused.json()["limit"]) == (413, 1024 * 1024)

    def test_counts_as_one_request(self, api, ann, monkeypatch):
        monkeypatch.setitem(settings.THROTTLES, "user", 2)
        client = api(ann)

        statuses = [client.post(BATCH, {"items": [amount(1)] * 20}).status_code for _ in range(3)]

        assert statuses == [200, 200, 429]


@pytest.mark.django_db
class TestFiveHundred:
    def test_on_one_balance_are_read_at_once_and_written_in_few_statements(self, api):
        ann = UserFactory.create()
        balance = make_balance(ann, [(1, DAY)] * 20 + [(10_000, None)])
        items = [{**INSIGHT, "idempotencyKey": f"k{place}"} for place in range(500)]
        client = api(ann)

        with captured_statements() as run:
            answer = send(client, *items)
        with captured_statements() as run_again:
            again = send(client, *items)

        # The caller, the tier, lock, book and writes; a replay reads transactions and entries and writes nothing.
        assert (len(run), len(run_again)) == (2 + 3, 2 + 2 + 2)
        assert told(answer) == [(200, -9)] * 500
        assert (again.content, again["Idempotency-Replayed"]) == (answer.content, "true")
        check_sums(balance)
        assert (balance.balance, balance.sequence) == (10_020 - 4_500, 21 + 500)

    def test_on_several_balances_cost_what_they_cost_on_each(self, api):
        people = UserFactory.create_batch(5)
        balances = [make_balance(person, [(1_000, None)]) for person in people]
        items = [
            {**INSIGHT, "userId": str(people[place % 5].pk), "idempotencyKey": f"k{place}"} for place in range(500)
        ]
        client = api(ServiceFactory.create())

        with captured_statements() as run:
            answer = send(client, *items)

        # The caller, whether each user exists, the tiers of all, and the statements of each operation.
        assert len(run) == 1 + 5 + 1 + 5 * 3
        assert told(answer) == [(200, -9)] * 500
        for balance in balances:
            check_sums(balance)
            assert balance.balance == 100


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    @pytest.mark.parametrize("atomic", [True, False])
    def test_two_of_one_batch_move_once(self, api, atomic):
        ann = UserFactory.create()
        balance = make_balance(ann)
        items = [amount(20, idempotencyKey=f"k{place}") for place in range(5)]
        client = api(ann)

        answers = run_concurrently([lambda: send(client, *items, atomic=atomic)] * 2)

        assert answers[0].content == answers[1].content
        assert told(answers[0]) == [(200, -20)] * 5
        assert sorted("Idempotency-Replayed" in answer for answer in answers) == [False, True]
        check_sums(balance)
        assert (balance.balance, balance.sequence) == (0, 6)

    def test_all_or_nothing_of_what_does_not_suffice_for_two(self, api):
        ann = UserFactory.create()
        balance = make_balance(ann)
        client = api(ann)

        answers = run_concurrently([lambda: send(client, amount(30), amount(30), atomic=True)] * 4)

        assert sorted(told(answer) for answer in answers) == [
            [(200, -30), (200, -30)],
            *[[(424, "batch_aborted"), (402, "insufficient_credits")]] * 3,
        ]
        check_sums(balance)
        assert balance.balance == 40

    def test_do_not_wait_for_each_other_in_a_circle(self, api):
        one, other = UserFactory.create(), UserFactory.create()
        balances = [make_balance(one, [(1_000, None)]), make_balance(other, [(1_000, None)])]
        service = ServiceFactory.create()
        items = [amount(1, userId=str(person.pk)) for person in (one, other)]

        def forth():
            return send(api(service), *items)

        def back():
            return send(api(service), *reversed(items))

        answers = run_concurrently([forth, back] * 4)

        assert [told(answer) for answer in answers] == [[(200, -1), (200, -1)]] * 8
        for balance in balances:
            check_sums(balance)
            assert balance.balance == 992

    def test_tell_of_a_busy_balance_alone_that_it_is(self, api):
        busy, free = UserFactory.create(), UserFactory.create()
        balance = make_balance(busy)
        make_balance(free)
        client = api(ServiceFactory.create())

        with locked_in_other_thread(balance):
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '20ms'")
            answer = send(client, amount(1, userId=str(busy.pk)), amount(1, userId=str(free.pk)))
        connection.close()

        assert told(answer) == [(503, "busy"), (200, -1)]
        assert answer.json()["results"][0]["body"]["requestId"] == answer["X-Request-Id"]
        check_sums(balance)
        assert balance.balance == 100


def comparable(body, owner):
    """Return what two answers to different people have in common."""
    if isinstance(body, dict):
        return {name: comparable(value, owner) for name, value in body.items() if name not in NOT_THE_SAME}
    if isinstance(body, list):
        return [comparable(value, owner) for value in body]
    grants = {str(grant.pk): "the grant" for grant in CreditBalance.objects.get(pk=owner.pk).grants.all()}
    return {str(owner.pk): "the owner", **grants}.get(body, body) if isinstance(body, str) else body
