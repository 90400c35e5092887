"""A directory and those below it: which files there are, in an order that does not change, within bounds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from mdmprofile.errors import InputError

MAX_FILES = 1_000_000

_ANY_DEPTH = "**"


class Choice(NamedTuple):
    """Which files of a directory count; without ``include``, all that are not excluded.

    A pattern is matched against the path below the named directory and against the base name, case-sensitively.
    ``*``, ``?`` and ``[…]`` stay within a part of a path, and a part ``**`` stands for any number of them.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def takes(self, parts: Sequence[str]) -> bool:
        """Whether the file of this path below the directory counts."""
        return not self.refuses(parts) and (not self.include or _matches_any(parts, self.include))

    def refuses(self, parts: Sequence[str]) -> bool:
        """Whether this file or directory is excluded."""
        return bool(self.exclude) and _matches_any(parts, self.exclude)


EVERYTHING = Choice()


def walk(
    folder: Path, choice: Choice = EVERYTHING, *, unreadable: Callable[[InputError], None] | None = None
) -> Iterator[Path]:
    """Every file that may be ours, sorted; hidden ones, pipes, sockets and devices never are.

    Links to directories are not followed, so that no circle of them can be walked; links to files are. A directory
    that cannot be read, and a file that is one more than ``MAX_FILES``, is told to ``unreadable``; without it, raises
    ``InputError`` for the file and passes the directory over.
    """
    count = 0
    # A stack of its own: directories can be nested deeper than functions can call each other.
    waiting = [_entries(folder, (), choice, unreadable)]
    while waiting:
        below = next(waiting[-1], None)
        if below is None:
            waiting.pop()
        elif below.is_folder:
            waiting.append(_entries(Path(folder, *below.parts), below.parts, choice, unreadable))
        else:
            count += 1
            if count > MAX_FILES:
                hint = "check its parts, or choose with --include and --exclude"
                error = InputError(f"holds more than {MAX_FILES:,} files", where=str(folder), hint=hint)
                if unreadable is None:
                    raise error
                unreadable(error)
                return
            yield Path(folder, *below.parts)


class _Entry(NamedTuple):
    """A file or directory, by the parts of its path below the directory that is walked."""

    parts: tuple[str, ...]
    is_folder: bool


def _entries(
    folder: Path, parents: tuple[str, ...], choice: Choice, unreadable: Callable[[InputError], None] | None
) -> Iterator[_Entry]:
    # Names alone, and folders apart: a directory can have a million entries.
    names: list[str] = []
    folders: set[str] = set()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                kind = _kind(entry)
                if kind == "folder":
                    folders.add(entry.name)
                if kind:
                    names.append(entry.name)
    except OSError as error:
        if unreadable is not None:
            unreadable(InputError(f"cannot be read: {error.strerror}", where=str(folder)))
    names.sort()
    for name in names:
        parts = (*parents, name)
        is_folder = name in folders
        if not choice.refuses(parts) if is_folder else choice.takes(parts):
            yield _Entry(parts, is_folder)


def _kind(entry: os.DirEntry[str]) -> str:
    """``file``, ``folder`` or nothing; a link to nowhere is a file, and becomes an error when it is read."""
    try:
        if entry.is_dir():
            return "" if entry.is_symlink() else "folder"
        if entry.is_file():
            return "file"
        return "" if os.path.exists(entry) else "file"  # noqa: PTH110 - this never raises
    except OSError:
        return "file"


def _matches_any(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    return any(_matches(parts, each) or fnmatchcase(parts[-1], each) for each in patterns)


def _matches(parts: Sequence[str], pattern: str) -> bool:
    """Whether the whole path matches; the time is bounded by its parts times the pattern's, whatever they are."""
    wanted = [each for each in pattern.split("/") if each not in {"", "."}]
    reached = _past_any_depth({0}, wanted)
    for part in parts:
        following = {at for at in reached if at < len(wanted) and wanted[at] == _ANY_DEPTH}
        following |= {at + 1 for at in reached if at < len(wanted) and fnmatchcase(part, wanted[at])}
        reached = _past_any_depth(following, wanted)
    return len(wanted) in reached


def _past_any_depth(reached: set[int], wanted: Sequence[str]) -> set[int]:
    """The places in the pattern, with those behind each ``**``, which can stand for nothing."""
    for at, each in enumerate(wanted):
        if at in reached and each == _ANY_DEPTH:
            reached = reached | {at + 1}
    return reached
