import pytest

from credits import operations
from tests.support.factories.credits import deduct, make_balance
from tests.support.factories.identity import MembershipFactory, UserFactory
from tests.support.times import HOUR, NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

HISTORY = "/api/credits/history"


def sequences(answer):
    return [row["sequence"] for row in answer.json()["results"]]


class TestReadHistory:
    def test_tells_the_newest_first(self, api):
        ann = UserFactory.create()
        deduct(
            make_balance(ann), 9, actor=ann, reference_id="insight-1", metadata={"model_name": "m"}, idempotency_key="k"
        )

        page = api(ann).get(HISTORY).json()

        spent, given = page["results"]
        assert (page["next"], page["previous"]) == (None, None)
        assert given["sequence"] == 1
        assert spent.pop("id")
        assert spent == {
            "sequence": 2,
            "timestamp": "2025-03-03T12:00:00Z",
            "type": "usage",
            "amount": -9,
            "newBalance": 91,
            "description": "Spent in a test",
            "referenceId": "insight-1",
            "feature": None,
            "quantity": None,
            "userId": str(ann.pk),
            "organizationId": None,
            "actorId": str(ann.pk),
            "idempotencyKey": "k",
            "metadata": {"model_name": "m"},
        }

    def test_is_empty_where_no_balance_was_opened(self, api):
        assert api(UserFactory.create()).get(HISTORY).json() == {"results": [], "next": None, "previous": None}

    def test_turns_pages_both_ways(self, api):
        ann = UserFactory.create()
        make_balance(ann, [(1, None)] * 5)
        client = api(ann)

        first = client.get(HISTORY, {"limit": 2})
        second = client.get(first.json()["next"])
        third = client.get(second.json()["next"])
        back = client.get(third.json()["previous"])

        assert [sequences(page) for page in (first, second, third, back)] == [[5, 4], [3, 2], [1], [3, 2]]
        assert third.json()["next"] is None
        assert first.json()["previous"] is None

    def test_costs_as_much_on_the_last_page_as_on_the_first(self, api, django_assert_num_queries):
        ann = UserFactory.create()
        make_balance(ann, [(1, None)] * 5)
        client = api(ann)
        deep = client.get(HISTORY, {"limit": 2}).json()["next"]

        with django_assert_num_queries(2):
            client.get(deep)

    def test_shows_a_pool_to_its_members(self, api):
        seat = MembershipFactory.create(role="viewer")
        make_balance(seat.organization)

        [row] = api(seat.user).get(HISTORY, {"organizationId": seat.organization.pk}).json()["results"]

        assert (row["organizationId"], row["userId"]) == (str(seat.organization.pk), None)


class TestNarrowHistory:
    @pytest.fixture
    def ann(self):
        ann = UserFactory.create()
        balance = make_balance(ann)  # 1: at noon
        deduct(balance, 5, at=NOON + HOUR, reference_id="five")  # 2
        operations.deduct_credits(owner=ann, feature="simple-ai-insight", at=NOON + 2 * HOUR)  # 3
        return ann

    @pytest.mark.parametrize(
        ("asked", "found"),
        [
            ({"type": "usage"}, [3, 2]),
            ({"type": "refund"}, []),
            ({"feature": "simple-ai-insight"}, [3]),
            ({"referenceId": "five"}, [2]),
            ({"reference_id": "five"}, [2]),
            ({"from": "2025-03-03T13:00:00Z"}, [3, 2]),
            ({"to": "2025-03-03T13:00:00Z"}, [1]),
            ({"from": "2025-03-03T13:00:00Z", "to": "2025-03-03T14:00:00Z"}, [2]),
            ({"from": "2025-03-03T15:00:00+02:00"}, [3, 2]),
            ({"type": "usage", "feature": "simple-ai-insight"}, [3]),
        ],
    )
    def test_tells_what_was_asked_for(self, api, ann, asked, found):
        assert sequences(api(ann).get(HISTORY, asked)) == found

    def test_tells_what_one_member_did(self, api):
        seat = MembershipFactory.create()
        balance = make_balance(seat.organization)
        deduct(balance, 5, member=seat.user)
        deduct(balance, 6, member=MembershipFactory.create(organization=seat.organization).user)
        asked = {"organizationId": seat.organization.pk, "memberId": seat.user.pk}

        [row] = api(seat.user).get(HISTORY, asked).json()["results"]

        assert (row["amount"], row["userId"]) == (-5, str(seat.user.pk))

    @pytest.mark.parametrize(
        ("asked", "field", "code"),
        [
            ({"type": "gift"}, "type", "invalid_choice"),
            ({"from": "yesterday"}, "from", "wrong_type"),
            ({"from": "2025-03-03T12:00:00"}, "from", "wrong_type"),
            ({"memberId": "me"}, "memberId", "wrong_type"),
            ({"userId": "me"}, "userId", "wrong_type"),
            ({"referenceId": "x" * 256}, "referenceId", "too_long"),
            ({"color": "red"}, "color", "unknown_field"),
            ({"limit": "0"}, "limit", "out_of_range"),
            ({"limit": "201"}, "limit", "out_of_range"),
            ({"cursor": "WyJvbGRlciIsIjMiXQ:forged"}, "cursor", "invalid_cursor"),
        ],
    )
    def test_names_what_it_cannot_understand(self, api, ann, asked, field, code):
        refused = api(ann).get(HISTORY, asked)

        assert refused.status_code == 400
        assert [(e["field"], e["code"]) for e in refused.json()["errors"]] == [(field, code)]

    def test_refuses_a_cursor_that_was_tampered_with(self, api):
        bob = UserFactory.create()
        make_balance(bob, [(1, None)] * 3)
        following = api(bob).get(HISTORY, {"limit": 1}).json()["next"]

        refused = api(bob).get(following[:-1] + ("a" if following[-1] != "a" else "b"))

        assert refused.status_code == 400
        assert refused.json()["errors"][0]["code"] == "invalid_cursor"
