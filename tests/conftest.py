"""Fixtures that every test may use, and what to do where a system tool is absent."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mdmprofile.cli import run
from mdmprofile.moments import stamp
from pki import NOW, Site, make_site

PACKAGES = {
    "caddy": "caddy",
    "chromedriver": "chromium-driver",
    "chromium": "chromium",
    "nginx": "nginx-light",
    "openssl": "openssl",
    "plistutil": "libplist-utils",
    "promtool": "prometheus",
    "scepserver": "scep",
    "softhsm2-util": "softhsm2",
    "systemd-analyze": "systemd",
    "xmllint": "libxml2-utils",
}


def system_tool(command: str) -> str:
    """The path of a system tool; where it is absent the test is skipped, in CI it fails."""
    found = shutil.which(command) or shutil.which(command, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        reason = f"{command} is not installed; apt-get install {PACKAGES[command]}"
        if os.environ.get("MDMPROFILE_NO_SKIP"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture
def openssl() -> Callable[..., bytes]:
    """Run openssl with these arguments and return its output; a failure is the test's."""
    program = system_tool("openssl")

    def call(*arguments: str | Path, data: bytes = b"", fails: bool = False) -> bytes:
        done = subprocess.run([program, *map(str, arguments)], input=data, capture_output=True, check=False)
        assert (done.returncode != 0) is fails, done.stderr.decode()
        return done.stdout

    return call


@pytest.fixture
def plistutil() -> Callable[[bytes], bytes]:
    """Parse a property list with libplist and write it again in binary; a failure is the test's.

    Asked for the format it already has, plistutil copies its input unread.
    """
    program = system_tool("plistutil")

    def call(data: bytes) -> bytes:
        done = subprocess.run(
            [program, "-i", "-", "-o", "-", "-f", "bin"], input=data, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        assert done.stdout.startswith(b"bplist00"), done.stdout + done.stderr
        return done.stdout

    return call


@dataclass(frozen=True)
class Outcome:
    """What a command left behind: exit code, standard output and standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def rules(self) -> list[str]:
        return [each["rule"] for each in self.json["findings"]]


Command = Callable[..., Outcome]

# The commands that can be told the time; everything else reads no clock that a test depends on.
TOLD_THE_TIME = {
    "batch",
    "build",
    "check",
    "command",
    "diff",
    "doctor",
    "encrypt",
    "identity",
    "lint",
    "plan",
    "show",
    "sign",
    "trust",
    "verify",
}


@pytest.fixture
def mdmprofile(capfd: pytest.CaptureFixture[str]) -> Command:
    """Run the command line in this process, as of ``NOW`` where the command can be told so."""

    def call(*arguments: str | Path, at: str | None = stamp(NOW)) -> Outcome:
        words = [str(each) for each in arguments]
        if at is not None and words[0] in TOLD_THE_TIME:
            words += ["--at", at]
        capfd.readouterr()
        code = run(words)
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return Outcome(code, out, err)

    return call


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A folder with a PKI and a config that build without a finding above info."""
    return make_site(tmp_path / "site")
