"""From a fresh clone to a Python that has everything: the project's own ``.venv``, made from ``requirements.lock``.

Standard library only. All it says goes to stderr, so that a command's own output stays clean.
"""

# ruff: noqa: S603 (every command that is run here is put together here)

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

# The note in an environment that is not complete.
MAKING = "making"

# Set across the change of interpreter, so that an environment that stays incomplete is an error and not a circle.
MADE = "FLUXORI_MADE_ENVIRONMENT"


def ensure_environment(project: Path = PROJECT) -> None:
    """Return if this Python can run the project; otherwise run the same command again in ``.venv``, made if need be.

    A Python that has all of the project's dependencies is used as it is, unless it is the one in a ``.venv`` made here
    from another ``requirements.lock``.
    """
    room = Environment(project)
    just_made = os.environ.pop(MADE, "") == str(room.folder)
    lacking = missing(project)
    if room.is_current_python():
        if not lacking and room.may_be_used():
            return
        if just_made:
            sys.exit(f"{room.folder} was made from requirements.lock, and still lacks {', '.join(lacking)}.")
        room.make()
    elif not lacking:
        return
    elif not room.may_be_used():
        room.make()
    room.run_again()


def missing(project: Path) -> list[str]:
    """Return the dependencies named in ``pyproject.toml`` that this Python does not have."""
    named = tomllib.loads((project / "pyproject.toml").read_text())["project"]["dependencies"]
    return [name for name in (split(r"[^\w.-]", line, maxsplit=1)[0] for line in named) if not _is_installed(name)]


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


class Environment:
    """The ``.venv`` of a project.

    One made here carries a note: ``making`` while it is not complete, which condemns it if we are killed, then the
    digest of what it was made from. One without a note was made by a person and is theirs: it is completed, never
    removed.
    """

    def __init__(self, project: Path) -> None:
        self.folder = project / ".venv"
        self.python = self.folder / "bin" / "python"
        self._lock = project / "requirements.lock"
        self._note = self.folder / ".made-from"

    def is_current_python(self) -> bool:
        return Path(sys.prefix).resolve() == self.folder.resolve()

    def may_be_used(self) -> bool:
        """Say whether it is worth trying: made here from today's lock, or made by a person."""
        return self._is_usable() and self._noted() in {self._digest(), ""}

    def run_again(self) -> NoReturn:
        """Become the same command under this environment's Python."""
        os.execv(self.python, [str(self.python), *sys.orig_argv[1:]])  # noqa: S606 (no shell is wanted)

    def make(self) -> None:
        """Make it, or complete it. One process does; others wait, and find it done."""
        with self._turn():
            if self._is_usable() and self._noted() == self._digest():
                return
            _say(f"Preparing {self.folder} from requirements.lock. This takes up to a minute, once.")
            uv = _working_uv()
            if self._is_usable() and not self._noted():
                self._install(uv)
            else:
                self._make_ours(uv)
            _say("Ready.")
        os.environ[MADE] = str(self.folder)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Hold a lock that the kernel takes back when we and the installers we started have ended, even if killed."""
        with self._lock.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _say("Another process is preparing the environment; waiting for it.")
                fcntl.flock(file, fcntl.LOCK_EX)
            os.set_inheritable(file.fileno(), True)
            yield

    def _make_ours(self, uv: str | None) -> None:
        if not self._is_usable() or self._noted() == MAKING:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir()
            self._note.write_text(MAKING)
            self._create(uv)
        self._note.write_text(MAKING)
        self._install(uv)
        self._note.write_text(self._digest())

    def _create(self, uv: str | None) -> None:
        if uv is not None:
            command = [uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(self.folder)]
            if _run(command) == 0:
                return
        if _run([sys.executable, "-m", "venv", str(self.folder)]) != 0:
            sys.exit(
                "The virtual environment could not be made; see above."
                " On Debian and Ubuntu: apt install python3-venv, then run this again."
            )

    def _install(self, uv: str | None) -> None:
        wanted = ["--require-hashes", "-r", str(self._lock)]
        if uv is not None and _run([uv, "pip", "install", "--python", str(self.python), *wanted]) == 0:
            return
        if not self._has_pip() and _run([str(self.python), "-m", "ensurepip"]) != 0:
            sys.exit("There is neither a working uv nor pip; see above.")
        pip = [str(self.python), "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar=off", *wanted]
        if _run(pip, counting=("Collecting ", "Requirement already"), total=self._count()) != 0:
            sys.exit("What requirements.lock names could not be installed; see above. Run this again to try again.")

    def _has_pip(self) -> bool:
        return subprocess.run([self.python, "-m", "pip", "--version"], check=False, capture_output=True).returncode == 0

    def _count(self) -> int:
        return sum("==" in line for line in self._lock.read_text().splitlines())

    def _is_usable(self) -> bool:
        return os.access(self.python, os.X_OK)

    def _noted(self) -> str:
        try:
            return self._note.read_text()
        except FileNotFoundError:
            return ""

    def _digest(self) -> str:
        return sha256(self._lock.read_bytes()).hexdigest()


def _working_uv() -> str | None:
    """Return uv if it runs: version managers leave ones on the path that do not."""
    uv = shutil.which("uv")
    try:
        works = uv is not None and subprocess.run([uv, "--version"], check=False, capture_output=True).returncode == 0
    except OSError:
        return None
    return uv if works else None


def _run(command: list[str], counting: tuple[str, ...] = (), total: int = 0) -> int:
    """Run an installer and return its exit status; what it says is counted, and shown in full if it fails."""
    # What these ask for is for other installations, or refused in a virtual environment.
    environment = {name: value for name, value in os.environ.items() if name not in ("PIP_USER", "PIP_TARGET")}
    done, said = 0, []
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        close_fds=False,  # they inherit the lock
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if counting and line.lstrip().startswith(counting):
                done += 1
                if done % 10 == 0:
                    _say(f"  {done} of {total} packages")
    if process.returncode != 0:
        _say("".join(said[-30:]) + f"({Path(command[0]).name} failed)")
    return process.returncode


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)  # noqa: T201
