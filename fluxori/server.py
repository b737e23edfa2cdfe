"""The HTTP server: granian with the options of this project. ``python -m fluxori.server`` runs it.

WEB_CONCURRENCY is the number of worker processes, WEB_THREADS the number of threads of each, WEB_RELOAD_SECONDS the
time that a new worker has to start before it replaces another. This module imports neither Django nor the application,
because a worker is a fork of this process: what is imported here would stay as it is when the workers are replaced to
load new code.
"""

import os
import socket
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

APPLICATION = "fluxori.wsgi:application"
WORKERS = 2
# Threads mostly wait for the database, and the deductions of all threads of a worker can share one transaction.
THREADS = 16
# An idle thread ends after this time, and with it its database connection.
THREAD_IDLE_SECONDS = 60
# Connections that each worker accepts. Requests beyond the number of threads wait; further connections wait in the
# backlog of the kernel.
CONNECTIONS = 512
BACKLOG = 1024
# A client that has not sent its headers by then is disconnected. It holds no thread.
HEADER_TIMEOUT_MS = 10_000
# The time that requests under way have to end when the server stops or reloads. Statements end earlier.
GRACEFUL_SECONDS = 30
# At SIGHUP the old worker stops this long after the start of the new one, which must listen by then.
RELOAD_SECONDS = 10

# The worker sends this file itself, without Python, so the path responds also while all threads wait for the database.
LIVE_PATH = "/health/live"
LIVE_FOLDER = Path(__file__).parent / "live"

_CHECK_SETTINGS = """
import sys
from fluxori.env import EnvironmentSettingsError
try:
    import fluxori.settings
except EnvironmentSettingsError as error:
    sys.exit(str(error))
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT. SIGHUP replaces the workers one after another, to load new code."""
    parser = ArgumentParser(prog="python -m fluxori.server", description="Serve the application over HTTP.")
    parser.add_argument("--host", default="127.0.0.1", help="Address to listen on. Default: %(default)s.")
    parser.add_argument("--port", type=int, default=8000, help="Port to listen on. Default: %(default)s.")
    parser.add_argument("--application", default=APPLICATION, help="The WSGI application. Default: %(default)s.")
    options = parser.parse_args(arguments)
    _require_free(options.host, options.port)
    prepare_start()
    Granian(
        options.application,
        address=options.host,
        port=options.port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        workers=_number("WEB_CONCURRENCY", WORKERS),
        blocking_threads=_number("WEB_THREADS", THREADS),
        blocking_threads_idle_timeout=THREAD_IDLE_SECONDS,
        backlog=BACKLOG,
        backpressure=CONNECTIONS,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_TIMEOUT_MS),
        # The application logs each request. At the level "info" granian reports the start of each worker.
        log_level=LogLevels.error,
        respawn_failed_workers=True,
        respawn_interval=_number("WEB_RELOAD_SECONDS", RELOAD_SECONDS),
        workers_kill_timeout=GRACEFUL_SECONDS,
        working_dir=Path(__file__).parent.parent,
        static_path_route=[LIVE_PATH],
        static_path_mount=[LIVE_FOLDER],
        static_path_dir_to_file="live.json",
        static_path_expires=0,
    ).serve()


def prepare_start() -> None:
    """Empty the folder of the metrics and check the settings once, before the first worker starts.

    Another process checks the settings, so that this one does not import them.
    """
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder:
        _empty(Path(folder))
    elif os.environ.get("METRICS_TOKEN"):
        sys.exit("METRICS_TOKEN requires PROMETHEUS_MULTIPROC_DIR: a folder in which the workers share the metrics.")
    command = [sys.executable, "-c", _CHECK_SETTINGS]
    if subprocess.run(command, cwd=Path(__file__).parent.parent, check=False).returncode != 0:  # noqa: S603 (fixed)
        sys.exit(1)


def _require_free(host: str, port: int) -> None:
    """End the process if another one listens. Granian's sockets would share the port with it, and so the requests."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            sys.exit(f"Cannot listen on {host}:{port}: {error.strerror}.")


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "").strip() or str(default)
    if not text.isdecimal() or int(text) < 1:
        sys.exit(f"{name} must be a whole number of at least 1, not {text!r}.")
    return int(text)


def _empty(folder: Path) -> None:
    """Create the folder, and remove the files of an earlier server: their counters belong to processes that ended."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in folder.glob("*.db"):
            file.unlink()
    except OSError as error:
        sys.exit(f"PROMETHEUS_MULTIPROC_DIR cannot be used: {error}.")


if __name__ == "__main__":
    main()
