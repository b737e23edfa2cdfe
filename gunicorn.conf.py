"""The hooks of gunicorn, the other server, which reads this file from its working folder.

Its options are those of the command; ``docs/how-to/deploy.md`` has it.
"""

from typing import Any

from fluxori.server import prepare_start


def on_starting(server: Any) -> None:  # noqa: ARG001 - the signature of gunicorn
    prepare_start()
