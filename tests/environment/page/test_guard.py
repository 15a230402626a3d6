"""Who may open the page, in raw HTTP and raw websockets against the process itself."""

from __future__ import annotations

import base64
import http.client
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from environment.page.guard import ELSEWHERE, NO_TOKEN, OTHER_SITE, is_loopback
from tests.chromium import Served, serving
from tests.environment.watched.folders import hand_made_folder

TOKEN = "a-token-of-some-length"
SOCKET = "/_nicegui_ws/socket.io/?EIO=4&transport=websocket&client_id=x"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hand_made_folder(tmp_path_factory.mktemp("guard") / "run", minutes=3)


@pytest.fixture(scope="module")
def local(folder: Path) -> Iterator[Served]:
    with serving(folder) as served:
        yield served


@pytest.fixture(scope="module")
def wide(folder: Path) -> Iterator[Served]:
    with serving(folder, token=TOKEN) as served:
        yield served


class Answer:
    """The answer to one request."""

    def __init__(self, served: Served, path: str, headers: Mapping[str, str], method: str = "GET") -> None:
        where = urlsplit(served.address)
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
        connection.putrequest(method, path, skip_host=True)
        for name, value in ({"Host": where.netloc} | dict(headers)).items():
            if value:
                connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        self.status, self.text = answer.status, answer.read().decode()
        self.headers = {name.lower(): value for name, value in answer.getheaders()}
        connection.close()


def opened(served: Served, headers: Mapping[str, str]) -> tuple[int, str]:
    """Status of the attempt to open the page's websocket, and what was answered with it."""
    where = urlsplit(served.address)
    lines = {
        "Host": where.netloc,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Version": "13",
    } | dict(headers)
    asked = f"GET {SOCKET} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
    with socket.create_connection((where.hostname, where.port), timeout=60) as line:
        line.sendall(asked.encode())
        found = b""
        while b"\r\n\r\n" not in found and (more := line.recv(4096)):
            found += more
        status = int(found.split(b" ")[1])
        while status != 101 and (more := line.recv(4096)):
            found += more
        return status, found.partition(b"\r\n\r\n")[2].decode(errors="replace")


def test_this_machine_opens_the_page_under_its_own_names(local: Served) -> None:
    port = urlsplit(local.address).port
    for name in ("127.0.0.1", "127.0.0.2", "localhost", "LocalHost", "[::1]"):
        assert Answer(local, "/money", {"Host": f"{name}:{port}"}).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}", "127.0.0.1:1", "[:{port}", "127.0.0.1:x"],
)
def test_a_name_of_another_site_that_leads_here_is_refused(local: Served, host: str) -> None:
    name = host.format(port=urlsplit(local.address).port)
    answer = Answer(local, "/", {"Host": name})
    assert (answer.status, answer.text) == (403, ELSEWHERE)
    assert opened(local, {"Host": name}) == (403, ELSEWHERE)


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "http://127.0.0.1:1",
        "file://127.0.0.1:{port}",
        "http://127.0.0.2:{port}",
        "http://[",
    ],
)
def test_a_page_of_another_site_is_refused(local: Served, origin: str) -> None:
    given = {"Origin": origin.format(port=urlsplit(local.address).port)}
    answer = Answer(local, "/", given)
    assert (answer.status, answer.text) == (403, OTHER_SITE)
    assert opened(local, given) == (403, OTHER_SITE)
    polling = Answer(local, "/_nicegui_ws/socket.io/?EIO=4&transport=polling&client_id=x", given)
    assert polling.status == 403


def test_the_page_itself_opens_its_websocket(local: Served) -> None:
    assert opened(local, {"Origin": local.address.rstrip("/")})[0] == 101


def test_no_host_or_two_of_them_are_refused(local: Served) -> None:
    assert Answer(local, "/", {"Host": ""}).status in (400, 403)
    where = urlsplit(local.address)
    with socket.create_connection((where.hostname, where.port), timeout=60) as line:
        line.sendall(f"GET / HTTP/1.1\r\nHost: {where.netloc}\r\nHost: evil.example\r\n\r\n".encode())
        assert line.recv(64).split(b" ")[1] in (b"400", b"403")


def test_headers_let_nothing_in_from_elsewhere(local: Served) -> None:
    answer = Answer(local, "/money", {})
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "server" not in answer.headers
    assert "access-control-allow-origin" not in answer.headers


def test_without_the_token_there_is_one_plain_line(wide: Served) -> None:
    for path in ("/", "/?token=", "/?token=wrong", f"/?token={TOKEN}x", f"/?token={TOKEN}&token=wrong", "/favicon.ico"):
        answer = Answer(wide, path, {})
        assert (answer.status, answer.text) == (401, NO_TOKEN), path
    assert opened(wide, {}) == (401, NO_TOKEN)
    assert opened(wide, {"Cookie": f"gridparley-{urlsplit(wide.address).port}={TOKEN}"}) == (401, NO_TOKEN)


def test_the_token_becomes_a_cookie_and_leaves_the_address(wide: Served) -> None:
    assert f"token={TOKEN}" in wide.address
    answer = Answer(wide, f"/negotiations?token={TOKEN}&id=dso-1", {})
    assert answer.status == 200
    assert 'content="0;url=/negotiations?id=dso-1"' in answer.text
    cookie, *about = answer.headers["set-cookie"].split("; ")
    assert set(about) == {"Path=/", "HttpOnly", "SameSite=Strict"}
    assert TOKEN not in cookie
    assert Answer(wide, "/money", {"Cookie": f"other=1; {cookie}"}).status == 200
    assert opened(wide, {"Cookie": cookie})[0] == 101


def test_the_way_on_never_leads_to_another_host(wide: Served) -> None:
    for path in (f"//evil.example/?token={TOKEN}", f"/%5cevil.example?token={TOKEN}", f"/%22%3e?token={TOKEN}"):
        target = Answer(wide, path, {}).text.partition("0;url=")[2].partition('"')[0]
        assert target.startswith("/")
        assert urlsplit(target).netloc == ""
        assert not target.startswith(("//", "/\\"))


def test_with_a_cookie_another_site_is_refused_all_the_same(wide: Served) -> None:
    cookie = Answer(wide, f"/?token={TOKEN}", {}).headers["set-cookie"].partition(";")[0]
    given = {"Cookie": cookie, "Origin": "http://evil.example"}
    assert Answer(wide, "/", given).status == 403
    assert opened(wide, given) == (403, OTHER_SITE)


def test_beyond_this_machine_nothing_is_served_without_a_token(folder: Path) -> None:
    served = Served(folder, address="0.0.0.0")
    assert served.first == {"error": "0.0.0.0: beyond this machine the page is served with a token only"}
    assert served.close() == 3


@pytest.mark.parametrize(
    ("address", "loopback"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("192.168.1.5", False), ("example.org", False)],
)  # fmt: skip
def test_loopback_is_told_from_what_others_reach(address: str, loopback: bool) -> None:
    assert is_loopback(address) is loopback
