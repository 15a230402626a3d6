"""`run.py schema`: what a stranger's system needs to take part, as files, made from the catalogue.

`asyncapi-<role>.json` is what an agent in that role says and hears (AsyncAPI 3.0); `contents/<Content>.json` the JSON
Schema (2020-12) of each content, whole in itself; `exchanges.json` the list that `run.py exchanges --json` prints.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from protocols import asyncapi, catalogue, schema

CONTENTS = "contents"


class SchemaFilesError(RuntimeError):
    """The files cannot be written; one line says where and why."""


def write(folder: Path) -> list[Path]:
    """Writes the files, in place of those of an earlier time, and returns their paths. Raises SchemaFilesError."""
    written = []
    try:
        (folder / CONTENTS).mkdir(parents=True, exist_ok=True)
        for name, text in _files():
            path = folder / name
            path.write_text(f"{text}\n", encoding="utf-8")
            written.append(path)
    except OSError as error:
        raise SchemaFilesError(f"--out {folder}: cannot be written: {error.strerror}; give another folder") from None
    return written


def _files() -> Iterator[tuple[str, str]]:
    for role in asyncapi.outside_roles():
        yield f"asyncapi-{role}.json", _text(asyncapi.document(role))
    for content in schema.contents():
        yield f"{CONTENTS}/{content.__name__}.json", _text(schema.of(content))
    yield "exchanges.json", catalogue.listing(as_json=True)


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)
