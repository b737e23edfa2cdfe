"""From a fresh clone to a Python that has everything, tried with a lock that names one small package on this disk."""

import os
import shutil
import signal
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support.subprocess_project import REAL, SHELL, eventually, project_folder

# Prints which Python runs it, which version of the package that one has, and its own arguments.
COMMAND = """
import sys
from pathlib import Path
from fluxori.devtools.bootstrap import ensure_environment
ensure_environment(Path(__file__).parent)
import fluxori_probe
print(sys.prefix, fluxori_probe.VERSION, *sys.argv[1:], sep="|")
"""

pytestmark = pytest.mark.slow


class Clone:
    """A fresh clone that depends on nothing but ``fluxori-probe``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "fluxori").mkdir()
        (folder / "fluxori" / "__init__.py").touch()
        shutil.copy(REAL / "fluxori" / "bootstrap.py", folder / "fluxori")
        (folder / "command.py").write_text(COMMAND)
        (folder / "pyproject.toml").write_text('[project]\ndependencies = ["fluxori-probe>=1"]\n')
        self.lock("1.0")

    @property
    def environment(self) -> Path:
        return self.folder / ".venv"

    def lock(self, version: str, digest: str = "") -> None:
        """Make the package, and name it in ``requirements.lock``."""
        name = f"fluxori_probe-{version}"
        wheel = self.folder / f"{name}-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("fluxori_probe.py", f"VERSION = '{version}'\n")
            archive.writestr(
                f"{name}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: fluxori-probe\nVersion: {version}\n"
            )
            archive.writestr(
                f"{name}.dist-info/WHEEL",
                "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            )
            archive.writestr(f"{name}.dist-info/RECORD", "")
        digest = digest or sha256(wheel.read_bytes()).hexdigest()
        (self.folder / "requirements.lock").write_text(
            f"fluxori-probe @ {wheel.as_uri()} \\\n    --hash=sha256:{digest}\n"
        )

    def start(self, *words: str, without_uv: bool = False) -> subprocess.Popen[str]:
        path = SHELL["PATH"]
        if without_uv:
            broken = self.folder / "broken" / "uv"
            broken.parent.mkdir(exist_ok=True)
            broken.write_text("#!/bin/sh\nexit 1\n")
            broken.chmod(0o755)
            path = f"{broken.parent}:{path}"
        return subprocess.Popen(
            [sys.executable, "-X", "utf8", "command.py", *words],
            cwd=self.folder,
            env={**SHELL, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )

    def run(self, *words: str, without_uv: bool = False) -> tuple[int, str, str]:
        """Return the exit status, what was printed and what was said."""
        process = self.start(*words, without_uv=without_uv)
        printed, said = process.communicate(timeout=180)
        return process.returncode, printed.strip(), said


@pytest.fixture
def clone():
    with project_folder() as folder:
        yield Clone(folder)


class TestEnsureEnvironment:
    @pytest.mark.parametrize("without_uv", [False, True], ids=["with uv if it works", "with pip"])
    def test_makes_the_environment_and_runs_the_same_command_in_it(self, clone, without_uv):
        status, printed, said = clone.run("one", "--two", without_uv=without_uv)

        assert (status, printed) == (0, f"{clone.environment}|1.0|one|--two"), said
        assert "Preparing" in said

    def test_makes_it_once(self, clone):
        clone.run()

        assert clone.run() == (0, f"{clone.environment}|1.0", "")

    def test_brings_it_up_to_date_with_another_lock(self, clone):
        clone.run()
        clone.lock("2.0")

        status, printed, said = clone.run()

        assert (status, printed) == (0, f"{clone.environment}|2.0"), said

    def test_makes_it_once_for_two_that_start_together(self, clone):
        processes = [clone.start(), clone.start()]
        heard = [process.communicate(timeout=180) for process in processes]

        assert [printed.strip() for printed, _ in heard] == [f"{clone.environment}|1.0"] * 2
        assert sum("Preparing" in said for _, said in heard) == 1

    def test_starts_over_where_it_was_killed(self, clone):
        killed = clone.start(without_uv=True)
        assert eventually((clone.environment / "bin" / "python").exists)
        os.killpg(killed.pid, signal.SIGKILL)
        killed.communicate()
        assert (clone.environment / ".made-from").read_text() == "making"

        status, printed, said = clone.run()

        assert (status, printed) == (0, f"{clone.environment}|1.0"), said

    def test_waits_for_the_installer_of_one_that_was_killed(self, clone):
        killed = clone.start(without_uv=True)
        assert eventually((clone.environment / "bin" / "python").exists)
        killed.kill()  # the installer lives on
        killed.communicate()

        status, printed, said = clone.run()

        assert (status, printed) == (0, f"{clone.environment}|1.0"), said

    def test_completes_the_environment_of_a_person_and_removes_nothing(self, clone):
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", clone.environment], check=True)
        (clone.environment / "mine").touch()

        status, printed, said = clone.run()

        assert (status, printed) == (0, f"{clone.environment}|1.0"), said
        assert (clone.environment / "mine").exists()

    def test_makes_another_where_the_python_of_the_old_one_is_gone(self, clone):
        clone.run()
        (clone.environment / "bin" / "python").unlink()
        (clone.environment / "bin" / "python").symlink_to("/nonexistent/python")

        status, printed, said = clone.run()

        assert (status, printed) == (0, f"{clone.environment}|1.0"), said

    def test_installs_nothing_but_what_the_hash_names(self, clone):
        clone.lock("1.0", digest="0" * 64)

        status, printed, said = clone.run()

        assert (status != 0, printed) == (True, "")
        assert "could not be installed" in said

        clone.lock("1.0")
        assert clone.run()[:2] == (0, f"{clone.environment}|1.0")

    def test_uses_a_python_that_has_everything_as_it_is(self, clone):
        (clone.folder / "pyproject.toml").write_text('[project]\ndependencies = ["django"]\n')
        (clone.folder / "fluxori_probe.py").write_text("VERSION = 'beside'\n")

        assert clone.run() == (0, f"{sys.prefix}|beside", "")
        assert not clone.environment.exists()
