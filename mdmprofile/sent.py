"""The record of what was sent to which device: JSON Lines, written while it happens, so that a run can go on later.

A line says ``sending`` before each device's first request and ``sent``, ``refused`` or ``failed`` behind the answer, so
the last line of a device, a profile and a server is what is known. No line is ever changed.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from mdmprofile.errors import PARSER_ERRORS, DeliveryError, InputError, LedgerError, OutputError
from mdmprofile.inputs import opened
from mdmprofile.ledger_file import hold_file
from mdmprofile.output import appended

SENDING, SENT, REFUSED, FAILED = "sending", "sent", "refused", "failed"
_STATES = frozenset((SENDING, SENT, REFUSED, FAILED))
_LONGEST_LINE = 64 * 1024
_BEGINNING = b'{"at": "'
Key = tuple[str, str, str]
_NOT_OURS = "name another with --record; it is changed by nobody but mdmprofile"


class SentLine(NamedTuple):
    """One line: when (ISO 8601 UTC), which device, the SHA-256 of which profile in lower-case hexadecimal, and what.

    ``command_uuid`` is the UUID that the device will answer with, ``server`` the URL that was asked, and ``answer``
    what the server said where it did not just accept.
    """

    at: str
    device: str
    profile_sha256: str
    state: str
    command_uuid: str
    server: str
    answer: str = ""

    @property
    def key(self) -> Key:
        """What a later line of the same takes the place of."""
        return self.device.lower(), self.profile_sha256, self.server

    @property
    def may_have_arrived(self) -> bool:
        """Whether nobody knows if the server has the command."""
        return self.state in (SENDING, FAILED)


class SentLines:
    """What a record knows."""

    def __init__(self, known: dict[Key, SentLine]) -> None:
        self._known = known

    def last(self, device: str, profile_sha256: str, server: str) -> SentLine | None:
        """What is known of a profile and a device, whose case does not matter, at a server; None where nothing is.

        What a test server has says nothing of the real one.
        """
        return self._known.get((device.lower(), profile_sha256, server))


class SentRecord(SentLines):
    """A record that is open, for one run alone; see ``open_record``."""

    def __init__(self, known: dict[Key, SentLine], append: Callable[[bytes], None]) -> None:
        super().__init__(known)
        self._append = append

    def add(self, line: SentLine) -> None:
        """Write a line; it is on the disk when this returns. Raises ``OutputError``."""
        self._append(json.dumps(line._asdict()).encode("ascii") + b"\n")
        self._known[line.key] = line


@contextlib.contextmanager
def open_record(path: Path) -> Iterator[SentRecord]:
    """Open a record to go on with it; it is made, readable by its owner alone, where it is absent.

    The half of a last line that a run which was killed has left is cut off. Raises ``DeliveryError`` for anything else
    than a record, and where another run is at work with it.
    """
    lock = path.with_name(f".{path.name}.lock")
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(hold_file(lock, path))
            known, keep, is_closed = _read(path)
            append = stack.enter_context(appended(path, keep=keep))
            if not is_closed:
                append(b"\n")
        except (LedgerError, InputError, OutputError) as error:
            raise DeliveryError(error.message, where=str(path), hint=error.hint) from None
        yield SentRecord(known, append)


def read_record(path: Path) -> SentLines:
    """What a record knows, also while a run writes to it; nothing where it is absent. Raises ``DeliveryError``."""
    try:
        return SentLines(_read(path)[0])
    except InputError as error:
        raise DeliveryError(error.message, where=str(path), hint=error.hint) from None


def _read(path: Path) -> tuple[dict[Key, SentLine], int, bool]:
    """The last line of each device and profile, how many bytes are whole lines, and whether the last of them ends."""
    known: dict[Key, SentLine] = {}
    if not path.exists():
        return known, 0, True
    keep, number = 0, 0
    with opened(path) as stream:
        while data := stream.readline(_LONGEST_LINE):
            number += 1
            line = _line(data)
            is_closed = data.endswith(b"\n")
            if line is None:
                if not is_closed and len(data) < _LONGEST_LINE and (number > 1 or _BEGINNING.startswith(data[:8])):
                    break
                message = f"is no record of what was sent: line {number} is none of its lines"
                raise DeliveryError(message, where=str(path), hint=_NOT_OURS)
            known[line.key] = line
            keep += len(data)
            if not is_closed:
                return known, keep, False
    return known, keep, True


def _line(data: bytes) -> SentLine | None:
    """One line read again; None for what is none."""
    try:
        values = json.loads(data)
        line = SentLine(**values)
    except PARSER_ERRORS:
        return None
    return line if all(isinstance(each, str) for each in line) and line.state in _STATES else None
