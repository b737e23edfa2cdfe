import pytest
from django.db import DatabaseError, connection

from credits.models import CreditBalance, CreditTransaction, Feature, FeaturePrice
from tests.support.database import restore_migrated_rows
from tests.support.factories.credits import deduct, make_balance
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

        with pytest.raises(DatabaseError, match="Cannot truncate"), connection.cursor() as cursor:
            cursor.execute("TRUNCATE credits_credittransaction CASCADE")


@pytest.mark.django_db
class TestTestsThatRollBack:
    def test_see_the_rows_of_the_migrations_and_an_empty_ledger(self):
        assert Tier.objects.filter(code="pro").exists()
        assert not CreditTransaction.objects.exists()
