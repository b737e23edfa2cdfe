"""Tiers and costs are edited by staff; what was promised is only read."""

from datetime import timedelta

import pytest
from django.urls import reverse

from fluxori.core import clock
from tests.support.admin import messages_of, superuser_client, text_of, version_of
from tests.support.factories.credits import make_user
from tiers import operations
from tiers.models import AllocationRun, MonthlyAllocation, RecoveryCost, Subscription, Tier


def url(model, page: str, *args: object) -> str:
    return reverse(f"admin:tiers_{model.__name__.lower()}_{page}", args=args)


@pytest.fixture
def subscribed(db):
    """Somebody on the smallest tier, twenty days into period 1."""
    owner = make_user()
    operations.initialize_balance(owner=owner, tier="explorer", at=clock.now() - timedelta(days=51), initial_balance=0)
    operations.add_monthly_allocation(owner=owner, at=clock.now() - timedelta(days=40))
    operations.start_run(started_at=clock.now(), at=clock.now(), started_by="test", due=1)
    return owner


EVERY = [Tier, RecoveryCost, Subscription, MonthlyAllocation, AllocationRun]


class TestEveryPage:
    @pytest.mark.parametrize("model", EVERY, ids=lambda model: model.__name__)
    def test_list_search_and_detail_pages_open(self, subscribed, model):
        client = superuser_client()

        pages = [
            client.get(url(model, "changelist")),
            client.get(url(model, "changelist"), {"q": "nobody at all"}),
            client.get(url(model, "change", model._default_manager.first().pk)),
        ]

        assert [page.status_code for page in pages] == [200, 200, 200]

    @pytest.mark.parametrize("model", [Subscription, MonthlyAllocation, AllocationRun], ids=lambda m: m.__name__)
    def test_subscription_and_allocation_pages_are_read_only(self, subscribed, model):
        client = superuser_client()
        row = model._default_manager.first()

        assert client.post(url(model, "change", row.pk), {}).status_code == 403
        assert client.post(url(model, "delete", row.pk), {"post": "yes"}).status_code == 403
        assert client.get(url(model, "add")).status_code == 403

    @pytest.mark.parametrize("model", [Subscription, MonthlyAllocation], ids=lambda model: model.__name__)
    def test_finds_rows_by_e_mail(self, subscribed, model):
        other = make_user()
        operations.initialize_balance(owner=other, tier="growth")

        found = superuser_client().get(url(model, "changelist"), {"q": subscribed.email}).context["cl"].result_list

        assert {row.balance_id for row in found} == {subscribed.pk}

    @pytest.mark.parametrize("model", [Subscription, MonthlyAllocation], ids=lambda model: model.__name__)
    def test_list_runs_the_same_queries_for_one_row_and_for_many(
        self, subscribed, model, django_assert_max_num_queries
    ):
        client = superuser_client()
        for _ in range(5):
            owner = make_user()
            operations.initialize_balance(
                owner=owner, tier="pro", at=clock.now() - timedelta(days=40), initial_balance=0
            )
            operations.add_monthly_allocation(owner=owner)

        with django_assert_max_num_queries(6):
            client.get(url(model, "changelist"))


@pytest.mark.django_db
class TestTier:
    FORM = {
        "name": "Explorer",
        "monthly_credits": "500",
        "price_min": "32",
        "price_max": "52",
        "rollover": "unlimited",
        "is_public": "on",
        "change_reason": "New prices",
    }

    def change(self, client, **fields: str):
        address = url(Tier, "change", "explorer")
        return client.post(address, {**version_of(client, address), **self.FORM, **fields})

    def test_change_is_in_the_history_and_keeps_the_code(self):
        client = superuser_client()

        self.change(client, code="other")

        assert Tier.objects.get(code="explorer").monthly_credits == 500
        assert not Tier.objects.filter(code="other").exists()
        assert "staff@example.test" in text_of(client.get(url(Tier, "history", "explorer")))

    def test_list_shows_the_value_of_a_credit(self):
        assert "R0.0800 to R0.1300" in text_of(superuser_client().get(url(Tier, "changelist")))

    def test_page_shows_the_subscriptions_that_a_change_affects(self):
        from tests.support.factories.tiers import make_subscribed_balances

        balances = make_subscribed_balances(3, at=clock.now() - timedelta(days=1))
        operations.update_subscription_tier(owner=balances[0].owner, tier="growth", effective="nextPeriod")

        client = superuser_client()

        page = text_of(client.get(url(Tier, "change", "explorer")))
        coming = text_of(client.get(url(Tier, "change", "growth")))

        assert "3 subscriptions, next allocations from" in page
        assert "No balance subscribes to this tier now." in coming
        assert "1 more change to it with their next period." in coming

    def test_rejects_a_reversed_price_range(self):
        answer = self.change(superuser_client(), price_max="31")

        assert answer.context["adminform"].form.errors == {
            "price_max": ["The highest price cannot be below the lowest."]
        }

    def test_caps_can_be_set(self):
        caps = {
            "rollover": "capped",
            "rollover_cap_credits": "200",
            "rollover_cap_percent": "50",
            "rollover_months": "",
        }

        self.change(superuser_client(), **caps)

        kept = Tier.objects.get(code="explorer")
        assert (kept.rollover, kept.rollover_cap_credits, kept.rollover_cap_percent) == ("capped", 200, 50)
        assert kept.rollover_months is None
        assert kept.history.latest().rollover_cap_percent == 50

    @pytest.mark.parametrize(
        ("arguments", "faults"),
        [
            (
                {"rollover": "capped", "rollover_months": "3"},
                {"rollover_cap_credits": ["The capped policy requires a cap in credits, in percent, or both."]},
            ),
            (
                {"rollover": "none", "rollover_cap_credits": "5", "rollover_months": "3"},
                {
                    "rollover_cap_credits": ["Only the capped policy uses this field."],
                    "rollover_months": ["Only the capped policy uses this field."],
                },
            ),
            (
                {"rollover": "capped", "rollover_cap_percent": "0"},
                {"rollover_cap_percent": ["Ensure this value is greater than or equal to 1."]},
            ),
        ],
    )
    def test_rejects_caps_that_do_not_match_the_policy(self, arguments, faults):
        answer = self.change(superuser_client(), **arguments)

        assert answer.context["adminform"].form.errors == faults
        assert Tier.objects.get(code="explorer").rollover == "unlimited"

    def test_tier_cannot_be_deleted(self):
        assert superuser_client().post(url(Tier, "delete", "explorer"), {"post": "yes"}).status_code == 403


@pytest.mark.django_db
class TestRecoveryCost:
    def test_cost_can_be_added(self):
        superuser_client().post(
            url(RecoveryCost, "add"), {"rand_per_credit": "0.02", "effective_from": "", "change_reason": "New hosts"}
        )

        assert str(RecoveryCost.objects.latest("effective_from").rand_per_credit) == "0.020000"

    def test_change_of_a_cost_is_rejected_with_a_message(self):
        begun = RecoveryCost.objects.get()

        answer = superuser_client().post(url(RecoveryCost, "change", begun.pk), {"rand_per_credit": "1"}, follow=True)

        assert "never overwritten" in messages_of(answer)[0]
        assert RecoveryCost.objects.get().rand_per_credit == begun.rand_per_credit
