import pytest

from credits import operations
from tests.support.factories.credits import deduct, make_balance
from tests.support.factories.identity import AdminFactory, MembershipFactory, ServiceFactory, UserFactory
from tests.support.ledger import table_digests
from tests.support.times import DAY, HOUR, NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

USAGE = "/api/credits/usage"


class TestReadUsage:
    def test_tells_every_day_of_the_last_thirty(self, api):
        ann = UserFactory.create()
        spent = deduct(make_balance(ann, at=NOON - 2 * DAY), 9, at=NOON - DAY)
        operations.refund_usage(transaction_id=spent.pk, amount=4, reason="It failed", at=NOON - HOUR)

        answer = api(ann).get(USAGE)

        assert answer.status_code == 200
        told = answer.json()
        days = told.pop("results")
        assert told == {
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
    def test_tells_features(self, api, name):
        ann = UserFactory.create()
        balance = make_balance(ann, at=NOON - DAY)
        operations.deduct_credits(owner=ann, feature="simple-ai-insight", at=NOON - HOUR)
        deduct(balance, 5, at=NOON - HOUR)

        told = api(ann).get(USAGE, {name: "feature"}).json()

        assert told["groupBy"] == "feature"
        assert told["results"] == [
            {"key": "simple-ai-insight", "used": 9, "refunded": 0, "net": 9, "count": 1},
            {"key": None, "used": 5, "refunded": 0, "net": 5, "count": 1},
        ]

    def test_tells_types_of_a_period(self, api):
        ann = UserFactory.create()
        deduct(make_balance(ann, at=NOON - DAY), 5, at=NOON - HOUR)

        told = api(ann).get(USAGE, {"groupBy": "type", "from": "2025-03-02T14:00:00+02:00"}).json()

        assert [(row["key"], row["net"]) for row in told["results"]] == [("usage", 5), ("promotion", -100)]
        assert told["total"]["net"] == -95
        assert (told["from"], told["to"]) == ("2025-03-02T12:00:00Z", "2025-03-03T12:00:00Z")

    @pytest.mark.parametrize("role", ["owner", "manager", "member", "viewer"])
    def test_tells_the_members_of_a_pool_to_each_of_them(self, api, role):
        seat = MembershipFactory.create(role=role)
        balance = make_balance(seat.organization, at=NOON - DAY)
        deduct(balance, 5, member=seat.user, at=NOON - HOUR)
        whose = {"organizationId": seat.organization.pk, "groupBy": "member"}

        [row] = api(seat.user).get(USAGE, whose).json()["results"]

        assert (row["key"], row["used"]) == (str(seat.user.pk), 5)

    def test_is_nothing_where_no_balance_was_opened(self, api):
        told = api(UserFactory.create()).get(USAGE).json()

        assert told["total"] == {"used": 0, "refunded": 0, "net": 0, "count": 0}
        assert {row["used"] for row in told["results"]} == {0}

    def test_costs_one_query_for_the_caller_and_one_for_the_ledger(self, api, django_assert_num_queries):
        ann = UserFactory.create()
        make_balance(ann)
        client = api(ann)

        with django_assert_num_queries(2):
            client.get(USAGE)

    @pytest.mark.parametrize(
        ("asked", "field", "code"),
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
    def test_names_what_cannot_be(self, api, asked, field, code):
        before = table_digests()

        refused = api(UserFactory.create()).get(USAGE, asked)

        assert (refused.status_code, refused.json()["code"]) == (400, "invalid")
        assert [(e["field"], e["code"]) for e in refused.json()["errors"]] == [(field, code)]
        assert {name: rows for name, rows in table_digests().items() if before[name] != rows} == {}

    def test_takes_a_month_that_is_not_over(self, api):
        ann = UserFactory.create()
        deduct(make_balance(ann, at=NOON - DAY), 5, at=NOON - HOUR)

        told = api(ann).get(USAGE, {"from": "2025-03-01T00:00:00Z", "to": "2025-04-01T00:00:00Z"}).json()

        assert len(told["results"]) == 31
        assert told["total"]["used"] == 5

    @pytest.mark.parametrize("path", [USAGE, "/api/credits/forecast"])
    def test_is_the_owners_alone(self, api, path):
        ann, pool = UserFactory.create(), MembershipFactory.create().organization
        make_balance(ann)
        stranger = api(UserFactory.create())

        assert api().get(path).status_code == 401
        assert stranger.get(path, {"userId": ann.pk}).json()["code"] == "permission_denied"
        assert stranger.get(path, {"organizationId": pool.pk}).json()["code"] == "organization_not_found"
        for caller in (AdminFactory, ServiceFactory):
            assert api(caller.create()).get(path, {"userId": ann.pk}).status_code == 200
