import pytest

from credits.models import Feature, FeaturePrice
from tests.support.factories.identity import UserFactory
from tests.support.times import HOUR, NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

FEATURES = "/api/credits/features"


class TestListFeatures:
    def test_lists_each_feature_with_its_price(self, api):
        assert api(UserFactory.create()).get(FEATURES).json() == {
            "results": [
                {"code": "advanced-ai-analysis", "name": "Advanced AI analysis", "price": 25, "unit": "analysis"},
                {"code": "ai-generated-report", "name": "AI-generated report", "price": 40, "unit": "report"},
                {"code": "realtime-ai-dashboard", "name": "Real-time AI dashboard", "price": 3, "unit": "refresh"},
                {"code": "simple-ai-insight", "name": "Simple AI insight", "price": 9, "unit": "insight"},
            ],
            "next": None,
            "previous": None,
        }

    def test_shows_the_current_price(self, api, clock_at):
        FeaturePrice.objects.create(feature_id="simple-ai-insight", credits=12, effective_from=NOON + HOUR)
        client = api(UserFactory.create())

        before = client.get(FEATURES).json()["results"][-1]["price"]
        clock_at(NOON + HOUR)
        after = client.get(FEATURES).json()["results"][-1]["price"]

        assert (before, after) == (9, 12)

    def test_excludes_features_without_a_price(self, api):
        Feature.objects.create(code="time-travel", name="Time travel", unit="year")

        assert len(api(UserFactory.create()).get(FEATURES).json()["results"]) == 4

    def test_has_pages_in_both_directions(self, api):
        client = api(UserFactory.create())

        first = client.get(FEATURES, {"limit": 3}).json()
        second = client.get(first["next"]).json()

        assert [row["code"] for row in second["results"]] == ["simple-ai-insight"]
        assert second["next"] is None
        assert client.get(second["previous"]).json()["results"] == first["results"]
