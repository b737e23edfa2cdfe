"""Changes of ceilings: a decrease takes effect at once, an increase when a second person confirms it."""

from uuid import uuid4

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction
from django.urls import reverse

from fluxori.console import errors, queries
from fluxori.console.approvals import ceilings
from fluxori.console.approvals.ceilings import Raise
from fluxori.console.models import ManualCreditCeiling
from tests.support.admin import form_of, messages_of, text_of
from tests.support.staff import client_of, make_staff
from tests.support.threads import run_concurrently
from tests.support.times import NOON

pytestmark = pytest.mark.django_db


@pytest.fixture
def ceiling():
    """The ceiling of the group finance: 50,000 per action and 250,000 per day."""
    return ManualCreditCeiling.objects.get(group__name="finance")


@pytest.fixture
def finance():
    return make_staff("finance")


def values(ceiling):
    ceiling.refresh_from_db()
    return ceiling.per_action, ceiling.per_day


def propose(ceiling, actor, per_action=90_000, per_day=250_000):
    return ceilings.change_ceiling(
        ceiling_id=ceiling.pk, per_action=per_action, per_day=per_day, actor=actor, reason="Outage"
    )


def confirm(ceiling, proposer, actor, per_action=90_000, per_day=250_000):
    expected = Raise(per_action, per_day)
    return ceilings.confirm_raise(ceiling_id=ceiling.pk, expected=expected, proposed_by=proposer.pk, actor=actor)


class TestChangeCeiling:
    def test_an_increase_waits_for_a_second_person(self, ceiling, finance):
        propose(ceiling, finance)

        assert values(ceiling) == (50_000, 250_000)
        assert queries.get_ceiling(finance, at=NOON).per_action == 50_000
        assert (ceiling.proposed_per_action, ceiling.proposed_per_day) == (90_000, 250_000)
        assert (ceiling.proposed_by, ceiling.history.latest().history_change_reason) == (finance, "Outage")

    def test_a_decrease_takes_effect_at_once(self, ceiling, finance):
        propose(ceiling, finance, 10, 20)

        assert (values(ceiling), ceiling.proposed_by) == ((10, 20), None)

    def test_a_change_in_both_directions_decreases_at_once_and_increases_later(self, ceiling, finance):
        propose(ceiling, finance, 60_000, 100_000)

        assert values(ceiling) == (50_000, 100_000)
        confirm(ceiling, finance, make_staff("finance"), 60_000, 100_000)
        assert values(ceiling) == (60_000, 100_000)

    def test_a_new_ceiling_is_zero_until_it_is_confirmed(self, finance):
        group = Group.objects.create(name="night shift")

        ceiling = ceilings.add_ceiling(group=group, per_action=5, per_day=9, actor=finance, reason="New")

        assert values(ceiling) == (0, 0)
        assert (ceiling.proposed_per_action, ceiling.proposed_per_day) == (5, 9)

    def test_a_change_needs_the_permission(self, ceiling):
        with pytest.raises(errors.StaffPermissionError):
            propose(ceiling, make_staff("support lead"), 10, 20)

        assert values(ceiling) == (50_000, 250_000)

    def test_the_database_rejects_an_incomplete_proposal(self, ceiling, finance):
        with pytest.raises(IntegrityError), transaction.atomic():
            ManualCreditCeiling.objects.filter(pk=ceiling.pk).update(proposed_per_action=90_000)
        with pytest.raises(IntegrityError), transaction.atomic():
            ManualCreditCeiling.objects.filter(pk=ceiling.pk).update(proposed_by=finance)


class TestConfirmRaise:
    def test_a_second_person_confirms_an_increase(self, ceiling, finance):
        propose(ceiling, finance)
        second = make_staff("finance")

        confirm(ceiling, finance, second)

        assert (values(ceiling), ceiling.proposed_by) == ((90_000, 250_000), None)
        assert ceiling.history.latest().history_user == second

    def test_the_proposer_cannot_confirm(self, ceiling, finance):
        propose(ceiling, finance)

        with pytest.raises(errors.OwnRequestError):
            confirm(ceiling, finance, finance)

        assert values(ceiling) == (50_000, 250_000)

    def test_a_confirmation_needs_the_permission(self, ceiling, finance):
        propose(ceiling, finance)

        with pytest.raises(errors.StaffPermissionError):
            confirm(ceiling, finance, make_staff("support lead", "auditor"))

    @pytest.mark.parametrize("change", [{"is_active": False}, {"groups": []}])
    def test_a_proposal_of_a_person_who_lost_the_permission_is_not_confirmed(self, ceiling, finance, change):
        propose(ceiling, finance)
        finance.is_active = change.get("is_active", True)
        finance.save()
        finance.groups.set(change.get("groups", finance.groups.all()))

        with pytest.raises(errors.StaffPermissionError):
            confirm(ceiling, finance, make_staff("finance"))

        assert values(ceiling) == (50_000, 250_000)

    def test_only_the_increase_that_was_shown_is_confirmed(self, ceiling, finance):
        propose(ceiling, finance)
        propose(ceiling, finance, 999_999)

        with pytest.raises(errors.RaiseChangedError):
            confirm(ceiling, finance, make_staff("finance"))

        assert values(ceiling) == (50_000, 250_000)

    def test_a_rejected_increase_cannot_be_confirmed(self, ceiling, finance):
        propose(ceiling, finance)
        ceilings.reject_raise(
            ceiling_id=ceiling.pk, expected=Raise(90_000, 250_000), proposed_by=finance.pk, actor=finance
        )

        with pytest.raises(errors.RaiseChangedError):
            confirm(ceiling, finance, make_staff("finance"))

    @pytest.mark.django_db(transaction=True)
    def test_of_a_confirmation_and_a_rejection_at_once_one_takes_effect(self, ceiling, finance):
        propose(ceiling, finance)
        second, third, shown = make_staff("finance"), make_staff("finance"), Raise(90_000, 250_000)
        arguments = {"ceiling_id": ceiling.pk, "expected": shown, "proposed_by": finance.pk}

        results = run_concurrently(
            [
                lambda: ceilings.confirm_raise(actor=second, **arguments),
                lambda: ceilings.reject_raise(actor=third, **arguments),
            ]
        )

        assert results.count("raise_changed") == 1
        assert values(ceiling)[0] == (50_000 if results[0] == "raise_changed" else 90_000)


class TestCeilingPage:
    def change(self, client, ceiling, **fields):
        url = reverse("admin:console_manualcreditceiling_change", args=[ceiling.pk])
        return client.post(url, form_of(client, url, **{"change_reason": "Outage", **fields}), follow=True)

    def decide(self, client, ceiling, decision, **fields):
        url = reverse("admin:console_manualcreditceiling_raise", args=[ceiling.pk])
        return client.post(url, {"decision": decision, **fields}, follow=True)

    def test_an_increase_is_proposed_and_confirmed_on_the_page(self, ceiling, finance):
        response = self.change(client_of(finance), ceiling, per_action="90000", per_day="250000")
        assert "90,000 per action and 250,000 per day take effect when a second person confirms" in text_of(response)
        assert values(ceiling) == (50_000, 250_000)
        url = reverse("admin:console_manualcreditceiling_change", args=[ceiling.pk])
        assert 'value="confirm"' not in text_of(client_of(finance).get(url))

        client = client_of(make_staff("finance"))
        assert 'value="confirm"' in text_of(client.get(url))
        shown = {"per_action": "90000", "per_day": "250000", "proposed_by": str(finance.pk)}
        response = self.decide(client, ceiling, "confirm", **shown)

        assert messages_of(response) == ["Confirmed 90,000 per action and 250,000 per day."]
        assert values(ceiling) == (90_000, 250_000)

    @pytest.mark.parametrize("role", ["support", "support lead", "auditor"])
    def test_the_page_rejects_a_decision_without_permission(self, ceiling, finance, role):
        propose(ceiling, finance)
        shown = {"per_action": "90000", "per_day": "250000", "proposed_by": str(finance.pk)}

        for decision in ("confirm", "reject"):
            response = self.decide(client_of(make_staff(role)), ceiling, decision, **shown)
            assert response.status_code == 403

        assert (values(ceiling), ceiling.proposed_by) == ((50_000, 250_000), finance)

    @pytest.mark.parametrize("fields", [{}, {"per_action": "1"}, {"proposed_by": str(uuid4())}, {"decision": "both"}])
    def test_a_decision_on_another_increase_changes_nothing(self, ceiling, finance, fields):
        propose(ceiling, finance, 99_000)
        shown = {"per_action": "90000", "per_day": "250000", "proposed_by": str(finance.pk), **fields}

        response = self.decide(client_of(make_staff("finance")), ceiling, shown.pop("decision", "confirm"), **shown)

        assert "not waiting any more" in messages_of(response)[0]
        assert values(ceiling) == (50_000, 250_000)
