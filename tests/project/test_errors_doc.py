"""docs/reference/errors.md says what the code says: every code, with its status, and no other."""

import importlib
import re
from pathlib import Path

import pytest

from fluxori.api import field_errors, problems
from fluxori.api.errors import PayloadTooLargeError
from fluxori.core.errors import DomainError

DOC = Path(__file__).parents[2] / "docs" / "reference" / "errors.md"
PACKAGES = ["credits.domain.errors", "tiers.domain.errors", "fluxori.identity.errors", "fluxori.api.errors"]


def rejections(kind=DomainError):
    for subclass in kind.__subclasses__():
        # What the console rejects is shown on its forms, never by the API.
        if (
            subclass.__module__.split(".")[0] in {"fluxori", "credits", "tiers"}
            and "console" not in subclass.__module__
        ):
            yield subclass
            yield from rejections(subclass)


def status_of(rejection):
    return next(status for kind, status in problems.STATUS_BY_KIND.items() if issubclass(rejection, kind))


def codes_in_the_code():
    for package in PACKAGES:
        importlib.import_module(package)
    codes = {(status_of(rejection), rejection.code) for rejection in rejections() if hasattr(rejection, "code")}
    codes |= {(kind.status_code, code) for kind, code in problems.CODE_BY_FRAMEWORK_ERROR.items()}
    codes |= {(503, code) for code in problems.RETRY_AFTER_SECONDS}
    codes |= {(PayloadTooLargeError.status_code, PayloadTooLargeError.default_code)}
    codes |= {(problems.internal_error().status, problems.internal_error().code)}
    return codes


def section(title):
    _, _, rest = DOC.read_text(encoding="utf-8").partition(f"\n## {title}\n")
    return rest.partition("\n## ")[0]


class TestErrorsPage:
    def test_lists_every_code_with_its_status_and_no_other(self):
        listed = re.findall(r"^\| (\d{3}) \| `(\w+)` \|", section("Codes"), re.MULTILINE)

        assert sorted((int(status), code) for status, code in listed) == sorted(codes_in_the_code())

    def test_lists_every_field_code_and_no_other(self):
        listed = re.findall(r"^\| `(\w+)` \|", section("Field codes"), re.MULTILINE)

        assert sorted(listed) == sorted(field_errors.CODES)

    @pytest.mark.parametrize("title", ["Codes", "Field codes"])
    def test_says_what_each_means(self, title):
        rows = [row for row in section(title).splitlines() if re.match(r"\| (\d{3}|`)", row)]

        assert rows
        assert all(len(row.split("|")[-3 if title == "Codes" else -2].strip()) > 10 for row in rows)
