import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fluxori.devtools.production_lock import production_lock

PROJECT = Path(__file__).parents[2]
LOCK = (PROJECT / "requirements.lock").read_text()
PRODUCTION_LOCK = (PROJECT / "requirements.production.lock").read_text()
DECLARED = tomllib.loads((PROJECT / "pyproject.toml").read_text())
PRODUCTION = DECLARED["project"]["dependencies"]
DEVELOPMENT = DECLARED["dependency-groups"]["dev"]


def locked_versions(lock: str) -> dict[str, str]:
    """Return the version of each package in a lock file."""
    pins = [line.split(";")[0].rstrip(" \\") for line in lock.splitlines() if "==" in line.split(";")[0]]
    return {canonicalize_name(name): version for name, version in (pin.split("==") for pin in pins)}


class TestLock:
    @pytest.mark.parametrize("dependency", PRODUCTION + DEVELOPMENT)
    def test_contains_each_declared_dependency_in_a_valid_version(self, dependency):
        requirement = Requirement(dependency)

        assert requirement.specifier.contains(locked_versions(LOCK)[canonicalize_name(requirement.name)])

    @pytest.mark.parametrize("lock", [LOCK, PRODUCTION_LOCK], ids=["all", "production"])
    def test_names_no_host(self, lock):
        assert "://" not in lock


class TestProductionLock:
    def test_is_up_to_date_with_requirements_lock(self):
        assert production_lock() == PRODUCTION_LOCK, "Run: python -m fluxori.devtools.production_lock"

    def test_contains_the_dependencies_of_production_and_no_development_package(self):
        names = set(locked_versions(PRODUCTION_LOCK))

        assert {canonicalize_name(Requirement(text).name) for text in PRODUCTION} <= names
        assert names.isdisjoint(canonicalize_name(Requirement(text).name) for text in DEVELOPMENT)
