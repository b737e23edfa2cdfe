"""The endpoint of the metrics, for Prometheus, protected by a token of its own: METRICS_TOKEN."""

from collections.abc import Iterable
from secrets import compare_digest

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from fluxori.api.problems import generic_problem, to_response
from fluxori.core.metrics import Gauge, scrape_registry
from fluxori.db import gauges


class _DatabaseGauges(Collector):
    def collect(self) -> Iterable[Metric]:
        families: dict[Gauge, GaugeMetricFamily] = {}
        for gauge, labels, value in gauges.read():
            if gauge not in families:
                families[gauge] = GaugeMetricFamily(gauge.name, gauge.help, labels=gauge.labels)
            families[gauge].add_metric(labels, value)
        return families.values()

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the registry would call ``collect`` otherwise, when the collector is registered."""
        return ()


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Return all metrics in the text format of Prometheus.

    The response is 404 if METRICS_TOKEN is not set, and 401 without the header ``Authorization: Bearer METRICS_TOKEN``.
    """
    if not settings.METRICS_TOKEN:
        return to_response(request, generic_problem(404, "not_found", "This path does not exist."))
    scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    is_valid = compare_digest(token.strip().encode(), settings.METRICS_TOKEN.encode())
    if scheme.lower() != "bearer" or not is_valid:
        return to_response(request, generic_problem(401, "token_not_valid", "The token is not the one of the metrics."))
    registry = scrape_registry()
    registry.register(_DatabaseGauges())
    return HttpResponse(generate_latest(registry), CONTENT_TYPE_LATEST)
