"""Approval requests: how they are requested, stored, listed and exported."""

import csv
import io
from dataclasses import replace
from typing import Any

import pytest
from django.db import InternalError, ProgrammingError, transaction
from django.urls import reverse

from credits import operations as ledger
from fluxori.console import errors, queries
from fluxori.console.actions import operations
from fluxori.console.approvals import operations as approvals
from fluxori.console.models import ApprovalRequest
from tests.support.admin import text_of
from tests.support.factories.credits import make_balance
from tests.support.staff import action_request, action_url, client_of, fill_form, make_staff
from tests.support.times import NOON

pytestmark = pytest.mark.django_db


def request_addition(balance, staff, amount=900) -> ApprovalRequest:
    return approvals.request_approval(action_request("add", balance.user, staff, amount=amount)).row


def csv_rows(response: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode("utf-8-sig"))))


class TestRequestApproval:
    def test_the_page_offers_a_request_instead_of_an_action_above_the_ceiling(self, balance, support):
        client, url = client_of(support), action_url("add", balance)
        form = fill_form(client, url, amount="900", type="promotion")

        preview = client.post(url, form)
        confirmed = client.post(url, {**form, "confirmed": "yes"})
        requested = client.post(url, {**form, "requested": "yes"}, follow=True)

        assert "Request approval: Add 900 credits" in text_of(preview)
        assert 'name="confirmed"' not in text_of(preview)
        assert "The ceiling is 500 credits per action." in confirmed.context["form"].non_field_errors()[0]
        row = queries.pending_requests().get()
        assert requested.redirect_chain[0][0] == reverse("admin:console_approvalrequest_change", args=[row.pk])
        assert (row.action, row.credits, row.requested_by, row.owner) == ("add", 900, support, balance.user)
        balance.refresh_from_db()
        assert balance.balance == 120

    def test_the_same_form_sent_twice_is_one_request(self, balance, support):
        request = action_request("add", balance.user, support, amount=900)

        first, repeated = approvals.request_approval(request), approvals.request_approval(request)

        assert (first.replayed, repeated.replayed, first.row) == (False, True, repeated.row)

    def test_a_key_cannot_be_reused_with_different_arguments(self, balance, support):
        request = action_request("add", balance.user, support, amount=900)
        approvals.request_approval(request)

        with pytest.raises(errors.FormReusedError):
            approvals.request_approval(replace(request, arguments={**request.arguments, "amount": 901}))

    def test_an_impossible_action_cannot_be_requested(self, balance, support):
        with pytest.raises(ledger.InvalidArgumentError):
            request_addition(balance, support, 0)

        assert not ApprovalRequest.objects.exists()

    def test_the_forms_of_the_same_account_show_a_pending_request(self, balance, support):
        request_addition(balance, support)
        client = client_of(make_staff("support"))

        assert f"requested by {support.email}" in text_of(client.get(action_url("add", balance)))


class TestStoredRequest:
    @pytest.mark.parametrize("change", [{"arguments": {"amount": 5}}, {"credits": 1}, {"note": "New"}])
    def test_the_contents_of_a_request_cannot_change(self, balance, support, change):
        request_addition(balance, support)

        with pytest.raises((InternalError, ProgrammingError)), transaction.atomic():
            ApprovalRequest.objects.update(**change)

    def test_a_decision_is_final(self, balance, support, lead):
        row = request_addition(balance, support)
        approvals.decline(request_id=row.pk, decider=lead, note="No", at=NOON)

        with pytest.raises((InternalError, ProgrammingError)), transaction.atomic():
            ApprovalRequest.objects.update(status="pending", decided_by=None, decided_at=None)


class TestApprovalRequestList:
    def test_requests_are_found_by_requester_customer_and_id(self, balance, support, lead):
        row = request_addition(balance, support)
        request_addition(make_balance(), make_staff("support"))
        client, url = client_of(lead), reverse("admin:console_approvalrequest_changelist")

        for term in (support.email, balance.user.email, str(row.pk)):
            results = client.get(url, {"q": term}).context["cl"].result_list
            assert [result.pk for result in results] == [row.pk], term

    def test_the_csv_export_has_names_in_addition_to_ids(self, balance, support, lead):
        request_addition(balance, support)

        response = client_of(lead).get(reverse("admin:console_approvalrequest_export"))

        [row] = csv_rows(response)
        assert (row["owner"], row["requested_by"], row["decided_by"]) == (balance.user.email, support.email, "")

    @pytest.mark.parametrize("model", ["staffaction", "approvalrequest"])
    def test_the_number_of_queries_does_not_depend_on_the_number_of_rows(
        self, balance, lead, support, django_assert_max_num_queries, model
    ):
        for _ in range(6):
            operations.perform(action_request("add", make_balance().user, lead, amount=5))
            request_addition(make_balance(), support)
        client, url = client_of(lead), reverse(f"admin:console_{model}_changelist")
        client.get(url)

        with django_assert_max_num_queries(12) as captured:
            client.get(url)

        assert not any("COUNT(" in query["sql"] and "console_staffaction" in query["sql"] for query in captured)
