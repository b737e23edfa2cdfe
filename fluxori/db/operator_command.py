"""The base class of the commands that operators and schedulers run."""

import json
import sys
from threading import Timer
from time import monotonic
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand
from django.db import connection

from fluxori.core import request_context
from fluxori.core.ids import uuid7
from fluxori.db.waits import PATIENCE_SECONDS, waits_reported


class OperatorCommand(BaseCommand):
    """A command with the id and the duration of its run, which reports what it waits for.

    A transaction that the run writes has the id as its request id, and a run that is recorded has it as its key.
    """

    run_id: UUID
    _began: float

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command with an id of its own."""
        self.run_id, self._began = uuid7(), monotonic()
        token = request_context.request_id.set(str(self.run_id))
        try:
            with waits_reported(self._write_wait):
                self._connect()
                return super().execute(*args, **options)
        finally:
            request_context.request_id.reset(token)

    def _connect(self) -> None:
        """Connect to the database, so that the wait for it can be reported."""
        timer = Timer(PATIENCE_SECONDS, self._write_wait, ["Waiting for a connection to the database ..."])
        timer.start()
        try:
            connection.ensure_connection()
        finally:
            timer.cancel()

    def write_json(self, report: dict[str, Any]) -> None:
        """Write one JSON object on stdout: the id of the run, its duration and ``report``."""
        run = {"runId": str(self.run_id), "seconds": round(self.seconds, 3)}
        self.stdout.write(json.dumps(run | report))

    @property
    def seconds(self) -> float:
        return monotonic() - self._began

    def _write_wait(self, line: str) -> None:
        # A progress bar replaces sys.stderr while it is shown, so that other lines appear above it.
        stream = sys.stderr if self.stderr.isatty() else self.stderr
        stream.write(f"{line}\n")
        stream.flush()
