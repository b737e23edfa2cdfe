"""The language of the project is plain technical English: a test measures it, so that it does not drift.

It counts two lists of words in docstrings, comments, SQL comments and Markdown outside tests, migrations and decision
records. Django, DRF, psycopg, procrastinate and hypothesis have 0.0 to 0.4 of the pronouns per 1,000 words and 0.0 to
1.7 of the wider list.
"""

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
MAX_PRONOUNS = 0.7
MAX_PRIVATE_WORDS = 2.0

PRONOUNS = re.compile(r"\b(whoever|whomever|whose|whom|somebody|nobody|everybody|anybody)\b", re.IGNORECASE)
PRIVATE_WORDS = re.compile(
    r"\b(whoever|whomever|somebody|nobody|everybody|anybody|told|tells? (of|apart)|teller|tellers|spell(s|ed|ing)?"
    r"|doors?|floors?|roof|cellar|rooms?|purses?|rid(e|es|ing)|riders?|at hand|beside|anew|thereof|takes? along"
    r"|taken along|by hand|meanwhile|for ever|so that no|stands? (in|on|apart|beside)|is said|are said|gives? away"
    r"|handed over)\b",
    re.IGNORECASE,
)
WORD = re.compile(r"[A-Za-z']+")
SKIPPED = re.compile(r"(^|/)(tests|migrations|\.venv|node_modules|docs/decisions)/|CHANGELOG|requirements|locale/")


def lines_of_text(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the numbered lines of documentation in a file:

    Prose of Markdown, comments of SQL, comments and docstrings.
    """
    source = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".md":
        yield from prose_of_markdown(source)
    elif path.suffix == ".sql":
        for number, line in enumerate(source.splitlines(), 1):
            if "--" in line:
                yield number, line.split("--", 1)[1]
    else:
        yield from docstrings(source)
        yield from comments(source)


def prose_of_markdown(source: str) -> Iterator[tuple[int, str]]:
    is_code = False
    for number, line in enumerate(source.splitlines(), 1):
        if line.startswith("```"):
            is_code = not is_code
        elif not is_code:
            yield number, line


def docstrings(source: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node, clean=False)
            for offset, line in enumerate((docstring or "").splitlines()):
                yield node.body[0].lineno + offset, line


def comments(source: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and not re.match(r"#\s*(noqa|type:|pragma|!)", token.string):
            yield token.start[0], token.string.lstrip("# ")


@pytest.fixture(scope="module")
def text() -> list[tuple[str, int, str]]:
    """Return every line of documentation with its file and number."""
    listed = subprocess.run(
        ["git", "ls-files", "*.py", "*.md", "*.sql"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    files = [name for name in listed.stdout.split() if not SKIPPED.search(name) and (PROJECT / name).exists()]
    assert len(files) > 100
    return [(name, number, line) for name in files for number, line in lines_of_text(PROJECT / name)]


class TestLanguage:
    @pytest.mark.parametrize(("words", "maximum"), [(PRONOUNS, MAX_PRONOUNS), (PRIVATE_WORDS, MAX_PRIVATE_WORDS)])
    def test_has_few_words_of_a_list_per_thousand(self, text, words, maximum):
        total = sum(len(WORD.findall(line)) for _, _, line in text)
        found = [(name, number, line.strip()) for name, number, line in text if words.search(line)]

        rate = 1000 * sum(len(words.findall(line)) for _, _, line in found) / total

        assert rate <= maximum, "\n".join(f"{name}:{number}: {line}" for name, number, line in found)


class TestLinesOfText:
    def test_are_the_docstrings_and_comments_of_python(self, tmp_path):
        module = tmp_path / "module.py"
        module.write_text('"""One."""\n\n\ndef two():\n    """Two."""\n    return "three"  # four\n')

        assert [line for _, line in lines_of_text(module)] == ["One.", "Two.", "four"]

    def test_are_the_prose_of_markdown(self, tmp_path):
        page = tmp_path / "page.md"
        page.write_text("One\n```\ntwo\n```\nthree\n")

        assert [line for _, line in lines_of_text(page)] == ["One", "three"]

    def test_are_the_comments_of_sql(self, tmp_path):
        statement = tmp_path / "statement.sql"
        statement.write_text("-- One\nSELECT 2 -- three\n")

        assert [line for _, line in lines_of_text(statement)] == [" One", " three"]
