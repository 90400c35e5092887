"""A profile for each of many devices: recorded before it is made, and again before it is in its place.

Killed at any point and started again, no device gets two profiles, no file is half of one, and no identity was issued
that the ledger does not know: a row is begun before a certificate is issued, a profile is staged until its row is made,
and what is staged is then moved to its place, by this run or by the next.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

from mdmprofile.devices.archive import Member
from mdmprofile.devices.processes import Engine, Waiting
from mdmprofile.devices.spool import Spool
from mdmprofile.devices.table import Device
from mdmprofile.devices.unit import Item, Made, staged
from mdmprofile.errors import InputError, LedgerError
from mdmprofile.findings import Finding
from mdmprofile.identities import fresh_serial_number
from mdmprofile.inputs import MAX_PROFILE, read_file
from mdmprofile.ledger import LEDGER_NAME, MADE, Begun, Entry, Ledger, hold
from mdmprofile.maker import ProfileMaker
from mdmprofile.output import flush_disks, make_directory, move, remove, write_staged

STAGING = ".mdmprofile-staging"
# What is kept of what was found: a million devices can have a million mistakes.
MAX_FINDINGS = 1000
_AT_ONCE = 256
# So that a unit takes a fraction of a second, or a few where RSA keys are made: small enough to share out evenly, and
# large enough for the ledger's commits not to matter.
_UNIT, _UNIT_RSA = 128, 8

T = TypeVar("T")
Tell = Callable[[int, int], None]
_Unit = Sequence[tuple[Item, "_Job"]]


class Order(NamedTuple):
    """What to do with devices that have a profile already.

    Those whose profile is as it was made are left alone. One that was made from another config or another row is made
    again with ``again``, left alone with ``keep``, and without either the run is refused.
    """

    again: bool = False
    keep: bool = False


class Tally(NamedTuple):
    """What a run came to: how many devices' profiles were made, were there already, or failed; and what was found."""

    made: int
    kept: int
    failed: int
    findings: tuple[Finding, ...]


class _Job(NamedTuple):
    """A device that a profile is to be made for; ``old`` is the row that it takes the place of."""

    device: Device
    name: str
    made_from: str
    old: tuple[int, str] | None


def run_batch(
    maker: ProfileMaker,
    spool: Spool,
    engine: Callable[[Path], Engine],
    directory: Path,
    *,
    source: str,
    order: Order | None = None,
    config: str = "",
    tell: Tell | None = None,
) -> Tally:
    """Make the profile of every device of the spool, below ``directory``, and record it in the ledger there.

    ``engine`` makes the workers; its argument is the directory where profiles are staged. ``source`` is what the table
    is called, ``config`` the config; ``tell`` is told how many devices of how many are done. Raises an
    ``MdmprofileError`` for what stops the run; what was made until then stays, and the next run goes on from there.
    """
    make_directory(directory)
    staging = directory / STAGING
    with hold(directory), Ledger.open(directory / LEDGER_NAME) as ledger:
        make_directory(staging)
        doubtful = ledger.was_interrupted()
        _recover(ledger, staging, directory)
        run = _Run(maker, ledger, directory, source, order or Order(), config, doubtful=doubtful)
        todo = run.survey(spool)
        number = ledger.begin_run(maker.recipe.now)
        workers = engine(staging)
        try:
            tally = run.go(spool, workers, todo, tell or (lambda _done, _total: None))
        finally:
            workers.close()
        flush_disks()
        ledger.mark_finished(number, maker.recipe.now)
        for each in staging.iterdir():
            remove(each)
    return tally


def members(directory: Path, spool: Spool) -> Iterator[Member]:
    """The profiles of the spool's devices that are made, in its order. Raises ``InputError`` for one that is gone."""
    with Ledger.read(directory / LEDGER_NAME) as ledger:
        for some in _batches(spool.devices(), _AT_ONCE):
            known = ledger.lookup([(each.udid, each.serial) for each, _ in some])
            for device, _ in some:
                found = known.get((device.udid, device.serial))
                if found is not None:
                    entry = found[1]
                    yield Member(entry.name, read_file(directory / entry.name, limit=MAX_PROFILE), entry.made)


def _recover(ledger: Ledger, staging: Path, directory: Path) -> None:
    """Bring what a run that was killed had made and recorded to its place, and give up what it had only begun."""
    ledger.abandon_interrupted()
    files = {int(each.stem): each for each in staging.iterdir() if each.stem.isdecimal()}
    for some in _batches(files, _AT_ONCE):
        for number, row in ledger.by_id(some).items():
            if row.state == MADE and _sha256(files[number]) == row.entry.profile_sha256:
                move(str(files[number]), f"{directory}/{row.entry.name}")
    for each in staging.iterdir():
        remove(each)


class _Run:
    """One run in a directory; ``doubtful`` when the last one did not end well, so that every file is looked into."""

    def __init__(
        self,
        maker: ProfileMaker,
        ledger: Ledger,
        directory: Path,
        source: str,
        order: Order,
        config: str,
        *,
        doubtful: bool,
    ) -> None:
        self._maker = maker
        self._ledger = ledger
        self._directory = directory
        self._source = source
        self._order = order
        self._config = config
        self._doubtful = doubtful
        self._fresh = ledger.count() == 0
        self._now: datetime = maker.recipe.now
        self._findings: dict[Finding, None] = {}
        self._failed = 0
        self._staging = directory / STAGING

    def survey(self, spool: Spool) -> int:
        """How many devices' profiles are to be made; raises ``LedgerError`` where that is not clear."""
        if self._fresh:
            return spool.count
        todo, others, first = 0, 0, None
        for some in _batches(spool.devices(), _AT_ONCE):
            for job in self._jobs(some):
                todo += 1
                if job.old is not None and job.old[1]:
                    others += 1
                    first = first or job.device
        if others and first is not None and not self._order.again:
            device = first.serial or first.udid
            raise LedgerError(
                f"{others:,} devices have profiles that were made from another config or another row, "
                f"such as {device} of line {first.line}",
                where=str(self._directory / LEDGER_NAME),
                hint="--again makes them again, with new identities; --keep leaves them; or write elsewhere with -o",
            )
        return todo

    def go(self, spool: Spool, workers: Engine, todo: int, tell: Tell) -> Tally:
        """Make them, with a few more units begun than there are workers."""
        pending: deque[tuple[_Unit, Waiting]] = deque()
        kind = self._maker.issued_key
        size = max(1, min(_UNIT_RSA if kind.startswith("rsa") else _UNIT, -(-todo // (4 * workers.workers))))
        made = done = 0

        def finish() -> None:
            nonlocal made, done
            unit, waiting = pending.popleft()
            made += self._finish(unit, waiting)
            done += len(unit)
            tell(done, todo)

        tell(0, todo)
        for jobs in _batches(self._all_jobs(spool), size):
            unit = self._begin(jobs)
            pending.append((unit, workers.begin([item for item, _ in unit])))
            if len(pending) > 2 * workers.workers:
                finish()
        while pending:
            finish()
        return Tally(made, spool.count - todo, self._failed, tuple(self._findings))

    def _all_jobs(self, spool: Spool) -> Iterator[_Job]:
        for some in _batches(spool.devices(), _AT_ONCE):
            yield from self._jobs(some)

    def _jobs(self, devices: Sequence[tuple[Device, str]]) -> Iterator[_Job]:
        """The devices whose profile is to be made."""
        known = {} if self._fresh else self._ledger.lookup([(each.udid, each.serial) for each, _ in devices])
        for device, name in devices:
            made_from = self._maker.recipe.made_from(device.values)
            row, entry = known.get((device.udid, device.serial), (0, None))
            if entry is None:
                yield _Job(device, name, made_from, None)
            elif (entry.config_sha256, entry.name) != (made_from, name):
                if not self._order.keep:
                    yield _Job(device, name, made_from, (row, entry.name))
            elif not self._is_whole(entry):
                yield _Job(device, name, made_from, (row, ""))

    def _is_whole(self, entry: Entry) -> bool:
        path = self._directory / entry.name
        try:
            if path.stat().st_size != entry.size:
                return False
        except OSError:
            return False
        return not self._doubtful or _sha256(path) == entry.profile_sha256

    def _begin(self, jobs: Sequence[_Job]) -> _Unit:
        """Record that profiles are about to be made, with the serial numbers of certificates that are to be issued."""
        self._ledger.supersede([job.old[0] for job in jobs if job.old is not None])
        serials = [fresh_serial_number() if self._maker.issued_key else None for _ in jobs]
        rows = self._ledger.begin(
            [
                Begun(
                    name=job.name,
                    udid=job.device.udid,
                    serial=job.device.serial,
                    identity=self._maker.kind,
                    certificate_serial=f"{serial:x}" if serial else "",
                    made=self._now,
                    config=self._config,
                    config_sha256=job.made_from,
                )
                for job, serial in zip(jobs, serials, strict=True)
            ]
        )
        items = (Item(row, job.device.values, serial) for row, job, serial in zip(rows, jobs, serials, strict=True))
        return list(zip(items, jobs, strict=True))

    def _finish(self, unit: _Unit, waiting: Waiting) -> int:
        """Record what was made, and then bring it to its place; returns how many."""
        outcome = waiting()
        self._note(outcome.findings)
        made: list[tuple[Made, Item, _Job]] = []
        failed: list[int] = []
        for result, (item, job) in zip(outcome.results, unit, strict=True):
            if isinstance(result, Made):
                made.append((result, item, job))
            else:
                failed.append(item.id)
                place = f"{self._source}:{job.device.line}"
                self._note(each._replace(where=f"{place}: {each.where}".removesuffix(": ")) for each in result.findings)
        for result, item, _ in made:
            if result.data is not None:
                write_staged(staged(self._staging, item.id), result.data)
        self._failed += len(failed)
        self._ledger.abandon(failed, "failed")
        self._ledger.finish([(item.id, self._entry(result, item, job)) for result, item, job in made])
        for _, item, job in made:
            move(staged(self._staging, item.id), f"{self._directory}/{job.name}")
            if job.old is not None and job.old[1] not in ("", job.name):
                remove(self._directory / job.old[1])
        return len(made)

    def _entry(self, result: Made, item: Item, job: _Job) -> Entry:
        return Entry(
            name=job.name,
            udid=job.device.udid,
            serial=job.device.serial,
            identity=self._maker.kind,
            certificate_sha256=result.certificate_sha256,
            certificate_serial=f"{item.serial_number:x}" if item.serial_number else "",
            subject=result.subject,
            not_before=result.not_before,
            not_after=result.not_after,
            client_identifier=result.client_identifier,
            profile_sha256=result.profile_sha256,
            size=result.size,
            made=self._now,
            config=self._config,
            config_sha256=job.made_from,
        )

    def _note(self, findings: Iterable[Finding]) -> None:
        for each in findings:
            if len(self._findings) < MAX_FINDINGS:
                self._findings[each] = None


def _batches(things: Iterable[T], size: int) -> Iterator[list[T]]:
    """So many things at a time, and at last the rest."""
    waiting = iter(things)
    while some := list(islice(waiting, size)):
        yield some


def _sha256(path: Path) -> str:
    """The digest of a file; empty where it cannot be read."""
    try:
        return hashlib.sha256(read_file(path, limit=MAX_PROFILE)).hexdigest()
    except InputError:
        return ""
