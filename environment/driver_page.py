"""The driver's page: a person states place, charge and departure, sees choices, picks one and watches the session.

Served on the loopback interface alone, without scripts from elsewhere; each page is rendered here. All that a form does
is a call of the agent (`PageDriver`), which says the same exchanges as every other driver.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from importlib import resources
from urllib.parse import urlsplit

import jinja2
from aiohttp import web

from agents.charging_bookings import Found
from agents.page_driver import DRIVES, PageDriver, Phase
from environment.driver_form import OWN, Entry, Place, days_of, first_entry, read_form, with_departure_ahead
from environment.options import LOOPBACK, OTHER_PORT

_HOSTS = (LOOPBACK, "localhost")
ANSWER_S = 0.3
"""So long (of the wall) a page waits for an operator's word, to show it at once."""
_LOOKS = 15
MOST_BODY = 10_000
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_MINUTE = timedelta(minutes=1)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class DriverPageError(RuntimeError):
    """The page cannot be served; one line says why."""


@dataclass(frozen=True, slots=True)
class Card:
    """A choice as it is shown. `usual`: the price per kWh where this one is lowered."""

    found: Found
    usual: Decimal | None

    @property
    def operator(self) -> str:
        return self.found.cpo.partition("@")[0]


class DriverPage:
    """The page of one driver. `port` 0 takes a free one; `speed`: how many times as fast as the wall time runs."""

    def __init__(
        self, driver: PageDriver, *, places: Sequence[Place], zone: tzinfo, port: int = 0, speed: float = 1.0
    ) -> None:
        self.driver, self.places, self.zone, self.port, self.speed = driver, tuple(places), zone, port, speed
        self._runner: web.AppRunner | None = None
        self._entry: Entry | None = None
        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("environment", "templates_driver"),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=jinja2.StrictUndefined,
        )
        environment.filters.update(clock=self._clock, when=self._when, eur=_eur, price=_price, title=_title)
        self._template = environment.get_template("driver.html.j2")
        self._fragment = environment.get_template("now.html.j2")

    @property
    def address(self) -> str:
        """Where a browser finds it."""
        return f"http://{LOOPBACK}:{self.port}/"

    async def start(self) -> str:
        """Serves the page, and returns its address. DriverPageError: the port is taken, or not ours to take."""
        app = web.Application(middlewares=[self._guard], client_max_size=MOST_BODY)
        app.add_routes(
            [
                web.get("/", self._show),
                web.get("/now", self._now),
                web.post("/ask", self._ask),
                web.post("/pick", self._pick),
                web.post("/call-off", self._call_off),
                web.post("/again", self._again),
                web.get("/driver.css", _file("driver.css", "text/css")),
                web.get("/driver.js", _file("driver.js", "text/javascript")),
            ]
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, LOOPBACK, self.port).start()
        except OSError as error:
            await runner.cleanup()
            raise DriverPageError(
                f"--driver-page {self.port}: cannot be served there: {error.strerror or error}; {OTHER_PORT}"
            ) from error
        self._runner, self.port = runner, runner.addresses[0][1]
        return self.address

    async def stop(self) -> None:
        """Serves it no more."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    # ---- what a browser asks for

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Nobody from elsewhere: not under another host's name, and no form of another site."""
        allowed = {f"{host}:{self.port}" for host in _HOSTS}
        origin = request.headers.get("Origin")
        if request.host not in allowed or (origin is not None and urlsplit(origin).netloc not in allowed):
            raise web.HTTPForbidden(text="This page is for the machine on which the run is.\n")
        response = await handler(request)
        response.headers.update(_HEADERS)
        return response

    async def _show(self, request: web.Request) -> web.Response:
        return self._page()

    async def _now(self, request: web.Request) -> web.Response:
        """What goes on while a form is filled in: the time, the lowered prices, the departure proposed."""
        now = self.driver.now()
        text = self._fragment.render(
            now=now,
            lowered=self.driver.lowered(),
            proposed=first_entry(self.places, now, self.zone).values,
            days=days_of(now, self.zone),
        )
        return web.Response(text=text, content_type="text/html")

    async def _ask(self, request: web.Request) -> web.Response:
        """The form: choices, or what is wrong beside its field."""
        form = await _form(request)
        driver = self.driver
        self._entry = read_form(
            form,
            self.places,
            capacity_kwh=driver.car.capacity_kwh,
            now=driver.now(),
            until=driver.until,
            zone=self.zone,
        )
        if self._entry.wish is None:
            return self._page(422)
        try:
            await driver.ask(self._entry.wish)
        except ValueError as error:
            driver.line = f"{error}."
        return _back()

    async def _pick(self, request: web.Request) -> web.Response:
        form = await _form(request)
        await self.driver.pick(form.get("choice", ""))
        if (booked := self.driver.status().booked) is not None:
            await asyncio.wait({booked.outcome}, timeout=ANSWER_S)
        for _ in range(_LOOKS):
            if self.driver.phase is not Phase.ASKING:
                break
            await asyncio.sleep(ANSWER_S / _LOOKS)
        return _back()

    async def _call_off(self, request: web.Request) -> web.Response:
        await self.driver.call_off()
        return _back()

    async def _again(self, request: web.Request) -> web.Response:
        await self.driver.put_away()
        return _back()

    # ---- what is shown

    def _page(self, status: int = 200) -> web.Response:
        driver = self.driver
        now, state = driver.now(), driver.status()
        first = first_entry(self.places, now, self.zone)
        entry = first if self._entry is None else with_departure_ahead(self._entry, self.places, now, self.zone)
        cards = sorted(
            (self._card(each) for each in state.choices),
            key=lambda card: (card.found.choice.amount_eur, card.found.choice.start, card.found.option.distance_km),
        )
        text = self._template.render(
            now=now,
            speed=self.speed,
            state=state,
            phase=str(state.phase),
            live=state.phase in (Phase.ASKING, Phase.BOOKED, Phase.CHARGING, Phase.BILLING),
            entry=entry,
            proposes=all(entry.values[name] == first.values[name] for name in ("departure", "day"))
            and not entry.faults,
            days=days_of(now, self.zone),
            places=self.places,
            own=OWN,
            cards=cards,
            held=min((min(card.found.valid_until, card.found.choice.start) for card in cards), default=now),
            drive=DRIVES // _MINUTE,
            lowered=driver.lowered(),
            minutes=lambda until: max(0, -(-(until - now) // _MINUTE)),
            car=driver.car,
            until=driver.until,
        )
        return web.Response(text=text, content_type="text/html", status=status)

    def _card(self, found: Found) -> Card:
        choice = found.choice
        usual = self.driver.usual_price(choice.station_id, choice.start, choice.end)
        return Card(found, usual if usual is not None and choice.price_eur_per_kwh < usual else None)

    def _clock(self, at: datetime) -> str:
        return f"{at.astimezone(self.zone):%H:%M}"

    def _when(self, at: datetime) -> str:
        """The time, with the day where that is not today."""
        local = at.astimezone(self.zone)
        today = self.driver.now().astimezone(self.zone).date()
        return f"{local:%H:%M}" if local.date() == today else f"{local:%a %H:%M}"


def _eur(amount: Decimal) -> str:
    return f"{amount:.2f}"


def _price(price: Decimal) -> str:
    """EUR/kWh with as many places as it needs, two at least."""
    text = f"{price.normalize():f}"
    places = len(text.partition(".")[2])
    return text if places > 2 else f"{price:.2f}"


def _title(name: str) -> str:
    return Place(name, 0.0, 0.0).title


def _back() -> web.Response:
    """After a form the browser shows the page anew, so that nothing is sent twice."""
    return web.Response(status=303, headers={"Location": "/"})


async def _form(request: web.Request) -> Mapping[str, str]:
    with suppress(ValueError):
        return {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
    return {}


def _file(name: str, content_type: str) -> _Handler:
    text = resources.files("environment").joinpath("templates_driver", name).read_text(encoding="utf-8")

    async def serve(request: web.Request) -> web.StreamResponse:
        return web.Response(text=text, content_type=content_type)

    return serve
