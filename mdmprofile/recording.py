"""Profiles for devices that ask a server for theirs, one after the other, each recorded: a batch without a table."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

from mdmprofile.device_profile import DeviceProfile
from mdmprofile.devices.filenames import DEFAULT_NAME, FileNames
from mdmprofile.errors import InputError, LedgerError
from mdmprofile.identities import fresh_serial_number
from mdmprofile.ledger import LEDGER_NAME, Begun, Entry, Ledger, hold
from mdmprofile.ledger_rows import folded
from mdmprofile.maker import ProfileMaker, Values

_SERIAL, _UDID = "serial", "udid"


class RecordingMaker:
    """A ``ProfileMaker`` whose profiles are recorded in ``ledger.sqlite``; several threads may use it at once.

    Until it is closed, or its process ends however it does, it has the directory to itself, as a run of ``mdmprofile
    batch`` has; others may read the ledger meanwhile. A context manager that closes it. The profiles themselves are
    not written anywhere.
    """

    def __init__(self, maker: ProfileMaker, directory: Path) -> None:
        """Raises ``LedgerError`` where the ledger cannot be used, or another process is at work in the directory."""
        self._maker = maker
        self._ledger = directory / LEDGER_NAME
        self._names = FileNames(DEFAULT_NAME, (_SERIAL, _UDID), {})
        self._lock = Lock()
        self._busy: set[str] = set()
        with ExitStack() as stack:
            stack.enter_context(hold(directory))
            # As long as it is open, to open it again in another thread is cheap: SQLite keeps its log.
            stack.enter_context(Ledger.open(self._ledger)).abandon_interrupted()
            self._held = stack.pop_all()

    def close(self) -> None:
        """Let go of the directory; for the thread that made it."""
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def make(self, device: Values, *, now: datetime) -> DeviceProfile:
        """Make one device's profile at ``now`` (aware UTC), recorded before anything is issued for it and when made.

        ``device`` has a ``serial``, a ``udid`` or both, and what else the config's templates call ``device.NAME``. What
        was made for it before is recorded as superseded. Raises ``InputError`` for a device without a name that a file
        could have, ``LedgerError`` while another thread makes its profile, and as ``ProfileMaker.make`` does; what
        comes to nothing is recorded as abandoned.
        """
        number = fresh_serial_number() if self._maker.issued_key else None
        begun = Begun(
            name=self._name(device),
            udid=device.get(_UDID, ""),
            serial=device.get(_SERIAL, ""),
            identity=self._maker.kind,
            certificate_serial=f"{number:x}" if number else "",
            made=now,
            config=self._maker.recipe.tables.source,
            config_sha256=self._maker.recipe.made_from(device),
        )
        keys = {folded(each) for each in (begun.udid, begun.serial) if each}
        row = self._begin(begun, keys)
        made = None
        try:
            made = self._maker.make(device, now=now, serial_number=number)
        finally:
            self._finish(row, keys, _entry(begun, made) if made is not None and made.data else None)
        return made

    def _name(self, device: Values) -> str:
        given = [device[each] for each in (_SERIAL, _UDID) if device.get(each)]
        if not given:
            hint = "the ledger tells devices apart by them"
            raise InputError("has neither a serial number nor a UDID", where="device", hint=hint)
        try:
            names = [self._names.of({_SERIAL: each}) for each in given]
        except ValueError as error:
            raise InputError(str(error), where="device", hint="check its serial number and UDID") from None
        return names[0]

    def _begin(self, begun: Begun, keys: set[str]) -> int:
        with self._lock:
            if self._busy & keys:
                hint = "ask again when it is made"
                raise LedgerError("this device's profile is being made already", where=str(self._ledger), hint=hint)
            # A ledger is for one thread, so each opens it for itself.
            with Ledger.open(self._ledger) as ledger:
                before = ledger.lookup([(begun.udid, ""), ("", begun.serial)])
                ledger.supersede({row for row, _ in before.values()})
                (row,) = ledger.begin([begun])
            self._busy |= keys
        return row

    def _finish(self, row: int, keys: set[str], entry: Entry | None) -> None:
        with self._lock:
            # Where this fails the row stays begun, and nobody can be given another profile unseen.
            with Ledger.open(self._ledger) as ledger:
                if entry is None:
                    ledger.abandon([row], "failed")
                else:
                    ledger.finish([(row, entry)])
            self._busy -= keys


def _entry(begun: Begun, made: DeviceProfile) -> Entry:
    certificate = made.certificate
    return Entry(
        name=begun.name,
        udid=begun.udid,
        serial=begun.serial,
        identity=begun.identity,
        certificate_sha256=certificate.sha256 if certificate else "",
        certificate_serial=begun.certificate_serial,
        subject=made.subject,
        not_before=certificate.not_before if certificate else None,
        not_after=made.not_after,
        client_identifier=made.client_identifier,
        profile_sha256=hashlib.sha256(made.data).hexdigest(),
        size=len(made.data),
        made=begun.made,
        config=begun.config,
        config_sha256=begun.config_sha256,
    )
