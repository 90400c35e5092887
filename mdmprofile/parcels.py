"""What is to be delivered: which profile to which device, from lists of devices, ledgers and their directories."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from mdmprofile.devices.columns import SERIAL, UDID, column_name
from mdmprofile.devices.lines import Lines
from mdmprofile.devices.table import BadRow, read_table
from mdmprofile.errors import InputError, MdmprofileError, ProfileError, collect
from mdmprofile.findings import Finding, Severity, finding
from mdmprofile.inputs import MAX_PROFILE, read_file
from mdmprofile.ledger import Entry, Ledger
from mdmprofile.mdm_servers import is_device
from mdmprofile.printable import shown
from mdmprofile.reader import OpenedProfile, open_profile

MAX_LIST = 256 * 1024 * 1024


class Parcel(NamedTuple):
    """One profile for one device.

    ``profile_sha256`` is that of the bytes that ``read`` returns, in lower-case hexadecimal; ``read`` raises
    ``MdmprofileError`` where they are not there, or are others.
    """

    device: str
    profile_sha256: str
    source: str
    read: Callable[[], bytes]


class Devices(NamedTuple):
    """Which devices were named, each once, and what is wrong with the rows that name none."""

    names: tuple[str, ...]
    findings: tuple[Finding, ...] = ()


def read_devices(data: bytes, *, source: str) -> Devices:
    """The devices in a file: one UDID a line, or a table with a ``udid`` column, as ``mdmprofile batch`` takes it.

    Raises ``InputError``, or ``Problems``, for what is neither.
    """
    found: list[str] = []
    wrong: list[Finding] = []
    for line, text in _named(data, source):
        if isinstance(text, BadRow):
            wrong.append(finding(text.rule, text.reason, where=f"{source}:{line}"))
        elif is_device(text):
            found.append(text)
        else:
            wrong.append(finding("devices.row", f"{shown(text)} can be no UDID", where=f"{source}:{line}"))
    return Devices(_once(found), tuple(wrong))


def check_devices(names: Iterable[str]) -> Devices:
    """The devices that somebody named one by one. Raises ``InputError``, or ``Problems``, for what can be none."""
    listed = list(names)
    wrong = [each for each in listed if not is_device(each)]
    if wrong:
        raise collect(InputError(f"{shown(each)} can be no UDID", hint="check it") for each in wrong)
    return Devices(_once(listed))


def read_made(ledger: Path, wanted: Collection[str]) -> tuple[list[Entry], tuple[Finding, ...]]:
    """The made rows of the ledger, those of the ``wanted`` devices where there are any; and who is not among them.

    Raises ``LedgerError``.
    """
    left = {each.lower(): each for each in wanted}
    entries: list[Entry] = []
    found: list[Finding] = []
    with Ledger.read(ledger) as opened:
        for each in opened.entries():
            where = f"{ledger}: {each.name}"
            if wanted and left.pop(each.udid.lower(), None) is None:
                continue
            if is_device(each.udid):
                entries.append(each)
            else:
                told = f"{shown(each.udid)} can be no UDID" if each.udid else "the ledger knows no UDID of this device"
                found.append(finding("devices.missing", told, where=where))
    found += [finding("delivery.unlisted", f"{each} is not in it", where=str(ledger)) for each in left.values()]
    return entries, tuple(found)


def one_for_all(profile: bytes, devices: Iterable[str], *, source: str) -> list[Parcel]:
    """The same profile for each of the devices."""
    sha256 = hashlib.sha256(profile).hexdigest()
    return [Parcel(each, sha256, source, lambda: profile) for each in devices]


def own_profiles(directory: Path, entries: Iterable[Entry]) -> list[Parcel]:
    """Its own profile for each device, out of the directory of its ledger."""
    return [_own(directory, each) for each in entries]


def vet(
    data: bytes, *, source: str, now: datetime, old: OpenedProfile | None = None, force: bool = False
) -> tuple[Finding, ...]:
    """Why a profile should not be sent: every error that ``lint`` finds, and what a device with ``old`` refuses.

    Warnings of the comparison are in it too. With ``force`` there are warnings in the place of errors. Raises
    ``ProfileError`` for bytes that are no profile, or that cannot be compared.
    """
    from mdmprofile.rules.lint import lint  # noqa: PLC0415 - its rules load much that a command alone does not need

    linted = lint(data, source=source, now=now)
    if linted.errors:
        raise collect(linted.errors)
    found = [
        each._replace(where=f"{source}: {each.where}" if each.where else source)
        for each in linted.findings
        if each.severity is Severity.ERROR
    ]
    return (*(as_warnings(found) if force else found), *compared(data, source=source, now=now, old=old, force=force))


def as_warnings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings for somebody who goes on in spite of them: there are warnings in the place of errors."""
    return tuple(
        each._replace(severity=Severity.WARNING) if each.severity is Severity.ERROR else each for each in findings
    )


def compared(
    data: bytes, *, source: str, now: datetime, old: OpenedProfile | None, force: bool = False
) -> tuple[Finding, ...]:
    """What a device with ``old`` makes of the profile, sent over MDM; nothing without ``old``. Otherwise as ``vet``."""
    if old is None:
        return ()
    from mdmprofile.replacement import compare_opened  # noqa: PLC0415 - as above

    result = compare_opened(old, open_profile(data, source=source), at=now)
    found = [each for each in result.findings if each.severity.rank]
    return as_warnings(found) if force else tuple(found)


def _own(directory: Path, entry: Entry) -> Parcel:
    path = directory / entry.name

    def read() -> bytes:
        # A ledger may come from anybody, and so may the names in it.
        if not path.resolve().is_relative_to(directory.resolve()):
            raise ProfileError("is not in the ledger's directory", where=str(path))
        data = read_file(path, limit=MAX_PROFILE)
        if hashlib.sha256(data).hexdigest() != entry.profile_sha256:
            raise ProfileError("is not the profile that the ledger recorded", where=str(path))
        return data

    return Parcel(entry.udid, entry.profile_sha256, str(path), read)


def _named(data: bytes, source: str) -> Iterator[tuple[int, str | BadRow]]:
    """The line and the device of each row."""
    first = next((line.strip() for line in Lines(io.BytesIO(data), source=source) if line.strip()), "")
    if not is_device(first) or _is_header(first):
        for row in read_table(io.BytesIO(data), source=source, required=(UDID,)):
            yield row.line, row if isinstance(row, BadRow) else row.udid
        return
    lines = Lines(io.BytesIO(data), source=source)
    for line in lines:
        lines.size = 0
        if line.strip():
            yield lines.number, line.strip()


def _is_header(line: str) -> bool:
    try:
        return column_name(line) in (SERIAL, UDID)
    except (ValueError, MdmprofileError):
        return False


def _once(names: Iterable[str]) -> tuple[str, ...]:
    """Each device once, as it was first written."""
    found: dict[str, str] = {}
    for each in names:
        found.setdefault(each.lower(), each)
    return tuple(found.values())
