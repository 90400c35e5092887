"""``mdmprofile pins``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import click

from mdmprofile.cli.params import AT, FILE, options, report_options, right_now
from mdmprofile.cli.session import Session, with_session
from mdmprofile.containers import load_certificates
from mdmprofile.device_messages import is_identifier
from mdmprofile.devices.table import BadRow
from mdmprofile.errors import InputError, PinError, PinStoreError
from mdmprofile.findings import Finding, by_severity, finding
from mdmprofile.inputs import STDIN, opened, place_of, read_file, read_start
from mdmprofile.ledger_rows import HEADER, says_ledger
from mdmprofile.moments import stamp
from mdmprofile.pins import Pin, PinEvent, compare, fingerprint, taken
from mdmprofile.pins_import import TablePin, pins_of, reservations_of
from mdmprofile.pins_sqlite import SqlitePinStore
from mdmprofile.pins_tables import TableStore
from mdmprofile.reports.model import View

# More findings than anybody reads; how many there are is said.
_MOST_FINDINGS = 1000
ONE_STORE = "say where the pins are: --pins FILE, or --pins-url-env NAME"
Date = datetime | None
Row = TypeVar("Row")

PINS_OPTIONS = options(
    click.option("--pins", type=FILE, help="SQLite file with the pins."),
    click.option("--pins-url-env", metavar="NAME", help="Variable with the URL of a PostgreSQL database instead."),
)


def store_of(pins: Path | None, variable: str | None, *, create: bool = False) -> TableStore:
    """The store that the options name.

    A URL has a password in it, so it is no argument, which everybody on the machine can read.
    """
    if (pins is None) is (variable is None):
        raise click.UsageError(ONE_STORE)
    if pins is not None:
        return SqlitePinStore(pins, create=create)
    url = os.environ.get(variable or "", "")
    if not url:
        raise PinStoreError("is not set", where=variable or "", hint="export it with the database's URL in it")
    from mdmprofile.pins_sql import SqlPinStore  # noqa: PLC0415 - optional

    return SqlPinStore(url)


@click.group("pins")
def command() -> None:
    """Keep which certificate belongs to which device.

    \b
    Example:
      mdmprofile pins import fleet/ledger.sqlite --pins pins.sqlite
      mdmprofile pins list --pins pins.sqlite
    """


@command.command("list")
@PINS_OPTIONS
@click.option("--history", is_flag=True, help="Show what happened instead, in order.")
@click.option("--id", "identifier", help="Of this device alone.")
@AT
@report_options("error")
@with_session
def list_pins(
    session: Session,
    pins: Path | None,
    pins_url_env: str | None,
    history: bool,
    identifier: str | None,
    at: datetime | None,
) -> int:
    """List the devices and their certificates.

    \b
    Example:
      mdmprofile pins list --pins pins.sqlite
      mdmprofile pins list --pins pins.sqlite --history --id 00008030-000A11111111802E
    """
    with store_of(pins, pins_url_env) as store:
        if history:
            events = list(store.history(identifier or ""))
            lines, extra = [_event(each) for each in events], {"events": [_event_facts(each) for each in events]}
        else:
            found = [each for each in ([store.find(identifier)] if identifier else store.pins()) if each]
            lines, extra = [_pin(each) for each in found], {"pins": [pin_facts(each) for each in found]}
    return session.finish(View(now=at or right_now(), findings=[], files=lines or ["no pins"], extra=extra))


@command.command("add")
@click.argument("identifier", metavar="UDID")
@click.argument("certificate", metavar="CERTIFICATE")
@PINS_OPTIONS
@click.option("--force", is_flag=True, help="Remove the device that the certificate belongs to, if there is one.")
@AT
@report_options("error")
@with_session
def add(
    session: Session,
    identifier: str,
    certificate: str,
    pins: Path | None,
    pins_url_env: str | None,
    force: bool,
    at: datetime | None,
) -> int:
    """Pin a certificate to a device by hand; a pin that the device has is moved.

    CERTIFICATE is a certificate's file, or its SHA-256 fingerprint. A certificate that belongs to another device is
    refused, unless --force removes that one.

    \b
    Example:
      mdmprofile pins add 00008030-000A11111111802E device.pem --pins pins.sqlite
    """
    now = at or right_now()
    sha256 = _sha256(certificate)
    if not is_identifier(identifier):
        raise click.UsageError("a UDID is visible ASCII text")
    findings, lines = [], []
    with store_of(pins, pins_url_env, create=True) as store:
        try:
            store.add(identifier, sha256, at=now, force=force)
            lines.append(f"pinned {identifier}: {sha256}")
        except PinError as error:
            findings.append(_finding(error))
    return session.finish(View(now=now, findings=findings, files=lines))


@command.command("check")
@click.argument("identifier", metavar="UDID")
@click.argument("certificate", metavar="CERTIFICATE")
@PINS_OPTIONS
@AT
@report_options("error")
@with_session
def check(
    session: Session,
    identifier: str,
    certificate: str,
    pins: Path | None,
    pins_url_env: str | None,
    at: datetime | None,
) -> int:
    """Tell whether a certificate is a device's, without changing anything.

    \b
    Example:
      mdmprofile pins check 00008030-000A11111111802E device.pem --pins pins.sqlite
    """
    sha256 = _sha256(certificate)
    findings = []
    lines = []
    with store_of(pins, pins_url_env) as store:
        try:
            pin = compare(store, identifier, sha256)
            lines.append(f"{_pin(pin)}: is pinned")
        except PinError as error:
            owner = store.owner(sha256)
            others = owner is not None and owner[0] not in {"", identifier.casefold()}
            findings.append(_finding(taken(identifier) if others else error))
    return session.finish(View(now=at or right_now(), findings=findings, files=lines))


@command.command("remove")
@click.argument("identifiers", metavar="UDID...", nargs=-1, required=True)
@PINS_OPTIONS
@AT
@report_options("error")
@with_session
def remove(
    session: Session, identifiers: tuple[str, ...], pins: Path | None, pins_url_env: str | None, at: Date
) -> int:
    """Forget devices, and set their certificates free for others.

    Such a device has to send Authenticate, that is to enroll again, before another message of it is taken.

    \b
    Example:
      mdmprofile pins remove 00008030-000A11111111802E --pins pins.sqlite
    """
    now = at or right_now()
    findings, lines = [], []
    with store_of(pins, pins_url_env) as store:
        for each in identifiers:
            if store.remove(each, at=now):
                lines.append(f"removed {each}")
            else:
                findings.append(
                    finding("pin.unknown", f"the device {each} has no certificate", hint="see mdmprofile pins list")
                )
    return session.finish(View(now=now, findings=findings, files=lines))


@command.command("import")
@click.argument("files", metavar="FILE...", nargs=-1, type=FILE, required=True)
@PINS_OPTIONS
@AT
@report_options("error")
@with_session
def import_pins(
    session: Session, files: tuple[Path, ...], pins: Path | None, pins_url_env: str | None, at: Date
) -> int:
    """Take over which certificates were issued for which devices, or another server's pins.

    FILE is the ledger.sqlite of mdmprofile batch, whose certificates are then refused for every other device from the
    first message on; or a CSV or JSON Lines table with the columns udid and sha256, whose pins are added where a device
    has none yet. Run it again whenever the ledger has grown.

    \b
    Example:
      mdmprofile pins import fleet/ledger.sqlite --pins pins.sqlite
      mdmprofile pins import pins.csv --pins pins.sqlite
    """
    now = at or right_now()
    for each in files:
        _refuse_unreadable(each)
    progress = _Import(now)
    with store_of(pins, pins_url_env, create=True) as store:
        lines = [progress.of(store, each) for each in files]
    if progress.left:
        lines.append(f"{progress.left:,} more findings are not shown")
    return session.finish(View(now=now, findings=by_severity(progress.findings), files=lines))


def _refuse_unreadable(file: Path) -> None:
    """Raise the error of a file that cannot be imported at all, before pins are made for it."""
    # What comes out of a pipe can be read only once.
    if file == STDIN or (os.path.exists(file) and not os.path.isfile(file)):  # noqa: PTH110, PTH113 - they never raise
        return
    if _is_ledger(file):
        next(reservations_of(file), None)
        return
    with opened(file) as stream:
        next(pins_of(stream, source=place_of(file)), None)


def _is_ledger(file: Path) -> bool:
    start = read_start(file, HEADER)
    return bool(start) and says_ledger(start)


class _Import:
    """What files gave so far: what was read and refused of this one, and the findings about all, as far as kept."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._rows = self._refused = self.left = 0
        self.findings: list[Finding] = []

    def of(self, store: TableStore, file: Path) -> str:
        """Import a file, and say how much of it was."""
        self._rows = self._refused = 0
        where = place_of(file)
        if file != STDIN and _is_ledger(file):
            what = "issued certificates recorded"
            for each in store.reserve(self._counted(reservations_of(file)), at=self._now):
                self._refuse(_finding(taken(each.identifier or each.serial))._replace(where=where))
        else:
            what = "pins added"
            with opened(file) as stream:
                for error in store.load(self._good(pins_of(stream, source=where), where), at=self._now):
                    self._refuse(_finding(error)._replace(where=where))
        return f"{where}: {self._rows - self._refused:,} of {self._rows:,} {what}"

    def _counted(self, rows: Iterable[Row]) -> Iterator[Row]:
        for each in rows:
            self._rows += 1
            yield each

    def _good(self, rows: Iterable[TablePin | BadRow], where: str) -> Iterator[tuple[str, str]]:
        for each in self._counted(rows):
            if isinstance(each, BadRow):
                self._refuse(finding(each.rule, each.reason, where=f"{where}:{each.line}"))
            else:
                yield each.identifier, each.certificate

    def _refuse(self, problem: Finding) -> None:
        self._refused += 1
        if len(self.findings) < _MOST_FINDINGS:
            self.findings.append(problem)
        else:
            self.left += 1


def _finding(error: PinError) -> Finding:
    return finding(error.rule, error.message, where=error.where, hint=error.hint)


def _sha256(certificate: str) -> str:
    """The fingerprint that a person means: of a file, or as digits."""
    try:
        return fingerprint(certificate)
    except PinError:
        path = Path(certificate)
        if not os.path.lexists(path):
            message = "is neither a file nor the 64 hexadecimal digits of a SHA-256 fingerprint"
            raise InputError(
                message, where=certificate, hint="give the certificate's file, or its fingerprint"
            ) from None
        found = load_certificates(read_file(path), source=place_of(path))
        leaves = [each for each in found if not each.is_ca] or list(found)
        if len(leaves) != 1:
            message = f"holds {len(leaves)} certificates, of which any could be the device's"
            raise PinStoreError(message, where=place_of(path), hint="give a file with the device's alone") from None
        return leaves[0].sha256


def _pin(pin: Pin) -> str:
    return f"{pin.identifier}  {pin.certificate}  since {stamp(pin.since)}"


def _event(event: PinEvent) -> str:
    return f"{stamp(event.at)}  {event.what:7}  {event.identifier}  {event.certificate}"


def pin_facts(pin: Pin) -> dict[str, str]:
    """A pin in the JSON reports."""
    return {"udid": pin.identifier, "sha256": pin.certificate, "since": stamp(pin.since)}


def _event_facts(event: PinEvent) -> dict[str, str]:
    return {"at": stamp(event.at), "what": event.what, "udid": event.identifier, "sha256": event.certificate}
