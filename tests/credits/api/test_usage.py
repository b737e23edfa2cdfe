import pytest

from credits import operations
from tests.support.factories.credits import deduct, make_balance
from tests.support.factories.identity import AdminFactory, MembershipFactory, ServiceFactory, UserFactory
from tests.support.ledger import table_digests
from tests.support.times import DAY, HOUR, NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

USAGE = "/api/credits/usage"


class TestReadUsage:
    def test_returns_every_day_of_the_last_thirty_by_default(self, api):
        user = UserFactory.create()
        usage = deduct(make_balance(user, at=NOON - 2 * DAY), 9, at=NOON - DAY)
        operations.refund_usage(transaction_id=usage.transaction.id, amount=4, reason="It failed", at=NOON - HOUR)

        response = api(user).get(USAGE)

        assert response.status_code == 200
        body = response.json()
        days = body.pop("results")
        assert body == {
            "from": "2025-02-01T12:00:00Z",
            "to": "2025-03-03T12:00:00Z",
            "groupBy": "day",
            "total": {"used": 9, "refunded": 4, "net": 5, "count": 1},
        }
        assert len(days) == 31
        assert days[-2:] == [
            {"key": "2025-03-02", "used": 9, "refunded": 0, "net": 9, "count": 1},
            {"key": "2025-03-03", "used": 0, "refunded": 4, "net": -4, "count": 0},
        ]

    @pytest.mark.parametrize("name", ["groupBy", "group_by"])
    def test_groups_by_feature(self, api, name):
        user = UserFactory.create()
        balance = make_balance(user, at=NOON - DAY)
        operations.deduct_credits(owner=user, feature="simple-ai-insight", at=NOON - HOUR)
        deduct(balance, 5, at=NOON - HOUR)

        body = api(user).get(USAGE, {name: "feature"}).json()

        assert body["groupBy"] == "feature"
        assert body["results"] == [
            {"key": "simple-ai-insight", "used": 9, "refunded": 0, "net": 9, "count": 1},
            {"key": None, "used": 5, "refunded": 0, "net": 5, "count": 1},
        ]

    def test_groups_by_type_within_a_period(self, api):
        user = UserFactory.create()
        deduct(make_balance(user, at=NOON - DAY), 5, at=NOON - HOUR)

        body = api(user).get(USAGE, {"groupBy": "type", "from": "2025-03-02T14:00:00+02:00"}).json()

        assert body["results"] == [
            {"key": "usage", "used": 5, "refunded": 0, "net": 5, "count": 1, "amount": -5},
            {"key": "promotion", "used": 0, "refunded": 0, "net": 0, "count": 1, "amount": 100},
        ]
        assert body["total"] == {"used": 5, "refunded": 0, "net": 5, "count": 2, "amount": 95}
        assert (body["from"], body["to"]) == ("2025-03-02T12:00:00Z", "2025-03-03T12:00:00Z")

    @pytest.mark.parametrize("role", ["owner", "manager", "member", "viewer"])
    def test_groups_by_member_for_every_member_of_a_pool(self, api, role):
        membership = MembershipFactory.create(role=role)
        balance = make_balance(membership.organization, at=NOON - DAY)
        deduct(balance, 5, member=membership.user, at=NOON - HOUR)
        owner = {"organizationId": membership.organization.pk, "groupBy": "member"}

        [row] = api(membership.user).get(USAGE, owner).json()["results"]

        assert (row["key"], row["used"]) == (str(membership.user.pk), 5)

    def test_is_zero_if_the_balance_does_not_exist(self, api):
        body = api(UserFactory.create()).get(USAGE).json()

        assert body["total"] == {"used": 0, "refunded": 0, "net": 0, "count": 0}
        assert {row["used"] for row in body["results"]} == {0}

    def test_runs_one_query_for_the_caller_and_one_for_the_ledger(self, api, django_assert_num_queries):
        user = UserFactory.create()
        make_balance(user)
        client = api(user)

        with django_assert_num_queries(2):
            client.get(USAGE)

    @pytest.mark.parametrize(
        ("payload", "field", "code"),
        [
            ({"groupBy": "hour"}, "groupBy", "invalid_choice"),
            ({"from": "yesterday"}, "from", "wrong_type"),
            ({"to": "2025-03-03"}, "to", "wrong_type"),
            ({"from": "2025-03-03T12:00:00Z"}, "to", "out_of_range"),
            ({"from": "2025-03-03T11:00:00Z", "to": "2025-03-03T10:00:00Z"}, "to", "out_of_range"),
            ({"from": "2024-03-02T11:59:59Z"}, "from", "out_of_range"),
            ({"from": "2025-03-03T12:00:01Z", "to": "2025-03-04T12:00:00Z"}, "from", "in_future"),
            ({"from": "0001-01-01T00:00:00Z"}, "from", "out_of_range"),
            ({"from": "9999-12-31T23:59:59Z"}, "from", "in_future"),
            ({"to": "0001-01-01T00:00:00Z"}, "to", "out_of_range"),
            ({"to": "9999-12-31T23:59:59Z"}, "from", "in_future"),
            ({"memberId": "x"}, "memberId", "unknown_field"),
            ({"userId": "me"}, "userId", "wrong_type"),
            ({"limit": "5"}, "limit", "unknown_field"),
        ],
    )
    def test_names_the_invalid_parameter_and_writes_nothing(self, api, payload, field, code):
        before = table_digests()

        rejected = api(UserFactory.create()).get(USAGE, payload)

        assert (rejected.status_code, rejected.json()["code"]) == (400, "invalid")
        assert [(e["field"], e["code"]) for e in rejected.json()["errors"]] == [(field, code)]
        assert {name: rows for name, rows in table_digests().items() if before[name] != rows} == {}

    def test_accepts_a_period_that_ends_in_the_future(self, api):
        user = UserFactory.create()
        deduct(make_balance(user, at=NOON - DAY), 5, at=NOON - HOUR)

        body = api(user).get(USAGE, {"from": "2025-03-01T00:00:00Z", "to": "2025-04-01T00:00:00Z"}).json()

        assert len(body["results"]) == 31
        assert body["total"]["used"] == 5

    @pytest.mark.parametrize("path", [USAGE, "/api/credits/forecast"])
    def test_and_the_forecast_require_access_to_the_balance(self, api, path):
        user, pool = UserFactory.create(), MembershipFactory.create().organization
        make_balance(user)
        stranger = api(UserFactory.create())

        assert api().get(path).status_code == 401
        assert stranger.get(path, {"userId": user.pk}).json()["code"] == "permission_denied"
        assert stranger.get(path, {"organizationId": pool.pk}).json()["code"] == "organization_not_found"
        for caller in (AdminFactory, ServiceFactory):
            assert api(caller.create()).get(path, {"userId": user.pk}).status_code == 200
