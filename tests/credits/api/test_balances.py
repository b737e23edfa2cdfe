import pytest

from tests.support.factories.credits import hold, make_balance, owe
from tests.support.factories.identity import AdminFactory, OrganizationFactory, UserFactory
from tests.support.factories.tiers import make_capped_tier, make_subscribed_balance, month
from tests.support.times import DAY, HOUR, NOON
from tiers.operations import initialize_balance

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

BALANCES = "/api/credits/balances"


def owners(response):
    return [row["userId"] or row["organizationId"] for row in response.json()["results"]]


class TestListBalances:
    def test_shows_each_balance_as_a_single_read_does(self, api):
        user, pool, admin = UserFactory.create(), OrganizationFactory.create(), AdminFactory.create()
        initialize_balance(owner=user, tier="growth")
        make_balance(pool, [(30, DAY)])
        client = api(admin)

        page = client.get(BALANCES).json()

        single = client.get("/api/credits/balance", {"userId": user.pk}).json()
        pooled = client.get("/api/credits/balance", {"organizationId": pool.pk}).json()
        for balance in (single, pooled):
            del balance["availableBySource"]  # for a single balance only
        assert page == {"results": [pooled, single], "next": None, "previous": None}
        assert (single["tier"], pooled["tier"]) == ("growth", None)

    def test_filters_by_tier(self, api):
        user, other = UserFactory.create(), UserFactory.create()
        initialize_balance(owner=user, tier="growth")
        initialize_balance(owner=other, tier="pro")
        make_balance()

        assert owners(api(AdminFactory.create()).get(BALANCES, {"tier": "growth"})) == [str(user.pk)]
        assert owners(api(AdminFactory.create()).get(BALANCES, {"tier": "unheard-of"})) == []

    def test_filters_by_available_credits_without_expired_and_held_ones(self, api, clock_at):
        rich, expired, held, lapsed, empty = (UserFactory.create() for _ in range(5))
        make_balance(rich)
        make_balance(expired, [(100, DAY), (5, None)])
        hold(make_balance(held), 95, expires_in=2 * DAY)
        hold(make_balance(lapsed), 95, expires_in=HOUR)
        hold(make_balance(empty, [(100, DAY)]), 95, expires_in=HOUR)
        clock_at(NOON + DAY)
        client = api(AdminFactory.create())

        page = client.get(BALANCES, {"maxAvailable": 5})

        assert owners(page) == [str(empty.pk), str(held.pk), str(expired.pk)]
        assert [row["available"] for row in page.json()["results"]] == [0, 5, 5]
        assert owners(client.get(BALANCES, {"maxAvailable": 4})) == [str(empty.pk)]

    def test_filters_by_available_credits_after_due_rollovers_and_debt_repayments(self, api, clock_at):
        rolled, owing, owed_then_expired = (UserFactory.create() for _ in range(3))
        make_subscribed_balance(rolled, make_capped_tier(cap=70).code)
        indebted = make_balance(owing)
        hold(indebted, 60, expires_in=HOUR)
        owe(indebted, 80)
        fleeting = make_balance(owed_then_expired, [(50, 2 * HOUR), (30, None)])
        hold(fleeting, 50, expires_in=HOUR)
        hold(fleeting, 30, expires_in=3 * HOUR)
        owe(fleeting, 10)
        clock_at(month(1))
        client = api(AdminFactory.create())

        for limit, expected in ((19, []), (20, [owing]), (69, [owed_then_expired, owing])):
            page = client.get(BALANCES, {"maxAvailable": limit})
            assert owners(page) == [str(each.pk) for each in expected]
            assert all(row["available"] <= limit for row in page.json()["results"])
        assert [row["available"] for row in client.get(BALANCES).json()["results"]] == [30, 20, 70]

    def test_lists_the_newest_owner_first_in_pages_of_four_queries(self, api, django_assert_num_queries):
        users = [UserFactory.create() for _ in range(3)]
        for each in users:
            make_balance(each)
        client = api(AdminFactory.create())

        first = client.get(BALANCES, {"limit": 2})
        with django_assert_num_queries(4):
            second = client.get(first.json()["next"])

        assert owners(first) + owners(second) == [str(each.pk) for each in reversed(users)]

    @pytest.mark.parametrize(
        ("payload", "field", "code"),
        [
            ({"maxAvailable": -1}, "maxAvailable", "out_of_range"),
            ({"maxAvailable": "few"}, "maxAvailable", "wrong_type"),
            ({"owner": "me"}, "owner", "unknown_field"),
        ],
    )
    def test_names_invalid_and_unknown_parameters(self, api, payload, field, code):
        rejected = api(AdminFactory.create()).get(BALANCES, payload)

        assert [(e["field"], e["code"]) for e in rejected.json()["errors"]] == [(field, code)]
