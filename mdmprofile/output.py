"""The only writer of result files: never half of one, and none before all of them are complete."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from mdmprofile.errors import OutputError, collect

STDOUT = Path("-")
ADVICE = "check its permissions and the space left, or write elsewhere"
# Behind these names is what a shell opened, perhaps to append to it.
_STREAMS, _OPEN_FILES = ("/dev/stdout", "/dev/stderr"), ("/dev/fd", "/proc/self/fd")
_BINARY = getattr(os, "O_BINARY", 0)  # Windows would turn line feeds into CRLF


@dataclass(frozen=True, eq=False)
class Pending:
    """A file to be written; ``private`` ones are readable by their owner alone."""

    path: Path
    data: bytes = field(repr=False)
    private: bool = False


def write_all(files: Sequence[Pending]) -> None:
    """Write every file, each complete or not at all.

    All are written beside their targets first and moved into place only when every one is complete, so a full disk
    or an interruption leaves what stood there untouched; only between two of those moves could one be new and the next
    still old. Raises ``OutputError``.
    """
    waiting: list[tuple[Path, Path]] = []
    try:
        for each in files:
            if _is_special(each.path):
                _write_through(each)
            else:
                waiting.append(_write_beside(each))
        while waiting:
            temporary, target = waiting[0]
            with _explained(target):
                temporary.replace(target)
            waiting.pop(0)
    finally:
        for temporary, _ in waiting:
            with contextlib.suppress(OSError):
                temporary.unlink()


def write_one(path: Path, data: bytes, *, private: bool = False) -> None:
    """Write one file atomically; ``-`` is standard output. Raises ``OutputError``."""
    if path == STDOUT:
        write_stdout(data)
    else:
        write_all([Pending(path, data, private)])


def write_staged(path: str, data: bytes) -> None:
    """Write a new file, readable by its owner alone, that ``move`` brings to its place. Raises ``OutputError``.

    It is not flushed to the disk: whoever writes thousands flushes them at once.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _BINARY, 0o600)
        try:
            written = os.write(descriptor, data)
            while written < len(data):
                written += os.write(descriptor, data[written:])
        finally:
            os.close(descriptor)
    except OSError as error:
        raise OutputError(f"cannot be written: {error.strerror}", where=path, hint=ADVICE) from None


def move(staged: str, target: str) -> None:
    """Move a complete file into its place, whose directory is made where there is none. Raises ``OutputError``."""
    try:
        os.replace(staged, target)  # noqa: PTH105 - paths are text here, for speed
    except FileNotFoundError:
        with _explained(Path(target)):
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            Path(staged).replace(target)
    except OSError as error:
        raise OutputError(f"cannot be written: {error.strerror}", where=target, hint=ADVICE) from None


def remove(path: Path) -> None:
    """Remove a file, if it is there. Raises ``OutputError``."""
    with _explained(path):
        path.unlink(missing_ok=True)


def flush_disks() -> None:
    """Have everything that was written reach the disks, where the system can be asked to."""
    if hasattr(os, "sync"):
        os.sync()


@contextlib.contextmanager
def streamed(path: Path) -> Iterator[BinaryIO]:
    """A file that is written piece by piece, readable by its owner alone, and in its place when all of it is there.

    ``-`` is standard output. Raises ``OutputError``, and ``BrokenPipeError`` when nobody reads on.
    """
    if path == STDOUT or _is_special(path):
        with _explained(path), contextlib.ExitStack() as stack:
            out = sys.stdout.buffer if path == STDOUT else stack.enter_context(path.open("ab", buffering=0))
            yield out
            out.flush()
        return
    with _explained(path):
        temporary, target = _write_beside(Pending(path, b"", private=True))
        try:
            with temporary.open("r+b") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def appended(path: Path, *, keep: int) -> Iterator[Callable[[bytes], None]]:
    """A file that grows piece by piece, readable by its owner alone: each piece is on the disk when the call returns.

    What stands behind the first ``keep`` bytes is cut off. Raises ``OutputError``.
    """
    with _explained(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | _BINARY, 0o600)
        try:
            os.ftruncate(descriptor, keep)

            def append(data: bytes) -> None:
                with _explained(path):
                    written = os.write(descriptor, data)
                    while written < len(data):
                        written += os.write(descriptor, data[written:])
                    os.fsync(descriptor)

            yield append
        finally:
            os.close(descriptor)


def write_stdout(data: bytes) -> None:
    """Write bytes to standard output. Raises ``OutputError``, and ``BrokenPipeError`` when nobody reads on."""
    if sys.stdout is None:
        raise OutputError("is closed", where="standard output", hint=ADVICE)
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"cannot be written: {error.strerror}", where="standard output", hint=ADVICE) from None


def place_of(path: Path) -> str:
    """What a report calls the place that was written to."""
    return "standard output" if path == STDOUT else str(path)


def make_directory(path: Path) -> None:
    """Make an output directory where there is none. Raises ``OutputError``."""
    with _explained(path):
        path.mkdir(parents=True, exist_ok=True)


def make_private(path: Path) -> None:
    """Make an empty file that its owner alone can read, where there is none. Raises ``OutputError``."""
    with _explained(path), contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def refuse_existing(paths: Iterable[Path]) -> None:
    """Raise an error that names every path that is there already."""
    there = [path for path in paths if os.path.lexists(path)]
    if there:
        hint = "use --force to overwrite it"
        raise collect(OutputError("is there already", where=str(path), hint=hint) for path in there)


def _write_beside(file: Pending) -> tuple[Path, Path]:
    """Write to a new file in the target's directory, where moving it into place cannot cross devices.

    Returns the new file and the target, links followed.
    """
    with _explained(file.path):
        target = file.path.resolve()
        if target.is_symlink():
            # From Python 3.13 on, links in a circle are left as they are.
            raise ValueError
        if target.is_dir():
            raise IsADirectoryError(0, "is a directory where a file belongs")
        temporary = target.with_name(f".mdmprofile-{os.urandom(8).hex()}.new")
        # The mode is set on creation: a secret is never readable by others, not even for a moment.
        descriptor = os.open(
            temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o600 if file.private else 0o666
        )
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(file.data)
                stream.flush()
                os.fsync(stream.fileno())
            if not file.private and target.exists():
                temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        except BaseException:
            temporary.unlink()
            raise
        return temporary, target


def _is_special(path: Path) -> bool:
    """Whether the path is a device, a pipe or an open file, which must be written to and never replaced."""
    if str(path) in _STREAMS or str(path.parent) in _OPEN_FILES:
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _write_through(file: Pending) -> None:
    # A redirected standard output is a plain file, whose earlier lines stay.
    with _explained(file.path), file.path.open("ab", buffering=0) as stream:
        stream.write(file.data)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        raise OutputError("is a file where a directory belongs", where=str(path), hint="name a directory") from None
    except IsADirectoryError:
        message, hint = "is a directory where a file belongs", "name a file in it"
        raise OutputError(message, where=str(path), hint=hint) from None
    except FileNotFoundError:
        raise OutputError("its directory does not exist", where=str(path), hint="make it first") from None
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"cannot be written: {error.strerror}", where=str(path), hint=ADVICE) from None
    except (ValueError, RuntimeError):
        # A zero byte in the name, or links in a circle.
        raise OutputError("is not a path that can exist", where=str(path), hint="name another") from None
