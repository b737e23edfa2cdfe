"""The privileges of the application in the deployment guide: enough to work, not enough to change history."""

import re
from pathlib import Path

import pytest
from django.db import ProgrammingError, connection, transaction

from credits import operations, queries
from credits.queries import usage
from tests.support.factories.credits import make_balance
from tests.support.times import DAY, NOON
from tiers import operations as tiers

GUIDE = Path(__file__).parents[2] / "docs/how-to/deploy.md"
# Tables whose rows never change.
APPEND_ONLY = (
    "credits_credittransaction",
    "credits_creditentry",
    "credits_creditpin",
    "credits_creditrequest",
    "tiers_monthlyallocation",
    "tiers_tierchange",
    "console_staffaction",
)
# Tables whose rows change but are never deleted.
NEVER_DELETED = (
    "credits_creditbalance",
    "credits_creditgrant",
    "credits_credithold",
    "credits_spendinglimit",
    "credits_creditrollup",
    "credits_credittotal",
    "credits_usagewatermark",
    "tiers_subscription",
)


@pytest.fixture
def application(db):
    """Use the role of the application during the test. The rollback of the test removes it."""
    [grants] = re.findall(r"```sql\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE fluxori_app")
        cursor.execute(grants)
        cursor.execute("SET LOCAL ROLE fluxori_app")


def is_denied(statement: str) -> bool:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    except ProgrammingError as error:
        return getattr(error.__cause__, "sqlstate", None) == "42501"  # insufficient privilege
    return False


@pytest.mark.usefixtures("application")
class TestPrivileges:
    def test_allow_subscriptions_allocations_deductions_and_aggregation(self):
        balance = make_balance()

        tiers.initialize_balance(owner=balance.owner, tier="explorer", initial_balance=100, at=NOON)
        tiers.add_monthly_allocation(owner=balance.owner, at=NOON)
        tiers.update_subscription_tier(owner=balance.owner, tier="growth", at=NOON)
        operations.deduct_credits(owner=balance.owner, feature="simple-ai-insight", idempotency_key="once", at=NOON)

        assert operations.aggregate_usage(balance_ids=[balance.pk], most=9) == {balance.pk: 4}

        assert queries.get_balance(owner=balance.owner).balance == 100 + 100 + 300 - 9
        assert usage.get_usage(owner=balance.owner, at=NOON + DAY).total.used == 9

    @pytest.mark.parametrize("table", APPEND_ONLY)
    def test_deny_update_of_append_only_tables(self, table):
        assert is_denied(f"UPDATE {table} SET id = id")

    @pytest.mark.parametrize("table", APPEND_ONLY + NEVER_DELETED)
    def test_deny_delete_and_truncate(self, table):
        assert is_denied(f"DELETE FROM {table}")
        assert is_denied(f"TRUNCATE {table} CASCADE")

    def test_deny_disabling_triggers(self):
        assert is_denied("ALTER TABLE credits_credittransaction DISABLE TRIGGER ALL")
