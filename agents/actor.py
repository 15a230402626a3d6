"""An agent that converses: a SPADE agent whose exchanges are one awaited call, or one handler.

What SPADE does for each agent and this project does not need is left out: a web page, a store of 1,000 traces
(together 67 us and 8.6 kB an agent, 0.7 kB a message), the process-wide container, and in-band registration.
Behaviours that a user adds, with templates, work as in any SPADE agent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, TypeVar

from slixmpp import JID
from spade.agent import Agent
from spade.message import Message

from behaviours import initiating
from behaviours.acting import as_agent
from behaviours.answering import Key, handlers_of
from behaviours.dispatcher import Dispatcher
from behaviours.initiating import OnInform, Tender
from behaviours.link import Link
from behaviours.outcomes import (
    Accepted,
    Agreed,
    Failed,
    Informed,
    NotUnderstood,
    Refused,
    Rejected,
    Silent,
    Subscribed,
)
from behaviours.ports import Clock, Letter
from behaviours.spade_parts import AgentContainer, NoTraces, NoWeb, from_spade, to_spade
from behaviours.swarm import Swarm
from protocols.exchanges.content import Content
from protocols.exchanges.services import DirectoryEntry, Registration, Search, SearchResult
from protocols.roles import Role

log = logging.getLogger("gridparley.actor")

_C = TypeVar("_C", bound=Content)

DIRECTORY_MEMORY = timedelta(hours=1)
"""For so long (scenario time) a search that found somebody is not asked again."""
DIRECTORY_PATIENCE = timedelta(hours=1)
"""How long (scenario time) an agent waits for the directory: a second of the wall at 3,600 times its speed."""


class AgentError(RuntimeError):
    """An agent cannot take part; one line says which, why, and what to do."""


class Actor(Agent):  # type: ignore[misc]  # SPADE is untyped
    """The base of every agent. Subclasses set `role`, and `services` and `location` for the directory.

    `start` logs in at the swarm's server (where there is one), registers with the directory, then runs `setup`.
    """

    role: ClassVar[Role]
    services: tuple[str, ...] = ()
    location: str | None = None
    handlers: ClassVar[dict[Key, str]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.handlers = handlers_of(cls)

    def __init__(self, jid: str, password: str, swarm: Swarm) -> None:
        # Agent.__init__ would make the web page and the trace store, and enter the process-wide container,
        # which installs uvloop; so its attributes are set here (a test compares them with a stock agent's).
        self.jid = JID(jid)
        self.password = password
        self.xmpp_port = swarm.server.port if swarm.server else 5222
        self.verify_security = True
        self.behaviours: list[Any] = []
        self._values: dict[str, Any] = {}
        self.client = None
        self.presence = None
        self.loop = asyncio.get_running_loop()
        self.container = AgentContainer(self)
        self.web = NoWeb()
        self.traces = NoTraces()
        self._alive = asyncio.Event()
        self._hook_plugin_after_connection = self._default_hook_plugin_after_connection
        self._hook_plugin_before_connection = self._default_hook_plugin_before_connection

        self.swarm = swarm
        self.address: str = self.jid.bare
        self.roles: dict[str, Role] = {swarm.directory: Role.DIRECTORY, self.address: self.role}
        self.dispatcher = Dispatcher(self)
        self.link: Link | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._searches: dict[Search, tuple[datetime | None, tuple[DirectoryEntry, ...]]] = {}

    # --- life

    async def start(self, auto_register: bool = False) -> None:
        """Logs in, becomes reachable, registers with the directory, and runs `setup`. Many: see `start_all`.

        Raises ServerUnreachableError or LoginRefusedError (behaviours.link) and AgentError, each with one line.
        """
        await self.connect()
        await self.register()
        with as_agent(self.address):
            await self.setup()

    async def connect(self) -> None:
        """The first part of `start`: logs in at the swarm's server, where there is one, and becomes reachable."""
        if self.swarm.server is not None:
            self.link = Link(self, self.swarm.server)
            with self.swarm.clock.outstanding():
                await self.link.connect()
        self.swarm.post.open(self.address, self.deliver, self.link)
        with as_agent(self.address):
            self.add_behaviour(self.dispatcher)
            self._alive.set()
            for behaviour in self.behaviours:
                if not behaviour.is_running:
                    behaviour.set_agent(self)
                    behaviour.start()

    async def stop(self) -> None:
        """Leaves at once, without a word to the others. What is still running of the agent is cancelled."""
        self.swarm.post.close(self.address)
        self.dispatcher.memory.close()
        for behaviour in self.behaviours:
            behaviour.kill()
        self._alive.clear()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.link is not None:
            await self.link.close()

    async def setup(self) -> None:
        """What the agent does first. To be overridden."""

    async def course(self) -> None:
        """What the agent does of its own accord, from the beginning of the run. To be overridden."""

    async def register(self) -> None:
        """Makes itself known to the directory. Raises AgentError where that refuses or keeps silent."""
        entry = Registration(jid=self.address, role=self.role, services=self.services, location=self.location)
        outcome = await self.request(entry, to=self.swarm.directory, reply_by=self.now() + DIRECTORY_PATIENCE)
        if not isinstance(outcome, Informed):
            why = outcome.reason if not isinstance(outcome, (Silent, Agreed)) else "it does not answer"
            raise AgentError(
                f"{self.address} cannot register as {self.role} with {self.swarm.directory}: {why};"
                " start the directory first, and admit the agent under this role"
            )

    @property
    def clock(self) -> Clock:
        return self.swarm.clock

    def now(self) -> datetime:
        """The scenario time, in UTC."""
        return self.swarm.clock.now()

    def spawn(self, coroutine: Coroutine[Any, Any, Any], name: str = "") -> asyncio.Task[Any]:
        """Runs a coroutine beside the others until it ends or the agent stops. An error in it ends the run."""
        with as_agent(self.address):
            task = asyncio.get_running_loop().create_task(coroutine, name=f"{self.address}: {name}")
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    submit = spawn

    def notice(self, text: str) -> None:
        """Tells whoever runs the swarm what went otherwise than planned; the run goes on."""
        self.swarm.notice(self.address, text)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            error.add_note(f"in {task.get_name()}")
            self.swarm.failed(error)

    # --- hearing

    def deliver(self, letter: Letter) -> None:
        """Hands a letter to the behaviours whose template matches, and an ACL message to the dispatcher."""
        if self.swarm.down(self.address):
            return
        matched = False
        if len(self.behaviours) > 1:
            message = to_spade(letter)
            for behaviour in self.behaviours:
                if behaviour is not self.dispatcher and behaviour.match(message):
                    behaviour.queue.put_nowait(message)
                    matched = True
        if not matched or "performative" in letter.metadata:
            self.dispatcher.queue.put_nowait(letter)

    def dispatch(self, msg: Message) -> list[asyncio.Task[Any]]:
        """SPADE's way in, for a message that another part of the program made."""
        self.deliver(from_spade(msg, self.address))
        return []

    # --- asking

    def open(self, protocol: Any, opening: Content) -> Any:
        return self.dispatcher.open(protocol, opening)

    async def request(
        self, content: Content, *, to: str, reply_by: datetime, done_by: datetime | None = None
    ) -> Agreed | Informed | Refused | Failed | NotUnderstood | Silent:
        """Asks `to` for something (FIPA request) and returns the first answer; `done_by`: see Agreed.result."""
        return await initiating.request(self, content, to, reply_by, done_by)

    async def query_ref(
        self, content: Content, *, to: str, reply_by: datetime
    ) -> Informed | Refused | Failed | NotUnderstood | Silent:
        """Asks `to` for information (FIPA query)."""
        return await initiating.query_ref(self, content, to, reply_by)

    async def propose(
        self, content: Content, *, to: str, reply_by: datetime
    ) -> Accepted | Rejected | NotUnderstood | Silent:
        """Proposes something to `to` (FIPA propose)."""
        return await initiating.propose(self, content, to, reply_by)

    async def call_for_proposals(self, content: Content, *, to: Sequence[str], reply_by: datetime) -> Tender:
        """Calls for proposals (FIPA contract-net); returns when all have answered, or at `reply_by`."""
        return await initiating.call_for_proposals(self, content, to, reply_by)

    async def subscribe(
        self, content: Content, *, to: str, on_inform: OnInform, reply_by: datetime
    ) -> Subscribed | Refused | Failed | NotUnderstood | Silent:
        """Subscribes to news of `to` (FIPA subscribe); `on_inform` gets the content of each."""
        return await initiating.subscribe(self, content, to, on_inform, reply_by)

    async def publish(
        self, topic: type[Content], content: Content, where: Callable[[Any], bool] = lambda _: True
    ) -> int:
        """Informs those who subscribed with a `topic` that `where` accepts; returns how many that are."""
        return self.dispatcher.service.publish(topic, content, where)

    def subscriptions(self, topic: type[_C]) -> tuple[_C, ...]:
        """What the present subscribers of `topic` subscribed to."""
        return self.dispatcher.service.subscriptions(topic)

    async def search(
        self,
        role: Role | None = None,
        service: str | None = None,
        location: str | None = None,
        jid: str | None = None,
    ) -> tuple[DirectoryEntry, ...]:
        """The agents that the directory knows, by JID. Empty where there are none, or the directory is silent."""
        question = Search(jid=jid, role=role, service=service, location=location)
        at, known = self._searches.get(question, (None, ()))
        if at is not None and self.now() - at < DIRECTORY_MEMORY:
            return known
        outcome = await self.query_ref(question, to=self.swarm.directory, reply_by=self.now() + DIRECTORY_PATIENCE)
        match outcome:
            case Informed(content=SearchResult(entries=entries)):
                self.roles.update({entry.jid: entry.role for entry in entries})
                if entries:
                    self._searches[question] = (self.now(), entries)
                return entries
            case _:
                log.warning("%s got no answer from the directory: %s", self.address, outcome)
                return ()

    async def role_of(self, jid: str) -> Role | None:
        """The role under which the directory knows `jid`, None where it does not."""
        if jid not in self.roles:
            await self.search(jid=jid)
        return self.roles.get(jid)


async def start_all(actors: Sequence[Actor], at_once: int = 50) -> None:
    """Starts many agents: logs them in side by side, then registers them, then sets them up, in the given order.

    Logins end in any order; what is said must not depend on it, or the same seed would give another trace.
    Give the directory first.
    """
    gate = asyncio.Semaphore(at_once)

    async def connect(actor: Actor) -> None:
        async with gate:
            await actor.connect()

    async with asyncio.TaskGroup() as group:
        for actor in actors:
            group.create_task(connect(actor))
    for actor in actors:
        await actor.register()
    for actor in actors:
        with as_agent(actor.address):
            await actor.setup()
