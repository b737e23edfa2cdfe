"""Subprocesses that use the database of the running test, for tests that kill a process in the middle of its work."""

import os
import signal
import subprocess
import sys
from urllib.parse import urlsplit

from django.db import connection

# Seconds to wait for a subprocess to end.
PATIENCE = 60

# Arguments: user id, credits, seconds until the hold lapses. Charges the user for work that does not end.
WORKING = """
import sys, time, uuid
import django
django.setup()
from credits import operations
from fluxori.identity.owner import Owner
owner, amount, seconds = Owner.user(uuid.UUID(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])
with operations.charge(owner=owner, amount=amount, description="Work", expires_in_seconds=seconds):
    print("working", flush=True)
    time.sleep(600)
"""


def start_python(*arguments: str) -> subprocess.Popen[str]:
    """Start Python as a scheduler or a server does, with its output in ``stdout``."""
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}")
    return subprocess.Popen(
        [sys.executable, *arguments],
        env={**os.environ, "DATABASE_URL": database.geturl()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def kill_while_working(process: subprocess.Popen[str]) -> None:
    """Wait until the process prints "working", then send SIGKILL, so that it cannot clean up."""
    assert process.stdout
    try:
        assert process.stdout.readline() == "working\n"
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL
