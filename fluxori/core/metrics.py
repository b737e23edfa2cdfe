"""The metrics of the project: name, labels and buckets of each one. ``docs/reference/metrics.md`` lists them.

Names follow the conventions of Prometheus: base units, and ``_total`` for counters. Labels have few values: operations,
outcomes, codes and routes, never an id. Counters and histograms are counted in memory or, if PROMETHEUS_MULTIPROC_DIR
is set, in files that all worker processes of a server share. ``GAUGES`` are read from the database at each scrape; see
``fluxori.db.gauges``.
"""

import os
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.multiprocess import MultiProcessCollector

# The time at which each series began would double the number of series, and the shared files have none.
disable_created_metrics()  # type: ignore[no-untyped-call]

REGISTRY = CollectorRegistry()

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

http_request_seconds = Histogram(
    "fluxori_http_request_duration_seconds",
    "Duration of HTTP requests.",
    ["method", "route", "status"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
http_problems = Counter(
    "fluxori_http_problems_total",
    "Error responses of the API, by the code of the problem.",
    ["code"],
    registry=REGISTRY,
)
operation_seconds = Histogram(
    "fluxori_operation_duration_seconds",
    "Duration of operations, over HTTP and from Python: success, refused, busy or error.",
    ["operation", "outcome"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
operation_refusals = Counter(
    "fluxori_operation_refusals_total",
    "Requests that an operation refused, by the code of the error.",
    ["operation", "code"],
    registry=REGISTRY,
)
group_commit_requests = Histogram(
    "fluxori_group_commit_requests",
    "Requests that shared one transaction.",
    buckets=(1, 2, 4, 8, 16, 32, 64),
    registry=REGISTRY,
)
group_commit_wait_seconds = Histogram(
    "fluxori_group_commit_wait_seconds",
    "Time that a request waited in a queue of this process for earlier ones.",
    buckets=_SECONDS,
    registry=REGISTRY,
)
group_commit_rejections = Counter(
    "fluxori_group_commit_rejections_total",
    "Requests refused by a queue: queue_full (OPERATION_QUEUE_LIMIT), or wait_timeout (LOCK_TIMEOUT_MS).",
    ["reason"],
    registry=REGISTRY,
)
lock_wait_seconds = Histogram(
    "fluxori_lock_wait_seconds",
    "Duration of the statements that lock balances and may wait for other transactions.",
    buckets=_SECONDS,
    registry=REGISTRY,
)
transaction_retries = Counter(
    "fluxori_transaction_retries_total",
    "Transactions that were run again, after a deadlock or a serialization_failure.",
    ["reason"],
    registry=REGISTRY,
)

# A counter that first appears with the value 1 has no increase that a rule could see, so these exist from the start.
for _reason in ("queue_full", "wait_timeout"):
    group_commit_rejections.labels(_reason)
for _reason in ("deadlock", "serialization_failure"):
    transaction_retries.labels(_reason)

COUNTED = (
    http_request_seconds,
    http_problems,
    operation_seconds,
    operation_refusals,
    group_commit_requests,
    group_commit_wait_seconds,
    group_commit_rejections,
    lock_wait_seconds,
    transaction_retries,
)


@dataclass(frozen=True, slots=True)
class Gauge:
    """A gauge that is read from the database at each scrape, and not kept in memory."""

    name: str
    help: str
    labels: tuple[str, ...] = ()


gauges_up = Gauge("fluxori_database_gauges_up", "1 if every gauge was read from the database in time, otherwise 0.")
allocation_lag_seconds = Gauge(
    "fluxori_allocation_lag_seconds", "How long the oldest due monthly allocation has been due; 0 if none is."
)
last_aggregation = Gauge(
    "fluxori_last_aggregation_timestamp_seconds",
    "Start of the last complete run of aggregate_usage, in seconds since 1970; 0 before the first run.",
)
last_verification = Gauge(
    "fluxori_last_verification_timestamp_seconds",
    "End of the last run of verify_ledger over all balances without differences, in seconds since 1970; 0 if none.",
)
verification_differences = Gauge(
    "fluxori_last_verification_differences",
    "Differences that the last run of verify_ledger over all balances found; 0 before the first run.",
)
job_last_success = Gauge(
    "fluxori_job_last_success_timestamp_seconds",
    "End of the last success of a periodic job of the worker, or its first start if it has not succeeded yet.",
    ("job_name",),
)
job_interval_seconds = Gauge(
    "fluxori_job_interval_seconds", "Time between two runs of a periodic job of the worker.", ("job_name",)
)
database_connections = Gauge(
    "fluxori_database_connections",
    "Connections of this role to this database, by state: active, idle, idle_in_transaction or other.",
    ("state",),
)
server_connections = Gauge(
    "fluxori_database_server_connections", "Connections to all databases of the server, of all roles."
)
server_connections_limit = Gauge(
    "fluxori_database_server_connections_limit",
    "Connections that the server accepts: max_connections without those that are reserved.",
)

GAUGES = (
    gauges_up,
    allocation_lag_seconds,
    last_aggregation,
    last_verification,
    verification_differences,
    job_last_success,
    job_interval_seconds,
    database_connections,
    server_connections,
    server_connections_limit,
)


def scrape_registry() -> CollectorRegistry:
    """Return a registry with the counters and histograms of all processes of this server, to which a scrape may add."""
    registry = CollectorRegistry()
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    else:
        for metric in COUNTED:
            registry.register(metric)
    return registry
