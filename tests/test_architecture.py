"""Imports go one way, run.py -> environment -> agents -> behaviours -> protocols, and protocols/ is pure."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ("run", "environment", "agents", "behaviours", "protocols")
"""From the outermost to the innermost: each may import itself and what stands after it."""

IMPURE = {
    "I/O": "fcntl ftplib getpass glob http io os pathlib pickle select selectors shelve shutil smtplib socket sqlite3"
    " ssl subprocess tempfile urllib",
    "a clock, or waiting": "asyncio concurrent multiprocessing queue sched signal threading time timeit",
    "randomness": "random secrets uuid",
    "logging": "logging syslog warnings",
    "the process": "contextvars importlib platform sys weakref",
}
"""Modules of the standard library that a pure module may not import, by what is wrong with them."""
IMPURE_CALLS = {"open", "print", "input", "exec", "eval", "breakpoint", "now", "utcnow", "today"}

ONLY_IN = {
    "spade": ("behaviours/", "agents/actor.py"),
    "slixmpp": ("behaviours/", "agents/actor.py", "environment/"),
    "pyjabber": ("environment/",),
    "pandapower": ("environment/",),
    "pymodbus": ("environment/",),
    "simbench": (),
    "sunspec2": (),
    "aioxmpp": ("environment/observing_client.py", "environment/observing_login.py"),
}
"""A library, and the only places that know it."""


def sources() -> list[Path]:
    files = [path for layer in LAYERS[1:] for path in sorted((ROOT / layer).rglob("*.py"))]
    return [*files, *filter(Path.exists, [ROOT / "run.py"])]


def within(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), within(path))


def imports(nodes: ast.AST, place: str = "") -> Iterator[tuple[str, int]]:
    """Top-level package of every import, wherever it stands, with its line."""
    for node in ast.walk(nodes):
        if isinstance(node, ast.Import):
            yield from ((name.name.partition(".")[0], node.lineno) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = place.partition("/")[0] if node.level else (node.module or "")
            yield package.partition(".")[0], node.lineno
        elif isinstance(node, ast.Call) and called(node) in {"import_module", "__import__"}:
            first = node.args[0] if node.args else None
            name = first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else "?"
            yield name.partition(".")[0], node.lineno


def called(node: ast.Call) -> str:
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def outward(text: str, place: str) -> list[str]:
    """Imports of `text`, standing at `place`, that go against the direction."""
    layer = LAYERS.index(place.removesuffix(".py").partition("/")[0])
    found = imports(ast.parse(text), place)
    return [f"{place}:{line} imports {name}" for name, line in found if name in LAYERS[:layer]]


def impurities(text: str, place: str) -> list[str]:
    """What `text` imports or calls that a pure module may not. A module's own command line may print."""
    module = ast.parse(text)
    module.body = [
        node for node in module.body if not (isinstance(node, ast.If) and "__main__" in ast.unparse(node.test))
    ]
    impure = " ".join(IMPURE.values()).split()
    allowed = (sys.stdlib_module_names - set(impure)) | {"pydantic", "pydantic_core", "protocols"}
    found = [f"{place}:{line} imports {name}" for name, line in imports(module, place) if name not in allowed]
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and called(node) in IMPURE_CALLS:
            found.append(f"{place}:{node.lineno} calls {called(node)}")
        elif isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.Global | ast.Nonlocal):
            found.append(f"{place}:{node.lineno} has {type(node).__name__}")
    return found


@pytest.mark.parametrize("path", sources(), ids=within)
def test_imports_go_one_way(path: Path) -> None:
    assert outward(path.read_text(encoding="utf-8"), within(path)) == []


@pytest.mark.parametrize("path", sorted((ROOT / "protocols").rglob("*.py")), ids=within)
def test_protocols_are_pure(path: Path) -> None:
    assert impurities(path.read_text(encoding="utf-8"), within(path)) == []


@pytest.mark.parametrize("path", sources(), ids=within)
def test_a_library_is_known_only_where_it_belongs(path: Path) -> None:
    place = within(path)
    strays = [
        f"{place}:{line} imports {name}"
        for name, line in imports(tree(path), place)
        if name in ONLY_IN and not place.startswith(ONLY_IN[name] or ("-",))
    ]
    assert strays == []


def test_every_layer_is_there() -> None:
    assert {place.partition("/")[0] for place in map(within, sources())} >= set(LAYERS[1:])


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("agents/vpp.py", "from environment.grid import Grid"),
        ("protocols/acl.py", "def f() -> None:\n    import behaviours.ports"),
        ("behaviours/x.py", "if TYPE_CHECKING:\n    from agents import actor"),
        ("environment/x.py", "import run"),
        ("behaviours/x.py", "importlib.import_module('agents.vpp')"),
    ],
)
def test_an_import_against_the_direction_is_found_wherever_it_stands(place: str, text: str) -> None:
    assert len(outward(text, place)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "import asyncio",
        "from time import monotonic",
        "import numpy as np",
        "import logging.handlers",
        "def f():\n    import random",
        "at = datetime.now(UTC)",
        "print('x')",
        "with open('x') as file: pass",
        "async def f(): ...",
    ],
)
def test_what_is_not_pure_is_found(text: str) -> None:
    assert len(impurities(text, "protocols/x.py")) == 1


def test_what_is_pure_is_let_through() -> None:
    text = "import json\nfrom pydantic import BaseModel\nfrom . import acl\nif __name__ == '__main__':\n    print(1)"
    assert impurities(text, "protocols/x.py") == []
    assert outward("from protocols import acl\nfrom agents.x import y", "environment/x.py") == []
