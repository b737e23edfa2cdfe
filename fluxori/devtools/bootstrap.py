"""Create the project's virtual environment, ``.venv``, from ``requirements.lock``, and run the command again in it.

``manage.py`` calls ``ensure_environment`` before everything else, so this module uses only the standard library. All
messages go to stderr: the output of the command itself stays clean. Concurrent commands create the environment once.
"""

# ruff: noqa: S603 (all commands are built in this module)

import fcntl
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from re import split
from typing import NoReturn

PROJECT = Path(__file__).resolve().parents[2]

# The content of the marker file of an environment that is incomplete.
INCOMPLETE = "making"

# Set before the interpreter is replaced. If the new environment lacks packages as well, that is an error, not a loop.
JUST_MADE_VARIABLE = "FLUXORI_MADE_ENVIRONMENT"


def ensure_environment(project: Path = PROJECT) -> None:
    """Return if this Python can run the project. Otherwise create or update ``.venv`` and run the command again in it.

    A Python that has all dependencies is used as it is, unless it belongs to a ``.venv`` that was created here from
    another ``requirements.lock``.
    """
    environment = Environment(project)
    just_made = os.environ.pop(JUST_MADE_VARIABLE, "") == str(environment.folder)
    missing = missing_packages(project)
    if environment.is_current_python():
        if not missing and environment.is_up_to_date():
            return
        if just_made:
            sys.exit(f"{environment.folder} was created from requirements.lock but lacks {', '.join(missing)}.")
        environment.make()
    elif not missing:
        return
    elif not environment.is_up_to_date():
        environment.make()
    environment.run_again()


def missing_packages(project: Path) -> list[str]:
    """Return the declared dependencies that this Python lacks. In production the group ``dev`` is not needed."""
    declared = tomllib.loads((project / "pyproject.toml").read_text())
    requirements = list(declared["project"]["dependencies"])
    if os.environ.get("ENVIRONMENT") != "production":
        requirements += declared.get("dependency-groups", {}).get("dev", [])
    names = [split(r"[^\w.-]", requirement, maxsplit=1)[0] for requirement in requirements]
    return [name for name in names if not _is_installed(name)]


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


class Environment:
    """The ``.venv`` of a project.

    An environment that was created here has a marker file. It contains ``making`` while the environment is incomplete,
    also if the process is killed, and then the digest of the lock file. An environment without a marker file was
    created by the user: missing packages are installed into it, and it is never removed.
    """

    def __init__(self, project: Path) -> None:
        self.folder = project / ".venv"
        self.python = self.folder / "bin" / "python"
        self._lock_file = project / "requirements.lock"
        self._marker = self.folder / ".made-from"

    def is_current_python(self) -> bool:
        return Path(sys.prefix).resolve() == self.folder.resolve()

    def is_up_to_date(self) -> bool:
        """Return True if it can be used: created here from the current lock file, or created by the user."""
        return self._is_usable() and self._read_marker() in {self._digest(), ""}

    def run_again(self) -> NoReturn:
        """Replace this process with the same command under the environment's Python."""
        os.execv(self.python, [str(self.python), *sys.orig_argv[1:]])  # noqa: S606 (needs no shell)

    def make(self) -> None:
        """Create or complete it. Concurrent processes wait for the first one and use its result."""
        with self._exclusive_lock():
            if self._is_usable() and self._read_marker() == self._digest():
                return
            _report(f"Preparing {self.folder} from requirements.lock. This takes up to a minute, once.")
            uv = _find_uv()
            if self._is_usable() and not self._read_marker():
                self._install(uv)
            else:
                self._make_managed(uv)
            _report("Ready.")
        os.environ[JUST_MADE_VARIABLE] = str(self.folder)

    @contextmanager
    def _exclusive_lock(self) -> Iterator[None]:
        """Hold a lock on the lock file. Installers inherit it, so it is held until they end, even if this is killed."""
        with self._lock_file.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _report("Another process is preparing the environment. Waiting for it.")
                fcntl.flock(file, fcntl.LOCK_EX)
            os.set_inheritable(file.fileno(), True)
            yield

    def _make_managed(self, uv: str | None) -> None:
        if not self._is_usable() or self._read_marker() == INCOMPLETE:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir()
            self._marker.write_text(INCOMPLETE)
            self._create(uv)
        self._marker.write_text(INCOMPLETE)
        self._install(uv)
        self._marker.write_text(self._digest())

    def _create(self, uv: str | None) -> None:
        if uv is not None:
            command = [uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(self.folder)]
            if _run(command) == 0:
                return
        if _run([sys.executable, "-m", "venv", str(self.folder)]) != 0:
            sys.exit(
                "The virtual environment could not be created; see above."
                " On Debian and Ubuntu: apt install python3-venv, then run this command again."
            )

    def _install(self, uv: str | None) -> None:
        options = ["--require-hashes", "-r", str(self._lock_file)]
        if uv is not None and _run([uv, "pip", "install", "--python", str(self.python), *options]) == 0:
            return
        if not self._has_pip() and _run([str(self.python), "-m", "ensurepip"]) != 0:
            sys.exit("Neither uv nor pip works; see above.")
        pip = [str(self.python), "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar=off", *options]
        if _run(pip, progress=("Collecting ", "Requirement already"), total=self._count_packages()) != 0:
            sys.exit("The packages in requirements.lock could not be installed; see above. Run this command again.")

    def _has_pip(self) -> bool:
        return subprocess.run([self.python, "-m", "pip", "--version"], check=False, capture_output=True).returncode == 0

    def _count_packages(self) -> int:
        return sum("==" in line for line in self._lock_file.read_text().splitlines())

    def _is_usable(self) -> bool:
        return os.access(self.python, os.X_OK)

    def _read_marker(self) -> str:
        try:
            return self._marker.read_text()
        except FileNotFoundError:
            return ""

    def _digest(self) -> str:
        return sha256(self._lock_file.read_bytes()).hexdigest()


def _find_uv() -> str | None:
    """Return the path of uv if it runs: version managers put stubs on the path that do not."""
    uv = shutil.which("uv")
    try:
        works = uv is not None and subprocess.run([uv, "--version"], check=False, capture_output=True).returncode == 0
    except OSError:
        return None
    return uv if works else None


def _run(command: list[str], progress: tuple[str, ...] = (), total: int = 0) -> int:
    """Run an installer and return its exit status. Report every tenth package, and the end of the output on failure.

    ``progress`` holds the beginnings of the output lines that stand for one package.
    """
    # These pip settings of the user are meant for other installations; pip rejects them in a virtual environment.
    environment = {name: value for name, value in os.environ.items() if name not in ("PIP_USER", "PIP_TARGET")}
    count, output = 0, []
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        close_fds=False,  # the installer inherits the lock
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            output.append(line)
            if progress and line.lstrip().startswith(progress):
                count += 1
                if count % 10 == 0:
                    _report(f"  {count} of {total} packages")
    if process.returncode != 0:
        _report("".join(output[-30:]) + f"({Path(command[0]).name} failed)")
    return process.returncode


def _report(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 (progress of the command line)
