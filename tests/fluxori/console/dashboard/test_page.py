"""The first page: from what was added up, as of then."""

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


def index(client=None):
    return (client or superuser_client()).get(reverse("admin:index"))


def row(**fields):
    return CreditTotal(**{"credits_in": 0, "credits_out": 0, "count": 1, "value": Decimal(0), "unpriced": 0, **fields})


class TestFigures:
    def test_compare_a_period_with_the_one_before(self):
        spent = [
            row(type="usage", day=TODAY - n * DAY, credits_out=credits_out)
            for n, credits_out in ((0, 5), (1, 10), (6, 20), (7, 40))
        ]

        [_, usage, _, _] = movement_rows(spent, TODAY)

        assert [(each.current, each.previous) for each in usage.comparisons] == [(5, 10), (35, 40), (75, 0)]

    def test_count_each_kind_by_its_own_way(self):
        kinds = [("allocation", 400, 0), ("adjustment", 10, 3), ("usage", 0, 50), ("expiry", 0, 7), ("refund", 9, 0)]
        found = [
            row(type=kind, day=TODAY, credits_in=credits_in, credits_out=credits_out)
            for kind, credits_in, credits_out in kinds
        ]

        assert [row.comparisons[0].current for row in movement_rows(found, TODAY)] == [410, 50, 7, 9]

    @pytest.mark.parametrize(
        ("now", "before", "change"),
        [(15, 10, "+50 %"), (5, 10, "\u221250 %"), (10, 10, "+0 %"), (5, 0, ""), (0, 0, "")],
    )
    def test_say_by_how_much_they_changed(self, now, before, change):
        assert PeriodComparison(now, before).change == change


class TestMoney:
    def test_sets_what_credits_were_sold_for_against_the_cost_of_their_day(self):
        RecoveryCost.objects.create(rand_per_credit=Decimal("0.03"), effective_from=NOW)
        found = [
            row(type="usage", day=TODAY, credits_out=100, value=Decimal(-11), unpriced=0),
            row(type="refund", day=TODAY, credits_in=40, value=Decimal("4.4"), unpriced=0),
            row(type="purchase", day=TODAY, credits_in=500, value=Decimal(55)),
        ]

        today, week, _ = margin_rows(found, TODAY)

        assert (today.value, today.cost, today.margin) == (Decimal("6.60"), Decimal("1.80"), Decimal("4.80"))
        assert (week.value, week.cost, week.priced) == (today.value, today.cost, 60)

    def test_keeps_credits_that_were_never_sold_out_of_the_margin(self):
        RecoveryCost.objects.create(rand_per_credit=Decimal("0.03"), effective_from=NOW)
        found = [
            row(type="usage", day=TODAY, credits_out=100, value=Decimal(-5), unpriced=-60),
            row(type="refund", day=TODAY, credits_in=10, unpriced=10),
        ]

        [today, *_] = margin_rows(found, TODAY)

        assert (today.priced, today.margin) == (40, Decimal("3.80"))
        assert (today.unpriced, today.unpriced_cost) == (50, Decimal("1.50"))

    def test_says_them_in_words(self):
        deduct(make_balance(at=NOW - 2 * DAY), 40, at=NOW - DAY)
        aggregate()

        page = text_of(index())

        assert "And 40 credits that were never sold, but allocated or given: serving them cost R0.73." in page
        assert "\u2212R" not in page


class TestTheDashboard:
    def test_shows_what_was_folded(self):
        balance = make_balance(at=NOW - 2 * DAY, type="purchase", unit_price=Decimal("0.10"))
        operations.deduct_credits(owner=balance.owner, feature="ai-generated-report", at=NOW - DAY)
        aggregate()

        response = index()

        [issued, spent, _, _] = response.context["lines"]
        assert (issued.figures[1].now, spent.figures[1].now) == (100, 40)
        assert [name for name, _, _ in response.context["by_feature"]["legend"]] == ["AI-generated report"]
        assert response.context["money"][1].value == Decimal("4.00")
        assert "As of" in text_of(response)

    def test_says_so_where_nothing_was_added_up_yet(self):
        page = text_of(index())

        assert "Nothing was added up yet: run aggregate_usage" in page
        assert "Nobody has looked yet" in page

    def test_keeps_rand_from_those_who_may_not_see_it(self):
        make_balance(type="purchase", unit_price=Decimal("0.10"))
        aggregate()

        response = index(staff_client("credits.view_creditbalance"))

        assert response.context["money"] is None
        assert "What was spent, in rand" not in text_of(response)

    def test_asks_the_same_however_much_there_is(self, django_assert_max_num_queries):
        make_subscribed_balances(5, at=NOW - 3 * DAY)
        for _ in range(5):
            deduct(make_balance(at=NOW - DAY), 90, at=NOW - HOUR)
        aggregate()
        snapshot.refresh_snapshot(at=NOW)
        client = superuser_client()

        with django_assert_max_num_queries(16) as asked:
            assert index(client).status_code == 200

        scanned = ("FROM credits_credittransaction", 'FROM "credits_credittransaction"')
        assert not any(text in query["sql"] for query in asked.captured_queries for text in scanned)


class TestTheStanding:
    def test_counts_balances_by_tier(self):
        make_subscribed_balances(2, at=NOW - DAY)
        make_subscribed_balance(tier="pro", at=NOW - DAY)
        make_balance()

        snapshot.refresh_snapshot(at=NOW)

        shown = snapshot.latest_snapshot()
        assert shown is not None
        assert {code: count for code, _, count, _ in shown.tiers} == {
            "explorer": 2,
            "growth": 0,
            "pro": 1,
            "enterprise": 0,
        }
        assert shown.none == 1

    def test_names_who_is_about_to_run_out_the_first_one_first(self):
        begun = NOW - 20 * DAY
        nearly, soon, later = (
            make_balance(make_user(), grants=[(amount, None)], at=begun) for amount in (105, 130, 1000)
        )
        for balance in (nearly, soon, later):
            deduct(balance, 100, at=NOW - DAY)
        aggregate()

        snapshot.refresh_snapshot(at=NOW)

        shown = snapshot.latest_snapshot()
        assert shown is not None
        assert [(row.name, row.available) for row in shown.running_out] == [(str(nearly.user), 5), (str(soon.user), 30)]

    def test_says_how_many_allocations_are_late(self):
        balances = make_subscribed_balances(2, at=NOW - timedelta(days=40))
        make_subscribed_balances(1, at=NOW - DAY)

        snapshot.refresh_snapshot(at=NOW)

        shown = snapshot.latest_snapshot()
        assert shown is not None
        assert (shown.late, shown.late_since) == (2, balances[0].subscription.next_allocation_at)
        assert "wait for a month that has begun" in text_of(index())

    def test_is_kept_once(self):
        snapshot.refresh_snapshot(at=NOW - HOUR)
        snapshot.refresh_snapshot(at=NOW)

        shown = snapshot.latest_snapshot()
        assert shown is not None
        assert shown.taken_at == NOW

    def test_is_taken_by_a_command(self, capsys):
        make_subscribed_balance(at=NOW - DAY)

        call_command("refresh_dashboard")
        call_command("refresh_dashboard", json=True)

        said = capsys.readouterr().out
        assert "1 balances looked at, 0 of them soon empty, 0 allocations late" in said
        assert '"balances": 1' in said
