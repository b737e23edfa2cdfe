import pytest

from credits import operations
from tests.support.factories.credits import deduct, make_balance
from tests.support.factories.identity import MembershipFactory, UserFactory
from tests.support.times import HOUR, NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

HISTORY = "/api/credits/history"


def sequences(response):
    return [row["sequence"] for row in response.json()["results"]]


class TestListTransactions:
    def test_lists_the_newest_first(self, api):
        user = UserFactory.create()
        deduct(
            make_balance(user),
            9,
            actor=user,
            reference_id="insight-1",
            metadata={"model_name": "m"},
            idempotency_key="k",
        )

        page = api(user).get(HISTORY).json()

        usage, promotion = page["results"]
        assert (page["next"], page["previous"]) == (None, None)
        assert promotion["sequence"] == 1
        assert usage.pop("id")
        assert usage == {
            "sequence": 2,
            "timestamp": "2025-03-03T12:00:00Z",
            "type": "usage",
            "amount": -9,
            "newBalance": 91,
            "description": "Spent in a test",
            "referenceId": "insight-1",
            "feature": None,
            "quantity": None,
            "userId": str(user.pk),
            "organizationId": None,
            "actorId": str(user.pk),
            "idempotencyKey": "k",
            "metadata": {"model_name": "m"},
        }

    def test_is_empty_if_the_balance_does_not_exist(self, api):
        assert api(UserFactory.create()).get(HISTORY).json() == {"results": [], "next": None, "previous": None}

    def test_has_pages_in_both_directions(self, api):
        user = UserFactory.create()
        make_balance(user, [(1, None)] * 5)
        client = api(user)

        first = client.get(HISTORY, {"limit": 2})
        second = client.get(first.json()["next"])
        third = client.get(second.json()["next"])
        previous = client.get(third.json()["previous"])

        assert [sequences(page) for page in (first, second, third, previous)] == [[5, 4], [3, 2], [1], [3, 2]]
        assert third.json()["next"] is None
        assert first.json()["previous"] is None

    def test_runs_two_queries_for_a_later_page(self, api, django_assert_num_queries):
        user = UserFactory.create()
        make_balance(user, [(1, None)] * 5)
        client = api(user)
        second_page = client.get(HISTORY, {"limit": 2}).json()["next"]

        with django_assert_num_queries(2):
            client.get(second_page)

    def test_shows_a_pools_transactions_to_its_members(self, api):
        membership = MembershipFactory.create(role="viewer")
        make_balance(membership.organization)

        [row] = api(membership.user).get(HISTORY, {"organizationId": membership.organization.pk}).json()["results"]

        assert (row["organizationId"], row["userId"]) == (str(membership.organization.pk), None)


class TestFilterTransactions:
    @pytest.fixture
    def user(self, clock_at):
        clock_at(NOON + 2 * HOUR)
        user = UserFactory.create()
        balance = make_balance(user)  # 1: at noon
        deduct(balance, 5, at=NOON + HOUR, reference_id="five")  # 2
        operations.deduct_credits(owner=user, feature="simple-ai-insight", at=NOON + 2 * HOUR)  # 3
        return user

    @pytest.mark.parametrize(
        ("payload", "expected"),
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
    def test_by_type_feature_reference_and_time(self, api, user, payload, expected):
        assert sequences(api(user).get(HISTORY, payload)) == expected

    def test_by_member(self, api):
        membership = MembershipFactory.create()
        balance = make_balance(membership.organization)
        deduct(balance, 5, member=membership.user)
        deduct(balance, 6, member=MembershipFactory.create(organization=membership.organization).user)
        payload = {"organizationId": membership.organization.pk, "memberId": membership.user.pk}

        [row] = api(membership.user).get(HISTORY, payload).json()["results"]

        assert (row["amount"], row["userId"]) == (-5, str(membership.user.pk))

    @pytest.mark.parametrize(
        ("payload", "field", "code"),
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
    def test_names_invalid_and_unknown_parameters(self, api, user, payload, field, code):
        rejected = api(user).get(HISTORY, payload)

        assert rejected.status_code == 400
        assert [(e["field"], e["code"]) for e in rejected.json()["errors"]] == [(field, code)]

    def test_rejects_a_changed_cursor(self, api):
        other = UserFactory.create()
        make_balance(other, [(1, None)] * 3)
        next_url = api(other).get(HISTORY, {"limit": 1}).json()["next"]

        rejected = api(other).get(next_url[:-1] + ("a" if next_url[-1] != "a" else "b"))

        assert rejected.status_code == 400
        assert rejected.json()["errors"][0]["code"] == "invalid_cursor"
