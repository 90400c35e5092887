"""All profiles in one tar or zip file, written one after the other."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import BinaryIO, Literal, NamedTuple

Form = Literal["tar", "zip"]
# Seconds since 1970. A zip file's years begin with 1980.
_FIRST = datetime(1980, 1, 1, tzinfo=UTC)
_MODE = 0o600


class Member(NamedTuple):
    """One file: its name, "/"-separated, its bytes, and when it was made (aware UTC)."""

    name: str
    data: bytes
    made: datetime


def write_archive(stream: BinaryIO, form: Form, members: Iterable[Member]) -> int:
    """Write the members, each readable by its owner alone, in their order; returns how many there were.

    The same members make the same bytes. ``stream`` need not be seekable. A zip file's directory is kept in memory
    until its end, about 600 bytes a member.
    """
    return (_write_tar if form == "tar" else _write_zip)(stream, members)


def _write_tar(stream: BinaryIO, members: Iterable[Member]) -> int:
    count = 0
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for each in members:
            info = tarfile.TarInfo(each.name)
            info.size, info.mode, info.mtime = len(each.data), _MODE, int(each.made.timestamp())
            archive.addfile(info, io.BytesIO(each.data))
            # It remembers every member, which nobody asks for here.
            archive.members.clear()  # type: ignore[attr-defined]  # it is public, and missing from the types
            count += 1
    return count


def _write_zip(stream: BinaryIO, members: Iterable[Member]) -> int:
    count = 0
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for each in members:
            info = zipfile.ZipInfo(each.name, max(each.made, _FIRST).astimezone(UTC).timetuple()[:6])
            info.external_attr, info.compress_type = _MODE << 16, zipfile.ZIP_DEFLATED
            archive.writestr(info, each.data)
            count += 1
    return count
