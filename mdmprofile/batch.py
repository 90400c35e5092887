"""A profile for each of many devices: recorded before it is made, and again before it is in its place.

Killed at any point and started again, no device gets two profiles, no file is half of one, and no identity was issued
that the ledger does not know: a row is begun before a certificate is issued, a profile is staged until its row is made,
and what is staged is then moved to its place, by this run or by the next.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from mdmprofile.devices.archive import Member
from mdmprofile.devices.processes import Engine, Waiting
from mdmprofile.devices.spool import MAX_FINDINGS, Spool
from mdmprofile.devices.table import Device
from mdmprofile.devices.unit import Item, Made, at_line, staged
from mdmprofile.errors import LedgerError
from mdmprofile.findings import Finding
from mdmprofile.identities import fresh_serial_number
from mdmprofile.inputs import MAX_PROFILE, is_same, read_file
from mdmprofile.ledger import LEDGER_NAME, MADE, Begun, Entry, Ledger, Recorded, hold
from mdmprofile.ledger_rows import folded
from mdmprofile.maker import ProfileMaker
from mdmprofile.output import flush_disks, make_directory, move, remove, write_staged
from mdmprofile.recovery import AT_ONCE, batches, recover, remove_replaced, sha256_of

STAGING = ".mdmprofile-staging"
# So that a unit takes a fraction of a second, or a few where RSA keys are made: small enough to share out evenly, and
# large enough for the ledger's commits not to matter.
_UNIT, _UNIT_ISSUED, _UNIT_RSA = 256, 64, 8

_AGAIN = "--again makes them again, with new identities; --keep leaves them; or write elsewhere with -o"
_NEVER = datetime.max.replace(tzinfo=UTC)
Tell = Callable[[int, int], None]
_Unit = Sequence[tuple[Item, "_Job"]]


class Order(NamedTuple):
    """What to do with devices that have a profile already.

    Those whose profile is as it was made are left alone. One that was made from another config or another row is made
    again with ``again``, left alone with ``keep``, and without either the run is refused. One whose identity ends
    before ``renew`` (aware UTC) is made again, with a new identity.
    """

    again: bool = False
    keep: bool = False
    renew: datetime | None = None


class Tally(NamedTuple):
    """What a run came to: how many devices' profiles were made, were there already, or failed; and what was found.

    ``first`` is the profile, of those that were there already, whose identity ends first.
    """

    made: int
    kept: int
    failed: int
    findings: tuple[Finding, ...]
    first: Entry | None = None


class _Old(NamedTuple):
    """A row that another takes the place of, and the name of its file."""

    row: int
    name: str


class _Job(NamedTuple):
    """A device that a profile is to be made for.

    ``old`` are the rows that it takes the place of; ``changed`` when that is because of another config or row.
    """

    device: Device
    name: str
    made_from: str
    old: tuple[_Old, ...] = ()
    changed: bool = False


def run_batch(
    maker: ProfileMaker,
    spool: Spool,
    engine: Callable[[Path], Engine],
    directory: Path,
    *,
    source: str,
    order: Order | None = None,
    config: str = "",
    common: Collection[Finding] = (),
    tell: Tell | None = None,
) -> Tally:
    """Make the profile of every device of the spool, below ``directory``, and record it in the ledger there.

    ``engine`` makes the workers; its argument is the directory where profiles are staged. ``source`` is what the table
    is called, ``config`` the config; ``tell`` is told how many devices of how many are done. Findings that are not in
    ``common`` name the line of their device. Raises an ``MdmprofileError`` for what stops the run; what was made until
    then stays, and the next run goes on from there.
    """
    make_directory(directory)
    staging = directory / STAGING
    with hold(directory), Ledger.open(directory / LEDGER_NAME) as ledger:
        make_directory(staging)
        doubtful = ledger.was_interrupted()
        recover(ledger, staging, directory)
        run = _Run(maker, ledger, directory, source, order or Order(), config, common, doubtful=doubtful)
        todo = run.survey(spool)
        number = ledger.begin_run(maker.recipe.now)
        workers = engine(staging)
        try:
            tally = run.go(spool, workers, todo, tell or (lambda _done, _total: None))
            workers.close()
        except BaseException:
            workers.abort()
            raise
        if doubtful:
            remove_replaced(ledger, directory)
        flush_disks()
        if not run.left_behind:
            ledger.mark_finished(number, maker.recipe.now)
        for each in staging.iterdir():
            remove(each)
    return tally


def members(directory: Path, spool: Spool) -> Iterator[Member]:
    """The profiles of the spool's devices that are made, in its order. Raises ``InputError`` for one that is gone."""
    with Ledger.read(directory / LEDGER_NAME) as ledger:
        for some in batches(spool.devices(), AT_ONCE):
            known = ledger.lookup([(each.udid, each.serial) for each, _ in some])
            for device, _ in some:
                found = known.get((device.udid, device.serial))
                if found is not None:
                    entry = found[1]
                    yield Member(entry.name, read_file(directory / entry.name, limit=MAX_PROFILE), entry.made)


class _Run:
    """One run in a directory; ``doubtful`` when the last one did not end well, so that every file is looked into.

    ``left_behind`` when a device has no new profile in the place of its old one, whose file stays until it has.
    """

    def __init__(
        self,
        maker: ProfileMaker,
        ledger: Ledger,
        directory: Path,
        source: str,
        order: Order,
        config: str,
        common: Collection[Finding],
        *,
        doubtful: bool,
    ) -> None:
        self._maker = maker
        self._kind = maker.kind
        self._ledger = ledger
        self._directory = directory
        self._source = source
        self._order = order
        self._config = config
        self._doubtful = doubtful
        self._first: Entry | None = None
        # A byte for each device of the table: whether it is one to make a profile for. None where all are.
        self._waiting: bytearray | None = None
        self._fresh = ledger.count() == 0
        self._now: datetime = maker.recipe.now
        self._findings: dict[Finding, None] = {}
        self._failed = 0
        self._staging = directory / STAGING
        self._common = frozenset(common)
        self._superseded: set[int] = set()
        self._reused: set[str] = set()
        self.left_behind = False

    def survey(self, spool: Spool) -> int:
        """How many devices' profiles are to be made; raises ``LedgerError`` where that is not clear."""
        if self._fresh:
            return spool.count
        todo, others, first = 0, 0, None
        self._waiting = bytearray()
        for some in batches(spool.devices(), AT_ONCE):
            numbers = {device.line: number for number, (device, _) in enumerate(some)}
            waiting = bytearray(len(some))
            for job in self._jobs(some):
                todo += 1
                waiting[numbers[job.device.line]] = True
                if job.changed:
                    others += 1
                    first = first or job.device
            self._waiting += waiting
        if others and first is not None and not self._order.again:
            device = first.serial or first.udid
            more = f" and {others - 1:,} more" if others > 1 else ""
            message = f"made from another config or another row: the profile of {device} in line {first.line}{more}"
            raise LedgerError(message, where=str(self._directory / LEDGER_NAME), hint=_AGAIN)
        return todo

    def go(self, spool: Spool, workers: Engine, todo: int, tell: Tell) -> Tally:
        """Make them, with a few more units begun than there are workers."""
        pending: deque[tuple[_Unit, Waiting]] = deque()
        kind = self._maker.issued_key
        most = _UNIT_RSA if kind.startswith("rsa") else _UNIT_ISSUED if kind else _UNIT
        size = max(1, min(most, -(-todo // (4 * workers.workers))))
        made = done = 0

        def finish() -> None:
            nonlocal made, done
            unit, waiting = pending.popleft()
            made += self._finish(unit, waiting)
            done += len(unit)
            tell(done, todo)

        tell(0, todo)
        for jobs in batches(self._all_jobs(spool), size):
            unit = self._begin(jobs)
            pending.append((unit, workers.begin([item for item, _ in unit])))
            if len(pending) > 2 * workers.workers:
                finish()
        while pending:
            finish()
        return Tally(made, spool.count - todo, self._failed, tuple(self._findings), self._first)

    def _all_jobs(self, spool: Spool) -> Iterator[_Job]:
        for some in batches(spool.devices(self._waiting), AT_ONCE):
            yield from self._jobs(some)

    def _jobs(self, devices: Sequence[tuple[Device, str]]) -> Iterator[_Job]:
        """The devices whose profile is to be made."""
        known = {} if self._fresh else self._ledger.lookup([(each.udid, each.serial) for each, _ in devices])
        for device, name in devices:
            made_from = self._maker.recipe.made_from(device.values)
            found = known.get((device.udid, device.serial))
            if found is None:
                yield _Job(device, name, made_from)
                continue
            old, entry = (_Old(found[0], found[1].name),), found[1]
            changed = (entry.config_sha256, entry.name) != (made_from, name)
            if changed and self._order.again:
                yield _Job(device, name, made_from, old, changed=True)
            elif self._ends_too_soon(entry) or not self._is_whole(entry):
                yield _Job(device, name, made_from, old)
            elif changed and not self._order.keep:
                yield _Job(device, name, made_from, old, changed=True)
            elif entry.not_after is not None:
                self._first = min(self._first or entry, entry, key=lambda each: each.not_after or _NEVER)

    def _ends_too_soon(self, entry: Entry) -> bool:
        renew = self._order.renew
        return renew is not None and entry.not_after is not None and entry.not_after < renew

    def _is_whole(self, entry: Entry) -> bool:
        path = f"{self._directory}/{entry.name}"
        try:
            # A Path would take longer to make than this takes.
            if os.stat(path).st_size != entry.size:  # noqa: PTH116
                return False
        except OSError:
            return False
        return not self._doubtful or sha256_of(Path(path)) == entry.profile_sha256

    def _begin(self, jobs: Sequence[_Job]) -> _Unit:
        """Record that profiles are about to be made, with the serial numbers of certificates that are to be issued."""
        serials = [fresh_serial_number() if self._maker.issued_key else None for _ in jobs]
        begun = [
            Begun(
                name=job.name,
                udid=job.device.udid,
                serial=job.device.serial,
                identity=self._kind,
                certificate_serial=f"{serial:x}" if serial else "",
                made=self._now,
                config=self._config,
                config_sha256=job.made_from,
            )
            for job, serial in zip(jobs, serials, strict=True)
        ]
        self._supersede([each for job in jobs for each in job.old], jobs)
        try:
            rows = self._ledger.begin(begun)
        except LedgerError:
            jobs = self._displacing(jobs)
            rows = self._ledger.begin(begun)
        items = (Item(row, job.device.values, serial) for row, job, serial in zip(rows, jobs, serials, strict=True))
        return list(zip(items, jobs, strict=True))

    def _supersede(self, old: Iterable[_Old], jobs: Sequence[_Job]) -> None:
        """Give up these rows, once each; what another device's file is called now is not removed as theirs."""
        some = {each.row: each.name for each in old if each.row not in self._superseded}
        self._ledger.supersede(some)
        self._superseded.update(some)
        names = {job.name for job in jobs if all(job.name != each.name for each in job.old)}
        self._reused.update(names.intersection(some.values()))

    def _displacing(self, jobs: Sequence[_Job]) -> list[_Job]:
        """The jobs with the rows of other devices that stand in their way, which are given up where that was ordered.

        A file's name, a UDID or a serial number can go over to another device.
        """
        wanted = {key: index for index, job in enumerate(jobs) for key in _keys(job.name, job.device)}
        found: dict[int, list[Recorded]] = {}
        for each in self._ledger.history():
            if each.state == MADE:
                for index in {wanted[key] for key in _keys(each.entry.name, each.entry) if key in wanted}:
                    found.setdefault(index, []).append(each)
        for index, others in found.items():
            if not self._order.again:
                entry, line = others[0].entry, jobs[index].device.line
                device = entry.serial or entry.udid
                message = f"the file's name, or the device, is that of {entry.name}, which was made for {device}"
                raise LedgerError(message, where=f"{self._source}:{line}", hint=_AGAIN)
        old = {index: tuple(_Old(each.id, each.entry.name) for each in others) for index, others in found.items()}
        self._supersede([each for some in old.values() for each in some], jobs)
        return [job._replace(old=(*job.old, *old.get(index, ()))) for index, job in enumerate(jobs)]

    def _finish(self, unit: _Unit, waiting: Waiting) -> int:
        """Record what was made, and then bring it to its place; returns how many."""
        outcome = waiting()
        made: list[tuple[Made, Item, _Job]] = []
        failed: list[int] = []
        for result, (item, job) in zip(outcome.results, unit, strict=True):
            self._note(result.findings, job.device.line)
            if isinstance(result, Made):
                made.append((result, item, job))
            else:
                failed.append(item.id)
                self.left_behind |= bool(job.old)
        for result, item, _ in made:
            if result.data is not None:
                write_staged(staged(self._staging, item.id), result.data)
        self._failed += len(failed)
        self._ledger.abandon(failed, "failed")
        self._ledger.finish([(item.id, self._entry(result, job)) for result, item, job in made])
        for _, item, job in made:
            move(staged(self._staging, item.id), f"{self._directory}/{job.name}")
            for old in job.old:
                # Where case makes no difference, another name can be the same file.
                path = self._directory / old.name
                if (
                    old.name != job.name
                    and old.name not in self._reused
                    and not is_same(path, self._directory / job.name)
                ):
                    remove(path)
        return len(made)

    def _entry(self, result: Made, job: _Job) -> Entry:
        return Entry(
            name=job.name,
            udid=job.device.udid,
            serial=job.device.serial,
            identity=self._kind,
            certificate_sha256=result.certificate_sha256,
            certificate_serial=result.certificate_serial,
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

    def _note(self, findings: Iterable[Finding], line: int) -> None:
        for each in findings:
            if each not in self._common and len(self._findings) < MAX_FINDINGS:
                self._findings[at_line(each, self._source, line)] = None


def _keys(name: str, device: Device | Entry) -> Iterator[tuple[str, str]]:
    """What no two profiles have in common."""
    yield "name", name
    if device.udid:
        yield "udid", folded(device.udid)
    if device.serial:
        yield "serial", folded(device.serial)
