"""The page of a transaction, which explains why the credits moved."""

import pytest
from django.urls import reverse

from credits.models import CreditTransaction
from fluxori.console.links import action_url
from fluxori.core import clock
from tests.fluxori.console.account.helpers import get_transaction_page, make_busy_balance
from tests.support.admin import superuser_client, text_of
from tests.support.factories.credits import deduct, make_balance

pytestmark = pytest.mark.django_db


@pytest.fixture
def balance(db):
    return make_busy_balance(clock.now())


@pytest.fixture
def usage(balance) -> CreditTransaction:
    """A usage of 40 credits of which 10 were refunded."""
    return CreditTransaction.objects.get(balance=balance, sequence=3)


class TestTransactionPage:
    def test_a_usage_shows_price_grants_and_refunds(self, usage):
        page = " ".join(text_of(get_transaction_page(usage.pk)).split())

        for text in (
            "Usage of 40 credits",
            "1 \u00d7 AI-generated report, at 40 credits per report",
            f"{usage.timestamp:%A}",
            "version 1",
            "900 → 860",
            "Grants that paid",
            "by <a",
            "refund #4",
            "Half of it was empty",
            bytes(usage.hash).hex(),
        ):
            assert text in page, text

    def test_the_rest_of_a_refunded_usage_can_be_refunded(self, balance, usage):
        response = get_transaction_page(usage.pk)

        assert response.context["corrections"].uncorrected_amount == 30
        assert action_url("refund", balance.pk, transaction=usage.pk) in text_of(response)

    def test_a_captured_usage_links_to_its_hold(self, balance):
        captured = CreditTransaction.objects.get(balance=balance, hold__isnull=False)

        page = text_of(get_transaction_page(captured.pk))

        assert reverse("admin:credits_credithold_change", args=[captured.hold_id]) in page

    def test_every_type_of_transaction_has_a_page(self, balance):
        client = superuser_client()

        for row in CreditTransaction.objects.filter(balance=balance):
            assert get_transaction_page(row.pk, client).status_code == 200

    def test_text_of_customers_is_escaped(self):
        result = deduct(make_balance(), 5, description="<script>alert(1)</script>", metadata={"x": "</pre><b>"})

        page = get_transaction_page(result.transaction.id).content.decode()

        assert "<script>alert(1)" not in page
        assert "</pre><b>" not in page

    def test_the_number_of_queries_is_bounded(self, usage, django_assert_max_num_queries):
        client = superuser_client()

        with django_assert_max_num_queries(18):
            get_transaction_page(usage.pk, client)
