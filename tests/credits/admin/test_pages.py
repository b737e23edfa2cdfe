"""Every model can be seen and searched; the ledger can only be seen."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin import helpers
from django.db.models import Model
from django.urls import reverse

from credits import operations
from credits.models import (
    BalanceRepair,
    CreditBalance,
    CreditEntry,
    CreditGrant,
    CreditHold,
    CreditPin,
    CreditRequest,
    CreditTransaction,
    Feature,
    FeaturePrice,
)
from fluxori.core import clock
from fluxori.identity.models import Organization
from tests.support.admin import count_queries, staff_client, superuser_client, text_of
from tests.support.database import as_owner
from tests.support.factories.credits import deduct, hold, make_balance, make_user
from tests.support.falsification import falsify_without_triggers

LEDGER = [CreditBalance, CreditGrant, CreditTransaction, CreditEntry, CreditHold, CreditPin, CreditRequest]


def url(model: type[Model], page: str, *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


@pytest.fixture
def balance(db):
    owner = make_user()
    made = make_balance(owner, grants=[(100, None), (20, timedelta(days=5000))])
    deduct(made, 30, reference_id="order-7", idempotency_key="once")
    hold(made, 10, at=clock.now())
    made.refresh_from_db()
    return made


def rows_of(answer) -> list[Any]:
    return list(answer.context["cl"].result_list)


class TestEveryPage:
    @pytest.mark.parametrize("model", [*LEDGER, Feature, FeaturePrice], ids=lambda model: model.__name__)
    def test_list_search_and_detail_pages_open(self, balance, model):
        client = superuser_client()
        row = model._default_manager.first()
        assert row is not None

        pages = [
            client.get(url(model, "changelist")),
            client.get(url(model, "changelist"), {"q": "nobody at all"}),
            client.get(url(model, "change", row.pk)),
        ]

        assert [page.status_code for page in pages] == [200, 200, 200]

    def test_every_model_is_in_the_index(self, db):
        answer = superuser_client().get(reverse("admin:index"))

        assert answer.status_code == 200
        assert "Fluxori Credits" in text_of(answer)
        assert url(CreditBalance, "changelist") in text_of(answer)

    def test_every_admin_is_an_unfold_admin(self):
        from unfold.admin import ModelAdmin

        ours = [model for model in admin.site._registry if model._meta.app_label in {"credits", "tiers"}]

        assert set(LEDGER) <= set(ours)
        assert all(isinstance(admin.site._registry[model], ModelAdmin) for model in ours)


@pytest.mark.parametrize("model", LEDGER, ids=lambda model: model.__name__)
class TestLedgerPages:
    """Read-only for everyone, superusers included."""

    def test_ledger_row_cannot_be_changed(self, balance, model):
        row = model._default_manager.first()

        assert superuser_client().post(url(model, "change", row.pk), {"amount": 1}).status_code == 403

    def test_ledger_row_cannot_be_deleted(self, balance, model):
        client = superuser_client()
        row = model._default_manager.first()

        assert client.get(url(model, "delete", row.pk)).status_code == 403
        assert client.post(url(model, "delete", row.pk), {"post": "yes"}).status_code == 403

    def test_ledger_row_cannot_be_added(self, balance, model):
        assert superuser_client().get(url(model, "add")).status_code == 403

    def test_ledger_list_has_no_bulk_actions(self, balance, model):
        client = superuser_client()
        before = model._default_manager.count()

        picked = {"action": "delete_selected", helpers.ACTION_CHECKBOX_NAME: [model._default_manager.first().pk]}
        client.post(url(model, "changelist"), {**picked, "post": "yes"})

        assert model._default_manager.count() == before
        assert f'name="{helpers.ACTION_CHECKBOX_NAME}"' not in text_of(client.get(url(model, "changelist")))

    def test_ledger_list_requires_permission(self, balance, model):
        assert staff_client().get(url(model, "changelist")).status_code == 403


class TestSearch:
    def test_finds_rows_by_the_start_of_an_e_mail(self, db):
        owner = make_user()
        mine, other = make_balance(owner), make_balance()

        found = rows_of(superuser_client().get(url(CreditTransaction, "changelist"), {"q": owner.email.upper()}))

        assert {row.balance_id for row in found} == {mine.pk} != {other.pk}

    def test_finds_rows_by_organization_name(self, db):
        pool = make_balance(Organization.objects.create(name="Table Mountain Traders"))
        make_balance()

        found = rows_of(superuser_client().get(url(CreditBalance, "changelist"), {"q": "mountain"}))

        assert found == [pool]

    def test_finds_all_rows_of_a_balance_by_id(self, balance):
        make_balance()

        found = rows_of(superuser_client().get(url(CreditGrant, "changelist"), {"q": str(balance.pk)}))

        assert {row.balance_id for row in found} == {balance.pk}
        assert len(found) == 2

    def test_finds_a_transaction_by_reference(self, balance):
        [found] = rows_of(superuser_client().get(url(CreditTransaction, "changelist"), {"q": "order-7"}))

        assert found.reference_id == "order-7"

    def test_finds_nothing_for_an_unknown_term(self, balance):
        assert rows_of(superuser_client().get(url(CreditTransaction, "changelist"), {"q": "order-8"})) == []


class TestLists:
    @pytest.mark.parametrize("model", LEDGER, ids=lambda model: model.__name__)
    def test_list_runs_the_same_queries_for_one_row_and_for_many(self, balance, model, django_assert_max_num_queries):
        client = superuser_client()
        for _ in range(4):
            more = make_balance(grants=[(5, None), (6, None)])
            deduct(more, 2, idempotency_key="key")
            hold(more, 7, at=clock.now())

        with django_assert_max_num_queries(6) as captured:
            answer = client.get(url(model, "changelist"))

        assert len(rows_of(answer)) > 4
        assert count_queries(captured) == []


class TestRepairs:
    def test_the_page_of_a_repair_shows_its_reason_and_the_values(self, balance):
        falsify_without_triggers(
            "UPDATE credits_creditbalance SET balance = balance + 1 WHERE id = %(id)s", id=balance.pk
        )
        with as_owner():
            operations.rebuild_balance(balance_id=balance.pk, apply=True, reason="A faulty copy")
        repair = BalanceRepair.objects.get()
        client = superuser_client()

        [row] = rows_of(client.get(url(BalanceRepair, "changelist"), {"q": balance.user.email}))
        page = text_of(client.get(url(BalanceRepair, "change", repair.pk)))

        assert row == repair
        assert "A faulty copy" in page
        assert "balance" in page.split("Before")[1].split("After")[0]
