"""Agents on a real server: over the wire, through its crash, and with clients from outside."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from slixmpp import ClientXMPP

from agents.actor import Actor, start_all
from behaviours.answering import Incoming, Inform, Reply, answers
from behaviours.link import LoginRefusedError, ServerUnreachableError
from behaviours.outcomes import Informed
from behaviours.ports import Letter
from behaviours.stanzas import Arrival, read, to_xml
from behaviours.swarm import ServerAccess
from environment.server import EmbeddedServer, client_tls
from protocols import exchanges as x
from protocols.acl import AclMessage, Performative, Protocol
from protocols.roles import Role
from tests.swarm import START, SwarmUnderTest, jid, run_swarm


class Fmo(Actor):
    """Counts what it is billed for, and does something at a certain bill."""

    role = Role.FMO


class Dso(Actor):
    role = Role.DSO

    def __init__(self, *arguments: Any, at_bill: Callable[[int], Any] | None = None) -> None:
        super().__init__(*arguments)
        self.paid: list[str] = []
        self.at_bill = at_bill

    @answers(x.MeasurementsQuery)
    async def on_query(self, query: x.MeasurementsQuery, incoming: Incoming) -> Reply:
        self.paid.append(query.activation_id)
        if self.at_bill is not None:
            await self.at_bill(len(self.paid))
        return Inform(collection(query))


def query(number: int) -> x.MeasurementsQuery:
    return x.MeasurementsQuery(activation_id=f"act-{number}", start=START, end=START + timedelta(minutes=15))


def collection(query: x.MeasurementsQuery) -> x.MeasurementsCollection:
    return x.MeasurementsCollection(
        activation_id=query.activation_id,
        service=x.ServiceType.CONGESTION_MANAGEMENT,
        start=query.start,
        end=query.end,
        period_minutes=15,
        power_kw=(1.0,),
        baseline_kw=None,
    )


def test_over_the_wire_every_message_is_acknowledged_and_time_stands_still(tmp_path: Path) -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        dso, fmo = await swarm.start(Dso, "dso"), await swarm.start(Fmo, "fmo")
        for number in range(10):
            outcome = await fmo.query_ref(query(number), to=jid("dso"), reply_by=swarm.at(1))
            assert outcome == Informed(jid("dso"), collection(query(number)))
        assert fmo.now() == START
        assert dso.link is not None
        assert fmo.link is not None
        assert len(dso.link.incoming._known) >= 10
        assert len(fmo.link.outgoing) == 0

    run_swarm(main, SwarmUnderTest(EmbeddedServer(tmp_path), wire=True))


@pytest.mark.parametrize("crash", ["sender's link", "server"])
def test_nothing_is_lost_or_done_twice_when_the_wire_breaks_in_the_middle(tmp_path: Path, crash: str) -> None:
    count = 60

    async def main(swarm: SwarmUnderTest) -> None:
        server = swarm.server
        assert server is not None

        async def at_bill(number: int) -> None:
            if number not in (20, 40):
                return
            if crash == "server":
                with swarm.clock.outstanding():
                    await server.kill()
                    await server.start()
            else:
                assert fmo.link is not None
                fmo.link._client.abort()

        dso = await swarm.start(Dso, "dso", at_bill=at_bill)
        fmo = await swarm.start(Fmo, "fmo")
        asking = [fmo.query_ref(query(number), to=jid("dso"), reply_by=swarm.at(1)) for number in range(count)]
        outcomes = await asyncio.gather(*asking)
        assert outcomes == [Informed(jid("dso"), collection(query(number))) for number in range(count)]
        assert dso.paid == [f"act-{number}" for number in range(count)]
        assert fmo.link is not None
        assert fmo.link.reconnects >= 1
        assert fmo.now() == START

    swarm = run_swarm(main, SwarmUnderTest(EmbeddedServer(tmp_path), wire=True))
    assert swarm.recorder.script().count("dso > fmo: inform") == count


def test_a_letter_sent_while_the_server_is_away_arrives_when_it_is_back(tmp_path: Path) -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        await swarm.start(Dso, "dso")
        fmo = await swarm.start(Fmo, "fmo")
        assert swarm.server is not None
        with swarm.clock.outstanding():
            await swarm.server.kill()
        asking = fmo.spawn(fmo.query_ref(query(1), to=jid("dso"), reply_by=swarm.at(1)))
        await asyncio.sleep(0)
        await swarm.server.start()
        assert isinstance(await asking, Informed)

    run_swarm(main, SwarmUnderTest(EmbeddedServer(tmp_path), wire=True))


# --- from outside


class Outsider:
    """An XMPP client of somebody else: slixmpp, and nothing of ours but the codec."""

    def __init__(self, access: ServerAccess, name: str, password: str) -> None:
        self.client = ClientXMPP(jid(name), password, ssl_context=access.tls)
        self.client.enable_direct_tls = False
        self.access = access
        self.heard: asyncio.Queue[Letter] = asyncio.Queue()

    async def __aenter__(self) -> Outsider:
        up = asyncio.Event()
        self.client.add_event_handler("session_start", lambda _: up.set())
        self.client.add_event_handler("message", self._message)
        self.client.connect(self.access.host, self.access.port)
        await up.wait()
        self.client.send_presence()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.disconnect(wait=0.2)
        self.client._run_out_filters.cancel()

    def _message(self, stanza: Any) -> None:
        arrival = read(stanza.xml, self.client.boundjid.bare)
        if isinstance(arrival, Arrival):
            self.heard.put_nowait(arrival.letter)

    async def ask(self, letter: Letter, stanza_id: str = "s-1") -> AclMessage:
        self.client.send_raw(to_xml(letter, letter.receiver, stanza_id))
        heard = await self.heard.get()
        return AclMessage.parse(heard.metadata, heard.body, heard.sender.partition("/")[0], heard.receiver)


def opening(content: dict[str, Any]) -> Letter:
    message = AclMessage(
        performative=Performative.QUERY_REF,
        sender="whoever@localhost",
        receiver=jid("dso"),
        protocol=Protocol.QUERY,
        conversation_id="outside-1",
        reply_with="o-1",
        content=content,
    )
    return Letter("", jid("dso"), message.body(), message.metadata(), message.conversation_id)


@pytest.mark.parametrize(
    ("role", "letter", "act", "says"),
    [
        (Role.FMO, opening(query(1).to_json()), Performative.INFORM, "act-1"),
        (Role.VPP, opening(query(1).to_json()), Performative.REFUSE, "not-authorised"),
        (None, opening(query(1).to_json()), Performative.REFUSE, "is not registered"),
        (Role.FMO, opening({"exchange": "1.2.6"}), Performative.NOT_UNDERSTOOD, "activation_id: is missing"),
        (Role.FMO, Letter("", jid("dso"), "hello?"), Performative.NOT_UNDERSTOOD, "performative is missing"),
    ],
    ids=["lawful", "wrong role", "unknown", "malformed", "chat"],
)
def test_a_client_from_outside_reaches_an_agent_of_an_in_process_swarm(
    tmp_path: Path, role: Role | None, letter: Letter, act: Performative, says: str
) -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        dso = await swarm.start(Dso, "dso")
        password = await swarm._account("outsider")
        if role is not None:
            swarm.directory.admitted[jid("outsider")] = role
        assert swarm.swarm.server is not None
        async with Outsider(swarm.swarm.server, "outsider", password) as outsider:
            if role is not None:
                registration = x.Registration(jid=jid("outsider"), role=role, services=())
                done = await outsider.ask(registering(registration), "s-0")
                assert done.performative is Performative.INFORM
            answer = await outsider.ask(letter)
        assert answer.performative is act
        assert says in json.dumps(answer.content)
        assert answer.sender == jid("dso")
        assert dso.paid == (["act-1"] if act is Performative.INFORM else [])

    recorder = run_swarm(main, SwarmUnderTest(EmbeddedServer(tmp_path))).recorder
    if letter.metadata:
        assert "outsider > dso: query-ref" in recorder.script()


def registering(registration: x.Registration) -> Letter:
    message = AclMessage(
        performative=Performative.REQUEST,
        sender="",
        receiver=jid("directory"),
        protocol=Protocol.REQUEST,
        conversation_id="outside-0",
        reply_with="o-0",
        content=registration.to_json(),
    )
    return Letter("", jid("directory"), message.body(), message.metadata(), message.conversation_id)


def test_a_stanza_that_comes_twice_acts_once(tmp_path: Path) -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        dso = await swarm.start(Dso, "dso")
        swarm.directory.admitted[jid("outsider")] = Role.FMO
        password = await swarm._account("outsider")
        assert swarm.swarm.server is not None
        async with Outsider(swarm.swarm.server, "outsider", password) as outsider:
            await outsider.ask(registering(x.Registration(jid=jid("outsider"), role=Role.FMO, services=())), "s-0")
            await outsider.ask(opening(query(1).to_json()), "s-1")
            outsider.client.send_raw(to_xml(opening(query(1).to_json()), jid("dso"), "s-1"))
            other = opening(query(2).to_json())
            again = await outsider.ask(Letter("", other.receiver, other.body, other.metadata), "s-2")
            assert again.performative is Performative.REFUSE  # the same reply-with with other content
        assert dso.paid == ["act-1"]
        assert dso.link is not None
        assert dso.link.incoming.repeated == 1

    run_swarm(main, SwarmUnderTest(EmbeddedServer(tmp_path)))


# --- when it cannot work


def test_a_server_that_is_not_there_is_one_clear_line() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        swarm._set_up(ServerAccess("127.0.0.1", 9, client_tls()))
        with pytest.raises(ServerUnreachableError) as caught:
            await swarm.start(Fmo, "fmo")
        assert str(caught.value).startswith("no XMPP server at 127.0.0.1:9 (")
        assert "\n" not in str(caught.value)
        swarm.actors.pop()

    run_swarm(main)


def test_a_wrong_password_is_one_clear_line(tmp_path: Path) -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        fmo = Fmo(jid("fmo"), "wrong", swarm.swarm)
        with pytest.raises(LoginRefusedError, match="refuses the login of fmo@localhost"):
            await fmo.start()

    run_swarm(main, SwarmUnderTest(EmbeddedServer(tmp_path)))


def test_a_server_whose_certificate_is_not_trusted_is_one_clear_line(tmp_path: Path) -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        assert swarm.swarm.server is not None
        access = ServerAccess(swarm.swarm.server.host, swarm.swarm.server.port, client_tls())
        swarm._set_up(access)
        with pytest.raises(ServerUnreachableError, match="certificate that is not trusted"):
            await Fmo(jid("fmo"), "", swarm.swarm).start()

    run_swarm(main, SwarmUnderTest(EmbeddedServer(tmp_path)))


def test_something_that_is_no_xmpp_server_is_one_clear_line() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
            writer.close()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        swarm._set_up(ServerAccess(*server.sockets[0].getsockname(), client_tls()))
        with pytest.raises(ServerUnreachableError, match=r"127\.0\.0\.1:\d+ closed the connection"):
            await Fmo(jid("fmo"), "", swarm.swarm).start()
        server.close()

    run_swarm(main)


# --- many


def test_forty_five_agents_are_up_within_two_seconds_and_said_the_same_as_without_a_server(tmp_path: Path) -> None:
    def morning(seconds: list[float]) -> Callable[[SwarmUnderTest], Any]:
        async def main(swarm: SwarmUnderTest) -> None:
            names = [f"fmo-{number:02}" for number in range(45)]
            agents = []
            for name in names:
                swarm.admit(name, Role.FMO)
                agents.append(Fmo(jid(name), await swarm._account(name), swarm.swarm))
            begin = time.perf_counter()
            await start_all(agents)
            seconds.append(time.perf_counter() - begin)
            swarm.actors += agents

        return main

    seconds: list[float] = []
    logged_in = run_swarm(morning(seconds), SwarmUnderTest(EmbeddedServer(tmp_path)))
    alone = run_swarm(morning(seconds))
    assert logged_in.recorder.messages == alone.recorder.messages
    assert seconds[0] < 2
