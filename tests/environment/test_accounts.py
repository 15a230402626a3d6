"""The address of a foreign server and the file of accounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from environment.accounts import reach, read_accounts
from environment.server import ServerError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("xmpp.example.org", ("xmpp.example.org", 5222)),
        ("localhost:15222", ("localhost", 15222)),
        ("[::1]:5223", ("::1", 5223)),
    ],
)
def test_an_address_has_a_host_and_maybe_a_port(text: str, expected: tuple[str, int]) -> None:
    access = reach(text)
    assert (access.host, access.port) == expected


@pytest.mark.parametrize("text", ["", "host:", "host:0", "host:70000", "a b", "host:port", "::1"])
def test_an_address_that_is_none_is_one_clear_line(text: str) -> None:
    with pytest.raises(ServerError, match="is no address: write HOST or HOST:PORT"):
        reach(text)


def test_accounts_are_read_for_the_agents_that_need_them(tmp_path: Path) -> None:
    file = tmp_path / "accounts"
    file.write_text("# the swarm\n\nvpp@x.org = a=b c\n dso@x.org=secret \nother@x.org = unused\n")
    assert read_accounts(file, ["dso@x.org", "vpp@x.org"]) == {"dso@x.org": "secret", "vpp@x.org": "a=b c"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a@x = 1\nvpp\n", ":2: write `name@domain = password`"),
        ("a@x =\n", ":1: write `name@domain = password`"),
        ("a = 1\n", ":1: write `name@domain = password`"),
        ("a@x = 1\n\na@x = 2\n", ":3: a@x is there twice"),
        ("a@x = 1\n", "has no line for b@x, c@x, d@x and 1 more"),
    ],
)
def test_a_fault_in_the_accounts_names_its_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "accounts"
    file.write_text(text)
    with pytest.raises(ServerError) as caught:
        read_accounts(file, ["a@x", "b@x", "c@x", "d@x", "e@x"])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="cannot be read"):
        read_accounts(tmp_path / "none", [])
