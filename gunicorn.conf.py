"""The hooks of gunicorn, which reads this file from its working folder. Its options are those of the command.

The workers share the metrics through files in the folder PROMETHEUS_MULTIPROC_DIR.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from prometheus_client import multiprocess


def on_starting(server: Any) -> None:  # noqa: ARG001 - the signature of gunicorn
    """Empty the folder of the metrics and check the settings once, before the first worker starts.

    A new process checks them: what this process imports, every worker keeps, even if the server reloads its code.
    """
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder:
        _empty(Path(folder))
    elif os.environ.get("METRICS_TOKEN"):
        sys.exit("METRICS_TOKEN requires PROMETHEUS_MULTIPROC_DIR: a folder in which the workers share the metrics.")
    check = "import sys; from fluxori.env import EnvironmentSettingsError\n" + (
        "try:\n import fluxori.settings\nexcept EnvironmentSettingsError as error:\n sys.exit(str(error))"
    )
    command = [sys.executable, "-c", check]
    if subprocess.run(command, cwd=Path(__file__).parent, check=False).returncode != 0:  # noqa: S603 (a fixed command)
        sys.exit(1)


def child_exit(server: Any, worker: Any) -> None:  # noqa: ARG001 - the signature of gunicorn
    """Remove what a worker that has ended leaves in the folder; its counters remain."""
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def _empty(folder: Path) -> None:
    """Create the folder, and remove the files of an earlier server: their counters belong to processes that ended."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in folder.glob("*.db"):
            file.unlink()
    except OSError as error:
        sys.exit(f"PROMETHEUS_MULTIPROC_DIR cannot be used: {error}.")
