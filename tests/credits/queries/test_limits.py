import pytest

from credits import queries
from tests.credits.operations.limits import APRIL, MIDNIGHT, make_pool
from tests.credits.operations.verbs import make_rich_balance, remove_limit, set_limit
from tests.support.factories.credits import make_user
from tests.support.factories.identity import MembershipFactory, OrganizationFactory
from tests.support.operations import captured_statements
from tests.support.times import DAY, NOON

pytestmark = pytest.mark.django_db


class TestLimitStatuses:
    def test_lists_limits_in_force_with_the_newest_first(self):
        balance, ann, _ = make_pool()
        set_limit(balance)
        remove_limit(set_limit(balance, period="month").limit)
        set_limit(balance, member=ann)

        statuses = queries.limit_statuses(queries.get_limits(owner=balance.owner), at=NOON)

        assert [status.member_id for status in statuses] == [ann.pk, None]

    def test_is_empty_for_an_owner_without_a_balance(self):
        assert queries.limit_statuses(queries.get_limits(owner=make_user()), at=NOON) == []

    def test_contains_the_end_of_the_current_window_of_each_limit(self):
        balance = make_rich_balance()
        set_limit(balance)
        set_limit(balance, period="month")

        statuses = queries.limit_statuses(queries.get_limits(owner=balance.owner), at=MIDNIGHT)

        assert [status.resets_at for status in statuses] == [APRIL, MIDNIGHT + DAY]

    @pytest.mark.parametrize("count", [1, 5])
    def test_runs_two_statements_for_any_number_of_limits(self, count):
        organization = OrganizationFactory.create()
        balance = make_rich_balance(organization)
        for _ in range(count):
            set_limit(balance, member=MembershipFactory.create(organization=organization).user)

        with captured_statements() as run:
            queries.limit_statuses(queries.get_limits(owner=balance.owner), at=NOON)

        assert len(run) == 2
