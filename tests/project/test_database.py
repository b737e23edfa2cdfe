import pytest
from django.db import DatabaseError, connection

from credits.models import CreditBalance, CreditTransaction, Feature, FeaturePrice
from tests.support.database import restore_migrated_rows
from tests.support.factories.credits import deduct, make_balance
from tests.support.times import NOON
from tiers.models import Tier


@pytest.mark.django_db(transaction=True)
class TestFlushBetweenCommittingTests:
    """Each of these commits; whichever runs second finds nothing of the first, and everything of the migrations."""

    @pytest.mark.parametrize("turn", ["first", "second"])
    def test_leaves_only_what_the_migrations_wrote(self, turn):
        assert not CreditBalance.objects.exists()
        assert Feature.objects.count() == FeaturePrice.objects.count() == 4
        assert Tier.objects.count() == 4
        balance = make_balance(grants=[(10, None)], at=NOON)
        deduct(balance, 4)
        Tier.objects.filter(code="pro").delete()

    def test_puts_the_refusal_of_truncate_back(self):
        restore_migrated_rows()

        with pytest.raises(DatabaseError, match="Cannot truncate"), connection.cursor() as cursor:
            cursor.execute("TRUNCATE credits_credittransaction CASCADE")


@pytest.mark.django_db
class TestPlainTests:
    def test_see_the_seeded_rows_and_an_empty_ledger(self):
        assert Tier.objects.filter(code="pro").exists()
        assert not CreditTransaction.objects.exists()
