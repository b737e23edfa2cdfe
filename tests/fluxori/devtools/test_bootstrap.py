"""``ensure_environment``, with a lock file that names one small package on the local disk."""

import os
import shutil
import signal
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from fluxori.devtools.bootstrap import missing_packages
from tests.support.subprocess_project import REAL, SHELL, eventually, project_folder, reset_signals

# Prints the prefix of its Python, the version of the package there, and its own arguments.
COMMAND = """
import sys
from pathlib import Path
from fluxori.devtools.bootstrap import ensure_environment
ensure_environment(Path(__file__).parent)
import fluxori_probe
print(sys.prefix, fluxori_probe.VERSION, *sys.argv[1:], sep="|")
"""


class Clone:
    """A fresh clone that depends only on ``fluxori-probe``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        package = folder / "fluxori" / "devtools"
        package.mkdir(parents=True)
        (folder / "fluxori" / "__init__.py").touch()
        (package / "__init__.py").touch()
        shutil.copy(REAL / "fluxori" / "devtools" / "bootstrap.py", package)
        (folder / "command.py").write_text(COMMAND)
        (folder / "pyproject.toml").write_text('[project]\ndependencies = ["fluxori-probe>=1"]\n')
        self.lock("1.0")

    @property
    def environment(self) -> Path:
        return self.folder / ".venv"

    def lock(self, version: str, digest: str = "") -> None:
        """Build the package, and write it into ``requirements.lock``."""
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

    def start(self, *arguments: str, without_uv: bool = False) -> subprocess.Popen[str]:
        path = SHELL["PATH"]
        if without_uv:
            broken = self.folder / "broken" / "uv"
            broken.parent.mkdir(exist_ok=True)
            broken.write_text("#!/bin/sh\nexit 1\n")
            broken.chmod(0o755)
            path = f"{broken.parent}:{path}"
        return subprocess.Popen(
            [sys.executable, "-X", "utf8", "command.py", *arguments],
            cwd=self.folder,
            env={**SHELL, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
            preexec_fn=reset_signals,
        )

    def run(self, *arguments: str, without_uv: bool = False) -> tuple[int, str, str]:
        """Return the exit status, the output and the messages on stderr."""
        process = self.start(*arguments, without_uv=without_uv)
        output, messages = process.communicate(timeout=180)
        return process.returncode, output.strip(), messages


@pytest.fixture
def clone():
    with project_folder() as folder:
        yield Clone(folder)


@pytest.mark.slow
class TestEnsureEnvironment:
    @pytest.mark.parametrize("without_uv", [False, True], ids=["with uv if it works", "with pip"])
    def test_creates_the_environment_and_runs_the_same_command_in_it(self, clone, without_uv):
        status, output, messages = clone.run("one", "--two", without_uv=without_uv)

        assert (status, output) == (0, f"{clone.environment}|1.0|one|--two"), messages
        assert "Preparing" in messages

    def test_does_nothing_if_the_environment_is_up_to_date(self, clone):
        clone.run()

        assert clone.run() == (0, f"{clone.environment}|1.0", "")

    def test_updates_the_environment_if_the_lock_file_changes(self, clone):
        clone.run()
        clone.lock("2.0")

        status, output, messages = clone.run()

        assert (status, output) == (0, f"{clone.environment}|2.0"), messages

    def test_creates_it_once_for_two_concurrent_commands(self, clone):
        processes = [clone.start(), clone.start()]
        results = [process.communicate(timeout=180) for process in processes]

        assert [output.strip() for output, _ in results] == [f"{clone.environment}|1.0"] * 2
        assert sum("Preparing" in messages for _, messages in results) == 1

    def test_starts_over_if_it_was_killed(self, clone):
        killed = clone.start(without_uv=True)
        assert eventually((clone.environment / "bin" / "python").exists)
        os.killpg(killed.pid, signal.SIGKILL)
        killed.communicate()
        assert (clone.environment / ".made-from").read_text() == "making"

        status, output, messages = clone.run()

        assert (status, output) == (0, f"{clone.environment}|1.0"), messages

    def test_waits_for_the_installer_of_a_killed_process(self, clone):
        killed = clone.start(without_uv=True)
        assert eventually((clone.environment / "bin" / "python").exists)
        killed.kill()  # the installer continues
        killed.communicate()

        status, output, messages = clone.run()

        assert (status, output) == (0, f"{clone.environment}|1.0"), messages

    def test_completes_an_environment_of_the_user_and_removes_nothing(self, clone):
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", clone.environment], check=True)
        (clone.environment / "mine").touch()

        status, output, messages = clone.run()

        assert (status, output) == (0, f"{clone.environment}|1.0"), messages
        assert (clone.environment / "mine").exists()

    def test_replaces_an_environment_that_has_lost_its_python(self, clone):
        clone.run()
        (clone.environment / "bin" / "python").unlink()
        (clone.environment / "bin" / "python").symlink_to("/nonexistent/python")

        status, output, messages = clone.run()

        assert (status, output) == (0, f"{clone.environment}|1.0"), messages

    def test_installs_only_packages_with_the_expected_hash(self, clone):
        clone.lock("1.0", digest="0" * 64)

        status, output, messages = clone.run()

        assert (status != 0, output) == (True, "")
        assert "could not be installed" in messages

        clone.lock("1.0")
        assert clone.run()[:2] == (0, f"{clone.environment}|1.0")

    def test_uses_a_python_that_has_all_dependencies(self, clone):
        (clone.folder / "pyproject.toml").write_text('[project]\ndependencies = ["django"]\n')
        (clone.folder / "fluxori_probe.py").write_text("VERSION = 'local'\n")

        assert clone.run() == (0, f"{sys.prefix}|local", "")
        assert not clone.environment.exists()


class TestMissingPackages:
    def test_includes_the_development_packages_outside_production_only(self, tmp_path, monkeypatch):
        (tmp_path / "pyproject.toml").write_text(
            '[project]\ndependencies = ["django", "no-such-package>=1"]\n'
            '[dependency-groups]\ndev = ["no-such-tool[x]"]\n'
        )

        monkeypatch.setenv("ENVIRONMENT", "development")
        assert missing_packages(tmp_path) == ["no-such-package", "no-such-tool"]
        monkeypatch.setenv("ENVIRONMENT", "production")
        assert missing_packages(tmp_path) == ["no-such-package"]
