"""Accounts and addresses as users write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from environment.access import AccountsError, read_accounts, server_address, swarm_accounts


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("localhost", ("localhost", 5222)),
        ("xmpp.example.org:5269", ("xmpp.example.org", 5269)),
        ("127.0.0.1:1", ("127.0.0.1", 1)),
        ("[::1]", ("::1", 5222)),
        ("[::1]:5223", ("::1", 5223)),
    ],
)
def test_an_address_is_a_host_and_perhaps_a_port(text: str, address: tuple[str, int]) -> None:
    assert server_address(text) == address


@pytest.mark.parametrize("text", ["", ":5222", "host:port", "host:0", "host:65536", "host:-1", "::1", "[::1", "a b"])
def test_what_is_no_address_is_one_line(text: str) -> None:
    with pytest.raises(AccountsError) as error:
        server_address(text)
    assert str(error.value) == f"--server {text}: give HOST or HOST:PORT, such as xmpp.example.org:5222"


def test_accounts_are_lines_of_toml(tmp_path: Path) -> None:
    path = tmp_path / "accounts.toml"
    path.write_text('# ours\n"dso@x.org" = "p = \\"1\\""\n"fmo@x.org" = "2"\n', encoding="utf-8")
    assert read_accounts(path) == {"dso@x.org": 'p = "1"', "fmo@x.org": "2"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("dso@x.org = 1", "is not TOML: "),
        ('"dso@x.org" = 1', 'dso@x.org: every line is "name@domain" = "password"'),
        ('"dso@x.org" = ""', 'dso@x.org: every line is "name@domain" = "password"'),
        ('"dso" = "p"', 'dso: every line is "name@domain" = "password"'),
        ('"dso@" = "p"', 'dso@: every line is "name@domain" = "password"'),
        ('"@x.org" = "p"', '@x.org: every line is "name@domain" = "password"'),
        ('"a@b@c" = "p"', 'a@b@c: every line is "name@domain" = "password"'),
        ('"dso@x.org/r" = "p"', 'dso@x.org/r: every line is "name@domain" = "password"'),
        ('[dso]\n"a@b" = "p"', 'dso: every line is "name@domain" = "password"'),
        ('"a@b" = "1"\n"a@b" = "2"', "is not TOML: "),
    ],
)
def test_a_wrong_line_is_named(text: str, line: str, tmp_path: Path) -> None:
    path = tmp_path / "accounts.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(AccountsError) as error:
        read_accounts(path)
    assert str(error.value).startswith(f"accounts {path}: {line}")
    assert "\n" not in str(error.value)


def test_no_password_is_shown_in_an_error(tmp_path: Path) -> None:
    path = tmp_path / "accounts.toml"
    path.write_text('"dso" = "secret"\n', encoding="utf-8")
    with pytest.raises(AccountsError) as error:
        read_accounts(path)
    assert "secret" not in str(error.value)


def test_the_domain_is_the_one_that_has_all_agents() -> None:
    accounts = {"dso@a.org": "1", "dso@b.org": "1", "fmo@b.org": "1", "someone@c.org": "1"}
    assert swarm_accounts(accounts, ["dso@", "fmo@"]) == "b.org"


def test_agents_without_an_account_are_named_three_of_them() -> None:
    with pytest.raises(AccountsError) as error:
        swarm_accounts({"dso@a.org": "1"}, ["dso@", *(f"ev-{n}@" for n in range(5))])
    assert str(error.value) == (
        "the accounts file has no password for ev-0@a.org, ev-1@a.org, ev-2@a.org and 2 more; "
        "add them, on the server as well"
    )


def test_an_empty_file_says_so() -> None:
    with pytest.raises(AccountsError, match="the accounts file is empty"):
        swarm_accounts({}, ["dso@"])
