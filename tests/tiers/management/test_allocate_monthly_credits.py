import json
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from fluxori.core import clock
from tests.support.factories.tiers import fleeting, many_subscribed, month, periods_of, subscribed
from tests.support.operations import captured_statements
from tests.support.threads import hold_lock, run_concurrently
from tests.support.tier_tables import check_ledger, unwritten
from tests.support.times import DAY, NOON, SECOND
from tiers.models import AllocationRun
from tiers.operations import update_subscription_tier


def run(*flags, at=None, **options):
    """Run the command as an operator types it, and return what it said on stdout."""
    said = StringIO()
    when = [] if at is None else ["--at", at.isoformat()]
    call_command("allocate_monthly_credits", *when, *flags, stdout=said, **options)
    return said.getvalue()


@pytest.mark.django_db
class TestAllocateMonthlyCredits:
    def test_gives_what_is_due_and_says_so_for_each_tier(self):
        subscribed()
        subscribed(tier="pro")
        subscribed(at=NOON + DAY)

        said = run(at=month(1))

        assert said.splitlines() == [
            "explorer: 1 periods allocated, 400 credits, 0 skipped because they are over",
            "pro: 1 periods allocated, 7,000 credits, 0 skipped because they are over",
            "2 subscriptions due by 2025-04-03T12:00:00+00:00, 0 refused",
        ]

    def test_reads_the_clock_where_it_is_not_told_when(self):
        anchor = clock.now().replace(microsecond=0) - 40 * DAY
        balance, tomorrow = subscribed(at=anchor), subscribed(at=clock.now() - 27 * DAY)

        run()

        assert (periods_of(balance), periods_of(tomorrow)) == ([(1, 400)], [])

    @pytest.mark.parametrize("chunk", [1, 2, 4, 5, 1000])
    def test_reaches_everyone_whatever_the_size_of_a_chunk(self, chunk):
        balances = many_subscribed(5)

        run("--chunk", str(chunk), at=month(1))

        assert [periods_of(balance) for balance in balances] == [[(1, 400)]] * 5

    def test_commits_for_each_chunk(self):
        many_subscribed(5)

        with captured_statements() as all_at_once:
            run(at=month(1))
        with captured_statements() as by_two:
            run("--chunk", "2", at=month(2))

        writes = [
            sum(statement.startswith("-- Everything that was planned") for statement in each)
            for each in (all_at_once, by_two)
        ]
        assert writes == [1, 3]

    def test_is_done_when_nothing_is_due_and_records_no_run(self):
        subscribed()

        with unwritten():
            said = run(at=month(1) - SECOND)

        assert said == "0 subscriptions due by 2025-04-03T11:59:59+00:00, 0 refused\n"

    def test_gives_nothing_the_second_time(self):
        many_subscribed(3)
        run(at=month(1))

        with unwritten():
            run(at=month(1))

    def test_catches_up_with_missed_months(self):
        fleeting()
        lasting, gone = subscribed(), subscribed(tier="fleeting")

        said = run("--json", at=month(3))

        assert (periods_of(lasting), periods_of(gone)) == (
            [(1, 400), (2, 400), (3, 400)],
            [(1, 0), (2, 0), (3, 100)],
        )
        assert json.loads(said) == {
            "at": month(3).isoformat(),
            "dryRun": False,
            "subscriptions": 2,
            "refused": 0,
            "tiers": {
                "explorer": {"allocated": 3, "skipped": 0, "credits": 1200},
                "fleeting": {"allocated": 1, "skipped": 2, "credits": 100},
            },
        }
        check_ledger()

    def test_keeps_to_one_tier_where_it_is_told(self):
        small, large = subscribed(), subscribed(tier="pro")

        run("--tier", "pro", at=month(1))

        assert (periods_of(small), periods_of(large)) == ([], [(1, 7000)])
        assert AllocationRun.objects.get().tier_id == "pro"

    def test_lets_a_scheduled_change_take_effect_as_a_dry_run_says_beforehand(self):
        balance, other = subscribed(), subscribed(tier="growth")
        update_subscription_tier(owner=balance.owner, tier="pro", effective="nextPeriod", at=month(1))

        with unwritten():
            ahead = run("--dry-run", "--json", at=month(3))
            of_the_new = run("--dry-run", "--json", "--tier", "pro", at=month(3))
        done = run("--json", at=month(3))

        assert json.loads(ahead) == {**json.loads(done), "dryRun": True}
        assert json.loads(of_the_new)["subscriptions"] == 1
        assert (periods_of(balance), periods_of(other)[-1]) == ([(1, 400), (2, 7000), (3, 7000)], (3, 2000))
        check_ledger()

    def test_counts_in_a_dry_run_and_gives_nothing(self):
        many_subscribed(3)

        with unwritten():
            ahead = run("--dry-run", "--json", "--chunk", "2", at=month(2))
        done = run("--json", at=month(2))

        assert json.loads(ahead) == {**json.loads(done), "dryRun": True}
        assert json.loads(done)["tiers"]["explorer"]["allocated"] == 6

    def test_records_the_run_and_what_came_of_it(self):
        balance = subscribed()
        began = clock.now()

        run(at=month(2))

        kept = AllocationRun.objects.get()
        assert (kept.status, kept.at, kept.started_by) == ("done", month(2), "allocate_monthly_credits")
        assert (kept.allocated, kept.skipped, kept.refused, kept.credits) == (2, 0, 0, 800)
        assert kept.finished_at is not None
        assert began <= kept.started_at <= kept.finished_at <= clock.now()
        assert {given.run_id for given in balance.allocations.all()} == {kept.pk}


@pytest.mark.django_db
class TestAllocateMonthlyCreditsRefuses:
    @pytest.mark.parametrize(
        "flags",
        [
            ["--tier", "platinum"],
            ["--at", "tomorrow"],
            ["--at", "2025-04-03T12:00:00"],
            ["--at", "2025-04-03"],
            ["--chunk", "0"],
            ["--chunk", "-5"],
            ["--chunk", "many"],
            ["--jobs", "0"],
        ],
    )
    def test_what_it_cannot_understand(self, flags):
        subscribed()

        with unwritten(), pytest.raises(CommandError) as stop:
            run(*flags)

        assert stop.value.returncode == 1

    def test_to_act_ahead_of_time_in_production(self, settings):
        anchor = clock.now()
        subscribed(at=anchor)
        settings.PRODUCTION = True

        with unwritten(), pytest.raises(CommandError, match="--dry-run"):
            run(at=month(1, anchor))
        with unwritten():
            ahead = run("--dry-run", "--json", at=month(1, anchor))

        assert json.loads(ahead)["subscriptions"] == 1


@pytest.mark.django_db(transaction=True)
class TestAllocateMonthlyCreditsBesideSomebodyAtWork:
    def test_leaves_the_busy_ones_for_the_next_run(self):
        balances = sorted(many_subscribed(5), key=lambda balance: balance.pk)

        def hurried():
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = 50")
            with pytest.raises(CommandError) as stop:
                run("--jobs", "1", at=month(1))
            return stop.value.returncode

        with hold_lock(balances[2]):
            [status] = run_concurrently([hurried])
        first = [len(periods_of(balance)) for balance in balances]
        run(at=month(1))

        assert (status, first) == (2, [1, 1, 0, 1, 1])
        assert [len(periods_of(balance)) for balance in balances] == [1] * 5
        kept = AllocationRun.objects.earliest("started_at")
        assert (kept.status, kept.refused, kept.refusals) == ("done", 1, [[str(balances[2].pk), "busy"]])
        check_ledger()
