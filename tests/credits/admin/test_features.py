"""Features and prices: staff edit them, and add prices; what has begun stays."""

import pytest
from django.urls import reverse

from credits import operations
from credits.models import Feature, FeaturePrice
from fluxori.core import clock
from tests.support.admin import messages_of, superuser_client, text_of, version_of
from tests.support.factories.credits import make_balance
from tests.support.times import DAY

CODE = "simple-ai-insight"
PRICE = {"feature": CODE, "effective_from": "", "change_reason": "Dearer"}


def price(at) -> FeaturePrice:
    return FeaturePrice.objects.create(feature_id=CODE, credits=11, effective_from=at)


def url(page: str, *args: object, model: str = "featureprice") -> str:
    return reverse(f"admin:credits_{model}_{page}", args=args)


@pytest.mark.django_db
class TestFeature:
    def form(self, **fields: str) -> dict[str, str]:
        counts = {"prices-TOTAL_FORMS": "0", "prices-INITIAL_FORMS": "0"}
        return {"name": "Insight", "unit": "insight", "change_reason": "Clearer", **counts, **fields}

    def change(self, client, **fields: str):
        address = url("change", CODE, model="feature")
        return client.post(address, {**version_of(client, address), **self.form(**fields)})

    def test_code_cannot_be_edited(self):
        self.change(superuser_client(), code="other", name="Better insight")

        assert Feature.objects.get(code=CODE).name == "Better insight"
        assert not Feature.objects.filter(code="other").exists()

    def test_history_shows_the_editor(self):
        client = superuser_client()
        self.change(client, name="Better insight")

        history = text_of(client.get(url("history", CODE, model="feature")))

        assert "staff@example.test" in history
        assert "Clearer" in history

    def test_change_requires_a_reason(self):
        answer = self.change(superuser_client(), change_reason="")

        assert list(answer.context["adminform"].form.errors) == ["change_reason"]

    def test_page_shows_the_recent_usage(self):
        balance = make_balance(at=clock.now() - DAY)
        for _ in range(2):
            operations.deduct_credits(owner=balance.owner, feature=CODE)
        operations.aggregate_usage(balance_ids=[balance.pk], most=100)

        page = text_of(superuser_client().get(url("change", CODE, model="feature")))

        assert "was used 2 times in the last 30 days, for 18 credits." in page

    def test_history_page_rejects_post(self):
        client = superuser_client()
        self.change(client, name="Better insight")
        version = Feature.history.filter(code=CODE).latest().pk
        earlier = reverse("admin:credits_feature_simple_history", args=[CODE, version])

        assert client.get(earlier).status_code == 200
        assert client.post(earlier, self.form(name="Worse")).status_code == 403
        assert Feature.objects.get(code=CODE).name == "Better insight"

    def test_price_can_be_added_on_the_feature_page(self):
        added = {"prices-TOTAL_FORMS": "1", "prices-0-credits": "12", "prices-0-effective_from": ""}

        self.change(superuser_client(), **added)

        added_price = FeaturePrice.objects.filter(feature=CODE).latest("effective_from")
        assert added_price.credits == 12
        assert added_price.history.get().history_change_reason == "Clearer"

    def test_feature_cannot_be_deleted(self):
        assert superuser_client().post(url("delete", CODE, model="feature"), {"post": "yes"}).status_code == 403


@pytest.mark.django_db
class TestFeaturePrice:
    def test_price_takes_effect_now_by_default(self):
        before = clock.now()

        superuser_client().post(url("add"), {**PRICE, "credits": "12"})

        added = FeaturePrice.objects.get(feature=CODE, credits=12)
        assert before <= added.effective_from <= clock.now()

    def test_price_cannot_take_effect_in_the_past(self):
        answer = superuser_client().post(
            url("add"), {"feature": CODE, "credits": "12", "effective_from": "2024-01-01T00:00"}
        )

        assert "now or later" in text_of(answer)
        assert not FeaturePrice.objects.filter(credits=12).exists()

    @pytest.mark.parametrize("credits", ["0", "-1", "9.5", "1000000000001"])
    def test_price_is_a_positive_whole_number(self, credits):
        superuser_client().post(url("add"), {**PRICE, "credits": credits})

        assert FeaturePrice.objects.filter(feature=CODE).count() == 1

    def test_change_of_a_price_is_rejected_with_a_message(self):
        begun = FeaturePrice.objects.get(feature=CODE)

        answer = superuser_client().post(url("change", begun.pk), {"feature": CODE, "credits": "1"}, follow=True)

        begun.refresh_from_db()
        assert begun.credits == 9
        assert answer.status_code == 200
        assert "never overwritten" in messages_of(answer)[0]

    def test_effective_price_cannot_be_deleted(self):
        begun = FeaturePrice.objects.get(feature=CODE)

        answer = superuser_client().post(url("delete", begun.pk), {"post": "yes"})

        assert answer.status_code == 403
        assert FeaturePrice.objects.filter(pk=begun.pk).exists()

    def test_future_price_can_be_deleted(self):
        coming = price(clock.now() + DAY)

        superuser_client().post(url("delete", coming.pk), {"post": "yes"})

        assert not FeaturePrice.objects.filter(pk=coming.pk).exists()

    def test_deletion_of_a_price_that_just_took_effect_shows_a_message(self, monkeypatch):
        begun = price(clock.now() - DAY)
        monkeypatch.setattr("fluxori.adminkit.dated_rows.clock.now", lambda: begun.effective_from - DAY)

        answer = superuser_client().post(url("delete", begun.pk), {"post": "yes"}, follow=True)

        assert "never overwritten" in messages_of(answer)[0]
        assert FeaturePrice.objects.filter(pk=begun.pk).exists()
