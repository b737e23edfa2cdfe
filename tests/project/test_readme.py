"""What the README says of paths, commands, settings and code is so."""

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
README = (PROJECT / "README.md").read_text()


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def first_cells(title: str) -> list[str]:
    rows = re.findall(r"^\| (.+?) \|", section(title), re.MULTILINE)
    return [row for row in rows if "`" in row]


def named(title: str) -> set[str]:
    """Return everything in back quotes in the first column of a section's table."""
    return {word for cell in first_cells(title) for word in re.findall(r"`([^`]+)`", cell)}


def doors() -> set[tuple[str, str]]:
    """Return (method, path) of every door of the API and of health, with placeholders instead of converters."""

    def walk(patterns, prefix):
        for pattern in patterns:
            path = prefix + str(pattern.pattern)
            if hasattr(pattern, "url_patterns"):
                yield from walk(pattern.url_patterns, path)
            elif path.startswith(("/api/", "/health/")):
                # Once a view has answered, DRF counts HEAD among its actions.
                methods = set(getattr(pattern.callback, "actions", None) or ["get"]) - {"head"}
                yield from ((method.upper(), re.sub(r"<[^>]*>", "{}", path)) for method in methods)

    return set(walk(get_resolver().url_patterns, "/"))


class TestReadme:
    def test_lists_every_endpoint_and_no_other(self):
        told = {
            (method, re.sub(r"\{[^}]*\}", "{}", path))
            for cell in first_cells("Over HTTP")
            for method in re.findall("[A-Z]{3,}", cell.split("`")[0])
            for path in re.findall(r"`([^`]+)`", cell)
        }

        assert told == doors()

    def test_lists_every_command_of_ours(self):
        ours = {
            name
            for name, app in get_commands().items()
            if isinstance(app, str) and app.split(".")[0] in {"fluxori", "credits", "tiers"}
        }

        assert named("Commands") == ours | {"test", "postgres"}

    def test_lists_every_variable_that_is_read(self):
        read = re.findall(r"""env\.\w+\(\s*["']([A-Z_]+)["']""", (PROJECT / "fluxori/settings.py").read_text())

        assert named("Settings") == set(read)

    def test_links_to_files_that_exist(self):
        links = re.findall(r"\]\(([^)#:]+)\)", README)

        assert links
        assert [link for link in links if not (PROJECT / link).exists()] == []

    def test_names_verbs_that_exist(self):
        verbs = re.findall(r"`(\w+)`", section("The same from Python").split("The verbs, in")[1])
        rooms = (operations, tiers.operations)

        assert [verb for verb in verbs if not any(hasattr(room, verb) for room in rooms)] == []


@pytest.mark.django_db(transaction=True)
class TestReadmeCode:
    @pytest.fixture
    def code(self):
        [block] = re.findall(r"```python\n(.*?)```", section("The same from Python"), re.DOTALL)
        names: dict[str, Any] = {}
        exec(block, names)
        return names

    @pytest.fixture
    def user(self):
        user = make_user()
        make_balance(user, [(20, None)])
        return user

    def test_pays_for_an_insight_once(self, code, user):
        assert code["insight"](user) == "9 credits, 11 left"
        assert code["insight"](user) == "9 credits, 11 left"
        assert code["credits_left"](user) == 11

    def test_says_what_is_missing(self, code):
        user = make_user()
        make_balance(user, [(5, None)])

        assert code["insight"](user) == "4 credits short"
        assert code["credits_left"](user) == 5

    def test_pays_nothing_for_what_was_not_stored(self, code, user):
        def full():
            raise BufferError

        with pytest.raises(BufferError):
            code["insight_or_nothing"](user, full)

        assert code["credits_left"](user) == 20
        assert code["insight_or_nothing"](user, lambda: "stored") == "stored"
        assert code["credits_left"](user) == 11

    def test_pays_for_slow_work_that_succeeds(self, code):
        user = make_user()
        make_balance(user, [(50, None)])

        assert code["report"](user, lambda: queries.get_balance(owner=user).held) == 40
        assert (code["credits_left"](user), queries.get_balance(owner=user).held) == (10, 0)

    def test_gives_back_what_slow_work_did_not_use(self, code):
        user = make_user()
        make_balance(user, [(50, None)])

        with pytest.raises(ZeroDivisionError):
            code["report"](user, lambda: 1 // 0)

        assert (code["credits_left"](user), queries.get_balance(owner=user).held) == (50, 0)
