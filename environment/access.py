"""Accounts on an XMPP server, and its address, as a user gives them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

DOMAIN = "localhost"
"""The embedded server's XMPP domain."""
CLIENT_PORT = 5222
"""The port of XMPP clients (RFC 6120, 14.7)."""
_JID = re.compile(r"[^@/\s]+@[^@/\s]+")
_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:/\s\[\]]+))(?::(\d{1,5}))?")
_SHOWN = 3


class AccountsError(ValueError):
    """Accounts or an address that cannot be used, in one line."""


def read_accounts(path: Path) -> dict[str, str]:
    """The passwords by JID in a TOML file of lines `"name@domain" = "password"`. Raises AccountsError."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AccountsError(f"accounts {path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise AccountsError(f"accounts {path}: is not TOML: {error}") from error
    for jid, password in found.items():
        if not isinstance(password, str) or not password or not _JID.fullmatch(jid):
            raise AccountsError(f'accounts {path}: {jid}: every line is "name@domain" = "password"')
    return found


def swarm_accounts(accounts: Mapping[str, str], agents: Iterable[str]) -> str:
    """The domain that has an account for each of the agents (`name@`). Raises AccountsError naming those without."""
    domains = sorted({jid.partition("@")[2] for jid in accounts})
    names = [agent.partition("@")[0] for agent in agents]
    missing: dict[str, list[str]] = {}
    for domain in domains:
        missing[domain] = [name for name in names if f"{name}@{domain}" not in accounts]
        if not missing[domain]:
            return domain
    if not domains:
        raise AccountsError("the accounts file is empty")
    best = min(domains, key=lambda domain: len(missing[domain]))
    first = ", ".join(f"{name}@{best}" for name in missing[best][:_SHOWN])
    more = f" and {len(missing[best]) - _SHOWN} more" if len(missing[best]) > _SHOWN else ""
    raise AccountsError(f"the accounts file has no password for {first}{more}; add them, on the server as well")


def server_address(text: str) -> tuple[str, int]:
    """Host and port of HOST[:PORT] or [IPv6]:PORT. Raises AccountsError."""
    found = _ADDRESS.fullmatch(text)
    port = int(found.group(3) or CLIENT_PORT) if found else 0
    if found is None or not 0 < port < 65_536:
        raise AccountsError(f"--server {text}: give HOST or HOST:PORT, such as xmpp.example.org:5222")
    return found.group(1) or found.group(2), port
