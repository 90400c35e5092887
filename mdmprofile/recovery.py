"""What a run that was killed left behind in its directory, brought in order before and after the next one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeVar

from mdmprofile.errors import InputError
from mdmprofile.inputs import MAX_PROFILE, read_file
from mdmprofile.ledger import MADE, SUPERSEDED, Ledger, Recorded
from mdmprofile.output import move, remove

T = TypeVar("T")
AT_ONCE = 256


def recover(ledger: Ledger, staging: Path, directory: Path) -> None:
    """Bring what a run that was killed had made and recorded to its place, and give up what it had only begun."""
    ledger.abandon_interrupted()
    files = {int(each.stem): each for each in staging.iterdir() if each.stem.isdecimal()}
    for some in batches(files, AT_ONCE):
        for number, row in ledger.by_id(some).items():
            if row.state == MADE and sha256_of(files[number]) == row.entry.profile_sha256:
                move(str(files[number]), f"{directory}/{row.entry.name}")
    for each in staging.iterdir():
        remove(each)


def remove_replaced(ledger: Ledger, directory: Path) -> None:
    """Remove files that stayed behind when their devices' profiles were made again under other names.

    What has nothing in its place stays.
    """
    left: dict[str, Recorded] = {}
    for each in ledger.history():
        name = each.entry.name
        if each.state == MADE:
            # Of rows with one name, the one that counts was begun last.
            left.pop(name, None)
        elif each.state == SUPERSEDED and sha256_of(directory / name) == each.entry.profile_sha256:
            left[name] = each
    for name, each in left.items():
        if ledger.current(each.entry.udid, each.entry.serial) is not None:
            remove(directory / name)


def batches(things: Iterable[T], size: int) -> Iterator[list[T]]:
    """So many things at a time, and at last the rest."""
    waiting = iter(things)
    while some := list(islice(waiting, size)):
        yield some


def sha256_of(path: Path) -> str:
    """The digest of a file; empty where it cannot be read."""
    try:
        return hashlib.sha256(read_file(path, limit=MAX_PROFILE)).hexdigest()
    except InputError:
        return ""
