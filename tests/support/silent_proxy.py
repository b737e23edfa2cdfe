"""A proxy in front of the test database whose connections can fall silent: nothing passes, and nothing is closed."""

import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper


class SilentProxy:
    """Listens on a Unix socket of its own and passes every byte to the server, until a connection is silenced."""

    def __init__(self, folder: Path) -> None:
        settings = connection.settings_dict
        self.port = settings["PORT"] or "5432"
        self.folder = folder
        self._target = f"{settings['HOST']}/.s.PGSQL.{self.port}"
        self._silenced: set[socket.socket] = set()
        self._open: set[socket.socket] = set()
        self._last_used: socket.socket | None = None
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / f".s.PGSQL.{self.port}"))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def fall_silent(self) -> None:
        """Let no byte from the server arrive on the connections that are open now; the server still receives."""
        self._silenced |= self._open

    def silence_one(self) -> None:
        """Like ``fall_silent``, for the connection that has sent something last."""
        assert self._last_used is not None
        self._silenced.add(self._last_used)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._target)
            self._open.add(client)
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if source in self._open:
                    self._last_used = source
                if target not in self._silenced:
                    target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()


@contextmanager
def through_silent_proxy() -> Iterator[SilentProxy]:
    """Connect the current thread through a proxy during the block. Its own connection is used again afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="proxy"))
    proxy = SilentProxy(folder)
    own: Any = connections["default"]
    proxied: BaseDatabaseWrapper = own.copy()
    proxied.settings_dict = {**own.settings_dict, "HOST": str(folder), "PORT": proxy.port}
    connections["default"] = proxied
    try:
        yield proxy
    finally:
        proxied.close()
        connections["default"] = own
        proxy.close()
        shutil.rmtree(folder)
