"""Batches that are killed at any moment, and what must hold of their directory then and in the end."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from batches import assert_in_order, certificate_of, files_of
from mdmprofile.batch import STAGING
from mdmprofile.errors import LedgerError
from mdmprofile.ledger import BEGUN, LEDGER_NAME, MADE, SUPERSEDED, Ledger, Recorded
from mdmprofile.ledger_file import LOCK_NAME
from mdmprofile.moments import stamp
from pki import NOW, Site

# Python tells of each file that is moved or removed before it happens, and there the process ends: no signal from
# outside comes at such a moment for sure.
AT_AN_EVENT = """
import os, signal, sys
event, left = sys.argv[1], int(sys.argv[2])
def hook(name, _arguments):
    global left
    if name == event:
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
from mdmprofile.cli import run
sys.exit(run(sys.argv[3:]))
"""
_PATIENCE = 60.0


class Moment(NamedTuple):
    """When a run is killed: so many seconds after something is there, or at the nth event of a kind."""

    kind: str
    number: int = 0
    seconds: float = 0.0


def some_moment(chance: random.Random, devices: int) -> Moment:
    """A moment in any phase: start and reading, recovery, the first rows, the work, moving files, the end."""
    number, soon = chance.randrange(devices), chance.uniform(0, 0.1)
    return chance.choice(
        [
            Moment("start", seconds=12 * soon),
            Moment("ledger", seconds=soon),
            Moment("staged", seconds=soon),
            Moment("profiles", number, soon / 3),
            Moment("profiles", devices, soon),
            Moment("os.rename", number),
            Moment("os.rename", number % 2),
            Moment("os.remove", number % 8),
        ]
    )


def run_and_kill(
    site: Site, moment: Moment | None, *flags: str, victim: Callable[[int], None] | None = None
) -> tuple[int, str]:
    """Run a batch of the site's table with two processes, until the moment; returns the exit code and what it said.

    Nothing of it is left at work: processes end with the one that started them. ``victim`` kills, given the process id.
    """
    at_event = moment is not None and moment.kind.startswith("os.")
    words = [sys.executable, *(("-c", AT_AN_EVENT) if at_event else ("-m", "mdmprofile"))]
    if moment is not None and at_event:
        words += [moment.kind, str(moment.number)]
    words += ["batch", str(site.folder / "devices.csv"), "-c", str(site.config), "-o", str(site.folder / "out")]
    words += ["--jobs", "2", "--at", stamp(NOW), *flags]
    with subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True, text=True
    ) as process:
        if moment is not None and not at_event:
            _wait_for(process, site.folder / "out", moment)
            if process.poll() is None:
                (victim or _kill)(process.pid)
        _, said = process.communicate(timeout=_PATIENCE)
    _wait_for_the_others(process.pid)
    assert "Traceback" not in said
    return process.returncode, said


def workers_of(process: int) -> list[int]:
    """The processes that make profiles for this one."""
    return [pid for pid, group, _, words in _processes() if group == process and "spawn_main" in words]


def assert_halfway(directory: Path) -> None:
    """Whatever the moment was: no file is half of one or unknown, and every certificate is recorded."""
    others = (STAGING, LEDGER_NAME, LOCK_NAME)
    files = {name: path for name, path in files_of(directory).items() if not name.startswith(others)}
    try:
        with Ledger.read(directory / LEDGER_NAME) as ledger:
            rows = list(ledger.history())
    except LedgerError:
        # Killed before its tables were in it.
        assert not files
        return
    known = {(each.entry.name, each.entry.profile_sha256) for each in rows if each.state in (MADE, SUPERSEDED)}
    for name, path in files.items():
        assert (name, hashlib.sha256(path.read_bytes()).hexdigest()) in known
    issued = [each.entry.certificate_serial for each in rows]
    assert all(issued)
    assert len(set(issued)) == len(issued)
    for path in sorted((directory / STAGING).glob("*"))[:10]:
        data = path.read_bytes()
        row = next(each for each in rows if each.id == int(path.stem))
        if row.state == MADE:
            assert hashlib.sha256(data).hexdigest() == row.entry.profile_sha256
        if row.state in (MADE, BEGUN) and _is_whole(data):
            assert f"{certificate_of(data).serial_number:x}" == row.entry.certificate_serial


def assert_whole(site: Site, devices: int) -> dict[str, Recorded]:
    """In the end every device has one profile, and its files, the ledger and our verification agree."""
    made = assert_in_order(site.folder / "out")
    assert sorted(each.entry.serial for each in made.values()) == [f"S{n:05}" for n in range(devices)]
    return made


def _is_whole(data: bytes) -> bool:
    """Whether all of a DER file is there."""
    if len(data) < 4 or data[:2] != b"\x30\x82":
        return False
    return len(data) == 4 + int.from_bytes(data[2:4], "big")


def _wait_for(process: subprocess.Popen[str], directory: Path, moment: Moment) -> None:
    """Until the moment, or the end of the process."""
    log, staging = directory / f"{LEDGER_NAME}-wal", directory / STAGING
    there: dict[str, Callable[[], bool]] = {
        "start": lambda: True,
        "ledger": log.exists,
        "staged": lambda: any(staging.glob("*")),
        "profiles": lambda: len(list(directory.glob("*.mobileconfig"))) >= moment.number,
    }
    end = time.monotonic() + _PATIENCE
    while process.poll() is None and not there[moment.kind]():
        assert time.monotonic() < end
        time.sleep(0.002)
    time.sleep(moment.seconds)


def _kill(process: int) -> None:
    os.kill(process, signal.SIGKILL)


def _wait_for_the_others(group: int) -> None:
    """Until nobody of the process's group is alive; whoever is dead and not buried counts as dead."""
    end = time.monotonic() + _PATIENCE
    while left := [pid for pid, of, state, _ in _processes() if of == group and not state.startswith("Z")]:
        assert time.monotonic() < end, f"still at work: {left}"
        time.sleep(0.02)


def _processes() -> Sequence[tuple[int, int, str, str]]:
    """Id, group, state and command line of everything that runs."""
    listed = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,pgid=,stat=,args="], capture_output=True, text=True, check=True
    ).stdout
    rows = (line.split(None, 3) for line in listed.splitlines())
    return [(int(each[0]), int(each[1]), each[2], each[3] if len(each) > 3 else "") for each in rows]
