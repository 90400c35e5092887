"""Bounded reads: the one place that opens what a user names."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from mdmprofile.errors import InputError

MAX_CERTIFICATES = 16 * 1024 * 1024
MAX_PROFILE = 16 * 1024 * 1024
MAX_CONFIG = 1024 * 1024
MAX_SECRET = 64 * 1024
_PIECE = 64 * 1024

ABSENT = "no such file"
STDIN = Path("-")


class Read(Protocol):
    """A function that reads a whole file, as ``read_file`` does."""

    def __call__(self, path: Path, *, limit: int) -> bytes:
        """The file's bytes, at most ``limit``; raises ``InputError``."""


def read_file(path: Path, *, limit: int = MAX_CERTIFICATES) -> bytes:
    """The whole content of ``path``, at most ``limit`` bytes; ``-`` reads standard input.

    Reads one byte past the limit at most, so that an endless file costs no more than a large one.
    Raises ``InputError`` when the file is absent, a directory, unreadable or larger.
    """
    where = place_of(path)
    try:
        if path == STDIN and sys.stdin is None:
            raise InputError("is closed", where=where, hint="name a file instead")
        if path == STDIN:
            data = sys.stdin.buffer.read(limit + 1)
        else:
            with path.open("rb", buffering=0) as stream:
                data = _read(stream, limit + 1)
    except IsADirectoryError:
        raise InputError("is a directory where a file belongs", where=where, hint="name the file in it") from None
    except FileNotFoundError:
        if os.path.islink(path):  # noqa: PTH114 - as above
            raise InputError("is a link to nothing", where=where, hint="correct the link") from None
        raise InputError(ABSENT, where=where, hint="check the path") from None
    except (OSError, ValueError) as error:
        if os.path.isdir(path):  # noqa: PTH112 - Windows reports a directory as a refused permission
            raise InputError("is a directory where a file belongs", where=where, hint="name the file in it") from None
        reason = error.strerror if isinstance(error, OSError) else None
        raise InputError(
            f"cannot be read: {reason or error}", where=where, hint="check its path and permissions"
        ) from None
    if len(data) > limit:
        raise InputError(
            f"is larger than the limit of {limit // 1024:,} KiB", where=where, hint="check that it is the right file"
        )
    return data


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A file to be read piece by piece; ``-`` is standard input. Raises ``InputError``."""
    where = place_of(path)
    if path == STDIN:
        if sys.stdin is None:
            raise InputError("is closed", where=where, hint="name a file instead")
        yield sys.stdin.buffer
        return
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        raise InputError(ABSENT, where=where, hint="check the path") from None
    except IsADirectoryError:
        raise InputError("is a directory where a file belongs", where=where, hint="name the file in it") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"cannot be read: {reason}", where=where, hint="check its path and permissions") from None
    with stream:
        yield stream


def read_start(path: Path, size: int) -> bytes:
    """The first ``size`` bytes of a regular file; nothing of one that cannot be read or is something else.

    What comes out of a pipe can be read only once.
    """
    try:
        if not os.path.isfile(path):  # noqa: PTH113 - this never raises
            return b""
        with path.open("rb", buffering=0) as stream:
            return _read(stream, size)
    except (OSError, ValueError):
        return b""


def _read(stream: BinaryIO, most: int) -> bytes:
    """At most so many bytes, in pieces: asked for all at once, memory for the most is fetched first."""
    pieces = []
    while most and (piece := stream.read(min(most, _PIECE))):
        pieces.append(piece)
        most -= len(piece)
    return b"".join(pieces)


def place_of(path: Path) -> str:
    """What a report calls the place that was read."""
    return "standard input" if path == STDIN else str(path)


def is_private(path: Path) -> bool:
    """Whether a file is readable by its owner alone, so that what is made of it should be too."""
    return path != STDIN and not path.stat().st_mode & 0o077


def is_same(one: Path, other: Path) -> bool:
    """Whether both names are those of one file, through links too."""
    try:
        return STDIN not in (one, other) and one.samefile(other)
    except (OSError, ValueError):
        return False
