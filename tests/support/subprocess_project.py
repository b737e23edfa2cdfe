"""A small project in a folder of its own, with the real launcher and little else, and processes that use it."""

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

# What a person's shell has: nothing of the tests' own database.
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
WITHOUT = {"ENGINE": "django.db.backends.postgresql", "NAME": "fluxori"}
DATABASES = {"default": Reader(os.environ).database("DATABASE_URL", WITHOUT)}
PREPARED_STATEMENTS = True
USE_TZ = True
"""

URLS = """
from django.db import connection
from django.http import HttpResponse
from django.urls import path

def answer(request):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_postmaster_start_time()")
        return HttpResponse(f"first {cursor.fetchone()[0].isoformat()}")

urlpatterns = [path("", answer)]
"""

# Uses the database until its standard input ends; answers each line with what the query in it gives.
USER = """
import os, signal, sys
from pathlib import Path
from fluxori.devtools.embedded_postgres import provide
# Handled, not ignored: what is ignored stays so in the programs we start.
signal.signal(signal.SIGINT, lambda *_: None)
provide(sys.argv[1], Path(sys.argv[2]))
import psycopg
connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
print(os.environ["DATABASE_URL"], flush=True)
for line in sys.stdin:
    cursor = connection.execute(line)
    print(cursor.fetchone()[0] if cursor.description else "done", flush=True)
"""


class User:
    """A process that uses the embedded server: by default the one that is quickly made, the tests'."""

    def __init__(self, project: Path, purpose: str = "test", **environment: str) -> None:
        self.process: subprocess.Popen[str] = subprocess.Popen(
            [sys.executable, "-c", USER, purpose, str(project)],
            env={**SHELL, "PYTHONPATH": str(REAL), **environment},
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        self._url = ""

    @property
    def url(self) -> str:
        """Wait until it is connected."""
        self._url = self._url or self._read()
        return self._url

    def ask(self, query: str) -> str:
        assert self.url
        assert self.process.stdin is not None
        self.process.stdin.write(query + "\n")
        self.process.stdin.flush()
        return self._read()

    def leave(self) -> None:
        """End properly."""
        _, said = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, said

    def fail(self) -> str:
        """Return what it says when it cannot have a server."""
        _, said = self.process.communicate(timeout=60)
        assert self.process.returncode != 0
        return said

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def press_ctrl_c(self) -> None:
        os.killpg(self.process.pid, signal.SIGINT)

    def _read(self) -> str:
        assert self.process.stdout is not None
        answer: str = self.process.stdout.readline().strip()
        if not answer:
            raise AssertionError(self.process.communicate()[1])
        return answer

    def __enter__(self) -> Self:
        assert self.url
        return self

    def __exit__(self, *raised: object) -> None:
        if self.process.poll() is None:
            self.leave()


def write_project(folder: Path) -> None:
    """Lay a project whose ``manage.py``, launcher and plugin are the real ones."""
    for name in ("manage.py", "fluxori/devtools/bootstrap.py", "fluxori/env.py", "fluxori/devtools/pytest_plugin.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REAL / name, folder / name)
    for name in ("fluxori/devtools/embedded_postgres",):
        shutil.copytree(REAL / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
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


def manage(project: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``manage.py`` of the project as a person would, with the Python that runs the tests."""
    return subprocess.run(
        [sys.executable, str(project / "manage.py"), *words],
        check=False,
        capture_output=True,
        text=True,
        env={**SHELL, **environment},
        cwd=project,
        timeout=120,
    )


@contextmanager
def running(project: Path, *words: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run ``manage.py`` of the project beside us, in a process group of its own, and kill what is left of it."""
    process = subprocess.Popen(
        [sys.executable, str(project / "manage.py"), *words],
        cwd=project,
        env={**SHELL, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        process_group=0,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def servers_of(project: Path) -> dict[int, str]:
    """Return the PostgreSQL servers and keepers that work for the project: their command lines by process id."""
    said = subprocess.run(["ps", "-eww", "-o", "pid=,command="], check=True, capture_output=True, text=True)
    found = {}
    for line in said.stdout.splitlines():
        pid, command = line.split(maxsplit=1)
        ours = f"{project}/" in command or f"{provision.elsewhere(project)}/" in command
        if ours and ("postgres -D" in command or ".keeper " in command):
            found[int(pid)] = command
    return found


def eventually(holds: Callable[[], bool], seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(url: str, seconds: float = 60) -> str:
    """Return what the URL gives, waiting for whoever serves it to come up."""
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
    """Give a project folder in one that others may enter, by its mode, and remove it with all that worked for it."""
    room = Path(tempfile.mkdtemp(prefix="fluxori-test-")).resolve()
    room.chmod(mode)
    folder = room.joinpath("project", *below)
    folder.mkdir(parents=True)
    sockets = [cluster_of(folder, purpose).socket for purpose in ("dev", "test")]
    try:
        yield folder
    finally:
        for pid in servers_of(folder):
            os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: not servers_of(folder))
        for left in (room, provision.elsewhere(folder), *sockets):
            shutil.rmtree(left, ignore_errors=True)


def cluster_of(project: Path, purpose: str = "test") -> Cluster:
    return provision.cluster_of(purpose, project)
