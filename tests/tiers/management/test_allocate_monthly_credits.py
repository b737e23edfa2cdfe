import json
from io import StringIO
from uuid import UUID

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from fluxori.core import clock
from tests.support.factories.tiers import (
    make_expiring_tier,
    make_subscribed_balance,
    make_subscribed_balances,
    month,
    periods_of,
)
from tests.support.operations import captured_statements
from tests.support.threads import hold_lock, run_concurrently
from tests.support.tier_tables import assert_nothing_written, check_ledger
from tests.support.times import DAY, NOON, SECOND
from tiers.models import AllocationRun
from tiers.operations import update_subscription_tier


def run(*flags, at=None, **options):
    """Run the command as an operator types it, and return its output on stdout."""
    output = StringIO()
    when = [] if at is None else ["--at", at.isoformat()]
    call_command("allocate_monthly_credits", *when, *flags, stdout=output, **options)
    return output.getvalue()


def report(output):
    """Return the JSON report without what differs from run to run."""
    facts = json.loads(output)
    assert facts.pop("seconds") >= 0
    assert UUID(facts.pop("runId"))
    return facts


@pytest.mark.django_db
class TestAllocateMonthlyCredits:
    def test_allocates_due_periods_and_prints_totals_per_tier(self):
        make_subscribed_balance()
        make_subscribed_balance(tier="pro")
        make_subscribed_balance(at=NOON + DAY)

        output = run(at=month(1))

        assert output.splitlines() == [
            "explorer: 1 periods allocated, 400 credits, 0 skipped",
            "pro: 1 periods allocated, 7,000 credits, 0 skipped",
            "2 subscriptions due by 2025-04-03T12:00:00+00:00, 0 rejected",
        ]

    def test_default_instant_is_now(self):
        anchor = clock.now().replace(microsecond=0) - 40 * DAY
        balance, tomorrow = make_subscribed_balance(at=anchor), make_subscribed_balance(at=clock.now() - 27 * DAY)

        run()

        assert (periods_of(balance), periods_of(tomorrow)) == ([(1, 400)], [])

    @pytest.mark.parametrize("chunk", [1, 2, 4, 5, 1000])
    def test_processes_every_subscription_for_any_chunk_size(self, chunk):
        balances = make_subscribed_balances(5)

        run("--chunk", str(chunk), at=month(1))

        assert [periods_of(balance) for balance in balances] == [[(1, 400)]] * 5

    def test_commits_per_chunk(self):
        make_subscribed_balances(5)

        with captured_statements() as all_at_once:
            run(at=month(1))
        with captured_statements() as by_two:
            run("--chunk", "2", at=month(2))

        writes = [sum(statement.startswith("WITH balances AS") for statement in each) for each in (all_at_once, by_two)]
        assert writes == [1, 3]

    def test_records_no_run_when_nothing_is_due(self):
        make_subscribed_balance()

        with assert_nothing_written():
            output = run(at=month(1) - SECOND)

        assert output == "0 subscriptions due by 2025-04-03T11:59:59+00:00, 0 rejected\n"

    def test_second_run_allocates_nothing(self):
        make_subscribed_balances(3)
        run(at=month(1))

        with assert_nothing_written():
            run(at=month(1))

    def test_allocates_missed_periods(self):
        make_expiring_tier()
        lasting, gone = make_subscribed_balance(), make_subscribed_balance(tier="fleeting")

        output = run("--json", at=month(3))

        assert (periods_of(lasting), periods_of(gone)) == (
            [(1, 400), (2, 400), (3, 400)],
            [(1, 0), (2, 0), (3, 100)],
        )
        assert report(output) == {
            "at": month(3).isoformat(),
            "dryRun": False,
            "subscriptions": 2,
            "rejected": 0,
            "tiers": {
                "explorer": {"allocated": 3, "skipped": 0, "credits": 1200},
                "fleeting": {"allocated": 1, "skipped": 2, "credits": 100},
            },
        }
        check_ledger()

    def test_tier_option_limits_the_run(self):
        small, large = make_subscribed_balance(), make_subscribed_balance(tier="pro")

        run("--tier", "pro", at=month(1))

        assert (periods_of(small), periods_of(large)) == ([], [(1, 7000)])
        assert AllocationRun.objects.get().tier_id == "pro"

    def test_dry_run_and_run_apply_a_scheduled_change(self):
        balance, other = make_subscribed_balance(), make_subscribed_balance(tier="growth")
        update_subscription_tier(owner=balance.owner, tier="pro", effective="nextPeriod", at=month(1))

        with assert_nothing_written():
            ahead = run("--dry-run", "--json", at=month(3))
            of_the_new = run("--dry-run", "--json", "--tier", "pro", at=month(3))
        result = run("--json", at=month(3))

        assert report(ahead) == {**report(result), "dryRun": True}
        assert json.loads(of_the_new)["subscriptions"] == 1
        assert (periods_of(balance), periods_of(other)[-1]) == ([(1, 400), (2, 7000), (3, 7000)], (3, 2000))
        check_ledger()

    def test_dry_run_counts_and_allocates_nothing(self):
        make_subscribed_balances(3)

        with assert_nothing_written():
            ahead = run("--dry-run", "--json", "--chunk", "2", at=month(2))
        result = run("--json", at=month(2))

        assert report(ahead) == {**report(result), "dryRun": True}
        assert json.loads(result)["tiers"]["explorer"]["allocated"] == 6

    def test_records_the_run_and_its_results(self):
        balance = make_subscribed_balance()
        began = clock.now()

        result = json.loads(run("--json", at=month(2)))

        kept = AllocationRun.objects.get()
        assert result["runId"] == str(kept.pk)
        assert set(balance.allocations.values_list("transaction__request_id", flat=True)) == {result["runId"]}
        assert (kept.status, kept.at, kept.started_by) == ("done", month(2), "allocate_monthly_credits")
        assert (kept.allocated, kept.skipped, kept.rejected, kept.credits) == (2, 0, 0, 800)
        assert kept.finished_at is not None
        assert began <= kept.started_at <= kept.finished_at <= clock.now()
        assert {given.run_id for given in balance.allocations.all()} == {kept.pk}


@pytest.mark.django_db
class TestAllocateMonthlyCreditsRejects:
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
    def test_invalid_arguments(self, flags):
        make_subscribed_balance()

        with assert_nothing_written(), pytest.raises(CommandError) as stop:
            run(*flags)

        assert stop.value.returncode == 1

    @pytest.mark.parametrize("production", [True, False])
    def test_future_instant_needs_a_dry_run(self, settings, production):
        anchor = clock.now()
        make_subscribed_balance(at=anchor)
        settings.PRODUCTION = production

        with assert_nothing_written(), pytest.raises(CommandError, match="--dry-run"):
            run(at=month(1, anchor))
        with assert_nothing_written():
            ahead = run("--dry-run", "--json", at=month(1, anchor))

        assert json.loads(ahead)["subscriptions"] == 1


@pytest.mark.django_db(transaction=True)
class TestAllocateMonthlyCreditsWithLockedBalances:
    def test_locked_balances_are_left_to_the_next_run(self):
        balances = sorted(make_subscribed_balances(5), key=lambda balance: balance.pk)

        def hurried():
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = 50")
            errors = StringIO()
            with pytest.raises(CommandError) as stop:
                run("--jobs", "1", at=month(1), stderr=errors)
            return stop.value.returncode, errors.getvalue()

        with hold_lock(balances[2]):
            [(status, refusals)] = run_concurrently([hurried])
        first = [len(periods_of(balance)) for balance in balances]
        run(at=month(1))

        assert (status, first) == (2, [1, 1, 0, 1, 1])
        assert refusals == f"{balances[2].user}, balance {balances[2].pk}: busy\n"
        assert [len(periods_of(balance)) for balance in balances] == [1] * 5
        kept = AllocationRun.objects.earliest("started_at")
        assert (kept.status, kept.rejected, kept.rejections) == ("done", 1, [[str(balances[2].pk), "busy"]])
        check_ledger()
