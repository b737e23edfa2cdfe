"""The servers of the application: what happens to requests while workers are killed, reloaded, stopped and blocked."""

import os
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep
from urllib.error import HTTPError

import pytest
from django.db import connection, transaction

from credits.models import CreditBalance, CreditTransaction
from fluxori.core import metrics
from fluxori.devtools.demo.server import GRANIAN, GUNICORN
from fluxori.identity import tokens
from fluxori.server import THREADS
from tests.support.factories.credits import make_balance
from tests.support.servers import PATIENCE, RunningServer, free_port, serving, start
from tests.support.threads import wait_until

BOTH = [GRANIAN, GUNICORN]


def make_spender():
    """Return a user's balance with many credits and an access token of the user."""
    balance = make_balance(grants=[(10**6, None)])
    assert balance.user
    return balance, tokens.issue(balance.user).access


class Load:
    """Deductions one after another from several threads while the block runs, with the statuses of the responses.

    A connection that is closed without a response is retried once with the same key, as a proxy or a client does. The
    server may close a connection whose request it has not begun to read.
    """

    def __init__(self, server: RunningServer, access: str, threads: int = 4) -> None:
        self.statuses: list[int] = []
        self.retries = 0
        self._server, self._access, self._end = server, access, threading.Event()
        self.threads = [threading.Thread(target=self._run, args=[number]) for number in range(threads)]

    def _run(self, thread: int) -> None:
        number = 0
        while not self._end.is_set():
            number += 1
            status = self._server.deduct(self._access, key=f"{thread}-{number}")
            if status == 0:
                self.retries += 1
                status = self._server.deduct(self._access, key=f"{thread}-{number}")
            self.statuses.append(status)

    def __enter__(self) -> "Load":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self.threads:
            thread.join()


class TestMetrics:
    def test_have_no_gauge_that_belongs_to_a_live_process(self):
        """The files of a worker that has ended need no clean-up: their counters remain."""
        assert {type(metric).__name__ for metric in metrics.COUNTED} == {"Counter", "Histogram"}


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
class TestServer:
    """One server of each kind for several rules: a start takes seconds."""

    @pytest.mark.parametrize("name", BOTH)
    def test_sums_metrics_replaces_a_killed_worker_and_finishes_requests_when_it_stops(self, name, tmp_path):
        balance, access = make_spender()
        (tmp_path / "counter_1.db").write_bytes(b"of an earlier server")
        with serving(name, tmp_path) as server:
            assert not (tmp_path / "counter_1.db").exists()
            self.sums_the_requests_of_all_workers(server)
            self.refuses_a_wrong_token(server)
            self.replaces_a_killed_worker(server, access)
            self.finishes_requests_under_way_when_it_stops(server, balance, access)
        assert server.process.returncode == 0
        assert CreditTransaction.objects.filter(type="usage").count() == 5

    @pytest.mark.parametrize("name", BOTH)
    def test_reload_serves_every_request(self, name):
        _, access = make_spender()
        with serving(name, WEB_CONCURRENCY="1", WEB_RELOAD_SECONDS="6") as server:
            before = server.workers()
            with Load(server, access) as load:
                sleep(0.3)
                server.send(signal.SIGHUP)
                wait_until(lambda: server.workers() and server.workers().isdisjoint(before), PATIENCE)
        assert set(load.statuses) == {200}
        assert load.retries <= 2 * len(load.threads)
        assert CreditTransaction.objects.filter(type="usage").count() == len(load.statuses)

    def sums_the_requests_of_all_workers(self, server):
        for _ in range(20):
            assert server.status("/api/me") == 401
        assert server.metrics().count('route="/api/me",status="401"') > 0
        [number] = [
            float(line.split()[-1])
            for line in server.metrics().splitlines()
            if line.startswith("fluxori_http_request_duration_seconds_count") and 'route="/api/me"' in line
        ]
        assert number == 20

    def refuses_a_wrong_token(self, server):
        with pytest.raises(HTTPError) as error:
            server.metrics("wrong")
        assert error.value.code == 401

    def replaces_a_killed_worker(self, server, access):
        before = server.workers()
        assert len(before) == 2
        os.kill(min(before), signal.SIGKILL)
        wait_until(lambda: len(server.workers() - {min(before)}) == 2, PATIENCE)
        wait_until(lambda: server.deduct(access, key="after the kill") == 200, PATIENCE)

    def finishes_requests_under_way_when_it_stops(self, server, balance, access):
        with ThreadPoolExecutor(4) as pool:
            with transaction.atomic():
                CreditBalance.objects.select_for_update().get(pk=balance.pk)
                under_way = [pool.submit(server.deduct, access, key=f"stop {number}") for number in range(4)]
                wait_until(lambda: waiting_for_locks() > 0, PATIENCE)
                sleep(0.2)
                server.send(signal.SIGTERM)
                sleep(0.5)
            assert [each.result() for each in under_way] == [200] * 4


def waiting_for_locks() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        [number] = cursor.fetchone()
    return int(number)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
class TestBlockedServer:
    def test_granian_responds_to_the_liveness_probe_and_holds_no_thread_for_slow_headers(self):
        balance, access = make_spender()
        with serving(GRANIAN, WEB_CONCURRENCY="1", LOCK_TIMEOUT_MS="20000") as server:
            slow_clients = [server.raw(b"GET /api/me HTTP/1.1\r\nHost: a") for _ in range(3 * THREADS)]
            assert server.deduct(access, timeout=5) == 200
            self.is_alive_while_all_threads_wait(server, balance, access)
            [each.close() for each in slow_clients]
            self.serves_others_while_bodies_arrive_slowly(server, access)

    def is_alive_while_all_threads_wait(self, server, balance, access):
        with ThreadPoolExecutor(2 * THREADS) as pool:
            with transaction.atomic():
                CreditBalance.objects.select_for_update().get(pk=balance.pk)
                blocked = [pool.submit(server.deduct, access, key=f"b {n}") for n in range(2 * THREADS)]
                wait_until(lambda: waiting_for_locks() > 0, PATIENCE)
                sleep(0.5)
                assert server.status("/api/me", timeout=0.5) == 0
                started = monotonic()
                assert server.status("/health/live", timeout=5) == 200
                assert monotonic() - started < 1
            assert {each.result() for each in blocked} == {200}

    def serves_others_while_bodies_arrive_slowly(self, server, access):
        """Each such client holds a thread, as with gunicorn: the proxy in front buffers bodies."""
        head = f"POST /api/credits/deduct HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {access}\r\n"
        head += "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        clients = [server.raw(head.encode()) for _ in range(THREADS - 1)]
        for _ in range(2):
            assert server.deduct(access, timeout=5) == 200
            [client.sendall(b" ") for client in clients]
        [client.close() for client in clients]
        assert server.deduct(access, timeout=5) == 200


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
class TestStart:
    def errors(self, name: str, **environment: str) -> list[str]:
        """Return the lines that the server writes before it ends, without those of gunicorn itself."""
        server = start(name, free_port(), **environment)
        try:
            _, errors = server.communicate(timeout=PATIENCE)
        finally:
            server.kill()
        assert server.returncode != 0
        return [line for line in errors.splitlines() if not line.startswith("[")]

    @pytest.mark.parametrize("name", BOTH)
    def test_reports_all_errors_of_the_settings_in_one_line(self, name, tmp_path):
        [line] = self.errors(name, PROMETHEUS_MULTIPROC_DIR=str(tmp_path), THROTTLE_USER="many", LOG_LEVEL="loud")

        assert line.startswith("The environment is not valid: ")
        assert "THROTTLE_USER" in line
        assert "LOG_LEVEL" in line

    def test_reports_a_folder_that_cannot_be_written_in_one_line(self, tmp_path):
        (tmp_path / "file").touch()

        [line] = self.errors(GRANIAN, PROMETHEUS_MULTIPROC_DIR=str(tmp_path / "file"))

        assert line.startswith("PROMETHEUS_MULTIPROC_DIR cannot be used: ")

    def test_reports_that_the_folder_is_missing_in_one_line(self):
        [line] = self.errors(GRANIAN)

        assert line.startswith("METRICS_TOKEN requires PROMETHEUS_MULTIPROC_DIR")

    def test_reports_an_invalid_number_of_threads_in_one_line(self, tmp_path):
        [line] = self.errors(GRANIAN, PROMETHEUS_MULTIPROC_DIR=str(tmp_path), WEB_THREADS="none")

        assert line == "WEB_THREADS must be a whole number of at least 1, not 'none'."

    def test_reports_a_port_that_is_in_use_in_one_line(self, tmp_path):
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            server = start(GRANIAN, port, PROMETHEUS_MULTIPROC_DIR=str(tmp_path))
            _, errors = server.communicate(timeout=PATIENCE)

        assert server.returncode == 1
        assert errors == f"Cannot listen on 127.0.0.1:{port}: Address already in use.\n"
