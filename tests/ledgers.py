"""Ledgers of any content, and processes that work with one until they are killed."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from mdmprofile.ledger import Begun, Entry, Ledger
from pki import DAY, NOW

CONFIG_SHA256 = hashlib.sha256(b"a config").hexdigest()


def device(number: int, *, made: datetime = NOW) -> Begun:
    """A device about to get its profile."""
    serial = f"C02{number:06}"
    udid = f"00008101-{number:016X}"
    return Begun(f"{serial}.mobileconfig", udid, serial, "pkcs12", f"{number:x}", made, "enroll.toml", CONFIG_SHA256)


def entry(begun: Begun, *, end: datetime | None = NOW + 365 * DAY, profile: bytes = b"") -> Entry:
    """Its profile, with a certificate unless the device fetches one by itself."""
    own = begun.identity == "pkcs12"
    return Entry(
        begun.name,
        begun.udid,
        begun.serial,
        begun.identity,
        hashlib.sha256(begun.name.encode()).hexdigest() if own else "",
        begun.certificate_serial if own else "",
        f"CN={begun.serial},O=Example Inc.",
        begun.made if own else None,
        end,
        "" if begun.identity != "acme" else f"client-of-{begun.serial}",
        hashlib.sha256(profile or begun.name.encode()).hexdigest(),
        len(profile) or 1234,
        begun.made,
        begun.config,
        begun.config_sha256,
    )


def record(path: Path, entries: Sequence[Entry]) -> list[int]:
    """Have the ledger hold these as made; the ids of their rows."""
    with Ledger.open(path) as ledger:
        ids = ledger.begin([begin(each) for each in entries])
        ledger.finish(list(zip(ids, entries, strict=True)))
    return ids


def begin(made: Entry) -> Begun:
    """What was recorded before this one was made."""
    return Begun(
        made.name,
        made.udid,
        made.serial,
        made.identity,
        made.certificate_serial,
        made.made,
        made.config,
        made.config_sha256,
    )


def devices(count: int) -> list[Entry]:
    """So many devices with a certificate each, which end one day after the other."""
    return [entry(device(number), end=NOW + (100 + number) * DAY) for number in range(count)]


_PRELUDE = """
import sys
from pathlib import Path
from ledgers import device, entry
from mdmprofile.ledger import Ledger, hold

folder = Path(sys.argv[1])


def pause(word):
    print(word, flush=True)
    sys.stdin.readline()


class Pausing(list):
    def __iter__(self):
        for number, each in enumerate(list.__iter__(self)):
            if number == len(self) // 2:
                pause("halfway")
            yield each


"""


class Worker:
    """A process of its own that runs some code in a folder, and waits wherever that says ``pause(word)``."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def reached(self, word: str) -> None:
        """Wait until it pauses at this word."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == f"{word}\n"

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """Have the kernel end it at once, with nothing tidied up."""
        self.process.kill()
        self.process.wait()

    def ended(self) -> int:
        self.go_on()
        return self.process.wait()


@contextlib.contextmanager
def working(code: str, folder: Path) -> Iterator[Worker]:
    """Run the code in a process of its own."""
    paths = f"import sys; sys.path[:0] = {sys.path!r}"
    with subprocess.Popen(
        [sys.executable, "-c", f"{paths}\n{_PRELUDE}{code}", folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Worker(process)
        finally:
            process.kill()
