import pytest

from tests.support.factories.credits import hold, make_balance, owe
from tests.support.factories.identity import AdminFactory, OrganizationFactory, UserFactory
from tests.support.factories.tiers import make_capped_tier, make_subscribed_balance, month
from tests.support.times import DAY, HOUR, NOON
from tiers.operations import initialize_balance

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

BALANCES = "/api/credits/balances"


def owners(answer):
    return [row["userId"] or row["organizationId"] for row in answer.json()["results"]]


class TestListBalances:
    def test_tells_each_as_a_single_read_would(self, api):
        ann, pool, admin = UserFactory.create(), OrganizationFactory.create(), AdminFactory.create()
        initialize_balance(owner=ann, tier="growth")
        make_balance(pool, [(30, DAY)])
        client = api(admin)

        page = client.get(BALANCES).json()

        single = client.get("/api/credits/balance", {"userId": ann.pk}).json()
        pooled = client.get("/api/credits/balance", {"organizationId": pool.pk}).json()
        assert page == {"results": [pooled, single], "next": None, "previous": None}
        assert (single["tier"], pooled["tier"]) == ("growth", None)

    def test_narrows_to_a_tier(self, api):
        ann, bob = UserFactory.create(), UserFactory.create()
        initialize_balance(owner=ann, tier="growth")
        initialize_balance(owner=bob, tier="pro")
        make_balance()

        assert owners(api(AdminFactory.create()).get(BALANCES, {"tier": "growth"})) == [str(ann.pk)]
        assert owners(api(AdminFactory.create()).get(BALANCES, {"tier": "unheard-of"})) == []

    def test_counts_neither_expired_nor_held_credits_as_available(self, api, clock_at):
        rich, expired, held, lapsed, empty = (UserFactory.create() for _ in range(5))
        make_balance(rich)
        make_balance(expired, [(100, DAY), (5, None)])
        hold(make_balance(held), 95, expires_in=2 * DAY)
        hold(make_balance(lapsed), 95, expires_in=HOUR)
        hold(make_balance(empty, [(100, DAY)]), 95, expires_in=HOUR)
        clock_at(NOON + DAY)
        client = api(AdminFactory.create())

        few = client.get(BALANCES, {"maxAvailable": 5})

        assert owners(few) == [str(empty.pk), str(held.pk), str(expired.pk)]
        assert [row["available"] for row in few.json()["results"]] == [0, 5, 5]
        assert owners(client.get(BALANCES, {"maxAvailable": 4})) == [str(empty.pk)]

    def test_counts_what_has_rolled_over_or_repaid_debt_before_it_is_written(self, api, clock_at):
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

        for most, found in ((19, []), (20, [owing]), (69, [owed_then_expired, owing])):
            page = client.get(BALANCES, {"maxAvailable": most})
            assert owners(page) == [str(person.pk) for person in found]
            assert all(row["available"] <= most for row in page.json()["results"])
        assert [row["available"] for row in client.get(BALANCES).json()["results"]] == [30, 20, 70]

    def test_turns_pages(self, api, django_assert_num_queries):
        people = [UserFactory.create() for _ in range(3)]
        for person in people:
            make_balance(person)
        client = api(AdminFactory.create())

        first = client.get(BALANCES, {"limit": 2})
        with django_assert_num_queries(4):
            second = client.get(first.json()["next"])

        assert owners(first) + owners(second) == [str(person.pk) for person in reversed(people)]

    @pytest.mark.parametrize(
        ("asked", "field", "code"),
        [
            ({"maxAvailable": -1}, "maxAvailable", "out_of_range"),
            ({"maxAvailable": "few"}, "maxAvailable", "wrong_type"),
            ({"owner": "me"}, "owner", "unknown_field"),
        ],
    )
    def test_names_what_it_cannot_understand(self, api, asked, field, code):
        refused = api(AdminFactory.create()).get(BALANCES, asked)

        assert [(e["field"], e["code"]) for e in refused.json()["errors"]] == [(field, code)]
