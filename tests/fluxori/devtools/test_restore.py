"""The commands of the page on backups, run as printed: a lost cluster is restored to an instant and verified."""

import re
import time

import pytest

from tests.support.private_cluster import temporary_server
from tests.support.subprocess_project import REAL
from tests.support.threads import wait_until

pytestmark = pytest.mark.drill

PAGE = REAL / "docs/how-to/back-up-and-restore.md"


def commands_under(heading: str) -> list[str]:
    section = re.search(rf"^## {heading}\n(.*?)(?=^## )", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert section
    return re.findall(r"^```sh\n(.*?)^```", section[1], re.MULTILINE | re.DOTALL)


@pytest.fixture
def server():
    with temporary_server() as temporary:
        temporary.run("initdb --username=postgres --auth=trust --encoding=UTF8 --locale=C --data-checksums >/dev/null")
        [archive] = commands_under("Archive the log")
        temporary.run(archive)
        temporary.start()
        temporary.run("createdb fluxori")
        migrated = temporary.manage("migrate", "--verbosity=0")
        assert migrated.returncode == 0, migrated.stderr
        yield temporary


class TestRestore:
    def test_a_lost_cluster_is_restored_to_an_instant(self, server):
        server.write(3)
        [backup] = commands_under("Take a base backup")
        server.run(backup)
        server.write(4)
        instant = str(server.value("SELECT clock_timestamp()"))
        time.sleep(0.1)
        server.write(5)
        server.archive_log()
        server.run("pg_ctl stop --mode=immediate --silent && rm -r $PGDATA/base")

        _, restore, _ = commands_under("Restore to an instant")
        [base] = server.backups.iterdir()
        server.run(restore, BACKUP=str(base), INSTANT=instant)
        server.start()
        wait_until(lambda: not (server.data / "recovery.signal").exists(), seconds=60)

        assert server.value("SELECT count(*) FROM credits_credittransaction") == 7
        assert server.value("SELECT balance FROM credits_creditbalance") == 70
        verified = server.manage("verify_ledger")
        assert verified.returncode == 0, verified.stdout + verified.stderr
        server.write(1)
        assert server.value("SELECT balance FROM credits_creditbalance") == 80
