"""The privileges that docs/deploy.md gives the application are enough for it, and not enough to change history."""

import re
from pathlib import Path

import pytest
from django.db import ProgrammingError, connection, transaction

from credits import operations, queries
from credits.queries import usage
from tests.support.factories.credits import make_balance
from tests.support.times import DAY, NOON
from tiers import operations as tiers

DEPLOY = (Path(__file__).parents[2] / "docs/deploy.md").read_text()
HISTORY = (
    "credits_credittransaction",
    "credits_creditentry",
    "credits_creditpin",
    "credits_creditrequest",
    "tiers_monthlyallocation",
    "tiers_tierchange",
    "console_staffaction",
)
KEPT = (
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
    """Act as the application's role for the length of a test; it goes with the test's transaction."""
    [granted] = re.findall(r"```sql\n(.*?)```", DEPLOY, re.DOTALL)
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE fluxori_app")
        cursor.execute(granted)
        cursor.execute("SET LOCAL ROLE fluxori_app")


def refused(statement: str) -> bool:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    except ProgrammingError as refusal:
        return getattr(refusal.__cause__, "sqlstate", None) == "42501"  # insufficient privilege
    return False


@pytest.mark.usefixtures("application")
class TestPrivileges:
    def test_are_enough_for_the_main_job(self):
        balance = make_balance()

        tiers.initialize_balance(owner=balance.owner, tier="explorer", at=NOON)
        tiers.add_monthly_allocation(owner=balance.owner, at=NOON)
        tiers.update_subscription_tier(owner=balance.owner, tier="growth", at=NOON)
        operations.deduct_credits(owner=balance.owner, feature="simple-ai-insight", idempotency_key="once", at=NOON)

        assert operations.aggregate_usage(balance_ids=[balance.pk], most=9) == {balance.pk: 4}

        assert queries.get_balance(owner=balance.owner).balance == 100 + 400 + 400 - 9
        assert usage.get_usage(owner=balance.owner, at=NOON + DAY).total.used == 9

    @pytest.mark.parametrize("table", HISTORY)
    def test_do_not_reach_what_is_written_once(self, table):
        assert refused(f"UPDATE {table} SET id = id")

    @pytest.mark.parametrize("table", HISTORY + KEPT)
    def test_remove_nothing(self, table):
        assert refused(f"DELETE FROM {table}")
        assert refused(f"TRUNCATE {table} CASCADE")

    def test_do_not_disable_a_trigger(self):
        assert refused("ALTER TABLE credits_credittransaction DISABLE TRIGGER ALL")
