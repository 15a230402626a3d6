"""Logging the swarm in at a server that is not ours: its address, its CA, and a file of accounts.

Anybody's server works whose administrator has made the accounts, by whatever means it has; the swarm registers none
by itself, for a server that lets programs do so lets everybody do so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from behaviours.swarm import ServerAccess
from environment.server import ServerError, client_tls

XMPP_PORT = 5222


def reach(server: str, ca_file: Path | None = None) -> ServerAccess:
    """The access that `HOST`, `HOST:PORT` or `[IPv6]:PORT` names. Raises ServerError."""
    found = re.fullmatch(r"(?:\[([^\]]+)\]|([^:\s\[\]]+))(?::(\d{1,5}))?", server)
    port = int(found.group(3) or XMPP_PORT) if found else 0
    if found is None or not 0 < port < 65536:
        raise ServerError(f"--server {server!r} is no address: write HOST or HOST:PORT, such as localhost:5222")
    return ServerAccess(found.group(1) or found.group(2), port, client_tls(ca_file))


def read_accounts(path: Path, needed: Iterable[str]) -> dict[str, str]:
    """The passwords of the JIDs `needed`, from lines `jid = password`; `#` begins a comment line.

    Raises ServerError that names the line that is wrong, or the accounts that are missing.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ServerError(f"accounts file {path} cannot be read ({error}): give one with --accounts") from None
    accounts: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        jid, equals, password = (part.strip() for part in line.partition("="))
        if not equals or not password or not re.fullmatch(r"[^@\s/]+@[^@\s/]+", jid):
            raise ServerError(f"{path}:{number}: write `name@domain = password`")
        if jid in accounts:
            raise ServerError(f"{path}:{number}: {jid} is there twice: keep one line of it")
        accounts[jid] = password
    wanted = list(needed)
    if missing := [jid for jid in wanted if jid not in accounts]:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise ServerError(f"{path} has no line for {', '.join(missing[:3])}{more}: add one for each agent")
    return {jid: accounts[jid] for jid in wanted}
