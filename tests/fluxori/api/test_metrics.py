from datetime import timedelta
from threading import Event
from time import monotonic

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from prometheus_client.parser import text_string_to_metric_families

from credits import operations
from fluxori.core import clock, metrics
from fluxori.db import gauges
from fluxori.jobs.models import PeriodicJob, success_recorded
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.times import NOON
from tiers import operations as tiers

TOKEN = "a token of more than thirty-two characters"


@pytest.fixture
def scrape(api, settings):
    """Return a function that reads the metrics with the token: values by name and labels."""
    settings.METRICS_TOKEN = TOKEN

    def read():
        response = api().get("/metrics", headers={"authorization": f"Bearer {TOKEN}"})
        assert response.status_code == 200
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(response.content.decode())
            for sample in family.samples
        }

    return read


class TestToken:
    def test_is_required_by_the_settings_for_the_path_to_exist(self, api, settings):
        settings.METRICS_TOKEN = ""

        response = api().get("/metrics", headers={"authorization": "Bearer "})

        assert (response.status_code, response.json()["code"]) == (404, "not_found")

    @pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x"])
    def test_is_required_of_every_request(self, api, settings, header):
        settings.METRICS_TOKEN = TOKEN

        response = api().get("/metrics", headers={"authorization": header})

        assert (response.status_code, response["WWW-Authenticate"]) == (401, "Bearer")

    def test_of_a_user_is_not_accepted(self, api, settings, db):
        settings.METRICS_TOKEN = TOKEN

        assert api(make_user()).get("/metrics").status_code == 401


@pytest.mark.django_db(transaction=True)
class TestGauges:
    def test_are_0_before_the_first_run_of_a_command(self, scrape):
        values = scrape()

        assert values["fluxori_database_gauges_up",] == 1
        assert values["fluxori_last_aggregation_timestamp_seconds",] == 0
        assert values["fluxori_last_verification_timestamp_seconds",] == 0
        assert values["fluxori_last_verification_differences",] == 0
        assert values["fluxori_allocation_lag_seconds",] == 0

    def test_have_the_start_of_the_last_aggregation(self, scrape):
        before = clock.now().timestamp()
        call_command("aggregate_usage", "--json")

        assert before <= scrape()["fluxori_last_aggregation_timestamp_seconds",] <= clock.now().timestamp()

    def test_have_the_end_of_the_last_verification(self, scrape):
        make_balance()
        before = clock.now().timestamp()
        call_command("verify_ledger", "--json")

        assert before <= scrape()["fluxori_last_verification_timestamp_seconds",] <= clock.now().timestamp()

    def test_do_not_count_the_verification_of_one_balance(self, scrape):
        call_command("verify_ledger", "--json", "--balance", str(make_balance().pk))

        assert scrape()["fluxori_last_verification_timestamp_seconds",] == 0

    def test_keep_the_last_success_and_have_the_differences_of_a_failure(self, scrape):
        balance = make_balance()
        call_command("verify_ledger", "--json")
        succeeded_at = scrape()["fluxori_last_verification_timestamp_seconds",]
        with connection.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")
            cursor.execute("UPDATE credits_creditbalance SET balance = balance + 1 WHERE id = %s", [balance.pk])
            cursor.execute("SET session_replication_role = origin")

        with pytest.raises(CommandError):
            call_command("verify_ledger", "--json")

        values = scrape()
        assert values["fluxori_last_verification_differences",] >= 1
        assert values["fluxori_last_verification_timestamp_seconds",] == succeeded_at

    def test_have_the_time_since_the_oldest_allocation_became_due(self, scrape):
        joined_at = clock.now() - timedelta(days=40)
        tiers.initialize_balance(owner=make_user(), tier="explorer", at=joined_at)

        lag = scrape()["fluxori_allocation_lag_seconds",]

        assert timedelta(days=8).total_seconds() < lag < timedelta(days=13).total_seconds()
        call_command("allocate_monthly_credits", "--json")
        assert scrape()["fluxori_allocation_lag_seconds",] == 0

    def test_have_the_last_success_and_the_interval_of_each_periodic_job(self, scrape):
        begun_at = clock.now()
        PeriodicJob.objects.create(name="verify_ledger", first_run_at=begun_at - timedelta(days=3))
        with success_recorded("clearsessions"):
            pass

        values = scrape()

        name = "fluxori_job_last_success_timestamp_seconds"
        assert begun_at.timestamp() <= values[name, "clearsessions"] <= clock.now().timestamp()
        assert values[name, "verify_ledger"] == (begun_at - timedelta(days=3)).timestamp()
        assert values["fluxori_job_interval_seconds", "verify_ledger"] == 86_400
        assert (name, "expire_credits") not in values

    def test_have_the_connections_in_use(self, scrape):
        values = scrape()

        assert values["fluxori_database_connections", "active"] >= 1
        assert (
            1 <= values["fluxori_database_server_connections",] < values["fluxori_database_server_connections_limit",]
        )


@pytest.mark.django_db(transaction=True)
class TestUnavailableDatabase:
    def test_leaves_the_counters_and_reports_that_the_gauges_are_missing(self, scrape, monkeypatch):
        monkeypatch.setitem(connection.settings_dict, "HOST", "/nonexistent")

        values = scrape()

        assert values["fluxori_database_gauges_up",] == 0
        assert ("fluxori_allocation_lag_seconds",) not in values
        assert ("fluxori_transaction_retries_total", "deadlock") in values

    def test_that_does_not_answer_is_left_after_a_short_time(self, scrape, monkeypatch):
        monkeypatch.setattr(gauges, "_readers", [lambda cursor: cursor.execute("SELECT pg_sleep(30)") or ()])
        started = monotonic()

        assert scrape()["fluxori_database_gauges_up",] == 0

        assert monotonic() - started < gauges.DEADLINE_SECONDS + 2

    def test_that_still_hangs_does_not_delay_the_next_scrape(self, scrape, monkeypatch):
        answers = Event()
        monkeypatch.setattr(gauges, "_readers", [lambda cursor: [(metrics.gauges_up, (), 1)][answers.wait(30) :]])
        monkeypatch.setattr(gauges, "DEADLINE_SECONDS", 1)
        try:
            assert scrape()["fluxori_database_gauges_up",] == 0
            started = monotonic()

            assert scrape()["fluxori_database_gauges_up",] == 0

            assert monotonic() - started < 1
        finally:
            answers.set()
            assert gauges._running
            gauges._running.join()
        assert scrape()["fluxori_database_gauges_up",] == 1


@pytest.mark.django_db
class TestRequests:
    def test_are_measured_by_method_route_and_status(self, api):
        labels = {"method": "GET", "route": "/api/credits/transactions/<uuid:transaction_id>", "status": "404"}
        before = metrics.REGISTRY.get_sample_value("fluxori_http_request_duration_seconds_count", labels) or 0

        api(make_user()).get(f"/api/credits/transactions/{make_user().pk}")

        assert metrics.REGISTRY.get_sample_value("fluxori_http_request_duration_seconds_count", labels) == before + 1

    @pytest.mark.parametrize(
        ("path", "route"),
        [
            ("/api/nothing/here", "other"),
            ("/nothing", "other"),
            ("/admin/login/", "/admin"),
            ("/health/live", "/health/live"),
        ],
    )
    def test_have_few_routes(self, api, path, route):
        def count():
            return sum(
                sample.value
                for sample in next(iter(metrics.http_request_seconds.collect())).samples
                if sample.name.endswith("_count") and sample.labels["route"] == route
            )

        before = count()
        api().get(path)

        assert count() == before + 1

    def test_that_are_refused_are_counted_by_code(self, api):
        balance = make_balance(grants=[(10, None)], at=NOON)
        name, labels = "fluxori_http_problems_total", {"code": "insufficient_credits"}
        before = metrics.REGISTRY.get_sample_value(name, labels) or 0

        response = api(balance.user).post("/api/credits/deduct", {"amount": 11, "description": "Too much"})

        assert response.status_code == 402
        assert metrics.REGISTRY.get_sample_value(name, labels) == before + 1


def test_the_text_has_a_help_line_and_a_type_for_each_metric(api, settings, transactional_db):
    PeriodicJob.objects.create(name="verify_ledger", first_run_at=clock.now())
    settings.METRICS_TOKEN = TOKEN
    deduct(make_balance(), 1)
    operations.add_credits(owner=make_user(), amount=1, type="promotion")

    text = api().get("/metrics", headers={"authorization": f"Bearer {TOKEN}"}).content.decode()

    for name in [family.name for metric in metrics.COUNTED for family in metric.collect()]:
        assert f"# HELP {name}" in text
    for gauge in metrics.GAUGES:
        assert f"# TYPE {gauge.name} gauge" in text
