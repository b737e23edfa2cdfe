"""The parent process of a server: it stops the server when no process uses it any more.

A process that ends normally stops the server itself if it is the last user. A process that is killed cannot do that,
but the kernel releases its lock, and within a second the supervisor stops the server. The supervisor ends with the
server. Read next: ``cluster.py`` for the locks.
"""

# ruff: noqa: S603 (all commands are built in this package)

import os
import shutil
import signal
import subprocess
import sys
import threading

from fluxori.devtools.embedded_postgres import locks
from fluxori.devtools.embedded_postgres.cluster import Cluster
from fluxori.devtools.embedded_postgres.errors import EmbeddedPostgresError

# Seconds between two checks.
INTERVAL = 1.0


def supervise(cluster: Cluster) -> None:
    """Fork into the background. Return in the original process as soon as the server has been launched."""
    read_end, write_end = os.pipe()
    if os.fork() != 0:
        os.close(write_end)
        os.read(read_end, 1)  # returns without data when the child closes the pipe
        return
    os.close(read_end)
    os.setsid()
    server = _launch(cluster)
    os.close(write_end)
    _watch(cluster, server)


def _launch(cluster: Cluster) -> subprocess.Popen[bytes]:
    # The lock is free, except for the instant in which another process checks it.
    lock = locks.wait_exclusive(cluster.server_lock, cluster.account, seconds=5)
    # All processes of the server inherit the lock; the supervisor itself does not hold it.
    server = subprocess.Popen(cluster.command(), pass_fds=[lock], **cluster.account.popen_options())
    os.close(lock)
    return server


def _watch(cluster: Cluster, server: subprocess.Popen[bytes]) -> None:
    end = threading.Thread(target=server.wait, daemon=True)
    end.start()
    while end.is_alive():
        end.join(INTERVAL)
        try:
            with cluster.start_lock(seconds=0):
                cluster.stop_if_unused()
        except EmbeddedPostgresError:
            continue  # another process is starting or stopping the server
        except FileNotFoundError:
            server.send_signal(signal.SIGQUIT)  # the project was deleted, and the data with it
            shutil.rmtree(cluster.socket, ignore_errors=True)


if __name__ == "__main__":
    supervise(Cluster.from_json(sys.argv[1]))
