"""A small project in its own folder, with the real ``manage.py`` and embedded PostgreSQL, and processes that use it.

Child processes start with default signal dispositions (``reset_signals``), because a test run in the background of a
shell ignores SIGINT, and children inherit that.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self
from urllib.request import urlopen

from fluxori.devtools.embedded_postgres import provision
from fluxori.devtools.embedded_postgres.cluster import Cluster

REAL = Path(__file__).resolve().parents[2]

# The environment of a user's shell: without the variables that the running tests have set.
SHELL = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("DATABASE_URL", "FLUXORI_", "DJANGO_", "PYTEST_", "PG"))
}

SETTINGS = """
import os
from fluxori.env import Reader
SECRET_KEY = "none"
ROOT_URLCONF = "fluxori.urls"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.staticfiles"]
STATIC_URL = "static/"
PLACEHOLDER = {"ENGINE": "django.db.backends.postgresql", "NAME": "fluxori"}
DATABASES = {"default": Reader(os.environ).database("DATABASE_URL", PLACEHOLDER)}
PREPARED_STATEMENTS = True
USE_TZ = True
"""

URLS = """
from django.db import connection
from django.http import HttpResponse
from django.urls import path

def start_time(request):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_postmaster_start_time()")
        return HttpResponse(f"first {cursor.fetchone()[0].isoformat()}")

urlpatterns = [path("", start_time)]
"""

# Uses the database until its standard input ends. Prints one line for each query it reads: the first column.
CLIENT = """
import os, signal, sys
from pathlib import Path
from fluxori.devtools.embedded_postgres import provide
# A handler, because an ignored signal would also be ignored in the programs that provide() starts.
signal.signal(signal.SIGINT, lambda *_: None)
provide(sys.argv[1], Path(sys.argv[2]))
import psycopg
connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
print(os.environ["DATABASE_URL"], flush=True)
for line in sys.stdin:
    cursor = connection.execute(line)
    print(cursor.fetchone()[0] if cursor.description else "done", flush=True)
"""


def reset_signals() -> None:
    """Restore the default signal dispositions; for ``preexec_fn``.

    A shell without job control starts background commands with SIGINT and SIGQUIT ignored, and ``nohup`` SIGHUP.
    Child processes inherit ignored signals.
    """
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


class Client:
    """A process that uses an embedded server: by default that of the tests, which is created faster."""

    def __init__(self, project: Path, purpose: str = "test", **environment: str) -> None:
        self.process: subprocess.Popen[str] = subprocess.Popen(
            [sys.executable, "-c", CLIENT, purpose, str(project)],
            env={**SHELL, "PYTHONPATH": str(REAL), **environment},
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
            preexec_fn=reset_signals,
        )
        self._url = ""

    @property
    def url(self) -> str:
        """Wait until the process is connected, and return its ``DATABASE_URL``."""
        self._url = self._url or self._read_line()
        return self._url

    def query(self, sql: str) -> str:
        assert self.url
        assert self.process.stdin is not None
        self.process.stdin.write(sql + "\n")
        self.process.stdin.flush()
        return self._read_line()

    def close(self) -> None:
        """End the process normally."""
        _, errors = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, errors

    def fail(self) -> str:
        """Wait until the process has failed, and return its error output."""
        _, errors = self.process.communicate(timeout=60)
        assert self.process.returncode != 0
        return errors

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def press_ctrl_c(self) -> None:
        os.killpg(self.process.pid, signal.SIGINT)

    def _read_line(self) -> str:
        assert self.process.stdout is not None
        line: str = self.process.stdout.readline().strip()
        if not line:
            raise AssertionError(self.process.communicate()[1])
        return line

    def __enter__(self) -> Self:
        assert self.url
        return self

    def __exit__(self, *raised: object) -> None:
        if self.process.poll() is None:
            self.close()


def write_project(folder: Path) -> None:
    """Write a project whose ``manage.py`` and development tools are the real ones."""
    tools = ("bootstrap", "former_schema", "pytest_plugin")
    for name in ("manage.py", "fluxori/env.py", *(f"fluxori/devtools/{tool}.py" for tool in tools)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REAL / name, folder / name)
    package = "fluxori/devtools/embedded_postgres"
    shutil.copytree(REAL / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("fluxori", "fluxori/devtools"):
        (folder / name / "__init__.py").touch()
    (folder / "fluxori/settings.py").write_text(SETTINGS)
    (folder / "fluxori/urls.py").write_text(URLS)
    (folder / "requirements.lock").touch()
    (folder / "pyproject.toml").write_text(
        "[project]\ndependencies = []\n[tool.pytest.ini_options]\n"
        'DJANGO_SETTINGS_MODULE = "fluxori.settings"\npythonpath = ["."]\ntestpaths = ["tests"]\n'
        'addopts = "-p fluxori.devtools.pytest_plugin -p no:cacheprovider"\n'
    )


def manage(project: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``manage.py`` of the project as a user does, with the Python that runs the tests."""
    return subprocess.run(
        [sys.executable, str(project / "manage.py"), *arguments],
        check=False,
        capture_output=True,
        text=True,
        env={**SHELL, **environment},
        cwd=project,
        timeout=120,
        preexec_fn=reset_signals,
    )


@contextmanager
def running(project: Path, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run ``manage.py`` of the project in its own process group while the block runs, then kill the group."""
    process = subprocess.Popen(
        [sys.executable, str(project / "manage.py"), *arguments],
        cwd=project,
        env={**SHELL, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        process_group=0,
        preexec_fn=reset_signals,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def servers_of(project: Path) -> dict[int, str]:
    """Return the command lines, by process id, of the project's PostgreSQL servers and their supervisors."""
    completed = subprocess.run(["ps", "-eww", "-o", "pid=,command="], check=True, capture_output=True, text=True)
    servers = {}
    for line in completed.stdout.splitlines():
        pid, command = line.split(maxsplit=1)
        belongs = f"{project}/" in command or f"{provision.fallback_home(project)}/" in command
        if belongs and ("postgres -D" in command or ".supervisor " in command):
            servers[int(pid)] = command
    return servers


def eventually(condition: Callable[[], bool], seconds: float = 60) -> bool:
    """Return True as soon as the condition holds, or False after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(url: str, seconds: float = 60) -> str:
    """Return the body of the response, and wait up to ``seconds`` for the server to start."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urlopen(url, timeout=seconds) as response:
                return str(response.read(), "utf-8")
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@contextmanager
def project_folder(*below: str, mode: int = 0o755) -> Iterator[Path]:
    """Create a project folder in a temporary folder with permissions ``mode``. Remove both, and kill their servers."""
    temporary = Path(tempfile.mkdtemp(prefix="fluxori-test-")).resolve()
    temporary.chmod(mode)
    folder = temporary.joinpath("project", *below)
    folder.mkdir(parents=True)
    sockets = [cluster_of(folder, purpose).socket for purpose in ("dev", "test")]
    try:
        yield folder
    finally:
        for pid in servers_of(folder):
            os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: not servers_of(folder))
        for path in (temporary, provision.fallback_home(folder), *sockets):
            shutil.rmtree(path, ignore_errors=True)


def cluster_of(project: Path, purpose: str = "test") -> Cluster:
    return provision.cluster_of(purpose, project)
