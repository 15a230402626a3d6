"""`run.py schema`: the files for a stranger's system."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from environment.schema_files import SchemaFilesError, write
from protocols import schema
from protocols.asyncapi import outside_roles


def test_a_document_for_each_role_a_schema_for_each_content_and_the_list(tmp_path: Path) -> None:
    written = write(tmp_path / "new" / "schema")
    names = {path.relative_to(tmp_path / "new" / "schema").as_posix() for path in written}
    assert names == {
        "exchanges.json",
        *(f"asyncapi-{role}.json" for role in outside_roles()),
        *(f"contents/{content.__name__}.json" for content in schema.contents()),
    }
    assert all(json.loads(path.read_text(encoding="utf-8")) for path in written)


def test_the_same_again_is_written_over(tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in write(tmp_path)}
    assert {path: path.read_bytes() for path in write(tmp_path)} == before


def test_a_folder_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("taken", encoding="utf-8")
    with pytest.raises(SchemaFilesError, match=r"^--out .*file: cannot be written: .*; give another folder$"):
        write(tmp_path / "file")
