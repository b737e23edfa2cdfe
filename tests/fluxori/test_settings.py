import os
import subprocess
import sys

import pytest

ENOUGH = {
    "ENVIRONMENT": "production",
    "SECRET_KEY": "x" * 50,
    "ALLOWED_HOSTS": "credits.example",
    "DATABASE_URL": "postgres://db.example/credits",
}


def start(**environment):
    """Read the settings in a process of their own and return what it says."""
    return subprocess.run(
        [sys.executable, "-c", "import fluxori.settings"],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


class TestSettings:
    def test_need_nothing_in_development(self):
        assert start().returncode == 0

    def test_start_in_production_with_what_they_require(self):
        assert start(**ENOUGH).returncode == 0

    def test_list_everything_that_is_missing_in_production(self):
        refused = start(ENVIRONMENT="production", THROTTLE_USER="many")

        assert refused.returncode != 0
        for name in ("SECRET_KEY", "ALLOWED_HOSTS", "DATABASE_URL", "THROTTLE_USER"):
            assert f"- {name}" in refused.stderr

    @pytest.mark.parametrize(
        ("wrong", "told"),
        [
            ({"SECRET_KEY": "short"}, "SECRET_KEY must have at least 50 characters"),
            ({"DEBUG": "on"}, "DEBUG must be off"),
            ({"OIDC_ISSUER": "https://login.partner.example"}, "belong together"),
        ],
    )
    def test_refuse_to_start_half_configured(self, wrong, told):
        refused = start(**{**ENOUGH, **wrong})

        assert refused.returncode != 0
        assert told in refused.stderr
