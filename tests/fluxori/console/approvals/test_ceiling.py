"""The ceiling: how many credits a member of staff may give per action and per day."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission

from fluxori.console import errors, queries
from fluxori.console.actions import operations
from fluxori.console.models import ManualCreditCeiling, StaffAction
from fluxori.identity.models import User
from tests.support.factories.credits import deduct, make_balance
from tests.support.staff import action_request, make_staff
from tests.support.times import DAY, HOUR, NOON

pytestmark = pytest.mark.django_db


def add(balance, staff, amount, at=NOON):
    return operations.perform(replace(action_request("add", balance.user, staff, amount=amount), at=at))


class TestCeilingPerAction:
    def test_an_action_may_give_exactly_the_ceiling_and_no_more(self, balance, support):
        add(balance, support, 500)

        with pytest.raises(errors.CeilingExceededError) as error:
            add(balance, support, 501)

        assert error.value.facts == {"credits": 501, "per_action": 500, "per_day": 2000, "left_today": 1500}
        balance.refresh_from_db()
        assert (balance.balance, StaffAction.objects.count()) == (620, 1)

    def test_the_highest_ceiling_of_several_groups_counts(self, balance):
        assert add(balance, make_staff("support", "support lead"), 5000).row.credits == 5000

    def test_a_user_without_a_group_may_give_nothing(self, balance):
        user = User.objects.create_user("alone@staff.test", is_staff=True)
        user.user_permissions.add(Permission.objects.get(codename="add_credits"))

        with pytest.raises(errors.CeilingExceededError):
            add(balance, user, 1)

    def test_superusers_have_no_ceiling(self, balance):
        assert add(balance, User.objects.create_superuser("root@staff.test"), 10**9).row.credits == 10**9

    def test_a_changed_ceiling_counts_at_once(self, balance, support):
        ManualCreditCeiling.objects.filter(group__name="support").update(per_action=501)

        assert add(balance, support, 501).row.credits == 501


class TestCeilingPerDay:
    def test_a_day_lasts_from_midnight_to_midnight_utc(self, balance, support):
        for _ in range(4):
            add(balance, support, 500)

        midnight = NOON.replace(hour=0) + DAY
        with pytest.raises(errors.CeilingExceededError) as error:
            add(balance, support, 1, at=midnight - timedelta(microseconds=1))
        add(balance, support, 1, at=midnight)

        assert error.value.facts["left_today"] == 0

    def test_the_ceiling_covers_all_balances_and_all_actions(self, balance, lead):
        for _ in range(5):
            add(make_balance(), lead, 5000)

        with pytest.raises(errors.CeilingExceededError):
            operations.perform(action_request("adjust", balance.user, lead, amount=1))

    def test_refunds_and_adjustments_down_do_not_count(self, balance, lead):
        usage = deduct(balance, 100)

        operations.perform(
            action_request("refund", balance.user, lead, usage.transaction.id, amount=100, expires_at=None)
        )
        operations.perform(action_request("adjust", balance.user, lead, amount=-50))

        assert queries.get_ceiling(lead, at=NOON).given_today == 0

    def test_expired_credits_that_a_refund_gives_again_count(self, support):
        balance = make_balance(grants=[(600, HOUR)])
        usage = deduct(balance, 600)
        refund = action_request(
            "refund", balance.user, support, usage.transaction.id, amount=600, expires_at=NOON + 9 * DAY
        )

        with pytest.raises(errors.CeilingExceededError):
            operations.perform(replace(refund, at=NOON + DAY))

        assert not StaffAction.objects.exists()
