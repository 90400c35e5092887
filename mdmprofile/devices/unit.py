"""A unit of work: the profiles of some devices, made wherever there is a processor for it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from mdmprofile.device_profile import Unsigned
from mdmprofile.errors import LedgerError, MdmprofileError, OutputError, SigningError, WorkerError, flatten
from mdmprofile.findings import Finding, Severity, finding
from mdmprofile.maker import ProfileMaker
from mdmprofile.output import write_staged
from mdmprofile.recipe import Recipe

# What stops the whole run: the next device would fare no better.
_FATAL = (LedgerError, OutputError, SigningError, WorkerError)


class Item(NamedTuple):
    """One device: the id of its row in the ledger, and the serial number for a certificate that is issued here."""

    id: int
    values: Mapping[str, str]
    serial_number: int | None

    def __repr__(self) -> str:
        return f"Item(id={self.id})"


class Made(NamedTuple):
    """What was made for one device; ``data`` is the profile where it could not be staged, else None."""

    id: int
    size: int
    profile_sha256: str
    certificate_sha256: str
    certificate_serial: str
    subject: str
    not_before: datetime | None
    not_after: datetime | None
    client_identifier: str
    data: bytes | None
    findings: tuple[Finding, ...]

    def __repr__(self) -> str:
        return f"Made(id={self.id})"


class Failed(NamedTuple):
    """A device whose profile was not made, and why."""

    id: int
    findings: tuple[Finding, ...]


class Outcome(NamedTuple):
    """What came of a unit, in the order of its items."""

    results: tuple[Made | Failed, ...]


def work(recipe: Recipe, items: Sequence[Item], staging: Path | None) -> Outcome:
    """Make the profiles of these devices.

    With ``staging`` each goes into a file there, named by its id; without, it is in the outcome. Raises the error that
    the next device would meet too: a disk that is full, a signature that cannot be made.
    """
    maker = maker_of(recipe)
    drafts = [_draft(maker, item, recipe.now) for item in items]
    signed = iter(maker.sign([each.content for each in drafts if isinstance(each, Unsigned)]))
    return Outcome(
        tuple(
            each if isinstance(each, Failed) else _made(item.id, each, next(signed), staging)
            for item, each in zip(items, drafts, strict=True)
        )
    )


@lru_cache(maxsize=1)
def maker_of(recipe: Recipe) -> ProfileMaker:
    """The maker of a recipe; a process prepares it once."""
    return ProfileMaker(recipe)


def forget() -> None:
    """Give up the maker with its keys, in a process that lives on for others."""
    maker_of.cache_clear()


def staged(staging: Path, number: int) -> str:
    """Where a profile is until it is recorded. As text: making a ``Path`` takes longer than anything else here."""
    return f"{staging}/{number}.new"


def _draft(maker: ProfileMaker, item: Item, now: datetime) -> Unsigned | Failed:
    try:
        made = maker.unsigned(item.values, now=now, serial_number=item.serial_number)
    except MdmprofileError as error:
        errors = flatten([error])
        fatal = next((each for each in errors if isinstance(each, _FATAL)), None)
        if fatal is not None:
            raise fatal from None
        return Failed(item.id, tuple(as_finding(each) for each in errors))
    if not made.content:
        return Failed(item.id, tuple(each for each in made.findings if each.severity is Severity.ERROR))
    return made


def _made(row: int, made: Unsigned, data: bytes, staging: Path | None) -> Made:
    certificate = made.certificate
    if staging is not None:
        write_staged(staged(staging, row), data)
    return Made(
        id=row,
        size=len(data),
        profile_sha256=hashlib.sha256(data).hexdigest(),
        certificate_sha256=certificate.sha256 if certificate else "",
        certificate_serial=f"{certificate.parsed.serial_number:x}" if certificate else "",
        subject=made.subject,
        not_before=certificate.not_before if certificate else None,
        not_after=made.not_after,
        client_identifier=made.client_identifier,
        data=data if staging is None else None,
        findings=made.findings,
    )


def as_finding(error: MdmprofileError) -> Finding:
    """Why a device's profile cannot be made."""
    return finding("devices.failed", error.message, where=error.where, hint=error.hint)


def at_line(found: Finding, source: str, line: int) -> Finding:
    """A finding about the device in this line of the table."""
    return found._replace(where=f"{source}:{line}: {found.where}".removesuffix(": "))
