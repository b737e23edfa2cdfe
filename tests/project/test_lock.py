import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[2]
LOCK = (PROJECT / "requirements.lock").read_text()
DECLARED = tomllib.loads((PROJECT / "pyproject.toml").read_text())


def locked() -> dict[str, str]:
    """Return the version of each package that the lock names."""
    pins = [line.split(";")[0].rstrip(" \\") for line in LOCK.splitlines() if "==" in line.split(";")[0]]
    return {canonicalize_name(name): version for name, version in (pin.split("==") for pin in pins)}


class TestLock:
    @pytest.mark.parametrize("wanted", DECLARED["project"]["dependencies"] + DECLARED["dependency-groups"]["dev"])
    def test_has_what_the_project_declares(self, wanted):
        requirement = Requirement(wanted)

        assert requirement.specifier.contains(locked()[canonicalize_name(requirement.name)])

    def test_names_no_host(self):
        assert "://" not in LOCK
