from types import SimpleNamespace

import pytest

from tests.support.factories.credits import deduct, make_balance
from tests.support.falsification import differences_of, falsify
from tests.support.times import DAY

VALID_FROM = "2020-01-01 00:00:00+00"
RULE = "spent_in_burn_order"
LOWER_PRIORITY = "UPDATE credits_creditgrant SET priority = 100 WHERE id = %(grant)s"
RECORDED_AT = "UPDATE credits_credittransaction SET recorded_at = timestamptz {} WHERE id = %(transaction)s"


@pytest.mark.django_db
class TestBurnOrderRule:
    @pytest.fixture
    def ids(self):
        """A deduction from two grants of which the first used should have been used last."""
        balance = make_balance(grants=[(100, None), (20, DAY)])
        transaction = deduct(balance, 30)
        first, second = balance.entries.filter(transaction=transaction.transaction.id).order_by("position")
        ids = SimpleNamespace(
            balance=balance.pk, transaction=transaction.transaction.id, grant=first.grant_id, entry=second.pk
        )
        falsify(ids, LOWER_PRIORITY)
        return ids

    def broken(self, ids):
        return {difference.row_id for difference in differences_of(ids.balance) if difference.rule == RULE}

    def test_reports_a_transaction_recorded_from_valid_from_on(self, ids):
        falsify(ids, RECORDED_AT.format(f"'{VALID_FROM}'"))

        assert self.broken(ids) == {ids.entry}

    def test_ignores_a_transaction_recorded_before_valid_from(self, ids):
        falsify(ids, RECORDED_AT.format(f"'{VALID_FROM}' - interval '1 microsecond'"))

        assert self.broken(ids) == set()
