"""Decisions on approval requests: approve, decline, withdraw, and the permissions that each decision needs."""

from dataclasses import replace
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse

from credits import operations as ledger
from credits.models import CreditBalance, CreditTransaction
from fluxori.console import errors, queries
from fluxori.console.actions import operations
from fluxori.console.approvals import operations as approvals
from fluxori.console.models import ApprovalRequest, StaffAction
from tests.support.admin import messages_of, text_of
from tests.support.factories.credits import deduct, make_balance
from tests.support.staff import action_request, client_of, make_staff
from tests.support.times import DAY, HOUR, NOON

pytestmark = pytest.mark.django_db


def request_addition(balance, staff, amount=900) -> ApprovalRequest:
    return approvals.request_approval(action_request("add", balance.user, staff, amount=amount)).row


def request_url(row: ApprovalRequest) -> str:
    return reverse("admin:console_approvalrequest_change", args=[row.pk])


def request_page(staff, row: ApprovalRequest) -> str:
    return text_of(client_of(staff).get(request_url(row)))


def assert_pending(row: ApprovalRequest, balance: CreditBalance) -> None:
    row.refresh_from_db()
    balance.refresh_from_db()
    assert (row.status, balance.balance, StaffAction.objects.count()) == ("pending", 120, 0)


class TestApprove:
    def test_the_action_is_executed_for_the_requester_on_the_ceiling_of_the_approver(self, balance, support, lead):
        request = request_addition(balance, support)

        row = approvals.approve(request_id=request.pk, approver=lead, note="Fine", at=NOON + HOUR).row

        given = CreditTransaction.objects.get(sequence=2)
        assert (given.amount, given.actor, given.timestamp) == (900, support, NOON + HOUR)
        assert (row.actor, row.approver, row.authority, row.approval_request) == (support, lead, lead, request)
        request.refresh_from_db()
        assert (request.status, request.decided_by, request.decision_note) == ("approved", lead, "Fine")
        assert queries.get_ceiling(support, at=NOON).given_today == 0
        assert queries.get_ceiling(lead, at=NOON).given_today == 900

    def test_every_argument_of_the_request_is_used(self, balance, support, lead):
        expires_at = NOON + 30 * DAY
        arguments: dict[str, Any] = {
            "type": "purchase",
            "description": "Invoice 7",
            "expires_at": expires_at,
            "unit_price": None,
        }
        request = action_request("add", balance.user, support, amount=900, **arguments)
        key = approvals.request_approval(request).row.pk

        approvals.approve(request_id=key, approver=lead, at=NOON + HOUR)

        grant = balance.grants.get(amount=900)
        description = grant.transaction.description
        assert (grant.source, grant.expires_at, description) == ("purchase", expires_at, "Invoice 7")

    def test_the_page_shows_the_effect_on_the_current_balance(self, balance, support, lead):
        row = request_addition(balance, support)
        deduct(balance, 20)

        page = request_page(lead, row)

        assert "100 → 1,000" in page
        assert f"Approve: Add 900 credits to {balance.user}" in page
        assert CreditBalance.objects.get(pk=balance.pk).balance == 100

    def test_a_request_can_be_approved_on_its_page(self, balance, support, lead):
        row = request_addition(balance, support)
        client = client_of(lead)

        response = client.post(request_url(row), {"decision": "approve", "note": ""}, follow=True)
        client.post(request_url(row), {"decision": "approve", "note": ""})

        assert messages_of(response) == [f"Approved. Added 900 credits to {balance.user}. Balance 120 → 1,020."]
        assert StaffAction.objects.count() == 1
        assert "Approved by" in text_of(client.get(request_url(row)))

    def test_a_repeated_approval_returns_the_first_result(self, balance, support, lead):
        row = request_addition(balance, support)

        first = approvals.approve(request_id=row.pk, approver=lead, at=NOON)
        repeated = approvals.approve(request_id=row.pk, approver=lead, at=NOON)

        assert (first.row, first.replayed, repeated.replayed) == (repeated.row, False, True)

    def test_an_approver_needs_a_sufficient_ceiling(self, balance, support, lead):
        row = request_addition(balance, support, 5001)

        with pytest.raises(errors.CeilingExceededError):
            approvals.approve(request_id=row.pk, approver=lead, at=NOON)

        assert "A person with a higher ceiling must approve it" in request_page(lead, row)
        assert approvals.approve(request_id=row.pk, approver=make_staff("finance"), at=NOON).row.credits == 5001

    def test_an_action_that_became_impossible_stays_pending(self, support, lead):
        balance = make_balance(grants=[(600, HOUR)])
        usage = deduct(balance, 600)
        refund = action_request(
            "refund", balance.user, support, usage.transaction.id, amount=600, expires_at=NOON + 9 * DAY
        )
        row = approvals.request_approval(replace(refund, at=NOON + DAY)).row
        ledger.refund_usage(transaction_id=usage.transaction.id, reason="Before the approval", at=NOON + DAY)

        with pytest.raises(ledger.RefundExceedsUsageError) as error:
            approvals.approve(request_id=row.pk, approver=lead, at=NOON + DAY)

        assert f"This action is not possible now: {error.value.detail}" in request_page(lead, row)
        row.refresh_from_db()
        assert row.status == "pending"


class TestOwnRequest:
    def test_a_requester_can_neither_approve_nor_decline(self, balance, lead):
        row = request_addition(balance, lead, 6000)

        with pytest.raises(errors.OwnRequestError):
            approvals.approve(request_id=row.pk, approver=lead, at=NOON)
        with pytest.raises(errors.OwnRequestError):
            approvals.decline(request_id=row.pk, decider=lead, note="No", at=NOON)

        page = request_page(lead, row)
        assert "Withdraw this request" in page
        assert "Approve" not in page.split("<h1")[1]

    def test_the_database_rejects_an_approval_by_the_requester(self, balance, lead):
        row = request_addition(balance, lead, 6000)

        with pytest.raises(IntegrityError), transaction.atomic():
            ApprovalRequest.objects.filter(pk=row.pk).update(status="approved", decided_by=lead, decided_at=NOON)


class TestPermissions:
    """Every decision checks the permission for that decision, in the operation, whatever else the request contains."""

    @pytest.mark.parametrize("role", ["auditor", "support"])
    @pytest.mark.parametrize("decision", ["approve", "decline"])
    @pytest.mark.parametrize("others", [{}, {"withdraw": "1"}, {"approve": "1"}, {"withdraw": "1", "approve": "1"}])
    def test_the_page_rejects_a_decision_without_permission(self, balance, support, role, decision, others):
        row = request_addition(balance, support)

        response = client_of(make_staff(role)).post(request_url(row), {"decision": decision, "note": "Note", **others})

        assert response.status_code == 403
        assert_pending(row, balance)

    @pytest.mark.parametrize("decisions", [[], ["withdraw", "approve"], ["approve", "approve"], ["cancel"]])
    def test_the_page_accepts_exactly_one_decision(self, balance, support, lead, decisions):
        row = request_addition(balance, support)

        response = client_of(lead).post(
            request_url(row), {"decision": decisions, "note": "", "withdraw": "1", "approve": "1"}
        )

        assert response.context["form"].errors["decision"]
        assert_pending(row, balance)

    def test_the_operations_reject_a_decision_without_permission(self, balance, support):
        row, auditor = request_addition(balance, support), make_staff("auditor")

        with pytest.raises(errors.StaffPermissionError):
            approvals.approve(request_id=row.pk, approver=auditor, at=NOON)
        with pytest.raises(errors.StaffPermissionError):
            approvals.decline(request_id=row.pk, decider=auditor, note="Note", at=NOON)

        assert_pending(row, balance)

    def test_the_operations_reject_an_action_without_permission(self, balance):
        request = action_request("add", balance.user, make_staff("auditor"), amount=5)

        for operation in (operations.perform, operations.preview, approvals.request_approval):
            with pytest.raises(errors.StaffPermissionError):
                operation(request)

        balance.refresh_from_db()
        assert (balance.balance, StaffAction.objects.count(), ApprovalRequest.objects.count()) == (120, 0, 0)

    def test_an_approver_needs_the_permission_for_the_action_itself(self, balance, lead):
        limit = action_request("set_limit", balance.user, lead, amount=5, period="day", member="")
        row = approvals.request_approval(limit).row
        finance = make_staff("finance")

        with pytest.raises(errors.StaffPermissionError):
            approvals.approve(request_id=row.pk, approver=finance, at=NOON)

        assert_pending(row, balance)
        page = request_page(finance, row)
        assert 'value="approve"' not in page
        assert 'value="decline"' in page

    @pytest.mark.parametrize("change", [{"is_active": False}, {"groups": []}])
    def test_a_request_of_a_person_who_lost_the_permission_is_not_executed(self, balance, support, lead, change):
        row = request_addition(balance, support)
        support.is_active = change.get("is_active", True)
        support.save()
        support.groups.set(change.get("groups", support.groups.all()))

        with pytest.raises(errors.StaffPermissionError):
            approvals.approve(request_id=row.pk, approver=lead, at=NOON)

        assert_pending(row, balance)


class TestDecline:
    def test_declining_needs_a_note_and_does_not_execute_the_action(self, balance, support, lead):
        row = request_addition(balance, support)

        with pytest.raises(ledger.InvalidArgumentError):
            approvals.decline(request_id=row.pk, decider=lead, note=" ", at=NOON)
        approvals.decline(request_id=row.pk, decider=lead, note="Too much", at=NOON)

        assert not StaffAction.objects.exists()
        with pytest.raises(errors.RequestDecidedError):
            approvals.approve(request_id=row.pk, approver=make_staff("finance"), at=NOON)

    def test_the_page_shows_that_the_note_is_missing(self, balance, support, lead):
        row = request_addition(balance, support)

        response = client_of(lead).post(request_url(row), {"decision": "decline", "note": ""})

        assert list(response.context["form"].errors) == ["note"]
        assert_pending(row, balance)


class TestWithdraw:
    def test_only_the_requester_can_withdraw(self, balance, support, lead):
        row = request_addition(balance, support)

        with pytest.raises(errors.NotYourRequestError):
            approvals.withdraw(request_id=row.pk, actor=lead, at=NOON)
        client_of(support).post(request_url(row), {"decision": "withdraw", "note": ""})

        row.refresh_from_db()
        assert (row.status, row.decided_by) == ("withdrawn", support)
