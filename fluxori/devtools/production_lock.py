"""Write ``requirements.production.lock``: the part of ``requirements.lock`` that production needs.

It contains the dependencies of the project in ``pyproject.toml`` and, recursively, theirs, with the same versions and
hashes. Run ``python -m fluxori.devtools.production_lock`` after each change of ``requirements.lock``; a test fails if
that was forgotten.
"""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).resolve().parents[2]
TARGET = PROJECT / "requirements.production.lock"


def production_lock(project: Path = PROJECT) -> str:
    """Return the content of the file, computed from the packages that are installed."""
    declared = tomllib.loads((project / "pyproject.toml").read_text())
    needed = _closure(declared["project"]["dependencies"])
    blocks = re.split(r"^(?=\S)", (project / "requirements.lock").read_text(), flags=re.MULTILINE)
    return "".join(block for block in blocks if canonicalize_name(block.split("==")[0].strip()) in needed)


def _closure(requirements: list[str]) -> set[str]:
    """Return the names of all packages that these requirements need, on any platform and Python version."""
    names: set[str] = set()
    done: set[tuple[str, frozenset[str]]] = set()
    pending = [Requirement(text) for text in requirements]
    while pending:
        requirement = pending.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in done:
            continue
        done.add((name, extras))
        names.add(name)
        try:
            dependencies = [Requirement(text) for text in requires(name) or []]
        except PackageNotFoundError:  # needed on another platform or Python version only
            continue
        pending += [dependency for dependency in dependencies if _applies(dependency, extras)]
    return names


def _applies(dependency: Requirement, extras: frozenset[str]) -> bool:
    marker = dependency.marker
    if marker is None or "extra" not in str(marker):
        return True
    return any(marker.evaluate({"extra": extra}) for extra in extras)


if __name__ == "__main__":
    TARGET.write_text(production_lock())
