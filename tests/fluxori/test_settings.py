import json
import os
import subprocess
import sys

import pytest

VALID = {
    "ENVIRONMENT": "production",
    "SECRET_KEY": "k3y-x" * 10,
    "ALLOWED_HOSTS": "credits.example",
    "DATABASE_URL": "postgres://db.example/credits",
}

# Imports everything that the application server imports, and prints the installed apps and all loaded modules.
LOAD_APPLICATION = """
import json, sys
import fluxori.wsgi, fluxori.urls
from django.conf import settings
print(json.dumps({"apps": settings.INSTALLED_APPS, "modules": list(sys.modules)}))
"""


def run_python(code="import fluxori.settings", **environment):
    """Run the code in a new process that has only these environment variables."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


class TestSettings:
    def test_require_nothing_in_development(self):
        assert run_python().returncode == 0

    def test_are_valid_in_production_with_the_required_variables(self):
        assert run_python(**VALID).returncode == 0

    def test_report_all_missing_variables_in_production(self):
        completed = run_python(ENVIRONMENT="production", THROTTLE_USER="many")

        assert completed.returncode != 0
        for name in ("SECRET_KEY", "ALLOWED_HOSTS", "DATABASE_URL", "THROTTLE_USER"):
            assert f"{name} " in completed.stderr

    @pytest.mark.parametrize(
        ("variables", "message"),
        [
            ({"SECRET_KEY": "short"}, "SECRET_KEY must be a random text of at least 50 characters"),
            ({"DEBUG": "on"}, "DEBUG must be off"),
            ({"METRICS_TOKEN": "short"}, "METRICS_TOKEN must be a random text of at least 32 characters"),
            ({"PROMETHEUS_MULTIPROC_DIR": "/nonexistent"}, "PROMETHEUS_MULTIPROC_DIR must be a folder"),
            ({"OIDC_ISSUER": "https://login.partner.example"}, "belong together"),
        ],
    )
    def test_reject_unsafe_or_incomplete_values_in_production(self, variables, message):
        completed = run_python(**{**VALID, **variables})

        assert completed.returncode != 0
        assert message in completed.stderr


@pytest.mark.slow
class TestDevelopmentTools:
    def test_are_neither_installed_nor_imported_in_production(self):
        completed = run_python(LOAD_APPLICATION, **VALID)

        assert completed.returncode == 0, completed.stderr
        loaded = json.loads(completed.stdout)
        assert "fluxori.console" in loaded["apps"]
        assert [name for name in loaded["apps"] + loaded["modules"] if "devtools" in name] == []

    def test_are_installed_in_development(self):
        completed = run_python(LOAD_APPLICATION)

        apps = json.loads(completed.stdout)["apps"]
        assert {"fluxori.devtools.bench", "fluxori.devtools.demo"} <= set(apps)
