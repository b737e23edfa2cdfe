"""A server under load, one of whose database connections falls silent for 75 seconds."""

import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from time import sleep
from urllib.parse import quote

import pytest
from django.db import connection

from credits.models import CreditBalance
from credits.verification import verify_balance
from fluxori.devtools.bench.load import Measured, Plan
from fluxori.devtools.demo import server
from fluxori.identity import tokens
from tests.support.factories.credits import make_balance
from tests.support.silent_proxy import SilentProxy

pytestmark = [pytest.mark.drill, pytest.mark.django_db(transaction=True)]

CONNECTIONS = 16
SILENT_SECONDS = 75


def run_load(port: int, access: list[str], seconds: float) -> Measured:
    plan = Plan(
        port=port,
        connections=CONNECTIONS,
        seconds=seconds,
        tokens=access,
        path="/api/credits/deduct",
        body=json.dumps({"amount": 1, "description": "Load"}),
        keys=True,
    )
    completed = subprocess.run(
        [sys.executable, "-m", "fluxori.devtools.bench.load"],
        input=json.dumps(asdict(plan)),
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds + 90,
    )
    assert completed.returncode == 0, completed.stderr
    return Measured(**json.loads(completed.stdout))


@pytest.fixture
def proxy():
    with tempfile.TemporaryDirectory(prefix="proxy") as folder:
        proxy = SilentProxy(Path(folder))
        yield proxy
        proxy.close()


class TestSilentConnectionUnderLoad:
    def test_deductions_on_other_connections_go_on(self, proxy, capfd):
        balances = [make_balance(grants=[(10**9, None)]) for _ in range(40)]
        access = [tokens.issue(user).access for balance in balances if (user := balance.user)]
        name, user = connection.settings_dict["NAME"], connection.settings_dict["USER"]
        environment = {
            "DATABASE_URL": f"postgresql://{user}@/{name}?host={quote(str(proxy.folder))}",
            "THROTTLE_USER": "1000000000",
        }
        port = server.free_port(None)

        with server.serving(port, environ=environment):
            run_load(port, access, 5)
            before = run_load(port, access, 15)
            with ThreadPoolExecutor(1) as pool:
                running = pool.submit(run_load, port, access, SILENT_SECONDS)
                sleep(3)
                proxy.silence_one()
                during = running.result()
            after = run_load(port, access, 15)

        with capfd.disabled():
            for label, measured in (("before", before), ("during", during), ("after", after)):
                print(f"\n{label}: {measured.rate:.0f}/s, others {measured.unexpected}", end="")  # noqa: T201
        assert set(during.unexpected) <= {"503"}, during.sample  # statuses are JSON keys
        assert sum(during.unexpected.values()) <= CONNECTIONS
        assert during.rate > 0.6 * before.rate
        assert after.unexpected == {}
        for balance in CreditBalance.objects.all():
            assert verify_balance(balance.pk).differences == ()
