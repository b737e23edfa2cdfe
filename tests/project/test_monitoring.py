"""Alert rules, dashboard, runbook and reference name the metrics of the code. Every alert fires by its cause."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from fluxori.core import metrics

PROJECT = Path(__file__).parents[2]
ALERTS = PROJECT / "deploy/prometheus/alerts.yml"
ALERT_TESTS = PROJECT / "deploy/prometheus/alerts_test.yml"
DASHBOARD = PROJECT / "deploy/grafana/dashboard.json"
RUNBOOK = PROJECT / "docs/how-to/monitor.md"
REFERENCE = PROJECT / "docs/reference/metrics.md"

RULES = {rule["alert"]: rule for rule in yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]}
EXPRESSIONS = [rule["expr"] for rule in RULES.values()] + [
    target["expr"] for panel in json.loads(DASHBOARD.read_text())["panels"] for target in panel["targets"]
]
# Added by Prometheus to every series: of the target, and the bound of a bucket.
PROMETHEUS_LABELS = {"instance", "job", "le"}
SUFFIX = re.compile(r"_(bucket|count|sum)$")

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (package prometheus)"
)


def labels_by_metric() -> dict[str, tuple[str, ...]]:
    """Return the labels of every metric of the code, by the name that a query uses without a suffix of histograms."""
    counted = {
        f"{metric._name}_total" if metric._type == "counter" else metric._name: tuple(metric._labelnames)
        for metric in metrics.COUNTED
    }
    return counted | {gauge.name: gauge.labels for gauge in metrics.GAUGES}


def types_by_metric() -> dict[str, str]:
    names = list(labels_by_metric())
    kinds = [metric._type for metric in metrics.COUNTED] + ["gauge"] * len(metrics.GAUGES)
    return dict(zip(names, kinds, strict=True))


def run_promtool(*arguments: str | Path) -> None:
    run = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr


class TestExpressions:
    @pytest.mark.parametrize("expression", EXPRESSIONS)
    def test_name_only_metrics_and_labels_of_the_code(self, expression):
        labels = labels_by_metric()

        names = re.findall(r"\bfluxori_\w+", expression)
        used = re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"', expression)
        used += [name for group in re.findall(r"by \(([^)]*)\)", expression) for name in group.split(", ")]

        assert [name for name in names if name not in labels and SUFFIX.sub("", name) not in labels] == []
        known = {label for name in names for label in labels.get(SUFFIX.sub("", name), labels.get(name, ()))}
        assert set(used) - known - PROMETHEUS_LABELS == set()

    def test_use_every_metric(self):
        text = "\n".join(EXPRESSIONS)

        assert [name for name in labels_by_metric() if name not in text] == []

    @needs_promtool
    def test_of_the_dashboard_are_valid(self, tmp_path):
        rules = [
            {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "5m")}
            for number, expression in enumerate(EXPRESSIONS)
        ]
        file = tmp_path / "rules.yml"
        file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))

        run_promtool("check", "rules", file)


class TestAlerts:
    def test_have_tests(self):
        tested = set(re.findall(r"^ +alertname: (\w+)$", ALERT_TESTS.read_text(), re.MULTILINE))

        assert tested == set(RULES)

    @needs_promtool
    def test_are_valid(self):
        run_promtool("check", "rules", ALERTS)

    @needs_promtool
    def test_fire_by_their_cause_and_are_silent_before(self):
        run_promtool("test", "rules", ALERT_TESTS)

    @pytest.mark.parametrize("alert", RULES)
    def test_have_an_entry_in_the_runbook(self, alert):
        page, anchor = RULES[alert]["annotations"]["runbook_url"].split("#")

        assert (PROJECT / page, anchor) == (RUNBOOK, alert.lower())
        assert f"\n### {alert}\n" in RUNBOOK.read_text()

    def test_are_the_only_entries_of_the_runbook(self):
        entries = re.findall(r"^### (Fluxori\w+)$", RUNBOOK.read_text(), re.MULTILINE)

        assert entries == list(RULES)


class TestReference:
    def test_lists_name_type_and_labels_of_every_metric(self):
        rows = re.findall(r"^\| `(fluxori_\w+)` \| (\w+) \|(.*?)\|", REFERENCE.read_text(), re.MULTILINE)

        types = types_by_metric()
        assert {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows} == {
            name: (types[name], labels) for name, labels in labels_by_metric().items()
        }


class TestNames:
    @pytest.mark.parametrize(("name", "kind"), types_by_metric().items())
    def test_follow_the_conventions_of_prometheus(self, name, kind):
        assert re.fullmatch(r"fluxori_[a-z_]+", name)
        assert name.endswith("_total") == (kind == "counter")
        assert not re.search(r"_(ms|milliseconds|minutes|hours|kb|percent)(_|$)", name)

    @pytest.mark.parametrize("labels", labels_by_metric().values())
    def test_of_labels_are_those_with_few_values(self, labels):
        assert set(labels) <= {
            "code",
            "job_name",
            "method",
            "operation",
            "outcome",
            "reason",
            "route",
            "state",
            "status",
        }
