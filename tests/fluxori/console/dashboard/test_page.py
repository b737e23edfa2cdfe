"""The dashboard: figures, margin, snapshot, and what it costs."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.urls import reverse

from credits import operations
from credits.models import CreditTotal
from fluxori.console.dashboard import snapshot
from fluxori.console.dashboard.figures import PeriodComparison, margin_rows, movement_rows
from fluxori.core import clock
from tests.support.admin import staff_client, superuser_client, text_of
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.factories.tiers import make_subscribed_balance, make_subscribed_balances
from tests.support.times import DAY, HOUR
from tiers.models import RecoveryCost

pytestmark = pytest.mark.django_db

NOW = clock.now()
TODAY = NOW.date()


def aggregate():
    call_command("aggregate_usage", verbosity=0)


def get_dashboard(client=None):
    return (client or superuser_client()).get(reverse("admin:index"))


def total(**fields):
    return CreditTotal(**{"credits_in": 0, "credits_out": 0, "count": 1, "value": Decimal(0), "unpriced": 0, **fields})


class TestMovementRows:
    def test_each_period_is_compared_with_the_previous_period(self):
        spent = [
            total(type="usage", day=TODAY - n * DAY, credits_out=credits_out)
            for n, credits_out in ((0, 5), (1, 10), (6, 20), (7, 40))
        ]

        [_, spent_row, _, _] = movement_rows(spent, TODAY)

        assert [(comparison.current, comparison.previous) for comparison in spent_row.comparisons] == [
            (5, 10),
            (35, 40),
            (75, 0),
        ]

    def test_each_kind_adds_its_own_transaction_types(self):
        kinds = [("allocation", 400, 0), ("adjustment", 10, 3), ("usage", 0, 50), ("expiry", 0, 7), ("refund", 9, 0)]
        totals = [
            total(type=kind, day=TODAY, credits_in=credits_in, credits_out=credits_out)
            for kind, credits_in, credits_out in kinds
        ]

        assert [row.comparisons[0].current for row in movement_rows(totals, TODAY)] == [410, 50, 7, 9]

    @pytest.mark.parametrize(
        ("current", "previous", "change"),
        [(15, 10, "+50 %"), (5, 10, "\u221250 %"), (10, 10, "+0 %"), (5, 0, ""), (0, 0, "")],
    )
    def test_a_change_is_in_percent_of_the_previous_period(self, current, previous, change):
        assert PeriodComparison(current, previous).change == change


class TestMarginRows:
    def test_the_margin_is_the_selling_price_minus_the_cost_of_the_day(self):
        RecoveryCost.objects.create(rand_per_credit=Decimal("0.03"), effective_from=NOW)
        totals = [
            total(type="usage", day=TODAY, credits_out=100, value=Decimal(-11), unpriced=0),
            total(type="refund", day=TODAY, credits_in=40, value=Decimal("4.4"), unpriced=0),
            total(type="purchase", day=TODAY, credits_in=500, value=Decimal(55)),
        ]

        today, week, _ = margin_rows(totals, TODAY)

        assert (today.value, today.cost, today.margin) == (Decimal("6.60"), Decimal("1.80"), Decimal("4.80"))
        assert (week.value, week.cost, week.priced) == (today.value, today.cost, 60)

    def test_unpriced_credits_have_a_cost_and_no_part_in_the_margin(self):
        RecoveryCost.objects.create(rand_per_credit=Decimal("0.03"), effective_from=NOW)
        totals = [
            total(type="usage", day=TODAY, credits_out=100, value=Decimal(-5), unpriced=-60),
            total(type="refund", day=TODAY, credits_in=10, unpriced=10),
        ]

        [today, *_] = margin_rows(totals, TODAY)

        assert (today.priced, today.margin) == (40, Decimal("3.80"))
        assert (today.unpriced, today.unpriced_cost) == (50, Decimal("1.50"))

    def test_the_page_shows_the_cost_of_unpriced_credits(self):
        deduct(make_balance(at=NOW - 2 * DAY), 40, at=NOW - DAY)
        aggregate()

        page = text_of(get_dashboard())

        assert "In addition, 40 credits that were allocated or given, not sold, cost R0.73 to serve." in page
        assert "\u2212R" not in page


class TestDashboard:
    def test_the_page_shows_aggregated_usage(self):
        balance = make_balance(at=NOW - 2 * DAY, type="purchase", unit_price=Decimal("0.10"))
        operations.deduct_credits(owner=balance.owner, feature="ai-generated-report", at=NOW - DAY)
        aggregate()

        response = get_dashboard()

        [issued, spent, _, _] = response.context["movements"]
        assert (issued.comparisons[1].current, spent.comparisons[1].current) == (100, 40)
        assert [name for name, _, _ in response.context["by_feature"]["legend"]] == ["AI-generated report"]
        assert response.context["margins"][1].value == Decimal("4.00")
        assert "As of" in text_of(response)

    def test_the_page_says_when_nothing_is_computed_yet(self):
        page = text_of(get_dashboard())

        assert "Not computed yet: run aggregate_usage" in page
        assert "Run refresh_dashboard" in page

    def test_amounts_in_rand_need_a_permission(self):
        make_balance(type="purchase", unit_price=Decimal("0.10"))
        aggregate()

        response = get_dashboard(staff_client("credits.view_creditbalance"))

        assert response.context["margins"] is None
        assert "Margin of spent credits" not in text_of(response)

    def test_the_page_reads_no_transactions_and_a_fixed_number_of_queries(self, django_assert_max_num_queries):
        make_subscribed_balances(5, at=NOW - 3 * DAY)
        for _ in range(5):
            deduct(make_balance(at=NOW - DAY), 90, at=NOW - HOUR)
        aggregate()
        snapshot.refresh_snapshot(at=NOW)
        client = superuser_client()

        with django_assert_max_num_queries(16) as captured:
            assert get_dashboard(client).status_code == 200

        scanned = ("FROM credits_credittransaction", 'FROM "credits_credittransaction"')
        assert not any(text in query["sql"] for query in captured.captured_queries for text in scanned)


class TestSnapshot:
    def test_balances_are_counted_by_tier(self):
        make_subscribed_balances(2, at=NOW - DAY)
        make_subscribed_balance(tier="pro", at=NOW - DAY)
        make_balance()

        snapshot.refresh_snapshot(at=NOW)

        snapshot_view = snapshot.latest_snapshot()
        assert snapshot_view is not None
        assert {code: count for code, _, count, _ in snapshot_view.tiers} == {
            "explorer": 2,
            "growth": 0,
            "pro": 1,
            "enterprise": 0,
        }
        assert snapshot_view.none == 1

    def test_balances_that_run_out_are_listed_soonest_first(self):
        start = NOW - 20 * DAY
        nearly, soon, later = (
            make_balance(make_user(), grants=[(amount, None)], at=start) for amount in (105, 130, 1000)
        )
        for balance in (nearly, soon, later):
            deduct(balance, 100, at=NOW - DAY)
        aggregate()

        snapshot.refresh_snapshot(at=NOW)

        snapshot_view = snapshot.latest_snapshot()
        assert snapshot_view is not None
        assert [(row.name, row.available) for row in snapshot_view.running_out] == [
            (str(nearly.user), 5),
            (str(soon.user), 30),
        ]

    def test_late_allocations_are_counted(self):
        balances = make_subscribed_balances(2, at=NOW - timedelta(days=40))
        make_subscribed_balances(1, at=NOW - DAY)

        snapshot.refresh_snapshot(at=NOW)

        snapshot_view = snapshot.latest_snapshot()
        assert snapshot_view is not None
        assert (snapshot_view.late, snapshot_view.late_since) == (2, balances[0].subscription.next_allocation_at)
        assert "overdue for an allocation" in text_of(get_dashboard())

    def test_a_refresh_replaces_the_snapshot(self):
        snapshot.refresh_snapshot(at=NOW - HOUR)
        snapshot.refresh_snapshot(at=NOW)

        snapshot_view = snapshot.latest_snapshot()
        assert snapshot_view is not None
        assert snapshot_view.taken_at == NOW

    def test_the_command_refreshes_the_snapshot_and_prints_totals(self, capsys):
        make_subscribed_balance(at=NOW - DAY)

        call_command("refresh_dashboard")
        call_command("refresh_dashboard", json=True)

        output = capsys.readouterr().out
        assert "1 balances, 0 of them running out, 0 allocations late" in output
        assert '"balances": 1' in output
