"""A headless Chromium for the tests of the book: what a page asks for, complains of, and how it looks to axe-core."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException

from inequality_phenomenon._support import paths
from inequality_phenomenon._support.files import socket_folder
from inequality_phenomenon._support.npm import PackageError
from inequality_phenomenon.book.vendor import Library, fetch

AXE = Library(
    "axe-core@4.14.1", "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
    708_405, r"LICENSE|axe\.min\.js",
)  # fmt: skip
SECONDS = 300  # for one step on a busy machine; the page of the library is long
DESKTOP, PHONE = (1280, 900), (375, 700)
HOW_TO_GET_ONE = (
    "the book's pages were not opened in a browser: no Chromium with a driver was found. On Debian and Ubuntu: "
    "apt-get install chromium chromium-driver; elsewhere install Chrome, for which selenium fetches the driver."
)

_READY = """const done = arguments[arguments.length - 1];
Promise.resolve(window.MathJax?.startup?.promise).then(() => document.fonts.ready).then(() => requestAnimationFrame(done));
"""
_AT_ONCE = "document.head.append(Object.assign(document.createElement('style'), {textContent: '* { transition: none !important }'}))"
_AXE = """const [options, done] = arguments;
axe.run(document, options).then((found) => done(found.violations.map((v) => `${v.id}: ${v.nodes[0].html.slice(0, 200)}`)));
"""
_WIDER = """const width = document.documentElement.clientWidth;
if (document.documentElement.scrollWidth <= width) return [];
const scrolls = (e) => e && (getComputedStyle(e).overflowX !== "visible" || scrolls(e.parentElement.closest("main *")));
const wide = [...document.querySelectorAll("main *")].filter((e) => e.getBoundingClientRect().right > width + 1 && !scrolls(e));
return [`${document.documentElement.scrollWidth} > ${width}`, ...wide.slice(0, 3).map((e) => e.outerHTML.slice(0, 150))];
"""


def open_chromium() -> webdriver.Chrome:
    """A Chromium without a network. Skips the test where there is none; with CI set, that is a failure."""
    options = webdriver.ChromeOptions()
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "host-resolver-rules=MAP * ~NOTFOUND"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    short = os.environ | {"TMPDIR": socket_folder()}  # where its sockets lie
    try:
        chromium = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver"), env=short))
    except WebDriverException as problem:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"{HOW_TO_GET_ONE} ({problem.msg})")
    chromium.set_script_timeout(SECONDS)
    chromium.command_executor.client_config.timeout = SECONDS + 10
    return chromium


def axe_script() -> str:
    folder = paths.CACHE / "axe"
    try:
        if not AXE.folder(folder).exists():
            fetch(AXE, folder)
    except PackageError as problem:
        pytest.skip(f"axe-core could not be fetched: {problem}")
    return (AXE.folder(folder) / "axe.min.js").read_text("utf-8")


@dataclass
class Visit:
    """What one page did and showed, on a desktop and on a phone, in the light and in the dark theme."""

    requests: list[str]
    errors: list[str]
    formula_errors: list[str]
    violations: list[str]
    too_wide: list[str]


def visit(chromium: webdriver.Chrome, page: Path, axe: str) -> Visit:
    _resize(chromium, DESKTOP)
    chromium.get(page.as_uri())
    chromium.execute_async_script(_READY)
    return inspect(chromium, axe)


def inspect(chromium: webdriver.Chrome, axe: str) -> Visit:
    chromium.execute_script(axe)
    every = {"preload": False, "resultTypes": ["violations"]}
    violations = [f"light: {v}" for v in chromium.execute_async_script(_AXE, every)]
    contrast = {"preload": False, "runOnly": {"type": "rule", "values": ["color-contrast"]}}
    chromium.execute_script(f"{_AT_ONCE}; document.documentElement.dataset.theme = 'dark'")
    violations += [f"dark: {v}" for v in chromium.execute_async_script(_AXE, contrast)]
    chromium.execute_script("document.documentElement.dataset.theme = 'light'")
    _resize(chromium, PHONE)
    wide = chromium.execute_script(_WIDER)
    formulas = chromium.execute_script("return [...document.querySelectorAll('mjx-merror')].map((e) => e.outerHTML)")
    errors = [entry["message"] for entry in chromium.get_log("browser") if entry["level"] == "SEVERE"]
    events = [json.loads(entry["message"])["message"] for entry in chromium.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    return Visit(asked, errors, formulas, violations, wide)


def _resize(chromium: webdriver.Chrome, size: tuple[int, int]) -> None:
    metrics: dict[str, Any] = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
