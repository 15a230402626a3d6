"""Who may open the page: this machine alone, or whoever has the token; and no page of another site.

It stands before everything that the process serves, websockets included. On loopback the name under which the page is
asked for must be one of this machine's, so that no other site can reach it under a name of its own (DNS rebinding), and
what a browser says of its origin must be this page. Served wider, a token is needed besides: in the address once, then
as a cookie that no script can read and no other site can send.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from html import escape
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

TOKEN = "token"
ELSEWHERE = "This page is for the machine on which the run is.\n"
OTHER_SITE = "This page does not answer to other sites.\n"
NO_TOKEN = "This page needs its whole address, with the token at its end, as the terminal shows it.\n"
HEADERS = {
    # NiceGUI starts by inline scripts, and Vue compiles templates in the browser; nothing comes from another host.
    "content-security-policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; "
    "object-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class Guard:
    """Lets through to `app` what may pass. `port`: that of the page; `token` None: this machine's names alone."""

    def __init__(self, app: App, *, port: int, token: str | None) -> None:
        self.app = app
        self._port = port
        self._token = token
        self._cookie = f"gridparley-{port}"  # cookies are not told apart by port
        self._session = secrets.token_urlsafe(24)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = _headers(scope)
        if (refusal := self._refusal(headers)) is not None:
            await _answer(scope, send, 403, refusal)
        elif self._token is None or self._has_cookie(headers):
            await self.app(scope, receive, _with_headers(send))
        elif scope["type"] == "http" and self._has_token(scope):
            await self._welcome(scope, send)
        else:
            await _answer(scope, send, 401, NO_TOKEN)

    def _refusal(self, headers: dict[str, list[str]]) -> str | None:
        """Why the name or the origin of a request is not ours."""
        hosts, origins = headers.get("host", []), headers.get("origin", [])
        if len(hosts) != 1 or not _plausible(hosts[0]):
            return ELSEWHERE
        host = hosts[0].lower()
        if self._token is None and not self._is_of_this_machine(host):
            return ELSEWHERE
        for origin in origins:
            scheme, _, netloc = origin.lower().partition("://")
            if scheme not in ("http", "https") or netloc != host:
                return OTHER_SITE
        return None

    def _is_of_this_machine(self, host: str) -> bool:
        """Whether a name with its port leads to this page from this machine alone: no site can have such a name."""
        try:
            parts = urlsplit(f"//{host}")
            name, port = parts.hostname or "", parts.port or 80
        except ValueError:
            return False
        return _plausible(host) and port == self._port and is_loopback(name)

    def _has_cookie(self, headers: dict[str, list[str]]) -> bool:
        for line in headers.get("cookie", []):
            try:
                found = SimpleCookie(line).get(self._cookie)
            except CookieError:
                continue
            if found is not None and _same(found.value, self._session):
                return True
        return False

    def _has_token(self, scope: Scope) -> bool:
        query = parse_qsl(scope.get("query_string", b"").decode("latin-1"))
        given = [value for name, value in query if name == TOKEN]
        return self._token is not None and len(given) == 1 and _same(given[0], self._token)

    async def _welcome(self, scope: Scope, send: Send) -> None:
        """Sets the cookie, and goes on to the page without the token in its address.

        By a page, and not by a redirect, along which a browser that comes from elsewhere would not send the cookie.
        """
        query = parse_qsl(scope.get("query_string", b"").decode("latin-1"))
        rest = urlencode([(name, value) for name, value in query if name != TOKEN])
        # A path such as //elsewhere would be another host's address.
        path = "/" + quote(scope["path"].lstrip("/\\"))
        target = escape(path + (f"?{rest}" if rest else ""))
        body = (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Gridparley</title>'
            f'<meta http-equiv="refresh" content="0;url={target}"></head>'
            f'<body><p><a href="{target}">Open the page</a></p></body></html>\n'
        )
        cookie = f"{self._cookie}={self._session}; Path=/; HttpOnly; SameSite=Strict"
        await _http(
            send, 200, body, "text/html; charset=utf-8", [("set-cookie", cookie), ("cache-control", "no-store")]
        )


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach what is bound to the address."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _same(given: str, ours: str) -> bool:
    """Whether they are the same, in a time that does not say how far."""
    return hmac.compare_digest(given.encode(), ours.encode())


def _plausible(host: str) -> bool:
    return bool(host) and not any(mark in host for mark in " ,/\\@?#")


def _headers(scope: Scope) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return found


def _with_headers(send: Send) -> Send:
    """Adds our headers to an answer."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            names = {name.lower() for name, _ in message.get("headers", ())}
            added = [(name.encode(), value.encode()) for name, value in HEADERS.items() if name.encode() not in names]
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        await send(message)

    return sending


async def _answer(scope: Scope, send: Send, status: int, text: str) -> None:
    """One plain line. A websocket is refused before it is open."""
    if scope["type"] == "http":
        await _http(send, status, text, "text/plain; charset=utf-8", [("cache-control", "no-store")])
    elif "websocket.http.response" in scope.get("extensions", {}):
        await _http(send, status, text, "text/plain; charset=utf-8", (), kind="websocket.http.response")
    else:
        await send({"type": "websocket.close", "code": 1008})


async def _http(
    send: Send,
    status: int,
    text: str,
    content_type: str,
    further: Iterable[tuple[str, str]],
    *,
    kind: str = "http.response",
) -> None:
    body = text.encode()
    headers = [("content-type", content_type), ("content-length", str(len(body))), *further, *HEADERS.items()]
    encoded = [(name.encode(), value.encode()) for name, value in headers]
    await send({"type": f"{kind}.start", "status": status, "headers": encoded})
    await send({"type": f"{kind}.body", "body": body})
