"""Each rule of the tiers, broken behind the back of every fence, is found by name."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from credits import verification
from tests.support.database import as_owner
from tests.support.factories.tiers import make_subscribed_balance, month, run_allocation
from tests.support.tier_tables import check_ledger
from tiers import operations

pytestmark = pytest.mark.django_db

APRIL, HALF = datetime(2025, 4, 1, tzinfo=UTC), datetime(2025, 4, 16, tzinfo=UTC)


@pytest.fixture
def promised():
    """Return a subscription with two months given and two changes of tier, one with a difference, by their ids."""
    balance = make_subscribed_balance(at=APRIL, initial_balance=0)
    operations.add_monthly_allocation(owner=balance.owner, at=APRIL)
    for tier in ("growth", "explorer"):
        operations.update_subscription_tier(owner=balance.owner, tier=tier, proration="difference", at=HALF)
    run_allocation([balance], at=month(1, APRIL))
    first, second = balance.tier_changes.order_by("number")
    check_ledger()
    return SimpleNamespace(
        balance=balance.pk,
        month=balance.allocations.get(period=0).pk,
        later=balance.allocations.get(period=1).pk,
        first=first.pk,
        second=second.pk,
        purse=balance.transactions.get(sequence=1).pk,
    )


def falsify(promised, sql):
    with as_owner(), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(sql, vars(promised))
        assert cursor.rowcount == 1
        cursor.execute("SET LOCAL session_replication_role = origin")


def rules_broken(promised):
    found = verification.verify_balance(promised.balance)
    return {difference.rule for difference in found.differences}


MONTH = "UPDATE tiers_monthlyallocation SET {} WHERE id = %(month)s"
LATER = "UPDATE tiers_monthlyallocation SET {} WHERE id = %(later)s"
FIRST = "UPDATE tiers_tierchange SET {} WHERE id = %(first)s"
SECOND = "UPDATE tiers_tierchange SET {} WHERE id = %(second)s"
WHOSE = "UPDATE tiers_subscription SET {} WHERE balance_id = %(balance)s"


class TestRules:
    @pytest.mark.parametrize(
        ("sql", "rules"),
        [
            (MONTH.format("credits = credits + 1"), {"allocation_matches_transaction"}),
            (MONTH.format("transaction_id = id"), {"allocation_matches_transaction"}),
            (LATER.format("transaction_id = %(purse)s"), {"allocation_matches_transaction"}),
            (MONTH.format("starts_at = starts_at - interval '1 s'"), {"period_matches_anchor"}),
            (MONTH.format("ends_at = ends_at + interval '1 s'"), {"period_matches_anchor"}),
            (
                LATER.format("allocated_at = allocated_at - interval '1 s'"),
                {"allocation_matches_transaction", "allocation_not_before_period"},
            ),
            (FIRST.format("number = 3"), {"change_numbers_have_no_gaps", "tier_matches_last_change"}),
            (FIRST.format("to_tier_id = 'pro'"), {"change_starts_from_held_tier"}),
            (SECOND.format("at = at - interval '1 s'"), {"timestamps_never_decrease"}),
            (SECOND.format("at = at + interval '15 days'"), {"change_within_period"}),
            (FIRST.format("credits = 799"), {"proration_matches_transaction"}),
            (FIRST.format("transaction_id = id"), {"proration_matches_transaction"}),
            (SECOND.format("high_credits = 700"), {"prorations_within_highest_tier"}),
            (
                WHOSE.format("next_allocation_at = next_allocation_at + interval '1 s'"),
                {"next_allocation_matches_anchor"},
            ),
            (
                WHOSE.format("next_period = 3"),
                {"next_allocation_matches_anchor", "periods_have_no_gaps"},
            ),
            (WHOSE.format("changes = 3"), {"change_count_matches"}),
            (WHOSE.format("tier_id = 'pro'"), {"tier_matches_last_change"}),
            (
                "DELETE FROM tiers_tierchange WHERE id = %(second)s",
                {"change_count_matches", "tier_matches_last_change"},
            ),
            ("DELETE FROM tiers_monthlyallocation WHERE id = %(later)s", {"periods_have_no_gaps"}),
            (
                "DELETE FROM tiers_subscription WHERE balance_id = %(balance)s",
                {"allocation_has_subscription", "change_has_subscription"},
            ),
        ],
    )
    def test_each_rule_reports_its_falsification(self, promised, sql, rules):
        falsify(promised, sql)

        found = rules_broken(promised)

        assert found == rules


@pytest.fixture
def paused():
    """Return a subscription that ended, started again in the overlapping month, was paused, and skipped a month."""
    balance = make_subscribed_balance(at=APRIL)
    operations.end_subscription(owner=balance.owner, at=HALF)
    operations.initialize_balance(owner=balance.owner, tier="growth", at=HALF)
    operations.pause_subscription(owner=balance.owner, at=HALF)
    run_allocation([balance], at=month(1, HALF))
    end, start, pause = balance.tier_changes.order_by("number")
    check_ledger()
    return SimpleNamespace(
        balance=balance.pk, month=balance.allocations.get().pk, end=end.pk, start=start.pk, pause=pause.pk
    )


PAST = "UPDATE tiers_pastsubscription SET {} WHERE balance_id = %(balance)s"
ENTRY = "UPDATE tiers_tierchange SET {} WHERE id = %({})s"


class TestRulesOfEndsAndPauses:
    @pytest.mark.parametrize(
        ("sql", "rules"),
        [
            (MONTH.format("skipped = ''"), {"skip_matches_pauses"}),
            (MONTH.format("skipped = 'inactive'"), {"skip_matches_pauses"}),
            (WHOSE.format("paused_at = NULL"), {"pause_matches_history"}),
            (WHOSE.format("paused_at = paused_at + interval '1 s'"), {"pause_matches_history"}),
            (WHOSE.format("status = 'ended', ended_at = paused_at"), {"end_matches_history"}),
            (WHOSE.format("anchor = anchor - interval '1 s'"), {"start_matches_history"}),
            (ENTRY.format("kind = 'resume'", "pause"), {"pause_matches_history", "skip_matches_pauses"}),
            (ENTRY.format("at = at - interval '1 day'", "end"), {"past_end_matches_history"}),
            (PAST.format("ended_at = ended_at - interval '1 s'"), {"past_end_matches_history"}),
            (PAST.format("next_period = 3"), {"past_periods_have_no_gaps", "past_has_successor"}),
        ],
    )
    def test_each_rule_reports_its_falsification(self, paused, sql, rules):
        falsify(paused, sql)

        found = rules_broken(paused)

        assert rules <= found


class TestPeriod:
    def test_more_credits_than_the_highest_tier_are_reported(self, promised):
        # 400 and 800 under a tier of 2,000 are too many when the recorded tier is smaller.
        falsify(promised, FIRST.format("high_credits = 1100"))
        assert rules_broken(promised) == set()

        falsify(promised, SECOND.format("at = at + interval '1 s', high_credits = 1100"))

        assert rules_broken(promised) == {"period_within_highest_tier"}


class TestVerifyLedger:
    def test_runs_the_rules_of_tiers(self, promised, capsys):
        falsify(promised, WHOSE.format("changes = 3"))

        with pytest.raises(CommandError, match="1 differences found"):
            call_command("verify_ledger")

        assert f"change_count_matches: subscription {promised.balance} of balance" in capsys.readouterr().out
