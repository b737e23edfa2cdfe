#!/usr/bin/env python3
"""The command line of the project: Django's commands, ``test`` and ``postgres``, from a fresh clone on.

It needs Python 3.11 and nothing else. It makes what is missing: a virtual environment in ``.venv``, and a database
server if ``DATABASE_URL`` is not set. Older Pythons can parse this file, so that they can report that they are too old.
Read next: ``fluxori/devtools/bootstrap.py`` and ``fluxori/devtools/embedded_postgres``.
"""

import os
import sys
import warnings

PROJECT = os.path.dirname(os.path.abspath(__file__))

# Commands that need no database server.
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

# Commands that serve HTTP, and so the metrics.
SERVERS = ("bench", "demo", "runserver")

# Every pytest worker creates its own database. With more workers than this, that takes longer than it saves.
MAX_WORKERS = 4


def main() -> int:
    if tuple(sys.version_info) < (3, 11):
        version = ".".join(map(str, sys.version_info[:3]))
        sys.stderr.write(
            f"Fluxori Credits needs Python 3.11 or newer; this is {version} ({sys.executable}).\n"
            "Install a newer version and run it by name, for example: python3.11 manage.py demo\n"
        )
        return 1
    if has_devtools():
        from fluxori.devtools.bootstrap import ensure_environment  # noqa: PLC0415 (needs Python 3.11)

        ensure_environment()
    name, arguments = (sys.argv[1:2] or ["help"])[0], sys.argv[2:]
    if name == "test":
        run_tests(arguments)
    if name == "postgres" and has_devtools():
        from fluxori.devtools.embedded_postgres.cli import run  # noqa: PLC0415

        return run(arguments)
    run_django(name, arguments)
    return 0


def has_devtools() -> bool:
    """Return False in the production image: it contains no development tools and needs none."""
    return os.path.isdir(os.path.join(PROJECT, "fluxori", "devtools"))


def run_tests(arguments: "list[str]") -> None:
    """Replace this process with pytest; ``fluxori.devtools.pytest_plugin`` starts the database server of the tests.

    Without arguments, and with ``--slow`` or ``--browser`` alone, the tests run in parallel. All other arguments are
    passed to pytest.
    """
    if os.path.commonpath([PROJECT, os.getcwd()]) != PROJECT:
        os.chdir(PROJECT)
    if arguments in ([], ["--slow"], ["--browser"]):
        arguments = ["-n", str(min(os.cpu_count() or 1, MAX_WORKERS)), *arguments]
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *arguments])  # noqa: S606 (needs no shell)


def run_django(name: str, arguments: "list[str]") -> None:
    from django.core.management import execute_from_command_line  # noqa: PLC0415 (installed by ensure_environment)

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fluxori.settings")
    if needs_database(name, arguments):
        provide_database()
    else:
        # makemigrations --check also compares with a database, and warns if there is none.
        warnings.filterwarnings("ignore", "Got an error checking a consistent migration history", RuntimeWarning)
    from django.db import Error  # noqa: PLC0415

    from fluxori.env import EnvironmentSettingsError  # noqa: PLC0415

    # The name with which the sessions of this command appear in pg_stat_activity.
    os.environ.setdefault("PGAPPNAME", f"fluxori {name}")
    if name not in SERVERS:
        # A command is not scraped, and each process would leave files in that folder.
        os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
    try:
        execute_from_command_line(sys.argv)
    except EnvironmentSettingsError as error:
        sys.exit(str(error))
    except Error as error:
        from fluxori.db.error_lines import error_line  # noqa: PLC0415

        line = error_line(error)
        if line is None or "--traceback" in arguments:
            raise
        sys.exit(line)


def needs_database(name: str, arguments: "list[str]") -> bool:
    if name.startswith("-") or {"-h", "--help", "--version"} & set(arguments):
        return False
    if name == "makemigrations":
        return "--check" not in arguments and "--dry-run" not in arguments
    return name not in WITHOUT_DATABASE or "--database" in arguments


def provide_database() -> None:
    if not has_devtools():
        return
    from fluxori.devtools.embedded_postgres import EmbeddedPostgresError, is_wanted, provide  # noqa: PLC0415

    try:
        if is_wanted():
            provide()
    except EmbeddedPostgresError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    sys.exit(main())
