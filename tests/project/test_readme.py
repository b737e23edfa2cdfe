"""The README and the reference pages agree with the code on endpoints, commands, settings and functions.

Snippets of Python in the README and in the tutorials are run here; ``tests/project/test_docs.py`` checks all others.
"""

import re
from pathlib import Path
from typing import Any

import pytest
from django.core.management import get_commands
from django.urls import get_resolver

import tiers.operations
from credits import operations, queries
from tests.support.factories.credits import make_balance, make_user

PROJECT = Path(__file__).parents[2]
README = (PROJECT / "README.md").read_text(encoding="utf-8")
TUTORIAL = (PROJECT / "docs/tutorial/python.md").read_text(encoding="utf-8")


def reference(page: str, title: str) -> str:
    """Return one section of a reference page."""
    text = (PROJECT / "docs/reference" / page).read_text(encoding="utf-8")
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def first_cells(section: str) -> list[str]:
    rows = re.findall(r"^\| (.+?) \|", section, re.MULTILINE)
    return [row for row in rows if "`" in row]


def names_in_first_column(section: str) -> set[str]:
    return {name for cell in first_cells(section) for name in re.findall(r"`([^`]+)`", cell)}


def endpoints() -> set[tuple[str, str]]:
    """Return (method, path) of every endpoint of the API, health and metrics, with placeholders for converters."""

    def walk(patterns, prefix):
        for pattern in patterns:
            path = prefix + str(pattern.pattern)
            if hasattr(pattern, "url_patterns"):
                yield from walk(pattern.url_patterns, path)
            elif path.startswith(("/api/", "/health/", "/metrics")):
                # Once a view has handled a request, DRF lists HEAD among its actions.
                methods = set(getattr(pattern.callback, "actions", None) or ["get"]) - {"head"}
                yield from ((method.upper(), re.sub(r"<[^>]*>", "{}", path)) for method in methods)

    return set(walk(get_resolver().url_patterns, "/"))


class TestReference:
    def test_http_lists_every_endpoint_and_no_other(self):
        listed = {
            (method, re.sub(r"\{[^}]*\}", "{}", path))
            for cell in first_cells(reference("http.md", "Endpoints"))
            for method in re.findall("[A-Z]{3,}", cell.split("`")[0])
            for path in re.findall(r"`([^`]+)`", cell)
        }

        assert listed == endpoints()

    def test_commands_lists_every_command_of_the_project(self):
        own = {
            name
            for name, app in get_commands().items()
            if isinstance(app, str) and app.split(".")[0] in {"fluxori", "credits", "tiers"}
        }

        assert names_in_first_column(reference("commands.md", "List")) == own | {"test", "postgres"}

    def test_settings_lists_every_variable_that_is_read(self):
        read = re.findall(r"""env\.\w+\(\s*["']([A-Z_]+)["']""", (PROJECT / "fluxori/settings.py").read_text())
        read += re.findall(r"""_number\(["']([A-Z_]+)["']""", (PROJECT / "fluxori/server.py").read_text())

        text = (PROJECT / "docs/reference/settings.md").read_text(encoding="utf-8")
        assert names_in_first_column(text) == set(read)

    def test_python_lists_operations_that_exist(self):
        verbs = re.findall(r"`([a-z_]+)`", reference("python.md", "Operations"))

        assert verbs
        assert [
            verb for verb in verbs if not any(hasattr(package, verb) for package in (operations, tiers.operations))
        ] == []

    def test_python_lists_queries_that_exist(self):
        names = re.findall(r"`([a-z_]+)`", reference("python.md", "Queries"))

        assert names
        assert [name for name in names if not hasattr(queries, name)] == []


def functions_of(page: str) -> dict[str, Any]:
    [block] = [block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "def insight(" in block]
    names: dict[str, Any] = {}
    exec(block, names)
    return names


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("code", [functions_of(README), functions_of(TUTORIAL)], ids=["README", "tutorial"])
class TestPythonSnippets:
    @pytest.fixture
    def user(self):
        user = make_user()
        make_balance(user, [(20, None)])
        return user

    def test_insight_is_paid_once(self, code, user):
        assert code["insight"](user) == "11 credits left"
        assert code["insight"](user) == "11 credits left"

    def test_insight_reports_the_shortfall(self, code):
        user = make_user()
        make_balance(user, [(5, None)])

        assert code["insight"](user) == "4 credits short"
        assert code["credits_left"](user) == 5

    def test_report_is_paid_when_the_work_succeeds(self, code):
        user = make_user()
        make_balance(user, [(50, None)])

        assert code["report"](user, lambda: queries.get_balance(owner=user).held) == 40
        assert (code["credits_left"](user), queries.get_balance(owner=user).held) == (10, 0)

    def test_report_is_free_when_the_work_fails(self, code):
        user = make_user()
        make_balance(user, [(50, None)])

        with pytest.raises(ZeroDivisionError):
            code["report"](user, lambda: 1 // 0)

        assert (code["credits_left"](user), queries.get_balance(owner=user).held) == (50, 0)


@pytest.mark.django_db(transaction=True)
class TestTutorialTransaction:
    def test_insight_with_record_is_free_when_storing_fails(self):
        code = functions_of(TUTORIAL)
        user = make_user()
        make_balance(user, [(20, None)])

        def store():
            raise BufferError

        with pytest.raises(BufferError):
            code["insight_with_record"](user, store)

        assert code["credits_left"](user) == 20
        assert code["insight_with_record"](user, lambda: "stored") == "stored"
        assert code["credits_left"](user) == 11
