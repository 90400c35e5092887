"""A ledger as a target: every profile that it lists is an identity that ends."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path

from mdmprofile.certificates import CertificateFacts
from mdmprofile.contents import Target
from mdmprofile.inputs import read_start
from mdmprofile.ledger import Entry, Ledger
from mdmprofile.ledger_rows import HEADER, LEDGER_NAME, says_ledger
from mdmprofile.moments import day, shift
from mdmprofile.plan import Watched

LEDGER = Path(LEDGER_NAME).suffix
_LONGEST_NAME = 120
_MOST_NAMED, _MOST_SHOWN = 5, 100
_NEVER = datetime.max.replace(tzinfo=UTC)


def read_ledger(path: Path) -> Target:
    """The identities of every device whose profile is made, those that end first at the start.

    Of a device that fetches its identity by itself, ``not_before`` is when its profile was made: no earlier can it
    begin. Raises ``LedgerError``.
    """
    watched: list[Watched] = []
    listed: set[bytes] = set()
    source = str(path)
    with Ledger.read(path) as ledger:
        for each in ledger.entries():
            watched.append(watched_entry(each, source))
            listed.add(_digest(each.profile_sha256))
    watched.sort(key=_end)
    return Target(tuple(watched), listed=frozenset(listed - {b""}))


def is_ledger(path: Path) -> bool:
    """Whether a file that somebody named is a ledger, or should be one."""
    is_file = os.path.isfile(path)  # noqa: PTH113 - this never raises
    return is_file and (path.suffix.lower() == LEDGER or says_ledger(read_start(path, HEADER)))


def is_own_ledger(path: Path) -> bool:
    """Whether a database that nobody named, found in a directory, is a ledger, or what is left of one."""
    return path.name.lower() == LEDGER_NAME or says_ledger(read_start(path, HEADER))


def fetched(target: Target, validity: timedelta) -> Target:
    """The target with an end where the ledger knows none: so long after the profile was made."""
    watched = [
        each._replace(not_after=shift(each.not_before, validity))
        if each.not_after is None and each.not_before
        else each
        for each in target.watched
    ]
    return target._replace(watched=tuple(sorted(watched, key=_end)))


def for_people(target: Target) -> Target:
    """The target as people can read it: of a ledger of more than a hundred devices, those of one day are one line."""
    if target.listed is None or len(target.watched) <= _MOST_SHOWN:
        return target
    return by_day(target)


def by_day(target: Target) -> Target:
    """The target with the identities of a ledger that end on one day as one, which ends when the first of them does."""

    def alike(each: Watched) -> tuple[str, bool]:
        return day(each.not_after) if each.not_after else "", each.certificate is None

    groups = [list(found) for _, found in groupby(sorted(target.watched, key=alike), alike)]
    watched = [_together(sorted(each, key=_end), target.name) if len(each) > 1 else each[0] for each in groups]
    return target._replace(watched=tuple(sorted(watched, key=_end)))


def watched_entry(entry: Entry, source: str) -> Watched:
    """The identity in one profile that the ledger ``source`` lists."""
    device = " ".join(filter(None, (entry.serial, f"({entry.udid})" if entry.serial and entry.udid else entry.udid)))
    name = (device or entry.name)[:_LONGEST_NAME]
    begin, end = entry.not_before, entry.not_after
    certificate = None
    if entry.certificate_sha256 and begin is not None and end is not None:
        certificate = CertificateFacts(entry.subject, "", name, entry.certificate_sha256, begin, end)
    return Watched(
        "identity",
        name,
        f"{source}: {entry.name}",
        baked_in=True,
        not_after=end,
        not_before=begin or entry.made,
        certificate=certificate,
    )


def _together(devices: Sequence[Watched], where: str) -> Watched:
    first, more = devices[0], len(devices) - _MOST_NAMED
    named = ", ".join(each.name.partition(" (")[0] for each in devices[:_MOST_NAMED])
    name = f"of {len(devices):,} devices: {named}{f' and {more:,} more' if more > 0 else ''}"
    facts = first.certificate
    if isinstance(facts, CertificateFacts):
        facts = facts._replace(subject=name, name=name, sha256="")
    return first._replace(name=name, where=where, certificate=facts, consequence_of="devices")


def _digest(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def _end(each: Watched) -> datetime:
    return each.not_after or _NEVER
