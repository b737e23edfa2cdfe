#!/usr/bin/env python3
"""The door for people: every command of the project, from a fresh clone on.

Needs Python 3.11 and nothing else. What is missing is made: an environment in ``.venv``, and a database if
``DATABASE_URL`` names none. Written so that an older Python can read it too, and say what is wrong.
"""

import os
import sys
import warnings

# Commands that touch no database: none is started for them.
WITHOUT_DATABASE = (
    "check",
    "collectstatic",
    "compilemessages",
    "diffsettings",
    "findstatic",
    "help",
    "makemessages",
    "spectacular",
    "version",
)

# Each worker of the tests has a database of its own to make; more than these do not pay for theirs.
MOST_WORKERS = 4


def main() -> int:
    if tuple(sys.version_info) < (3, 11):
        found = ".".join(map(str, sys.version_info[:3]))
        sys.stderr.write(
            f"Fluxori Credits needs Python 3.11 or newer; this is {found} ({sys.executable}).\n"
            "Install a newer one and name it, like: python3.11 manage.py demo\n"
        )
        return 1
    from fluxori.devtools.bootstrap import ensure_environment  # noqa: PLC0415 (needs Python 3.11)

    ensure_environment()
    name, arguments = (sys.argv[1:2] or ["help"])[0], sys.argv[2:]
    if name == "test":
        run_tests(arguments)
    if name == "postgres":
        from fluxori.devtools.embedded_postgres.cli import run  # noqa: PLC0415

        return run(arguments)
    run_django(name, arguments)
    return 0


def run_tests(arguments: "list[str]") -> None:
    """Become pytest; its plugin starts the tests' own database.

    Without arguments all tests run, on several processes; with arguments it is pytest as it comes.
    """
    project = os.path.dirname(os.path.abspath(__file__))
    if os.path.commonpath([project, os.getcwd()]) != project:
        os.chdir(project)
    everything = ["-n", str(min(os.cpu_count() or 1, MOST_WORKERS))]
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *(arguments or everything)])  # noqa: S606 (no shell is wanted)


def run_django(name: str, arguments: "list[str]") -> None:
    from django.core.management import execute_from_command_line  # noqa: PLC0415 (there is none before main)

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fluxori.settings")
    if needs_database(name, arguments):
        provide_database()
    else:
        # makemigrations --check would also compare with a database, and says so where there is none.
        warnings.filterwarnings("ignore", "Got an error checking a consistent migration history", RuntimeWarning)
    execute_from_command_line(sys.argv)


def needs_database(name: str, arguments: "list[str]") -> bool:
    if name.startswith("-") or {"-h", "--help", "--version"} & set(arguments):
        return False
    if name == "makemigrations":
        return "--check" not in arguments and "--dry-run" not in arguments
    return name not in WITHOUT_DATABASE or "--database" in arguments


def provide_database() -> None:
    from fluxori.devtools.embedded_postgres import EmbeddedPostgresError, provide, wanted  # noqa: PLC0415

    try:
        if wanted():
            provide()
    except EmbeddedPostgresError as fault:
        sys.exit(f"{fault}")


if __name__ == "__main__":
    sys.exit(main())
