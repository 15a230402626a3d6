"""What chat programs of people need of the embedded server: contacts, presence, an answer to whatever they ask."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from environment import server as server_module
from environment.pyjabber_sessions import MOST_UNREAD
from environment.server import EmbeddedServer
from tests.environment.test_server import HEADER, PASSWORD, Raw

pytestmark = pytest.mark.asyncio(loop_scope="module")
ROSTER = "xmlns='jabber:iq:roster'"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedServer]:
    async with EmbeddedServer(tmp_path_factory.mktemp("server")) as embedded:
        names = [f"{name}{number}" for name in ("anna", "bert") for number in range(8)]
        await embedded.admit(dict.fromkeys(names, PASSWORD))
        yield embedded


async def alive(client: Raw) -> str:
    """Everything that has come before the answer to a ping."""
    client.say("<iq type='get' id='alive' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
    async with asyncio.timeout(10):
        while (found := re.search("<iq[^>]*id=.alive.[^>]*>", client.text)) is None:
            data = await client.reader.read(65536)
            assert data, f"closed: {client.text!r}"
            client.text += data.decode()
    before, client.text = client.text[: found.start()], client.text[found.end() :]
    return before


async def befriend(anna: Raw, bert: Raw) -> None:
    """Anna sees Bert."""
    anna.say(f"<presence type='subscribe' to='{bare(bert)}'/>")
    await bert.hear("type=.subscribe.")
    bert.say(f"<presence type='subscribed' to='{bare(anna)}'/>")
    await anna.hear("type=.subscribed.")


def bare(client: Raw) -> str:
    return client.jid.partition("/")[0]


@pytest.mark.parametrize(
    "query",
    [
        "<vCard xmlns='vcard-temp'/>",
        "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query>",
        "<enable xmlns='urn:xmpp:carbons:2'/>",
        "<blocklist xmlns='urn:xmpp:blocking'/>",
        "<query xmlns='urn:xmpp:mam:2' queryid='q'/>",
        "<query xmlns='jabber:iq:last'/>",
        "<query xmlns='jabber:iq:version'/>",
        "<query xmlns='http://jabber.org/protocol/disco#info'/>",
        "<query xmlns='http://jabber.org/protocol/disco#items'/>",
        "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:avatar:metadata'/></pubsub>",
        f"<query {ROSTER} ver=''/>",
        "",
    ],
)
@pytest.mark.parametrize("to", ["", "to='localhost'", "to='anna0@localhost'", "to='bert0@localhost'", "to='x.org'"])
@pytest.mark.parametrize("kind", ["get", "set"])
async def test_whatever_a_program_asks_is_answered(server: EmbeddedServer, query: str, to: str, kind: str) -> None:
    anna = await Raw(server).log_in("anna0")
    anna.say(f"<iq type='{kind}' id='asked' {to}>{query}</iq>")
    answers = re.findall("<iq[^>]*id=.asked.[^>]*>", await alive(anna))
    assert len(answers) == 1
    assert re.search("type=.(result|error).", answers[0])
    await anna.leave()


async def test_an_iq_of_no_kind_is_a_bad_request(server: EmbeddedServer) -> None:
    anna = await Raw(server).log_in("anna0")
    anna.say("<iq id='asked'><ping xmlns='urn:xmpp:ping'/></iq>")
    assert "bad-request" in await alive(anna)
    await anna.leave()


async def test_chat_states_and_receipts_pass(server: EmbeddedServer) -> None:
    anna, bert = await Raw(server).log_in("anna0"), await Raw(server).log_in("bert0")
    anna.say(
        f"<message to='{bert.jid}' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>"
    )
    anna.say(f"<message to='{bert.jid}' type='chat'><received xmlns='urn:xmpp:receipts' id='1'/></message>")
    await bert.hear("composing.*received")
    await anna.leave()
    await bert.leave()


async def test_a_room_that_is_not_there_is_refused_and_not_waited_for(server: EmbeddedServer) -> None:
    anna = await Raw(server).log_in("anna0")
    anna.say(
        "<presence to='room@conference.localhost/anna' id='j'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
    )
    assert "remote-server-not-found" in await alive(anna)
    await anna.leave()


async def test_a_program_hears_at_its_login_who_is_there(server: EmbeddedServer) -> None:
    anna, bert = await Raw(server).log_in("anna1"), await Raw(server).log_in("bert1")
    bert.say("<presence><show>away</show><status>charging</status></presence>")
    await befriend(anna, bert)
    await anna.leave()
    again = await Raw(server).connect()
    again.authenticate("anna1", PASSWORD)
    await again.hear("success")
    again.say(HEADER)
    await again.hear("bind.*features>")
    again.say("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq><presence/>")
    heard = await again.hear(f"<presence[^>]*from=.{re.escape(bert.jid)}.*?</presence>")
    assert "away" in heard.group()
    assert "charging" in heard.group()
    await again.leave()
    await bert.leave()


async def test_contacts_are_kept_named_and_removed_and_every_program_of_the_account_hears_it(
    server: EmbeddedServer,
) -> None:
    anna, other, bert = [await Raw(server).log_in(name) for name in ("anna2", "anna2", "bert2")]
    for program in (anna, other):
        program.say(f"<iq type='get' id='r'><query {ROSTER}/></iq>")
        await program.hear("id=.r.")
    await befriend(anna, bert)
    item = f"<item jid='{bare(bert)}' name='Bert'><group>DSO</group></item>"
    anna.say(f"<iq type='set' id='n'><query {ROSTER}>{item}</query></iq>")
    pushed = await other.hear("<item[^>]*name=.Bert.[^>]*>.*DSO")
    assert 'subscription="to"' in pushed.group()
    anna.say(f"<iq type='set' id='d'><query {ROSTER}><item jid='{bare(bert)}' subscription='remove'/></query></iq>")
    await other.hear('subscription="remove"')
    await anna.hear("id=.d.")
    assert (await bert.hear("type=.unsubscribed?.")) is not None
    anna.say(f"<iq type='get' id='r2'><query {ROSTER}/></iq>")
    assert "item" not in (await anna.hear("<iq[^>]*id=.r2.*</iq>")).group().replace("items", "")
    for client in (anna, other, bert):
        await client.leave()


async def test_who_ends_a_subscription_sees_no_more(server: EmbeddedServer) -> None:
    anna, bert = await Raw(server).log_in("anna3"), await Raw(server).log_in("bert3")
    await befriend(anna, bert)
    anna.say(f"<presence type='unsubscribe' to='{bare(bert)}'/>")
    await bert.hear("type=.unsubscribe.")
    await alive(anna)
    bert.say("<presence><status>still here</status></presence>")
    await alive(bert)
    assert "still here" not in await alive(anna)
    anna.say(f"<presence type='probe' to='{bare(bert)}'/>")
    assert "unsubscribed" in await alive(anna)
    await anna.leave()
    await bert.leave()


async def test_a_wish_to_see_somebody_waits_for_him_and_the_server_answers_what_was_allowed_before(
    server: EmbeddedServer,
) -> None:
    anna = await Raw(server).log_in("anna4")
    anna.say("<presence type='subscribe' to='bert4@localhost'/>")
    await alive(anna)
    bert = await Raw(server).log_in("bert4")
    bert.say("<presence/>")
    bert.say("<presence type='subscribed' to='anna4@localhost'/>")
    await anna.hear(f"<presence[^>]*from=.{re.escape(bert.jid)}")
    anna.say("<presence type='subscribe' to='bert4@localhost'/>")
    assert "subscribed" in await alive(anna)
    await anna.leave()
    await bert.leave()


async def test_nobody_says_for_another_that_he_may_be_seen(server: EmbeddedServer) -> None:
    anna, bert = await Raw(server).log_in("anna5"), await Raw(server).log_in("bert5")
    anna.say("<presence type='subscribed' to='bert5@localhost'/>")
    anna.say("<presence type='subscribed' from='bert5@localhost' to='anna5@localhost'/>")
    await alive(anna)
    bert.say("<presence><status>private</status></presence>")
    await alive(bert)
    assert "private" not in await alive(anna)
    await anna.leave()
    await bert.leave()


async def test_who_was_told_directly_hears_that_the_client_is_gone(server: EmbeddedServer) -> None:
    anna, bert = await Raw(server).log_in("anna6"), await Raw(server).log_in("bert6")
    anna.say(f"<presence to='{bert.jid}'/>")
    await bert.hear(f"from=.{re.escape(anna.jid)}")
    await anna.leave()
    gone = await bert.hear("<presence[^>]*unavailable[^>]*>")
    assert anna.jid in gone.group()
    await bert.leave()


def resident_bytes(server: EmbeddedServer) -> int:
    assert server._process is not None
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{server._process.pid}/status").read_text())
    assert found is not None
    return int(found.group(1)) * 1024


async def test_who_does_not_read_loses_its_session_and_the_others_go_on(server: EmbeddedServer) -> None:
    deaf, anna, bert = [await Raw(server).log_in(name) for name in ("anna7", "anna6", "bert7")]
    deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
    before = resident_bytes(server)
    body = "x" * 10_000
    sent = 0
    while True:
        for _ in range(100):
            bert.say(f"<message to='{deaf.jid}' type='chat' id='m'><body>{body}</body></message>")
            sent += len(body)
        bert.say(f"<message to='{anna.jid}' type='chat'><body>and you?</body></message>")
        await anna.hear("and you.*</message>")
        heard = await alive(bert)
        assert resident_bytes(server) - before < 20 * MOST_UNREAD
        if "service-unavailable" in heard:
            break
        assert sent < 200 * MOST_UNREAD, "what is kept for who does not read has no bound"
    assert "does not read" in (server.folder / "server-log.txt").read_text()
    await alive(anna)
    for client in (deaf, anna, bert):
        await client.leave()


async def test_who_says_nothing_is_asked_and_then_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "IDLE_S", 0.5)
    async with EmbeddedServer(tmp_path) as embedded:
        await embedded.admit({"anna": PASSWORD})
        anna = await Raw(embedded).log_in("anna")
        await anna.hear("<iq[^>]*><[^>]*urn:xmpp:ping")
        anna.say("<iq type='result' id='ping' to='localhost'/>")
        await anna.hear("<iq[^>]*><[^>]*urn:xmpp:ping")
        assert "connection-timeout" in await anna.closed()
