from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import DatabaseError, connection

from credits.models import CreditBalance, CreditTransaction, Feature, FeaturePrice
from tests.support.database import as_owner, restore_migrated_rows
from tests.support.factories.credits import deduct, make_balance
from tests.support.threads import in_other_thread
from tests.support.times import NOON
from tiers.models import Tier


@pytest.mark.django_db(transaction=True)
class TestTestsThatCommit:
    @pytest.mark.parametrize("run", ["first", "second"])
    def test_start_with_the_rows_of_the_migrations_and_no_others(self, run):
        """Each of the two runs commits changes. The run that comes second must not see those of the first."""
        assert not CreditBalance.objects.exists()
        assert Feature.objects.count() == FeaturePrice.objects.count() == 4
        assert Tier.objects.count() == 4
        balance = make_balance(grants=[(10, None)], at=NOON)
        deduct(balance, 4)
        Tier.objects.filter(code="pro").delete()

    def test_leave_the_trigger_against_truncate_enabled(self):
        restore_migrated_rows()

        with pytest.raises(DatabaseError, match="Cannot truncate"), as_owner(), connection.cursor() as cursor:
            cursor.execute("TRUNCATE credits_credittransaction CASCADE")


@pytest.mark.django_db(transaction=True)
class TestRoleOfTheTests:
    def test_cannot_change_history_with_the_option_restricted_role(self, pytestconfig):
        def may_update() -> bool:
            with connection.cursor() as cursor:
                cursor.execute("SELECT has_table_privilege('credits_credittransaction', 'UPDATE')")
                [held] = cursor.fetchone()
            return bool(held)

        is_restricted = pytestconfig.getoption("--restricted-role")
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(in_other_thread, may_update).result() == (not is_restricted)
        assert may_update() == (not is_restricted)
        with as_owner():
            assert may_update()
        assert may_update() == (not is_restricted)


@pytest.mark.django_db
class TestTestsThatRollBack:
    def test_see_the_rows_of_the_migrations_and_an_empty_ledger(self):
        assert Tier.objects.filter(code="pro").exists()
        assert not CreditTransaction.objects.exists()
