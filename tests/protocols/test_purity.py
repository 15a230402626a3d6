"""`protocols/` is pure: the standard library and pydantic, nothing that waits, reads a clock or rolls dice."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import protocols

ROOT = Path(protocols.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
IMPURE = {
    "asyncio",
    "io",
    "logging",
    "os",
    "pathlib",
    "random",
    "secrets",
    "selectors",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "uuid",
}
CLOCKS = {"now", "utcnow", "today"}


def imported(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." if node.level else (node.module or "").partition(".")[0])
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_nothing_impure_and_reads_no_clock(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = imported(tree)
    allowed = (set(sys.stdlib_module_names) - IMPURE) | {"pydantic", "pydantic_core", "protocols"}
    assert names <= allowed, names - allowed
    called = {node.func for node in ast.walk(tree) if isinstance(node, ast.Call)}
    clocks = {f.attr for f in called if isinstance(f, ast.Attribute) and not f.attr.startswith("_")} & CLOCKS
    opened = {f.id for f in called if isinstance(f, ast.Name)} & {"open", "input"}
    assert not clocks | opened


def test_every_module_was_looked_at() -> None:
    assert {"acl.py", "tables.py", "conversation.py", "check.py", "content.py"} <= {path.name for path in FILES}


def test_no_module_has_two_ideas_in_it() -> None:
    long = {path.name: count for path in FILES if (count := len(path.read_text().splitlines())) > 500}
    assert not long
