"""The records of staff actions: append-only, searchable, filterable and exportable."""

import csv
import io
import json
from dataclasses import replace
from typing import Any

import pytest
from django.db import InternalError, ProgrammingError, transaction
from django.urls import reverse

from credits.operations import InvalidArgumentError, TransactionNotFoundError
from fluxori.console import errors
from fluxori.console.actions import operations
from fluxori.console.allocation.operations import retry_run
from fluxori.console.approvals import operations as approvals
from fluxori.console.approvals.operations import request_approval
from fluxori.console.models import StaffAction
from tests.support.admin import text_of
from tests.support.factories.credits import deduct, make_balance
from tests.support.staff import action_request, client_of, make_staff
from tests.support.times import NOON
from tiers import operations as tiers
from tiers.models import AllocationRun

pytestmark = pytest.mark.django_db

LIST = "admin:console_staffaction_changelist"


@pytest.fixture
def balance(db):
    return make_balance(grants=[(120, None)])


@pytest.fixture
def lead(db):
    return make_staff("support lead")


def adjust(balance, staff, amount=5, **changes) -> StaffAction:
    return operations.perform(replace(action_request("adjust", balance.user, staff, amount=amount), **changes)).row


def csv_rows(response: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode("utf-8-sig"))))


def listed(client, **query):
    return client.get(reverse(LIST), query).context["cl"].result_list


class TestStaffActionRecords:
    def test_a_record_cannot_be_changed_or_deleted(self, balance, lead):
        adjust(balance, lead)

        for change in (lambda: StaffAction.objects.update(note="New"), lambda: StaffAction.objects.all().delete()):
            with pytest.raises((InternalError, ProgrammingError)), transaction.atomic():
                change()

    def test_the_page_of_a_record_shows_arguments_and_changes(self, balance, lead):
        row = adjust(balance, lead)

        page = text_of(client_of(lead).get(reverse("admin:console_staffaction_change", args=[row.pk])))

        assert "<div>amount 5</div>" in page
        assert "<div>balance 120 → 125</div>" in page
        assert "held" not in page.split("balance 120 → 125")[1].split("</fieldset>")[0]


class TestStaffActionList:
    def test_records_are_found_by_ticket_and_by_customer(self, balance, lead):
        adjust(balance, lead, ticket="SUP-9")
        adjust(make_balance(), lead)
        client = client_of(lead)

        for term in ("SUP-9", balance.user.email):
            assert [row.balance_id for row in listed(client, q=term)] == [balance.pk], term

    def test_records_are_found_by_actor_action_and_date(self, balance, lead):
        adjust(balance, lead)
        operations.perform(action_request("add", make_balance().user, make_staff("finance"), amount=6))
        client = client_of(lead)

        for query in ({"q": lead.email}, {"action": "adjust"}, {"created_at_from": "2025-03-03", "q": lead.email}):
            assert [row.actor for row in listed(client, **query)] == [lead], query
        assert not listed(client, created_at_to="2025-03-02")

    def test_records_can_be_filtered_by_approval(self, balance, lead):
        adjust(make_balance(), lead)
        request = action_request("add", balance.user, make_staff("support"), amount=900)
        approvals.approve(request_id=approvals.request_approval(request).row.pk, approver=lead, at=NOON)
        client = client_of(lead)

        assert [row.approver for row in listed(client, approved="1")] == [lead]
        assert [row.approver for row in listed(client, approved="0")] == [None]

    def test_the_csv_export_has_names_in_addition_to_ids(self, balance, lead):
        adjust(balance, lead, ticket="SUP-9")

        response = client_of(lead).get(reverse("admin:console_staffaction_export"), {"q": "SUP-9"})

        [row] = csv_rows(response)
        assert (row["owner"], row["actor"], row["approver"]) == (balance.user.email, lead.email, "")
        assert (row["action"], row["ticket"], json.loads(row["arguments"])) == ("adjust", "SUP-9", {"amount": 5})


class TestRulesOfTheOperations:
    """The operations check what the pages check, so that no other caller can avoid it."""

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"reason": "other"}, "note"),
            ({"reason": "because"}, "reason"),
            ({"note": "x" * 1001}, "note"),
            ({"ticket": "x" * 65}, "ticket"),
        ],
    )
    def test_an_action_needs_a_valid_reason_note_and_ticket(self, balance, lead, fields, field):
        request = replace(action_request("add", balance.user, lead, amount=5), **fields)

        for operation in (operations.perform, operations.preview, request_approval):
            with pytest.raises(InvalidArgumentError) as error:
                operation(request)
            assert [found.field for found in error.value.errors] == [field]

    def test_an_action_on_a_row_of_another_balance_is_rejected(self, balance, lead):
        other = make_balance()
        usage = deduct(other, 5)
        request = action_request("refund", balance.user, lead, usage.transaction.id, amount=5, expires_at=None)

        for operation in (operations.perform, operations.preview, request_approval):
            with pytest.raises(TransactionNotFoundError):
                operation(request)

    def test_a_run_is_retried_with_the_permission_only(self):
        run = tiers.start_run(at=NOON, started_at=NOON, started_by="a test")

        with pytest.raises(errors.StaffPermissionError):
            retry_run(run=run, actor=make_staff("auditor"))

        assert AllocationRun.objects.count() == 1
