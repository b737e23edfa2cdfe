import os
import subprocess
import sys
from pathlib import Path

import pytest

import manage

PROJECT = Path(__file__).parents[2]

# A file with both kinds of tests.
FILE = "tests/fluxori/devtools/test_bootstrap.py"
SLOW, FAST = "TestEnsureEnvironment", "TestMissingPackages"


def collect(*arguments):
    """Return the names of the tests in ``FILE`` that pytest would run with these arguments."""
    completed = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", FILE, *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    return completed.stdout


@pytest.mark.slow
class TestSlowOption:
    def test_is_needed_to_run_the_slow_tests(self):
        names = collect()

        assert FAST in names
        assert SLOW not in names

    def test_runs_only_the_slow_tests(self):
        names = collect("--slow")

        assert SLOW in names
        assert FAST not in names


class TestTestCommand:
    @pytest.mark.parametrize(
        ("arguments", "is_parallel"),
        [([], True), (["--slow"], True), (["--browser"], True), (["-k", "deduct"], False), (["--slow", "-n0"], False)],
    )
    def test_runs_in_parallel_unless_further_arguments_are_given(self, monkeypatch, arguments, is_parallel):
        commands = []
        monkeypatch.setattr(os, "execv", lambda _, command: commands.append(command))
        monkeypatch.chdir(PROJECT)

        manage.run_tests(arguments)

        workers = ["-n", str(min(os.cpu_count() or 1, manage.MAX_WORKERS))] if is_parallel else []
        assert commands == [[sys.executable, "-m", "pytest", *workers, *arguments]]
