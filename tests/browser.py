"""A real browser for pages that people open: headless Chromium, driven by its own driver."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.remote.webelement import WebElement

from conftest import system_tool

_QUIET = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip


class Browser:
    """One window; ``open`` fails where the console has anything to say."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def open(self, page: Path, *, width: int = 1280, quiet: bool = True) -> None:
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.requests()
        self.driver.get(page.as_uri())
        assert not quiet or self.console() == []

    def cdp(self, command: str, **parameters: Any) -> Any:
        return self.driver.execute_cdp_cmd(command, parameters)

    def js(self, script: str) -> Any:
        return self.driver.execute_script(script)

    def media(self, kind: str = "", **features: str) -> None:
        named = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.cdp("Emulation.setEmulatedMedia", media=kind, features=named)

    @contextmanager
    def without_javascript(self) -> Iterator[None]:
        self.cdp("Emulation.setScriptExecutionDisabled", value=True)
        try:
            yield
        finally:
            self.cdp("Emulation.setScriptExecutionDisabled", value=False)

    def console(self) -> list[str]:
        return [each["message"] for each in self._log("browser")]

    def _log(self, kind: str) -> list[dict[str, str]]:
        entries: list[dict[str, str]] = self.driver.get_log(kind)  # type: ignore[no-untyped-call]
        return entries

    def requests(self) -> list[str]:
        """Every address that was asked for since the last call."""
        events = [json.loads(each["message"])["message"] for each in self._log("performance")]
        sent = [each for each in events if each["method"] == "Network.requestWillBeSent"]
        return [each["params"]["request"]["url"] for each in sent]

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements("css selector", selector)

    def texts(self, selector: str) -> list[str]:
        """The text of every such element, in view or not."""
        found: list[str] = self.driver.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map((each) => each.textContent)", selector
        )
        return found

    def screenshot(self, *, width: int, height: int, scale: float) -> bytes:
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": scale}
        return base64.b64decode(self.cdp("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"])

    def pdf(self) -> bytes:
        return base64.b64decode(self.cdp("Page.printToPDF", printBackground=False)["data"])


@contextmanager
def started(profile: Path) -> Iterator[Browser]:
    """A browser with an empty profile in this folder, ended at the end."""
    options = Options()
    for each in (*_QUIET, f"--user-data-dir={profile}"):
        options.add_argument(each)
    options.binary_location = system_tool("chromium")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=Service(system_tool("chromedriver")))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
