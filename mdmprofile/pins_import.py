"""Pins from what is known already: the ledger of a batch, or the table of another server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from mdmprofile.device_messages import is_identifier
from mdmprofile.devices.table import BadRow, Device, read_table
from mdmprofile.errors import PinError
from mdmprofile.ledger import MADE, SUPERSEDED, Ledger
from mdmprofile.pins import Reservation, fingerprint

# What other servers call the column.
_COLUMNS = ("certificate", "certificate_sha256", "sha256", "fingerprint", "cert_hash", "hash")


class TablePin(NamedTuple):
    """A row of a table: the line it is in, the device, and the SHA-256 of its certificate."""

    line: int
    identifier: str
    certificate: str


def reservations_of(ledger: Path) -> Iterator[Reservation]:
    """Every certificate that a batch issued, with the device it was issued for; older ones of a device too.

    Rows are read as they are asked for. Raises ``LedgerError``.
    """
    with Ledger.read(ledger) as opened:
        for each in opened.history():
            entry = each.entry
            if each.state in {MADE, SUPERSEDED} and entry.certificate_sha256:
                yield Reservation(entry.udid, entry.serial, entry.certificate_sha256)


def pins_of(stream: BinaryIO, *, source: str) -> Iterator[TablePin | BadRow]:
    """The rows of a CSV or JSON Lines table with a ``udid`` column, and one with the SHA-256 of the certificate.

    An EnrollmentID stands in the same column. Raises ``InputError`` for what is no table.
    """
    for row in read_table(stream, source=source):
        if isinstance(row, BadRow):
            yield row
        else:
            yield _pin(row)


def _pin(row: Device) -> TablePin | BadRow:
    identifier = row.udid
    given = next((row.values[each] for each in _COLUMNS if row.values.get(each)), "")
    if not is_identifier(identifier):
        return BadRow(row.line, "has no udid that a device could have")
    try:
        return TablePin(row.line, identifier, fingerprint(given))
    except PinError:
        return BadRow(row.line, f"has no SHA-256 of a certificate in a column {' or '.join(_COLUMNS[:2])}")
