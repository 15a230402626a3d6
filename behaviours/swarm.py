"""What all agents of one process share, handed to each of them; nothing of it is global."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, tzinfo

from behaviours.ports import Clock, Post, Recorder


@dataclass(frozen=True, slots=True)
class ServerAccess:
    """Where the XMPP server listens, and how its certificate is checked.

    `tls` is one context for the whole process: making one for each client costs about 40 ms.
    """

    host: str
    port: int
    tls: ssl.SSLContext


@dataclass(frozen=True, slots=True)
class Swarm:
    """The ports of one run. `failed` is told of every error that nobody else would see, and must end the run.

    Without a `server` the agents do not log in anywhere: for tests, and for studies that no outsider watches.
    `notice(agent, text)` is told what went otherwise than planned and does not end the run: a line for the user.
    `zone` is that of the market's day. Without `judge` an act is not held against what was said before (for tests that
    send single acts).
    `run` starts every conversation id, where agents outside must tell this run's from another's.
    An agent that is `down(jid)` neither hears nor says anything: letters to it are lost, and so is what it would say.
    With `publish` the observer also publishes what is said in the rooms and nodes of the server.
    `outside` are the JIDs of actors that somebody else's system plays: they cannot write the books, so that whoever
    they tell of a payment books it. `gone(jid)` is told when somebody outside acknowledges no letter any more.
    """

    clock: Clock
    post: Post
    recorder: Recorder
    directory: str
    failed: Callable[[BaseException], None]
    server: ServerAccess | None = None
    run: str = ""
    zone: tzinfo = UTC
    judge: bool = True
    notice: Callable[[str, str], None] = lambda agent, text: None
    publish: bool = False
    down: Callable[[str], bool] = lambda jid: False
    outside: frozenset[str] = frozenset()
    gone: Callable[[str], None] = lambda jid: None
