"""A person's terminal client (Debian's profanity) in a terminal of its own (tmux): what is typed, and what is shown."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from pathlib import Path

import pytest

SHOWN_S = 30.0
"""Wall seconds after which a text that is not on the screen fails the test."""
LOOK_S = 0.1


def need_profanity() -> None:
    """Skips the test where profanity, tmux or openssl is not installed, but never in CI."""
    missing = [program for program in ("profanity", "tmux", "openssl") if shutil.which(program) is None]
    if missing:
        assert not os.environ.get("CI"), f"CI must have {missing}: apt-get install -y profanity tmux openssl"
        pytest.skip(f"{' and '.join(missing)} not installed: apt-get install profanity tmux openssl")


class Profanity:
    """Logged in as `jid` at the server on a port of this machine, whose certificate `ca_file` must vouch for. Its home
    is `folder`, so that nobody's own settings are read or written."""

    def __init__(self, folder: Path, jid: str, password: str, port: int, ca_file: Path) -> None:
        self._folder = folder
        self._jid = jid
        self._password = password
        self._port = port
        self._ca_file = ca_file

    async def __aenter__(self) -> Profanity:
        certificates = self._folder / "certificates"
        for part in ("config/profanity", "data/profanity", "certificates"):
            (self._folder / part).mkdir(parents=True)
        shutil.copy(self._ca_file, certificates / "ca.pem")
        await self._run("openssl", "rehash", str(certificates))
        (self._folder / "config/profanity/profrc").write_text(f"[connection]\ntls.certpath={certificates}\n")
        (self._folder / "data/profanity/accounts").write_text(
            f"[watcher]\nenabled=true\njid={self._jid}\nresource=terminal\npassword={self._password}\n"
            f"server=127.0.0.1\nport={self._port}\ntls.policy=force\nmuc.nick=watcher\n"
        )
        self._short = tempfile.TemporaryDirectory(prefix="tmux-")  # a socket's path may have 107 characters
        await self._tmux("new-session", "-d", "-x", "160", "-y", "50", "profanity", "-a", "watcher")
        try:
            await self.shows("logged in successfully")  # a server may choose another resource
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tmux("kill-server")
        self._short.cleanup()

    async def type(self, line: str) -> None:
        """Types a line and Enter."""
        await self._tmux("send-keys", "-l", line)
        await self._tmux("send-keys", "Enter")

    async def shows(self, text: str) -> str:
        """Waits until the text stands on one line of the screen, and returns that line."""
        screen = ""
        try:
            async with asyncio.timeout(SHOWN_S):
                while True:
                    screen = await self._tmux("capture-pane", "-p")
                    for line in screen.splitlines():
                        if text in line:
                            return line.strip()
                    await asyncio.sleep(LOOK_S)  # a terminal tells nobody that it has drawn
        except TimeoutError:
            raise AssertionError(f"{text!r} is not on the screen:\n{screen}") from None

    async def _tmux(self, *arguments: str) -> str:
        return await self._run("tmux", "-S", f"{self._short.name}/socket", "-f", "/dev/null", *arguments)

    async def _run(self, *command: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={
                "HOME": str(self._folder),
                "XDG_CONFIG_HOME": str(self._folder / "config"),
                "XDG_DATA_HOME": str(self._folder / "data"),
                "XDG_CACHE_HOME": str(self._folder / "cache"),
                "PATH": os.environ["PATH"],
                "LANG": "C.UTF-8",
                "TERM": "xterm-256color",
            },
        )
        shown, errors = await process.communicate()
        assert process.returncode == 0, f"{' '.join(command)}: {errors.decode()}"
        return shown.decode()
