"""Debian's Chromium, headless, for the tests of all pages; and the process that serves a watched run to it.

Skipped where Chromium or its driver is not installed, but never in CI.
"""

from __future__ import annotations

import base64
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

PROJECT = Path(__file__).resolve().parents[1]
PHONE = (360, 740)
DESKTOP = (1280, 800)
TOUCH_PX = 44
PATIENCE_S = 30
"""Wall seconds that a test waits for what must come; it comes much sooner on a machine with nothing else to do."""
LEAST_CONTRAST = 4.5
"""WCAG 2.2, 1.4.3, level AA; 3 for large text."""
LOOKS = 10
TABS = 150

CONTRAST = """
const paint = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
const rgba = (text) => {
  paint.clearRect(0, 0, 1, 1); paint.fillStyle = text; paint.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = paint.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
};
const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
const light = (colour) => colour.map((v) => v / 255)
  .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = (at) => {
  const layers = [];
  for (; at; at = at.parentElement) {
    const found = rgba(getComputedStyle(at).backgroundColor);
    if (found[3] > 0) layers.push(found);
    if (found[3] === 1) break;
  }
  return layers.reverse().reduce((ground, layer) => over(layer, ground), [255, 255, 255]);
};
const opacity = (at) => { let o = 1; for (; at; at = at.parentElement) o *= getComputedStyle(at).opacity; return o; };
const poor = [];
for (const each of document.body.querySelectorAll("*")) {
  const own = [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  if (!own || !each.checkVisibility({checkVisibilityCSS: true, checkOpacity: true})) continue;
  if (each.closest("noscript, option, script, style, [disabled], [aria-disabled=true], [aria-hidden=true]")) continue;
  const style = getComputedStyle(each);
  if (style.clipPath !== "none") continue;
  const ground = behind(each), colour = rgba(style.color);
  colour[3] *= opacity(each);
  const [a, b] = [light(over(colour, ground)), light(ground)].sort((p, q) => q - p);
  const ratio = (a + 0.05) / (b + 0.05);
  const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
  if (ratio < (large ? 3 : arguments[0])) poor.push(each.textContent.trim().slice(0, 30) + " " + ratio.toFixed(2));
}
return poor;
"""
"""The texts that are seen and have too little contrast, each with its ratio."""

_UNNAMED = """
const seen = (e) => e.checkVisibility({checkVisibilityCSS: true});
const reached = [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")];
return reached.filter(seen).map((e) => e);
"""
_WIDE = """
const wide = document.documentElement.scrollWidth;
const far = [...document.body.querySelectorAll("*")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
  .slice(0, 5).map((e) => e.tagName + "." + e.className);
return [wide, innerWidth, far];
"""


@pytest.fixture(scope="session")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """One browser for all tests of a worker."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    service = shutil.which("chromedriver")
    if program is None or service is None:
        assert not os.environ.get("CI"), "CI must have Chromium: apt-get install -y chromium chromium-driver"
        pytest.skip("Chromium or its driver is not installed: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    profile = tmp_path_factory.mktemp("chromium")
    # no-sandbox: a container's root may not make one; the only pages that are opened are our own
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(service))
    yield browser
    browser.quit()


class Visitor:
    """One person at a page: a phone or a desktop, in light or dark."""

    def __init__(
        self, chrome: webdriver.Chrome, *, size: tuple[int, int] = PHONE, dark: bool = False, still: bool = True
    ) -> None:
        self.chrome = chrome
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 2, "mobile": size[0] < 700}
        chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if still else "no-preference"},
        ]
        chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        chrome.get("about:blank")
        self.log("browser")
        self.log("performance")

    def log(self, kind: str) -> list[dict[str, Any]]:
        """What the browser has noted since the last call."""
        found: list[dict[str, Any]] = self.chrome.get_log(kind)  # type: ignore[no-untyped-call]
        return found

    def open(self, address: str) -> None:
        """Opens an address; for a page of NiceGUI wait for what it shows."""
        self.chrome.get(address)

    @property
    def heading(self) -> str:
        return self.chrome.find_element(By.TAG_NAME, "h1").text

    def find(self, css: str) -> WebElement:
        return self.chrome.find_element(By.CSS_SELECTOR, css)

    def all(self, css: str) -> list[WebElement]:
        return self.chrome.find_elements(By.CSS_SELECTOR, css)

    def named(self, label: str) -> WebElement:
        """The element with this accessible label."""
        return self.find(f"[aria-label={json.dumps(label)}]")

    def text(self, css: str) -> str:
        return self.find(css).text

    def wait(self, until: Callable[[], Any], what: str = "") -> Any:
        """What `until` gives as soon as it is true."""
        waiting = WebDriverWait(self.chrome, PATIENCE_S, poll_frequency=0.05, ignored_exceptions=(Exception,))
        return waiting.until(lambda _: until(), what)

    def tab_to(self, css: str) -> WebElement:
        """Presses Tab until the element has the focus."""
        for _ in range(TABS):
            focus = self.chrome.switch_to.active_element
            if focus == self.find(css):
                return focus
            focus.send_keys(Keys.TAB)
        raise AssertionError(f"the keyboard does not reach {css}")

    def write(self, name: str, text: str) -> None:
        field = self.tab_to(f"#{name}")
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text)

    def press(self, css: str) -> None:
        self.tab_to(css).send_keys(Keys.ENTER)

    def fits(self, *, touch: str = "button, input, select", touch_px: int = TOUCH_PX) -> None:
        """Nothing is wider than the screen, everything can be touched, read, and has a name.

        A page that is drawn anew while it is looked at is looked at again.
        """
        for _ in range(LOOKS):
            try:
                self._fits(touch, touch_px)
            except StaleElementReferenceException:
                continue
            return
        raise AssertionError(f"{self.heading}: never at rest in {LOOKS} looks")

    def _fits(self, touch: str, touch_px: int) -> None:
        wide, screen, far = self.chrome.execute_script(_WIDE)
        assert wide <= screen, f"{self.heading}: {wide} px on a screen of {screen}: {far}"
        for each in self.all(touch):
            if each.is_displayed():
                assert each.rect["height"] >= touch_px, each.get_attribute("outerHTML")
        self.is_named()
        assert self.chrome.execute_script(CONTRAST, LEAST_CONTRAST) == []

    def is_named(self) -> None:
        """Everything that the keyboard reaches has a name, and one h1 says what the page is."""
        for each in self.chrome.execute_script(_UNNAMED):
            assert each.accessible_name, each.get_attribute("outerHTML")
        assert len(self.all("h1")) == 1

    def complaints(self) -> list[str]:
        """What the browser holds against the page; that a form was wrong (422) is no fault of it."""
        return [e["message"] for e in self.log("browser") if e["level"] == "SEVERE" and "422" not in e["message"]]

    def hosts(self) -> set[str]:
        """Host and port of everything that was asked for since the last call."""
        found = set()
        for line in self.log("performance"):
            event = json.loads(line["message"])["message"]
            if event["method"] == "Network.requestWillBeSent":
                address = event["params"]["request"]["url"]
            elif event["method"] == "Network.webSocketCreated":
                address = event["params"]["url"]
            else:
                continue
            parts = urlsplit(address)
            if parts.scheme in ("http", "https", "ws", "wss"):
                found.add(parts.netloc)
        return found


class Served:
    """A page's process as the swarm sees it: where it is, what it says, and what it is told."""

    def __init__(self, folder: Path, *, live: bool = False, **settings: Any) -> None:
        told = {
            "folder": str(folder),
            "live": live,
            "address": "127.0.0.1",
            "port": 0,
            "token": None,
            "title": "A run",
            **settings,
        }
        self.process = subprocess.Popen(
            (sys.executable, "-m", "environment.page"),
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.errors: list[str] = []
        self._said: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._hear, self._hear_errors)]
        for thread in self._threads:
            thread.start()
        self.tell(told)
        self.first = self.said()
        self.address = str(self.first.get("ready", ""))

    def tell(self, line: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()

    def said(self) -> dict[str, Any]:
        """The next line that it says."""
        line = self._said.get(timeout=PATIENCE_S)
        assert line is not None, "".join(self.errors)
        return line

    def _hear(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._said.put(json.loads(line))
        self._said.put(None)

    def _hear_errors(self) -> None:
        assert self.process.stderr is not None
        self.errors.extend(self.process.stderr)

    def close(self) -> int:
        """Ends it as the swarm does, by closing its input; returns its exit code."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.process.stdin.close()
        code = self.process.wait(PATIENCE_S)
        for thread in self._threads:
            thread.join()
        self.process.stdout.close()
        self.process.stderr.close()
        return code


@contextmanager
def serving(folder: Path, *, live: bool = False, **settings: Any) -> Iterator[Served]:
    """The page of a run folder in a process of its own; it must come up, write no error, and end by itself."""
    served = Served(folder, live=live, **settings)
    try:
        assert served.address, served.first
        yield served
    except BaseException:
        sys.stderr.writelines(served.errors[-40:])
        raise
    finally:
        code = served.close()
    assert code == 0
    assert served.errors == []


def picture(visitor: Visitor, path: Path, *, whole: bool = False) -> Sequence[int]:
    """Writes what is seen as a PNG and returns its width and height."""
    shot = visitor.chrome.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": whole})
    data = base64.b64decode(shot["data"])
    path.write_bytes(data)
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
