"""The layers of the project: import contracts hold, and no modules import each other in a circle."""

import subprocess
import sys
from pathlib import Path

import grimp


class TestImports:
    def test_keep_the_contracts_of_the_layers(self):
        # A process of its own, because the linter changes the logging of the process it runs in.
        linter = Path(sys.executable).with_name("lint-imports")

        result = subprocess.run([linter, "--no-cache"], capture_output=True, text=True, check=False)

        assert result.returncode == 0, result.stdout + result.stderr

    def test_form_no_cycle_not_even_for_type_checking(self):
        graph = grimp.build_graph("credits", "tiers", "fluxori", cache_dir=None)

        imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}

        assert cycles(imports) == []


def cycles(imports: dict[str, set[str]]) -> list[list[str]]:
    """Return the groups of modules that import each other (Tarjan's strongly connected components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for imported in imports.get(module, ()):
            if imported not in index:
                visit(imported)
                low[module] = min(low[module], low[imported])
            elif imported in stack:
                low[module] = min(low[module], index[imported])
        if low[module] == index[module]:
            group: list[str] = []
            while not group or group[-1] != module:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    for module in imports:
        if module not in index:
            visit(module)
    return found


class TestCycles:
    def test_are_found(self):
        assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]

    def test_are_none_in_a_tree(self):
        assert cycles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
