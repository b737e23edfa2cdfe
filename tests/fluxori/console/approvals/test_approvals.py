"""Above the ceiling an act becomes a request: a second person approves or declines it, and never one's own."""

import csv
import io
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import IntegrityError, InternalError, ProgrammingError, transaction
from django.urls import reverse

from credits import operations as ledger
from credits.models import CreditBalance, CreditTransaction
from fluxori.console import errors, queries
from fluxori.console.actions import operations
from fluxori.console.models import ApprovalRequest, ManualCreditCeiling, StaffAction
from fluxori.identity.models import User
from tests.support.admin import said, words
from tests.support.factories.credits import deduct, make_balance
from tests.support.staff import client_of, in_role, minted, order, page_of
from tests.support.times import DAY, HOUR, NOON

pytestmark = pytest.mark.django_db


@pytest.fixture
def balance(db):
    return make_balance(grants=[(120, None)])


@pytest.fixture
def support(db):
    return in_role("support")


@pytest.fixture
def lead(db):
    return in_role("support lead")


def add(balance, staff, amount, at=NOON):
    return operations.perform(replace(order("add", balance.user, staff, amount=amount), at=at))


def rows_of(answer: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))


def ask(balance, staff, amount=900) -> ApprovalRequest:
    return operations.request_act(order("add", balance.user, staff, amount=amount)).row


def assert_pending(asked: ApprovalRequest, balance: CreditBalance) -> None:
    asked.refresh_from_db()
    balance.refresh_from_db()
    assert (asked.status, balance.balance, StaffAction.objects.count()) == ("pending", 120, 0)


class TestTheCeiling:
    def test_lets_through_what_it_just_allows(self, balance, support):
        add(balance, support, 500)

        with pytest.raises(errors.CeilingExceededError) as refusal:
            add(balance, support, 501)

        assert refusal.value.facts == {"credits": 501, "per_act": 500, "per_day": 2000, "left_today": 1500}
        balance.refresh_from_db()
        assert (balance.balance, StaffAction.objects.count()) == (620, 1)

    def test_counts_the_day_from_midnight_to_midnight(self, balance, support):
        for _ in range(4):
            add(balance, support, 500)

        midnight = NOON.replace(hour=0) + DAY
        with pytest.raises(errors.CeilingExceededError) as refusal:
            add(balance, support, 1, at=midnight - timedelta(microseconds=1))
        add(balance, support, 1, at=midnight)

        assert refusal.value.facts["left_today"] == 0

    def test_counts_over_all_balances_and_acts(self, balance, support):
        lead = in_role("support lead")
        for _ in range(5):
            add(make_balance(), lead, 5000)

        with pytest.raises(errors.CeilingExceededError):
            operations.perform(order("adjust", balance.user, lead, amount=1))

    def test_is_the_highest_of_several_groups(self, balance):
        both = in_role("support", "support lead")

        assert add(balance, both, 5000).row.credits == 5000

    def test_is_nothing_without_a_group(self, balance):
        alone = User.objects.create_user("alone@staff.test", is_staff=True)
        alone.user_permissions.add(Permission.objects.get(codename="add_credits"))

        with pytest.raises(errors.CeilingExceededError):
            add(balance, alone, 1)

    def test_does_not_bind_superusers(self, balance):
        assert add(balance, User.objects.create_superuser("root@staff.test"), 10**9).row.credits == 10**9

    def test_does_not_count_what_is_taken_or_given_back(self, balance, lead):
        usage = deduct(balance, 100)

        operations.perform(order("refund", balance.user, lead, usage.pk, amount=100, expires_at=None))
        operations.perform(order("adjust", balance.user, lead, amount=-50))

        assert queries.ceiling_of(lead, at=NOON).given_today == 0

    def test_counts_expired_credits_that_a_refund_revives(self, support):
        balance = make_balance(grants=[(600, HOUR)])
        usage = deduct(balance, 600)
        revive = order("refund", balance.user, support, usage.pk, amount=600, expires_at=NOON + 9 * DAY)

        with pytest.raises(errors.CeilingExceededError):
            operations.perform(replace(revive, at=NOON + DAY))

        assert not StaffAction.objects.exists()

    def test_may_be_edited(self, balance, support):
        ManualCreditCeiling.objects.filter(group__name="support").update(per_act=501)

        assert add(balance, support, 501).row.credits == 501


class TestAsking:
    def test_is_offered_in_the_place_of_the_act(self, balance, support):
        client, page = client_of(support), page_of("add", balance)
        form = minted(client, page, amount="900", type="promotion")

        preview = client.post(page, form)
        assert "Ask for approval: Add 900 credits" in words(preview)
        assert 'name="confirmed"' not in words(preview)
        insisted = client.post(page, {**form, "confirmed": "yes"})
        assert "you may give 500 in one act" in insisted.context["form"].non_field_errors()[0]
        answer = client.post(page, {**form, "requested": "yes"}, follow=True)

        asked = queries.pending_requests().get()
        assert answer.redirect_chain[0][0] == reverse("admin:console_approvalrequest_change", args=[asked.pk])
        assert (asked.act, asked.credits, asked.asked_by, asked.whom) == ("add", 900, support, balance.user)
        balance.refresh_from_db()
        assert balance.balance == 120

    def test_twice_with_one_form_is_one_request(self, balance, support):
        asked = order("add", balance.user, support, amount=900)

        first, again = operations.request_act(asked), operations.request_act(asked)

        assert (first.again, again.again, first.row) == (False, True, again.row)
        with pytest.raises(errors.FormReusedError):
            operations.request_act(replace(asked, asked={**asked.asked, "amount": 901}))

    def test_refuses_what_cannot_be_done(self, balance, support):
        with pytest.raises(ledger.InvalidArgumentError):
            ask(balance, support, 0)

        assert not ApprovalRequest.objects.exists()

    def test_is_shown_to_whoever_acts_on_the_same_account(self, balance, support):
        ask(balance, support)
        client = client_of(in_role("support"))

        assert f"asked by {support.email}" in words(client.get(page_of("add", balance)))


class TestApproving:
    def test_does_it_in_the_name_of_who_asked_on_the_approvers_ceiling(self, balance, support, lead):
        asked = ask(balance, support)

        row = operations.approve(request_id=asked.pk, approver=lead, note="Fine", at=NOON + HOUR).row

        given = CreditTransaction.objects.get(sequence=2)
        assert (given.amount, given.actor, given.timestamp) == (900, support, NOON + HOUR)
        assert (row.actor, row.approver, row.authority, row.on_request) == (support, lead, lead, asked)
        asked.refresh_from_db()
        assert (asked.status, asked.decided_by, asked.decision_note) == ("approved", lead, "Fine")
        assert queries.ceiling_of(support, at=NOON).given_today == 0
        assert queries.ceiling_of(lead, at=NOON).given_today == 900

    def test_keeps_every_argument(self, balance, support, lead):
        until = NOON + 30 * DAY
        terms: dict[str, Any] = {
            "type": "purchase",
            "description": "Invoice 7",
            "expires_at": until,
            "unit_price": None,
        }
        asked = operations.request_act(order("add", balance.user, support, amount=900, **terms)).row

        operations.approve(request_id=asked.pk, approver=lead, at=NOON + HOUR)

        grant = balance.grants.get(amount=900)
        assert (grant.source, grant.expires_at, grant.transaction.description) == ("purchase", until, "Invoice 7")

    def test_shows_what_it_would_do_today(self, balance, support, lead):
        asked = ask(balance, support)
        deduct(balance, 20)

        page = words(client_of(lead).get(reverse("admin:console_approvalrequest_change", args=[asked.pk])))

        assert "100 → 1,000" in page
        assert f"Approve: Add 900 credits to {balance.user}" in page
        assert CreditBalance.objects.get(pk=balance.pk).balance == 100

    def test_is_done_from_its_page(self, balance, support, lead):
        asked = ask(balance, support)
        client, page = client_of(lead), reverse("admin:console_approvalrequest_change", args=[asked.pk])

        answer = client.post(page, {"decision": "approve", "note": ""}, follow=True)
        client.post(page, {"decision": "approve", "note": ""})

        assert said(answer) == [f"Approved. Added 900 credits to {balance.user}. Balance 120 → 1,020."]
        assert StaffAction.objects.count() == 1
        assert "Approved by" in words(client.get(page))

    def test_twice_by_the_same_person_happens_once(self, balance, support, lead):
        asked = ask(balance, support)

        first = operations.approve(request_id=asked.pk, approver=lead, at=NOON)
        again = operations.approve(request_id=asked.pk, approver=lead, at=NOON)

        assert (first.row, first.again, again.again) == (again.row, False, True)

    def test_is_never_of_ones_own(self, balance, lead):
        asked = ask(balance, lead, 6000)

        with pytest.raises(errors.OwnRequestError):
            operations.approve(request_id=asked.pk, approver=lead, at=NOON)
        with pytest.raises(errors.OwnRequestError):
            operations.decline(request_id=asked.pk, decider=lead, note="No", at=NOON)

        page = words(client_of(lead).get(reverse("admin:console_approvalrequest_change", args=[asked.pk])))
        assert "Withdraw this request" in page
        assert "Approve" not in page.split("<h1")[1]

    def test_is_never_of_ones_own_in_the_database_either(self, balance, lead):
        asked = ask(balance, lead, 6000)

        with pytest.raises(IntegrityError), transaction.atomic():
            ApprovalRequest.objects.filter(pk=asked.pk).update(status="approved", decided_by=lead, decided_at=NOON)

    def test_needs_a_ceiling_that_is_high_enough(self, balance, support, lead):
        asked = ask(balance, support, 5001)

        with pytest.raises(errors.CeilingExceededError):
            operations.approve(request_id=asked.pk, approver=lead, at=NOON)

        page = words(client_of(lead).get(reverse("admin:console_approvalrequest_change", args=[asked.pk])))
        assert "Somebody with a higher ceiling has to approve" in page
        assert operations.approve(request_id=asked.pk, approver=in_role("finance"), at=NOON).row.credits == 5001

    def test_says_what_makes_it_impossible_by_now(self, support, lead):
        balance = make_balance(grants=[(600, HOUR)])
        usage = deduct(balance, 600)
        revive = order("refund", balance.user, support, usage.pk, amount=600, expires_at=NOON + 9 * DAY)
        asked = operations.request_act(replace(revive, at=NOON + DAY)).row
        ledger.refund_usage(transaction_id=usage.pk, reason="Meanwhile", at=NOON + DAY)

        with pytest.raises(ledger.RefundExceedsUsageError):
            operations.approve(request_id=asked.pk, approver=lead, at=NOON + DAY)

        page = words(client_of(lead).get(reverse("admin:console_approvalrequest_change", args=[asked.pk])))
        assert "It cannot be done as things stand now: More than was used and not yet refunded." in page
        asked.refresh_from_db()
        assert asked.status == "pending"


class TestPermissions:
    """Every decision checks the permission for that decision, in the operation, whatever else the request contains."""

    @pytest.mark.parametrize("role", ["auditor", "support"])
    @pytest.mark.parametrize("decision", ["approve", "decline"])
    @pytest.mark.parametrize("others", [{}, {"withdraw": "1"}, {"approve": "1"}, {"withdraw": "1", "approve": "1"}])
    def test_page_refuses_a_decision_without_permission(self, balance, support, role, decision, others):
        asked = ask(balance, support)
        page = reverse("admin:console_approvalrequest_change", args=[asked.pk])

        response = client_of(in_role(role)).post(page, {"decision": decision, "note": "Note", **others})

        assert response.status_code == 403
        assert_pending(asked, balance)

    @pytest.mark.parametrize("decisions", [[], ["withdraw", "approve"], ["approve", "approve"], ["cancel"]])
    def test_page_refuses_anything_but_exactly_one_decision(self, balance, support, lead, decisions):
        asked = ask(balance, support)
        page = reverse("admin:console_approvalrequest_change", args=[asked.pk])

        response = client_of(lead).post(page, {"decision": decisions, "note": "", "withdraw": "1", "approve": "1"})

        assert response.context["form"].errors["decision"]
        assert_pending(asked, balance)

    def test_operations_refuse_a_decision_without_permission(self, balance, support):
        asked, auditor = ask(balance, support), in_role("auditor")

        with pytest.raises(errors.StaffPermissionError):
            operations.approve(request_id=asked.pk, approver=auditor, at=NOON)
        with pytest.raises(errors.StaffPermissionError):
            operations.decline(request_id=asked.pk, decider=auditor, note="Note", at=NOON)

        assert_pending(asked, balance)

    def test_operations_refuse_an_action_without_permission(self, balance):
        forbidden = order("add", balance.user, in_role("auditor"), amount=5)

        for operation in (operations.perform, operations.preview, operations.request_act):
            with pytest.raises(errors.StaffPermissionError):
                operation(forbidden)

        balance.refresh_from_db()
        assert (balance.balance, StaffAction.objects.count(), ApprovalRequest.objects.count()) == (120, 0, 0)

    def test_approval_refuses_an_approver_who_may_not_do_the_action(self, balance, lead):
        asked = operations.request_act(order("limit", balance.user, lead, amount=5, period="day", member="")).row
        finance = in_role("finance")

        with pytest.raises(errors.StaffPermissionError):
            operations.approve(request_id=asked.pk, approver=finance, at=NOON)

        assert_pending(asked, balance)
        page = words(client_of(finance).get(reverse("admin:console_approvalrequest_change", args=[asked.pk])))
        assert 'value="approve"' not in page
        assert 'value="decline"' in page

    @pytest.mark.parametrize("change", [{"is_active": False}, {"groups": []}])
    def test_approval_refuses_a_request_of_a_person_who_may_not_act_any_more(self, balance, support, lead, change):
        asked = ask(balance, support)
        support.is_active = change.get("is_active", True)
        support.save()
        support.groups.set(change.get("groups", support.groups.all()))

        with pytest.raises(errors.StaffPermissionError):
            operations.approve(request_id=asked.pk, approver=lead, at=NOON)

        assert_pending(asked, balance)


class TestDeclining:
    def test_needs_a_note_and_does_nothing(self, balance, support, lead):
        asked = ask(balance, support)

        with pytest.raises(ledger.InvalidArgumentError):
            operations.decline(request_id=asked.pk, decider=lead, note=" ", at=NOON)
        operations.decline(request_id=asked.pk, decider=lead, note="Too much", at=NOON)

        assert not StaffAction.objects.exists()
        with pytest.raises(errors.RequestDecidedError):
            operations.approve(request_id=asked.pk, approver=in_role("finance"), at=NOON)

    def test_says_on_the_page_what_is_missing(self, balance, support, lead):
        page = reverse("admin:console_approvalrequest_change", args=[ask(balance, support).pk])

        answer = client_of(lead).post(page, {"decision": "decline", "note": ""})

        assert answer.context["form"].errors["note"] == ["It must say something."]


class TestWithdrawing:
    def test_is_for_who_asked(self, balance, support, lead):
        asked = ask(balance, support)

        with pytest.raises(errors.NotYourRequestError):
            operations.withdraw(request_id=asked.pk, actor=lead, at=NOON)
        client_of(support).post(
            reverse("admin:console_approvalrequest_change", args=[asked.pk]), {"decision": "withdraw", "note": ""}
        )

        asked.refresh_from_db()
        assert (asked.status, asked.decided_by) == ("withdrawn", support)


class TestTheRecords:
    """What was done and decided stays as it was written."""

    def test_of_acts_are_never_changed_or_removed(self, balance, lead):
        add(balance, lead, 5)

        for act in (lambda: StaffAction.objects.update(note="Else"), lambda: StaffAction.objects.all().delete()):
            with pytest.raises((InternalError, ProgrammingError)), transaction.atomic():
                act()

    @pytest.mark.parametrize("change", [{"arguments": {"amount": 5}}, {"credits": 1}, {"note": "Else"}])
    def test_of_requests_keep_what_was_asked(self, balance, support, change):
        ask(balance, support)

        with pytest.raises((InternalError, ProgrammingError)), transaction.atomic():
            ApprovalRequest.objects.update(**change)

    def test_of_decisions_are_final(self, balance, support, lead):
        asked = ask(balance, support)
        operations.decline(request_id=asked.pk, decider=lead, note="No", at=NOON)

        with pytest.raises((InternalError, ProgrammingError)), transaction.atomic():
            ApprovalRequest.objects.update(status="pending", decided_by=None, decided_at=None)

    def test_are_found_by_ticket_and_by_whom(self, balance, lead):
        operations.perform(replace(order("adjust", balance.user, lead, amount=5), ticket="SUP-9"))
        operations.perform(order("adjust", make_balance().user, lead, amount=6))
        client, page = client_of(lead), reverse("admin:console_staffaction_changelist")

        for term in ("SUP-9", balance.user.email):
            found = client.get(page, {"q": term}).context["cl"].result_list
            assert [row.balance_id for row in found] == [balance.pk]

    def test_of_acts_are_found_by_who_did_them(self, balance, lead):
        operations.perform(order("adjust", balance.user, lead, amount=5))
        operations.perform(order("add", make_balance().user, in_role("finance"), amount=6))
        client, page = client_of(lead), reverse("admin:console_staffaction_changelist")

        for query in ({"q": lead.email}, {"act": "adjust"}, {"created_at_from": "2025-03-03", "q": lead.email}):
            found = client.get(page, query).context["cl"].result_list
            assert [row.actor for row in found] == [lead], query
        assert not client.get(page, {"created_at_to": "2025-03-02"}).context["cl"].result_list

    def test_of_acts_tell_what_was_asked_and_what_changed(self, balance, lead):
        done = operations.perform(order("adjust", balance.user, lead, amount=5)).row

        page = words(client_of(lead).get(reverse("admin:console_staffaction_change", args=[done.pk])))

        assert "<div>amount 5</div>" in page
        assert "<div>balance 120 → 125</div>" in page
        assert "held" not in page.split("balance 120 → 125")[1].split("</fieldset>")[0]

    def test_of_approved_acts_are_found_by_that(self, balance, support, lead):
        operations.perform(order("adjust", make_balance().user, lead, amount=5))
        operations.approve(request_id=ask(balance, support).pk, approver=lead, note="", at=NOON)
        client, page = client_of(lead), reverse("admin:console_staffaction_changelist")

        for chosen, approvers in (("1", [lead]), ("0", [None])):
            found = client.get(page, {"approved": chosen}).context["cl"].result_list
            assert [row.approver for row in found] == approvers

    def test_of_acts_go_along_as_csv_with_names(self, balance, lead):
        operations.perform(replace(order("adjust", balance.user, lead, amount=5), ticket="SUP-9"))

        answer = client_of(lead).get(reverse("admin:console_staffaction_export"), {"q": "SUP-9"})

        [row] = rows_of(answer)
        assert (row["owner"], row["actor"], row["approver"]) == (balance.user.email, lead.email, "")
        assert (row["act"], row["ticket"], json.loads(row["arguments"])) == ("adjust", "SUP-9", {"amount": 5})

    def test_of_requests_are_found_by_who_asked_and_whom_they_are_for(self, balance, support, lead):
        asked = ask(balance, support)
        ask(make_balance(), in_role("support"))
        client, page = client_of(lead), reverse("admin:console_approvalrequest_changelist")

        for term in (support.email, balance.user.email, str(asked.pk)):
            found = client.get(page, {"q": term}).context["cl"].result_list
            assert [row.pk for row in found] == [asked.pk], term

    def test_of_requests_go_along_as_csv_with_names(self, balance, support, lead):
        ask(balance, support)

        answer = client_of(lead).get(reverse("admin:console_approvalrequest_export"))

        [row] = rows_of(answer)
        assert (row["owner"], row["asked_by"], row["decided_by"]) == (balance.user.email, support.email, "")

    def test_are_listed_with_as_many_questions_for_many_as_for_one(
        self, balance, lead, support, django_assert_max_num_queries
    ):
        for _ in range(6):
            add(make_balance(), lead, 5)
            ask(make_balance(), support)
        client = client_of(lead)

        for name, most in (("staffaction", 12), ("approvalrequest", 12)):
            client.get(reverse(f"admin:console_{name}_changelist"))
            with django_assert_max_num_queries(most) as asked:
                client.get(reverse(f"admin:console_{name}_changelist"))
            assert not any("COUNT(" in query["sql"] and "console_staffaction" in query["sql"] for query in asked)
