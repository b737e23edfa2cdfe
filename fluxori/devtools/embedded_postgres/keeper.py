"""The process that keeps a server: its parent, and the one who notices when nobody uses it any more.

A process that ends properly stops the server itself if it was the last to use it. One that is killed cannot; its lock
is gone with it, and within a second the keeper does it instead. The keeper ends with the server.
"""

# ruff: noqa: S603 (every command that is run here is put together here)

import os
import shutil
import signal
import subprocess
import sys
import threading

from fluxori.devtools.embedded_postgres import locks
from fluxori.devtools.embedded_postgres.cluster import Cluster
from fluxori.devtools.embedded_postgres.errors import EmbeddedPostgresError

# Seconds from one look to the next.
INTERVAL = 1.0


def keep(cluster: Cluster) -> None:
    """Become a process of its own; return, in the one we were, when the server has been launched."""
    launched, launching = os.pipe()
    if os.fork() != 0:
        os.close(launching)
        os.read(launched, 1)  # nothing comes: it ends when nobody is left to write
        return
    os.close(launched)
    os.setsid()
    server = _launch(cluster)
    os.close(launching)
    _watch(cluster, server)


def _launch(cluster: Cluster) -> subprocess.Popen[bytes]:
    # Free, but for the moment in which somebody looks whether it is.
    life = locks.patient(cluster.life, cluster.account, seconds=5)
    # From here on the lock is the server's: each of its processes inherits it, and we give up our own hold.
    server = subprocess.Popen(cluster.command(), pass_fds=[life], **cluster.account.process())
    os.close(life)
    return server


def _watch(cluster: Cluster, server: subprocess.Popen[bytes]) -> None:
    end = threading.Thread(target=server.wait, daemon=True)
    end.start()
    while end.is_alive():
        end.join(INTERVAL)
        try:
            with cluster.turn(seconds=0):
                cluster.stop_if_unused()
        except EmbeddedPostgresError:
            continue  # someone starts or stops it at this moment
        except FileNotFoundError:
            server.send_signal(signal.SIGQUIT)  # the project was deleted, and the data with it
            shutil.rmtree(cluster.socket, ignore_errors=True)


if __name__ == "__main__":
    keep(Cluster.from_word(sys.argv[1]))
