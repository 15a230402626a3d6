"""`python -m environment.page`: serves the page of one run folder; settings and the swarm's lines come on stdin.

Standard output carries the lines to the swarm and nothing else. It ends when stdin ends.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import uvicorn

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from environment.page.guard import Guard, is_loopback
from environment.page.host import MOST_LINE, Host, Lines, Settings, SettingsError
from environment.run_folder import RunFolderError

NICENESS = 10
CLOSING_S = 1


class PageServerError(RuntimeError):
    """The page cannot be served; one line says why."""


class _Server(uvicorn.Server):
    """Says when it can be reached."""

    def __init__(self, config: uvicorn.Config, up: Callable[[], None]) -> None:
        super().__init__(config)
        self._up = up

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._up()


def main() -> int:
    """Serves until stdin ends. Returns the exit code."""
    say = Lines(_private_output())
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    try:
        settings = Settings.read(_first_line())
        asyncio.run(serve(settings, say))
    except (SettingsError, PageServerError, RunFolderError) as error:
        say({"error": str(error)})
        return 3
    except KeyboardInterrupt:
        pass
    return 0


def _private_output() -> int:
    """A descriptor of standard output that nobody else knows; whatever is printed goes to standard error."""
    pipe = os.dup(1)
    if not os.isatty(pipe):
        os.set_blocking(pipe, False)
    os.dup2(2, 1)
    return pipe


def _first_line() -> bytes:
    """Byte by byte, so that nothing of what follows is taken."""
    line = bytearray()
    while (byte := os.read(0, 1)) not in (b"", b"\n"):
        line += byte
    return bytes(line)


async def serve(settings: Settings, say: Lines) -> None:
    """Binds, says where, and serves. Raises PageServerError."""
    if settings.token is None and not is_loopback(settings.address):
        raise PageServerError(f"{settings.address}: beyond this machine the page is served with a token only")
    if not settings.folder.is_dir():
        raise PageServerError(f"{settings.folder}: no such folder")
    bound = _bind(settings.address, settings.port)
    port: int = bound.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="gridparley-page-") as store:
        os.environ["NICEGUI_STORAGE_PATH"] = store  # nothing is kept in it; its default is a folder here
        from environment.page.frame import make_app

        host = Host(settings, say)
        guarded: Any = Guard(make_app(host), port=port, token=settings.token)
        config = uvicorn.Config(
            guarded,
            log_level="warning",
            access_log=False,
            ws="wsproto",
            lifespan="on",
            timeout_graceful_shutdown=CLOSING_S,
            server_header=False,
            proxy_headers=False,
        )
        server = _Server(config, lambda: say({"ready": _address(settings, port)}))
        tasks = [
            asyncio.create_task(host.watch()),
            asyncio.create_task(_listen(host, server)),
        ]
        try:
            await server.serve(sockets=[bound])
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _bind(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((address, port))
        bound.listen(128)
    except OSError as reason:
        bound.close()
        where = f"{address}:{port}" if port else address
        raise PageServerError(f"cannot be served at {where}: {reason.strerror or reason}; give another port") from None
    return bound


def _address(settings: Settings, port: int) -> str:
    address = socket.gethostname() if settings.address in ("0.0.0.0", "::") else settings.address
    host = f"[{address}]" if ":" in address else address
    query = f"?token={settings.token}" if settings.token is not None else ""
    return f"http://{host}:{port}/{query}"


async def _listen(host: Host, server: uvicorn.Server) -> None:
    """Hears the swarm until it says no more, and ends the process then."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=MOST_LINE)
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(0, "rb", buffering=0, closefd=False)
    )
    while True:
        try:
            line = await reader.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            break
        except asyncio.LimitOverrunError as over:
            await reader.read(over.consumed)
            continue
        host.told(line)
    server.should_exit = True


if __name__ == "__main__":
    sys.exit(main())
