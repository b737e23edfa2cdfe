"""Links and snippets of every page of the documentation are correct.

Links must resolve, shell snippets must name existing commands with valid arguments, Python snippets must compile and
import, JSON must parse. The shell snippets of the README and of the HTTP tutorial run against a live server.
"""

import ast
import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

from credits import operations
from fluxori.identity.models import User

PROJECT = Path(__file__).parents[2]
DOCS = PROJECT / "docs"
PAGES = sorted(
    [
        *PROJECT.glob("*.md"),
        PROJECT / "credits/README.md",
        *PROJECT.glob(".github/**/*.md"),
        *DOCS.rglob("*.md"),
    ]
)
LANGUAGES = {"", "json", "mermaid", "python", "sh", "sql"}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Ends one command of a shell line.
SEPARATORS = {"|", "||", "&", "&&", ";", ">", ">>", "<", "2>", ")"}
DIAGRAMS = ("erDiagram", "flowchart ", "sequenceDiagram")
OPENING = re.compile(r"^(alt|box|critical|loop|opt|par|rect|subgraph)\b")


def name_of(page: Path) -> str:
    return str(page.relative_to(PROJECT))


@dataclass(frozen=True)
class Snippet:
    """A fenced block of a page."""

    page: Path
    number: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{name_of(self.page)}:{self.number}"


def snippets_of(page: Path) -> list[Snippet]:
    blocks = FENCE.findall(page.read_text(encoding="utf-8"))
    return [Snippet(page, number, language, text) for number, (language, text) in enumerate(blocks, 1)]


SNIPPETS = [snippet for page in PAGES for snippet in snippets_of(page)]


def snippets_in(*languages: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("snippet", [each for each in SNIPPETS if each.language in languages], ids=str)


def prose_of(page: Path) -> str:
    """Return the page without its fenced blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def links_of(page: Path) -> list[str]:
    """Return the targets of links and images that lead to files of the project."""
    text = re.sub(r"`[^`\n]*`", "", prose_of(page))
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def anchors_of(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of the page."""
    anchors: set[str] = set()
    counts: Counter[str] = Counter()
    for heading in re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        anchors.add(f"{slug}-{counts[slug]}" if counts[slug] else slug)
        counts[slug] += 1
    return anchors


class TestLinks:
    @pytest.mark.parametrize("page", PAGES, ids=name_of)
    def test_lead_to_existing_files_and_headings(self, page):
        broken = []
        for link in links_of(page):
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            if not target.exists() or (anchor and anchor not in anchors_of(target)):
                broken.append(link)

        assert broken == []

    @pytest.mark.parametrize("page", PAGES, ids=name_of)
    def test_paths_in_text_exist(self, page):
        paths = re.findall(r"`((?:fluxori|credits|tiers|tests|docs|templates)/[\w/.-]*)`", prose_of(page))

        assert [path for path in paths if not (PROJECT / path).exists()] == []

    def test_reach_every_page_from_the_index(self):
        reached, waiting = set(), [DOCS / "README.md"]
        while waiting:
            page = waiting.pop()
            if page in reached:
                continue
            reached.add(page)
            targets = [(page.parent / link.partition("#")[0]).resolve() for link in links_of(page)]
            waiting += [target for target in targets if target.suffix == ".md" and target.exists()]

        assert [name_of(page) for page in DOCS.rglob("*.md") if page not in reached] == []

    def test_use_every_image(self):
        used = {(page.parent / link).resolve() for page in PAGES for link in links_of(page)}

        assert [image.name for image in (DOCS / "images").iterdir() if image not in used] == []

    def test_of_source_files_name_existing_pages(self):
        tracked = subprocess.run(
            ["git", "ls-files", "*.py", "*.sql", "*.toml", "*.yml", "*.html", "Dockerfile", ".ci/run"],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
        )
        if tracked.returncode:
            pytest.skip("not a git checkout")
        missing = []
        for name in tracked.stdout.splitlines():
            references = re.findall(r"\bdocs/[\w/.-]+\.(?:md|png)", (PROJECT / name).read_text(encoding="utf-8"))
            missing += [f"{name}: {reference}" for reference in references if not (PROJECT / reference).exists()]

        assert missing == []


class TestReadme:
    def test_has_at_most_150_lines(self):
        assert len((PROJECT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150

    def test_map_names_existing_paths(self):
        section = (
            (PROJECT / "README.md").read_text(encoding="utf-8").split("## Map of the source tree")[1].split("\n## ")[0]
        )
        cells = re.findall(r"^\| (`.+?) \|", section, re.MULTILINE)
        paths = [path for cell in cells for path in re.findall(r"`([^`]+)`", cell)]

        assert paths
        assert [path for path in paths if not (PROJECT / path).is_dir()] == []


class TestSnippets:
    def test_are_in_a_language_that_is_checked(self):
        assert [str(snippet) for snippet in SNIPPETS if snippet.language not in LANGUAGES] == []

    @pytest.mark.parametrize("page", PAGES, ids=name_of)
    def test_are_closed(self, page):
        fences = re.findall(r"^```", page.read_text(encoding="utf-8"), re.MULTILINE)

        assert len(fences) == 2 * len(snippets_of(page))

    @snippets_in("json")
    def test_of_json_parse(self, snippet):
        json.loads(snippet.text)

    @snippets_in("python")
    def test_of_python_compile_and_import(self, snippet):
        tree = ast.parse(snippet.text, filename=str(snippet))

        missing = []
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    importlib.import_module(alias.name)
            elif isinstance(node, ast.ImportFrom):
                assert node.module
                package = importlib.import_module(node.module)
                missing += [alias.name for alias in node.names if not is_importable(package, alias.name)]
        assert missing == []

    @snippets_in("sh")
    def test_of_shell_have_valid_syntax(self, snippet):
        checked = subprocess.run(["bash", "-n"], input=snippet.text, capture_output=True, text=True, check=False)

        assert checked.stderr == ""

    @snippets_in("mermaid")
    def test_of_mermaid_are_balanced(self, snippet):
        lines = [line.strip() for line in snippet.text.splitlines()]

        assert lines[0].startswith(DIAGRAMS)
        assert sum(bool(OPENING.match(line)) for line in lines) == lines.count("end")
        if lines[0] == "erDiagram":
            assert sum(line.endswith(" {") for line in lines) == lines.count("}")
        if lines[0] == "sequenceDiagram":
            participants = {line.split()[1] for line in lines if line.startswith("participant ")}
            named = [re.match(r"(\w+)-{1,2}>>(\w+): ", line) for line in lines if "->>" in line or "-->>" in line]
            assert all(arrow and set(arrow.groups()) <= participants for arrow in named)


def is_importable(package: object, name: str) -> bool:
    if hasattr(package, name):
        return True
    try:
        importlib.import_module(f"{package.__name__}.{name}")  # type: ignore[attr-defined]
    except ImportError:
        return False
    return True


def commands_in(text: str, program: str) -> Iterator[list[str]]:
    """Return what follows ``program`` in each shell command, up to the next operator of the shell."""
    for line in text.replace("\\\n", " ").splitlines():
        if program not in line:
            continue
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue
        for place, word in enumerate(words):
            if word == program or word.endswith(f"/{program}"):
                rest = words[place + 1 :]
                end = next((index for index, each in enumerate(rest) if each in SEPARATORS), len(rest))
                yield rest[:end]


def inline_commands(page: Path, program: str) -> list[list[str]]:
    """Return the arguments of ``program`` in inline code, without placeholders such as <command> and …."""
    code = re.findall(r"`([^`\n]+)`", prose_of(page))
    found = [arguments for text in code for arguments in commands_in(text, program)]
    return [arguments for arguments in found if arguments and not arguments[0].startswith(("<", "…"))]


def pytest_options(config: pytest.Config) -> set[str]:
    parser = config._parser
    groups = [parser._anonymous, *parser._groups]
    return {name for group in groups for option in group.options for name in option.names()}


class TestManageCommands:
    """Every ``manage.py`` command in the documentation exists and accepts its arguments."""

    @snippets_in("", "sh")
    def test_in_snippets_accept_their_arguments(self, snippet, pytestconfig):
        for name, *arguments in commands_in(snippet.text, "manage.py"):
            self.check(name, arguments, pytestconfig)
            if name not in {"test", "postgres"}:
                self.parser_of(name).parse_args(arguments)

    @pytest.mark.parametrize("page", PAGES, ids=name_of)
    def test_in_text_exist(self, page, pytestconfig):
        for name, *arguments in inline_commands(page, "manage.py"):
            self.check(name, arguments, pytestconfig)

    def check(self, name: str, arguments: list[str], config: pytest.Config) -> None:
        options = {argument.split("=")[0] for argument in arguments if argument.startswith("-")}
        if name == "test":
            assert options <= pytest_options(config)
            assert [each for each in arguments if "/" in each and not (PROJECT / each.split("::")[0]).exists()] == []
        elif name == "postgres":
            assert {"status", "stop", "psql"} & set(arguments)
        else:
            assert name in get_commands()
            assert options <= set(self.parser_of(name)._option_string_actions)

    def parser_of(self, name: str):
        app = get_commands()[name]
        command = load_command_class(app, name) if isinstance(app, str) else app
        return command.create_parser("manage.py", name)


class TestTools:
    @pytest.mark.parametrize("page", PAGES, ids=name_of)
    def test_of_the_environment_exist(self, page):
        tools = set(re.findall(r"\.venv/bin/([\w-]+)", page.read_text(encoding="utf-8")))

        assert [tool for tool in tools if not Path(sys.executable).with_name(tool).exists()] == []

    @pytest.mark.parametrize("name", ["justfile", ".pre-commit-config.yaml"])
    def test_of_project_files_exist(self, name):
        text = (PROJECT / name).read_text(encoding="utf-8")
        tools = re.findall(r"\.venv/bin/([\w-]+)", text)
        commands = {words[0] for words in commands_in(text, "manage.py")}

        assert [tool for tool in tools if not Path(sys.executable).with_name(tool).exists()] == []
        assert commands <= {*get_commands(), "test", "postgres"}

    @pytest.mark.parametrize("page", PAGES, ids=name_of)
    def test_recipes_of_just_exist(self, page):
        lines = (PROJECT / "justfile").read_text(encoding="utf-8").splitlines()
        recipes = {match[1] for line in lines if (match := re.match(r"([a-z][\w-]*)[^:=]*:(?!=)", line))}
        fenced = [
            words for each in snippets_of(page) if each.language == "sh" for words in commands_in(each.text, "just")
        ]
        commands = [words for words in [*fenced, *inline_commands(page, "just")] if words]
        named = [words[0] for words in commands if not words[0].startswith("-")]

        assert [name for name in named if name not in recipes] == []


class TestDecisionRecords:
    FOLDER = DOCS / "decisions"
    RECORDS = sorted(FOLDER.glob("0*.md"))

    def test_are_numbered_without_gaps(self):
        assert [int(record.name[:4]) for record in self.RECORDS] == list(range(1, len(self.RECORDS) + 1))

    @pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
    def test_have_all_parts(self, record):
        text = record.read_text(encoding="utf-8")

        assert re.match(rf"# {int(record.name[:4])}\. \S.+\n", text)
        assert re.search(r"^- Status: (Accepted|Superseded)\b", text, re.MULTILINE)
        assert re.search(r"^- Date: \d{4}-\d\d-\d\d$", text, re.MULTILINE)
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]

    def test_are_listed_in_the_index(self):
        rows = re.findall(
            r"^\| (\d+) \| \[(.+?)\]\((.+?)\) \| (.+?) \| (.+?) \|$",
            (self.FOLDER / "README.md").read_text(encoding="utf-8"),
            re.MULTILINE,
        )

        assert rows == [self.row_of(record) for record in self.RECORDS]

    def row_of(self, record: Path) -> tuple[str, ...]:
        text = record.read_text(encoding="utf-8")
        [(number, title)] = re.findall(r"\A# (\d+)\. (.+)$", text, re.MULTILINE)
        [status] = re.findall(r"^- Status: (\w+)", text, re.MULTILINE)
        [date] = re.findall(r"^- Date: (.+)$", text, re.MULTILINE)
        return number, title, record.name, status, date


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.django_db(transaction=True)
class TestShellTutorials:
    """The snippets with curl run, in order, in one shell against a live server."""

    PASSWORD = "correct horse battery"
    ACCOUNTS = re.compile(r"^(URL|PASSWORD|ADMIN_PASSWORD)=.*$", re.MULTILINE)

    @pytest.mark.parametrize("name", ["README.md", "docs/tutorial/http-api.md"])
    def test_run_with_the_statuses_that_the_text_describes(self, name, live_server):
        user = User.objects.create_user("user@demo.fluxori.example", self.PASSWORD)
        User.objects.create_user("admin@demo.fluxori.example", self.PASSWORD, role=User.Role.ADMIN)
        operations.add_credits(owner=user, amount=200, type="purchase")
        blocks = [each.text for each in snippets_of(PROJECT / name) if each.language == "sh" and "curl" in each.text]

        # The status of each response goes to stderr, the rest is as a reader would run it.
        report_status = "curl() { command curl --write-out '%{stderr}%{http_code}\\n' \"$@\"; }"
        script = "\n".join(["set -euo pipefail", report_status, *(self.ACCOUNTS.sub("", block) for block in blocks)])
        run = subprocess.run(
            ["bash", "-c", script],
            env={**os.environ, "URL": live_server.url, "PASSWORD": self.PASSWORD, "ADMIN_PASSWORD": self.PASSWORD},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

        assert run.returncode == 0, run.stderr
        statuses = run.stderr.split()
        assert len(statuses) == sum(block.count("curl -s") for block in blocks)
        assert Counter(statuses)["402"] == 1
        assert set(statuses) <= {"200", "201", "402"}
