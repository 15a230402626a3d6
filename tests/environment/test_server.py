"""The embedded server: what it does for the swarm, and each hole of pyjabber that is closed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import re
import signal
import socket
import ssl
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from environment.server import EmbeddedServer, ServerError, client_tls, generated_passwords

pytestmark = pytest.mark.asyncio(loop_scope="module")
HEADER = (
    "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
)
PASSWORD = "a rather long password"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedServer]:
    async with EmbeddedServer(tmp_path_factory.mktemp("server")) as embedded:
        await embedded.admit({"anna": PASSWORD, "bert": PASSWORD, "an.a": PASSWORD, "ev1": PASSWORD})
        yield embedded


class Raw:
    """A client that says exactly what a test wants it to say."""

    def __init__(self, server: EmbeddedServer) -> None:
        self.server = server
        self.text = ""
        self.jid = ""

    async def connect(self, header: str = HEADER, restart: str = HEADER) -> Raw:
        self.reader, self.writer = await asyncio.open_connection(self.server.address, self.server.port)
        self.say(header)
        await self.hear("</stream:features>|features>")
        self.say("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        await self.hear("proceed")
        await self.writer.start_tls(client_tls(self.server.ca_file), server_hostname=self.server.domain)
        self.say(restart)
        await self.hear("PLAIN.*features>")
        return self

    async def log_in(self, user: str, password: str = PASSWORD) -> Raw:
        await self.connect()
        self.authenticate(user, password)
        await self.hear("success")
        self.say(HEADER)
        await self.hear("bind.*features>")
        self.say("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
        self.jid = (await self.hear("<[^>]*jid>([^<]*)<")).group(1)
        self.say("<presence/><iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
        await self.hear("id=.p.")
        return self

    def authenticate(self, user: str, password: str) -> None:
        secret = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        self.say(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>")

    def say(self, text: str) -> None:
        self.writer.write(text.encode())

    async def hear(self, pattern: str) -> re.Match[str]:
        """Reads until the pattern has come, and forgets what was read."""
        async with asyncio.timeout(10):
            while (found := re.search(pattern, self.text, re.DOTALL)) is None:
                data = await self.reader.read(65536)
                assert data, f"closed before {pattern!r} came: {self.text!r}"
                self.text += data.decode()
        self.text = self.text[found.end() :]
        return found

    async def closed(self) -> str:
        """What still comes until the server closes."""
        async with asyncio.timeout(10):
            return self.text + (await self.reader.read()).decode()

    async def leave(self) -> None:
        self.writer.transport.abort()
        await asyncio.sleep(0)


async def test_two_clients_exchange_messages(server: EmbeddedServer) -> None:
    anna, bert = await Raw(server).log_in("anna"), await Raw(server).log_in("bert")
    anna.say("<message to='bert@localhost' type='chat' id='1'><body>hello &lt;bert&gt;</body></message>")
    heard = await bert.hear("<message[^>]*>.*</message>")
    assert "hello &lt;bert&gt;" in heard.group()
    assert f'from="{anna.jid}"' in heard.group()
    await anna.leave()
    await bert.leave()


async def test_the_sender_is_who_logged_in_whatever_it_claims(server: EmbeddedServer) -> None:
    anna, bert = await Raw(server).log_in("anna"), await Raw(server).log_in("bert")
    anna.say("<message to='bert@localhost' from='dso@localhost'><body>switch off</body></message>")
    heard = await bert.hear("<message[^>]*>")
    assert "dso@localhost" not in heard.group()
    assert f'from="{anna.jid}"' in heard.group()
    await anna.leave()
    await bert.leave()


@pytest.mark.parametrize(("user", "password"), [("anna", "wrong"), ("nobody", PASSWORD), ("", "")])
async def test_a_wrong_password_ends_the_stream(server: EmbeddedServer, user: str, password: str) -> None:
    client = await Raw(server).connect()
    client.authenticate(user, password)
    assert "not-authorized" in await client.closed()


async def test_nobody_registers_an_account(server: EmbeddedServer) -> None:
    client = Raw(server)
    await client.connect()
    assert "register" not in client.text
    client.say(
        "<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>eve</username>"
        "<password>eve</password></query></iq>"
    )
    assert "not-authorized" in await client.closed()
    again = await Raw(server).connect()
    again.authenticate("eve", "eve")
    assert "not-authorized" in await again.closed()


async def test_nobody_who_is_logged_in_registers_an_account(server: EmbeddedServer) -> None:
    anna = await Raw(server).log_in("anna")
    anna.say("<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>eve</username></query></iq>")
    assert "service-unavailable" in (await anna.hear("<iq[^>]*id=.r.*</iq>")).group()
    await anna.leave()


async def test_it_listens_on_one_loopback_address_and_nowhere_else(server: EmbeddedServer) -> None:
    assert server._process is not None
    listening = _listening(server._process.pid)
    assert listening == [("127.0.0.1", server.port)]


def _listening(pid: int) -> list[tuple[str, int]]:
    """The addresses on which a process listens (Linux)."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        found = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(descriptor))
        if found:
            inodes.add(found.group(1))
    addresses = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                address, port = fields[1].split(":")
                raw = bytes.fromhex(address)
                text = socket.inet_ntoa(raw[::-1]) if len(raw) == 4 else f"[{address}]"
                addresses.append((text, int(port, 16)))
    return addresses


async def test_it_has_no_workers_that_keep_the_port(tmp_path: Path) -> None:
    embedded = EmbeddedServer(tmp_path)
    await embedded.start()
    await embedded.admit({"anna": PASSWORD}, generated=False)
    await (await Raw(embedded).log_in("anna")).leave()  # has hashed 100,000 rounds
    assert embedded._process is not None
    assert _children(embedded._process.pid) == ""
    port = embedded.port
    os.kill(embedded._process.pid, signal.SIGKILL)
    await embedded.kill()
    again = EmbeddedServer(tmp_path / "again", port=port)
    await again.start()
    assert again.port == port
    await again.stop()


def _children(pid: int) -> str:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text()


async def test_the_authoritys_key_is_nowhere_and_the_servers_key_is_private(server: EmbeddedServer) -> None:
    keys = [path for path in server.folder.iterdir() if b"PRIVATE KEY" in path.read_bytes()]
    assert [path.name for path in keys] == ["localhost_key.pem"]
    assert stat.S_IMODE(keys[0].stat().st_mode) == 0o600
    certified = ssl.create_default_context(cafile=str(server.ca_file)).get_ca_certs()
    assert [dict(part[0] for part in ca["subject"])["commonName"] for ca in certified] == [  # type: ignore[misc]
        "Gridparley, this run's own authority"
    ]
    load_pem_private_key(keys[0].read_bytes(), None)


async def test_a_client_with_another_authority_does_not_trust_it(server: EmbeddedServer, tmp_path: Path) -> None:
    other = EmbeddedServer(tmp_path)
    await other.start()
    client = Raw(server)
    client.reader, client.writer = await asyncio.open_connection(server.address, server.port)
    client.say(HEADER)
    await client.hear("features>")
    client.say("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    await client.hear("proceed")
    with pytest.raises(ssl.SSLCertVerificationError):
        await client.writer.start_tls(client_tls(other.ca_file), server_hostname="localhost")
    await other.stop()


async def test_a_client_that_drops_while_asking_for_its_roster_wipes_nothing(server: EmbeddedServer) -> None:
    for _ in range(20):
        client = await Raw(server).log_in("ev1")
        client.say("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>" * 10)
        await client.leave()
    await (await Raw(server).log_in("ev1")).leave()


async def test_accounts_survive_a_crash_of_the_server(tmp_path: Path) -> None:
    embedded = EmbeddedServer(tmp_path)
    await embedded.start()
    await embedded.admit({"anna": PASSWORD})
    before = embedded.port
    await embedded.kill()
    await embedded.start()
    assert embedded.port == before
    await (await Raw(embedded).log_in("anna")).leave()
    await embedded.stop()


async def test_the_stream_header_says_who_the_server_is(server: EmbeddedServer) -> None:
    client = Raw(server)
    client.reader, client.writer = await asyncio.open_connection(server.address, server.port)
    client.say(HEADER)
    header = await client.hear("<stream:stream[^>]*>")
    assert "from='localhost'" in header.group()
    await client.leave()


async def test_an_xml_declaration_may_come_with_every_header(server: EmbeddedServer) -> None:
    header = "<?xml version='1.0'?>" + HEADER
    await (await Raw(server).connect(header, restart=header)).leave()


async def test_a_dropped_client_is_unavailable_for_who_watches_it(server: EmbeddedServer) -> None:
    anna, bert = await Raw(server).log_in("anna"), await Raw(server).log_in("bert")
    anna.say("<presence type='subscribe' to='bert@localhost'/>")
    await bert.hear("type=.subscribe.")
    bert.say("<presence type='subscribed' to='anna@localhost'/>")
    await anna.hear("subscribed|jabber:iq:roster")
    bert.say("<presence><status>charging</status></presence>")
    await anna.hear("charging")
    await bert.leave()
    gone = await anna.hear("<presence[^>]*unavailable[^>]*>")
    assert bert.jid in gone.group()
    anna.say("<message to='bert@localhost' id='m'><body>still there?</body></message>")
    assert "service-unavailable" in (await anna.hear("<message.*</message>")).group()
    await anna.leave()


async def test_who_is_not_there_and_other_servers_cannot_be_reached(server: EmbeddedServer) -> None:
    anna = await Raw(server).log_in("anna")
    for to, condition in [
        ("nobody@localhost", "service-unavailable"),
        ("someone@example.org", "remote-server-not-found"),
        ("example.org", "remote-server-not-found"),
    ]:
        anna.say(f"<message to='{to}' id='m'><body>hello?</body></message>")
        assert condition in (await anna.hear("<message.*</message>")).group()
    await anna.leave()


async def test_a_jid_is_no_pattern(server: EmbeddedServer) -> None:
    anna, other = await Raw(server).log_in("anna"), await Raw(server).log_in("an.a")
    anna.say("<message to='an.a@localhost'><body>for an.a only</body></message>")
    await other.hear("for an.a only")
    anna.say("<iq type='get' id='q' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
    await anna.hear("id=.q.")
    assert "for an.a only" not in anna.text
    await anna.leave()
    await other.leave()


@pytest.mark.parametrize(
    "stanza",
    [
        "<iq type='get' id='x'><vCard xmlns='vcard-temp'/></iq>",
        "<iq type='set' id='x'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='n'/></pubsub></iq>",
        "<iq type='get' id='x' to='nobody@localhost/r'><ping xmlns='urn:xmpp:ping'/></iq>",
        "<iq type='set' id='x'><query xmlns='jabber:iq:roster'/><more/></iq>",
        "<iq type='get' id='x'/>",
        "<presence to='bert@localhost' type='probe' id='x'/>",
        "<message to='a@b@c/d/e' id='x'><body>?</body></message>",
    ],
)
async def test_a_stanza_that_it_cannot_serve_does_not_hang_the_stream(server: EmbeddedServer, stanza: str) -> None:
    anna = await Raw(server).log_in("anna")
    anna.say(stanza)
    anna.say("<iq type='get' id='alive' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
    await anna.hear("id=.alive.")
    await anna.leave()


@pytest.mark.parametrize(
    "nonsense",
    [
        "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'>]>",
        "<message><body>" + "x" * 600_000,
        "<message></body>",
        "<unknown/>",
        "\x01",
    ],
    ids=["doctype", "endless", "torn", "unknown", "control"],
)
async def test_what_breaks_xml_closes_that_stream_only(server: EmbeddedServer, nonsense: str) -> None:
    anna, bert = await Raw(server).log_in("anna"), await Raw(server).log_in("bert")
    anna.say(nonsense)
    with contextlib.suppress(ConnectionError):
        await anna.closed()
    bert.say("<iq type='get' id='alive' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
    await bert.hear("id=.alive.")
    await bert.leave()


async def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServerError) as caught:
            await EmbeddedServer(tmp_path, port=port).start()
    assert f"cannot listen on 127.0.0.1:{port}" in str(caught.value)
    assert "--port" in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_it_does_not_outlive_who_started_it(tmp_path: Path) -> None:
    embedded = EmbeddedServer(tmp_path)
    await embedded.start()
    process = embedded._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()  # what the system does when the program is killed
    async with asyncio.timeout(10):
        assert await process.wait() == 0


async def test_an_account_of_another_domain_is_refused(server: EmbeddedServer) -> None:
    with pytest.raises(ServerError, match="its domain is localhost"):
        await server.admit({"anna@example.org": PASSWORD})


async def test_generated_passwords_differ_and_are_long() -> None:
    passwords = generated_passwords(["a", "b", "c"])
    assert len(set(passwords.values())) == 3
    assert min(map(len, passwords.values())) >= 32


async def test_a_ca_file_that_is_none_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(ServerError, match="holds no certificate authority"):
        client_tls(tmp_path / "ca.pem")


@pytest.mark.parametrize("module", ["environment.launcher", "environment.pyjabber_host"])
async def test_nothing_is_left_in_the_temporary_folder(module: str, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", f"import {module}", env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    assert await process.wait() == 0
    assert os.listdir(tmp_path) == []
