import pytest

from tests.support.factories.identity import UserFactory
from tiers.models import Tier

pytestmark = pytest.mark.django_db

TIERS = "/api/tiers"


def price(low, high):
    return {"min": low, "max": high, "currency": "ZAR"}


class TestListTiers:
    def test_lists_public_tiers_smallest_first(self, api):
        worth = {"min": "0.08", "max": "0.13"}
        rows = [
            ("explorer", "Explorer", 400, price("32.00", "52.00")),
            ("growth", "Growth", 2_000, price("160.00", "260.00")),
            ("pro", "Pro", 7_000, price("560.00", "910.00")),
            ("enterprise", "Enterprise", 20_000, price("1600.00", "2600.00")),
        ]

        assert api(UserFactory.create()).get(TIERS).json() == {
            "results": [
                {
                    "code": code,
                    "name": name,
                    "monthlyCredits": credits,
                    "monthlyPrice": monthly,
                    "valuePerCredit": worth,
                    "rollover": "unlimited",
                }
                for code, name, credits, monthly in rows
            ],
            "next": None,
            "previous": None,
        }

    def test_omits_tiers_that_are_not_public(self, api):
        Tier.objects.filter(code="pro").update(is_public=False)

        codes = [row["code"] for row in api(UserFactory.create()).get(TIERS).json()["results"]]

        assert codes == ["explorer", "growth", "enterprise"]

    def test_contains_the_rollover_policy(self, api):
        Tier.objects.filter(code="growth").update(rollover="capped", rollover_cap_credits=500)
        Tier.objects.filter(code="pro").update(rollover="none")

        rows = api(UserFactory.create()).get(TIERS).json()["results"]

        assert [row["rollover"] for row in rows] == ["unlimited", "capped", "none", "unlimited"]

    def test_is_paginated(self, api):
        client = api(UserFactory.create())

        first = client.get(TIERS, {"limit": 2}).json()
        second = client.get(first["next"]).json()

        assert [row["code"] for row in second["results"]] == ["pro", "enterprise"]
        assert client.get(second["previous"]).json()["results"] == first["results"]
