"""Processes of their own on the database of the running test, to be killed."""

import os
import signal
import subprocess
import sys
from urllib.parse import urlsplit

from django.db import connection

PATIENCE = 60

# Charges the user of the first argument for work that does not end: so many credits, set aside for so many seconds.
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
    """Start Python as a scheduler or a server would; what it prints comes through ``stdout``."""
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}")
    return subprocess.Popen(
        [sys.executable, *arguments],
        env={**os.environ, "DATABASE_URL": database.geturl()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def kill_while_working(working: subprocess.Popen[str]) -> None:
    """Wait until the process says that it is working, and kill it so that it cannot clean up."""
    assert working.stdout
    try:
        assert working.stdout.readline() == "working\n"
    finally:
        working.send_signal(signal.SIGKILL)
        working.communicate(timeout=PATIENCE)
    assert working.returncode == -signal.SIGKILL
