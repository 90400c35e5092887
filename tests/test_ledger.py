"""The ledger: what it holds, who may work with it at once, what a kill leaves, and whom it lets in."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import stat
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from ledgers import begin, device, devices, entry, record, working
from mdmprofile import ledger_file
from mdmprofile.errors import LedgerError
from mdmprofile.ledger import ABANDONED, BEGUN, LEDGER_NAME, MADE, SUPERSEDED, Begun, Ledger, hold
from pki import DAY, NOW


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a ledger can be."""
    return tmp_path / LEDGER_NAME


def states(path: Path) -> list[str]:
    """The states of all rows, in the order they were begun."""
    with Ledger.read(path) as ledger:
        return [each.state for each in ledger.history()]


def files_beside(path: Path) -> list[str]:
    """The names of everything in its directory."""
    return sorted(each.name for each in path.parent.iterdir())


def mode(path: Path) -> int:
    """Its permissions."""
    return stat.S_IMODE(path.stat().st_mode)


class TestRows:
    """What is written is read again."""

    def test_an_entry_comes_back_as_it_was_written(self, path: Path) -> None:
        """Every field, whatever kind of identity it is."""
        scep = device(2)._replace(identity="scep", certificate_serial="", udid="")
        acme = device(3)._replace(identity="acme", certificate_serial="", serial="")
        written = [entry(device(1)), entry(scep, end=None), entry(acme, end=datetime(9999, 12, 31, 23, 59, 59, 0, UTC))]
        record(path, written)
        with Ledger.read(path) as ledger:
            assert list(ledger.entries()) == written
            assert ledger.count() == 3

    def test_times_are_kept_to_the_second(self, path: Path) -> None:
        """In UTC, whatever zone they were given in."""
        moment = datetime(2031, 3, 1, 14, 0, 59, 999_999, timezone(timedelta(hours=2)))
        record(path, [entry(device(1, made=moment), end=datetime(1969, 12, 31, 23, 0, 0, 0, UTC))])
        with Ledger.read(path) as ledger:
            (found,) = ledger.entries()
        assert (found.made, found.made.tzinfo) == (datetime(2031, 3, 1, 12, 0, 59, 0, UTC), UTC)
        assert found.not_after == datetime(1969, 12, 31, 23, 0, 0, 0, UTC)

    def test_ids_are_in_the_order_of_the_devices(self, path: Path) -> None:
        """Whoever begins a batch can tell which row is whose."""
        with Ledger.open(path) as ledger:
            first, second = ledger.begin([device(5), device(1)]), ledger.begin([device(3)])
            rows = ledger.by_id([*second, *first, 99])
        assert [rows[each].entry.serial for each in [*first, *second]] == ["C02000005", "C02000001", "C02000003"]
        assert list(rows) == sorted([*first, *second])

    def test_a_begun_row_knows_what_was_about_to_be_made(self, path: Path) -> None:
        """So that the serial number of a certificate that nobody got is known."""
        with Ledger.open(path) as ledger:
            (row,) = ledger.begin([device(1)])
            found = ledger.by_id([row])[row]
        assert (found.state, begin(found.entry), found.entry.profile_sha256) == (BEGUN, device(1), "")

    def test_a_made_row_knows_its_profile(self, path: Path) -> None:
        """A file that was not moved into place yet can be told by its digest."""
        (row,) = record(path, devices(1))
        with Ledger.read(path) as ledger:
            found = ledger.by_id([row])[row]
        assert (found.state, found.entry) == (MADE, devices(1)[0])

    def test_a_client_identifier_never_shows(self) -> None:
        """Who has it can enroll in the device's place."""
        made = entry(device(1)._replace(identity="acme"))
        assert made.client_identifier == "client-of-C02000001"
        assert "client-of" not in repr(made)
        assert "serial='C02000001'" in repr(made)

    def test_text_that_utf_8_cannot_hold_is_an_error(self, path: Path) -> None:
        """And not a traceback; nothing of the batch is recorded."""
        with Ledger.open(path) as ledger:
            with pytest.raises(LedgerError, match="surrogates not allowed"):
                ledger.begin([device(1), device(2)._replace(config="\udcff.toml")])
            assert list(ledger.history()) == []


class TestStates:
    """At most one row of a device is begun or made."""

    @pytest.mark.parametrize("finished", [False, True])
    @pytest.mark.parametrize(
        "other",
        [
            device(9)._replace(udid="00008101-000000000000000a"),
            device(9)._replace(serial="c02000010"),
            device(9)._replace(name="C02000010.mobileconfig"),
        ],
        ids=["udid", "serial", "name"],
    )
    def test_a_device_cannot_be_begun_twice(self, path: Path, other: Begun, *, finished: bool) -> None:
        """Neither its UDID nor its serial number in whatever case, nor its file; nothing of the batch is recorded."""
        with Ledger.open(path) as ledger:
            ids = ledger.begin([device(10)])
            if finished:
                ledger.finish([(ids[0], entry(device(10)))])
            with pytest.raises(LedgerError, match="is begun or made in it already"):
                ledger.begin([device(11), other])
            assert len(list(ledger.history())) == 1

    def test_any_number_of_devices_may_be_unknown(self, path: Path) -> None:
        """An empty UDID is no UDID that two devices share."""
        unknown = [device(number)._replace(udid="", serial="") for number in range(3)]
        with Ledger.open(path) as ledger:
            ledger.begin(unknown)
            assert [each.entry.udid for each in ledger.history()] == ["", "", ""]
            assert ledger.current("", "") is None

    def test_what_came_to_nothing_can_be_begun_again(self, path: Path) -> None:
        """The reason stays on record."""
        with Ledger.open(path) as ledger:
            ledger.abandon(ledger.begin([device(1)]), "the token is full")
            ledger.begin([device(1)])
            assert [(each.state, each.reason) for each in ledger.history()] == [
                (ABANDONED, "the token is full"),
                (BEGUN, ""),
            ]

    def test_what_is_made_again_stays_as_history(self, path: Path) -> None:
        """The certificate of the first profile was issued, whatever comes after it."""
        ids = record(path, devices(2))
        with Ledger.open(path) as ledger:
            ledger.supersede(ids[:1])
            again = devices(1)[0]._replace(certificate_serial="beef", not_after=NOW + 900 * DAY)
            (row,) = ledger.begin([begin(again)])
            ledger.finish([(row, again)])
            assert list(ledger.entries()) == [devices(2)[1], again]
            assert [each.state for each in ledger.history()] == [SUPERSEDED, MADE, MADE]
            assert ledger.current(again.udid, "") == (row, again)

    @pytest.mark.parametrize(
        "change",
        [
            lambda ledger, ids: ledger.finish([(each, devices(3)[each - 1]) for each in ids]),
            lambda ledger, ids: ledger.abandon(ids, "failed"),
        ],
        ids=["finish", "abandon"],
    )
    def test_a_row_changes_its_state_once(self, path: Path, change: Callable[[Ledger, list[int]], None]) -> None:
        """Where one of several cannot, none does."""
        with Ledger.open(path) as ledger:
            ids = ledger.begin([begin(each) for each in devices(3)])
            ledger.finish([(ids[1], devices(3)[1])])
            with pytest.raises(LedgerError, match="1 of 3 rows are in another state"):
                change(ledger, ids)
            assert [each.state for each in ledger.history()] == [BEGUN, MADE, BEGUN]

    def test_only_what_is_made_can_be_superseded(self, path: Path) -> None:
        """A begun row is another run's."""
        with Ledger.open(path) as ledger:
            ids = ledger.begin([device(1)])
            with pytest.raises(LedgerError, match="another state"):
                ledger.supersede(ids)

    def test_a_row_is_finished_under_the_name_it_was_begun_with(self, path: Path) -> None:
        """Two rows that were mixed up would give each device the other one's certificate."""
        with Ledger.open(path) as ledger:
            ids = ledger.begin([device(1), device(2)])
            with pytest.raises(LedgerError, match="2 of 2 rows"):
                ledger.finish([(ids[0], entry(device(2))), (ids[1], entry(device(1)))])

    def test_nothing_to_do_is_done(self, path: Path) -> None:
        """An empty batch is no error."""
        with Ledger.open(path) as ledger:
            assert ledger.begin([]) == []
            ledger.finish([])
            ledger.abandon([], "")
            ledger.supersede([])
            assert (ledger.lookup([]), ledger.by_id([]), ledger.abandon_interrupted()) == ({}, {}, 0)


class TestLookup:
    """The made row of a device."""

    def test_a_device_is_found_by_its_udid_or_its_serial_number(self, path: Path) -> None:
        """In whatever case, and however many are asked for."""
        ids = record(path, devices(1500))
        asked = [
            (each.udid.lower(), "") if number % 2 else ("", each.serial.lower())
            for number, each in enumerate(devices(1500))
        ]
        with Ledger.read(path) as ledger:
            found = ledger.lookup([*asked, ("unknown", "unknown"), ("", "")])
        assert found == dict(zip(asked, zip(ids, devices(1500), strict=True), strict=True))

    def test_the_udid_decides(self, path: Path) -> None:
        """A serial number is typed by people."""
        record(path, devices(2))
        with Ledger.read(path) as ledger:
            found = ledger.current(devices(2)[0].udid, devices(2)[1].serial)
        assert found is not None
        assert found[1] == devices(2)[0]

    def test_another_udid_with_the_same_serial_number_is_the_same_device(self, path: Path) -> None:
        """Nobody may get two identities by leaving out one of both."""
        record(path, devices(1))
        with Ledger.read(path) as ledger:
            found = ledger.current("another", devices(1)[0].serial)
        assert found is not None

    def test_what_is_begun_or_abandoned_is_not_found(self, path: Path) -> None:
        """There is no profile of it."""
        with Ledger.open(path) as ledger:
            ids = ledger.begin([device(1), device(2)])
            ledger.abandon(ids[:1], "failed")
            assert ledger.lookup([(device(each).udid, device(each).serial) for each in (1, 2)]) == {}

    def test_only_the_letters_of_ascii_have_a_case(self, path: Path) -> None:
        """As the index has it: what it takes for two devices must not be found as one."""
        names = ["GER\u00c4T", "ger\u00e4t", "STRASSE"]
        record(path, [entry(device(number)._replace(serial=each)) for number, each in enumerate(names)])
        with Ledger.read(path) as ledger:
            found = ledger.lookup([("", "ger\u00c4t"), ("", "GER\u00e4T"), ("", "stra\u00dfe")])
        assert {key[1]: made.serial for key, (_, made) in found.items()} == {
            "ger\u00c4t": "GER\u00c4T",
            "GER\u00e4T": "ger\u00e4t",
        }

    def test_a_look_up_goes_by_the_index(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whoever looks up each of a million devices must not read a million rows for each."""
        record(path, devices(2000))
        monkeypatch.setattr(ledger_file, "_STRIDE", 10)
        monkeypatch.setattr(ledger_file, "_FEWEST_STEPS", 1000 - path.stat().st_size)
        asked = [(each.udid, each.serial) for each in devices(2000)[1000:1010]]
        with Ledger.read(path) as ledger:
            assert list(ledger.lookup(asked)) == asked
            assert len(ledger.lookup([("", serial) for _, serial in asked])) == 10
            with pytest.raises(LedgerError, match=DAMAGED):
                list(ledger.entries())


class TestRuns:
    """A run says when it begins and when it ended well."""

    def test_a_run_that_did_not_end_is_told_to_the_next(self, path: Path) -> None:
        """And one that did is not."""
        with Ledger.open(path) as ledger:
            assert not ledger.was_interrupted()
            first = ledger.begin_run(NOW)
            assert ledger.was_interrupted()
            ledger.mark_finished(first, NOW + DAY)
            assert not ledger.was_interrupted()
            ledger.begin_run(NOW)
        with Ledger.read(path) as ledger:
            assert ledger.was_interrupted()

    def test_a_run_ends_once(self, path: Path) -> None:
        """Nor can one that nobody began."""
        with Ledger.open(path) as ledger:
            run = ledger.begin_run(NOW)
            ledger.mark_finished(run, NOW)
            for each in (run, run + 1):
                with pytest.raises(LedgerError, match="another state"):
                    ledger.mark_finished(each, NOW)


class TestFile:
    """The file and what SQLite keeps beside it."""

    def test_only_the_owner_can_read_it(self, path: Path) -> None:
        """Nor what is beside it while it is written to, whatever the umask."""
        before = os.umask(0)
        try:
            with Ledger.open(path) as ledger:
                ledger.begin([device(1)])
                assert {each.name: mode(each) for each in path.parent.iterdir()} == {
                    "ledger.sqlite": 0o600,
                    "ledger.sqlite-shm": 0o600,
                    "ledger.sqlite-wal": 0o600,
                }
        finally:
            os.umask(before)

    def test_a_closed_ledger_is_one_file(self, path: Path) -> None:
        """It can be copied, and reading it leaves nothing beside it."""
        record(path, devices(3))
        assert files_beside(path) == [LEDGER_NAME]
        with Ledger.read(path) as ledger:
            assert ledger.count() == 3
            assert files_beside(path) == [LEDGER_NAME]
        assert files_beside(path) == [LEDGER_NAME]

    def test_a_copy_without_its_log_is_read_and_left_alone(self, path: Path, tmp_path: Path) -> None:
        """Somebody copies the one file while a run is at work: nothing is made beside the copy."""
        copy = tmp_path / "copy" / LEDGER_NAME
        copy.parent.mkdir()
        record(path, devices(2))
        with Ledger.open(path):
            copy.write_bytes(path.read_bytes())
        assert copy.read_bytes()[18:20] == b"\2\2"
        with Ledger.read(copy) as ledger:
            assert ledger.count() == 2
        assert files_beside(copy) == [LEDGER_NAME]

    @pytest.mark.parametrize("folder", ["what?mode=memory", "50%25", "a#b", "with spaces", "\u00fcber", "it's"])
    def test_any_path_will_do(self, tmp_path: Path, folder: str) -> None:
        """No letter of it is taken for a part of a URI."""
        path = tmp_path / folder / "my ledger?#%41.sqlite"
        path.parent.mkdir()
        record(path, devices(1))
        with Ledger.read(path) as ledger:
            assert ledger.count() == 1
        assert files_beside(path) == [path.name]

    def test_a_path_of_any_bytes_will_do(self, tmp_path: Path) -> None:
        """Names in a file system need not be UTF-8."""
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.sqlite"))
        record(path, devices(1))
        with Ledger.read(path) as ledger:
            assert ledger.count() == 1

    def test_a_link_leads_to_the_ledger(self, path: Path, tmp_path: Path) -> None:
        """What SQLite keeps beside it is beside the file itself."""
        record(path, devices(1))
        link = tmp_path / "link.sqlite"
        link.symlink_to(path)
        with Ledger.open(link) as ledger:
            ledger.begin([device(7)])
            with Ledger.read(link) as reader:
                assert len(list(reader.history())) == 2

    def test_its_tables_can_be_made_by_two_at_once(self, path: Path) -> None:
        """An empty file is what one that was killed at the start leaves."""
        path.touch()
        with Ledger.open(path) as ledger, Ledger.open(path) as other:
            ledger.begin([device(1)])
            other.begin([device(2)])
        assert states(path) == [BEGUN, BEGUN]


class TestTogether:
    """Several processes, and what a killed one leaves."""

    def test_a_reader_sees_what_is_committed_while_a_run_goes_on(self, path: Path) -> None:
        """It waits for nobody, and nothing half done shows."""
        code = """
with Ledger.open(folder / "ledger.sqlite") as ledger:
    ids = ledger.begin([device(1), device(2)])
    pause("begun")
    ledger.finish(Pausing([(row, entry(device(number))) for number, row in enumerate(ids, 1)]))
    pause("finished")
"""
        with working(code, path.parent) as worker:
            worker.reached("begun")
            with Ledger.read(path) as reader:
                assert [each.state for each in reader.history()] == [BEGUN, BEGUN]
                worker.go_on()
                worker.reached("halfway")
                assert [each.state for each in reader.history()] == [BEGUN, BEGUN]
                worker.go_on()
                worker.reached("finished")
                assert [each.state for each in reader.history()] == [MADE, MADE]
                assert reader.count() == 2
            assert worker.ended() == 0
        assert files_beside(path) == [LEDGER_NAME]

    @pytest.mark.parametrize(
        ("moment", "code", "left"),
        [
            ("open", "pause('open')", []),
            ("halfway", "ledger.begin([device(0)]); ledger.begin(Pausing(map(device, range(1, 9))))", [BEGUN]),
            ("begun", "ledger.begin([device(0), device(1)]); pause('begun')", [BEGUN] * 2),
            (
                "halfway",
                "ids = ledger.begin(FOUR); ledger.finish(Pausing((row, entry(device(row - 1))) for row in ids))",
                [BEGUN] * 4,
            ),
            (
                "done",
                "ids = ledger.begin(FOUR); ledger.finish([(ids[0], entry(device(0)))]); pause('done')",
                [MADE, BEGUN, BEGUN, BEGUN],
            ),
        ],
        ids=["opened", "while beginning", "begun", "while finishing", "one finished"],
    )
    def test_what_a_killed_run_had_begun_is_known(self, path: Path, moment: str, code: str, left: list[str]) -> None:
        """Every transaction is there or is not; the next run abandons what was begun, and can begin it again."""
        opened = "FOUR = [device(number) for number in range(4)]; ledger = Ledger.open(folder / 'ledger.sqlite')"
        with working(f"{opened}\n{code}", path.parent) as worker:
            worker.reached(moment)
            worker.kill()
        assert states(path) == left
        with Ledger.open(path) as ledger:
            assert ledger.abandon_interrupted() == left.count(BEGUN)
            after = [(each.state, each.reason) for each in ledger.history()]
            assert after == [(MADE, "") if each == MADE else (ABANDONED, "interrupted") for each in left]
            ledger.begin([device(number) for number in range(left.count(MADE), 9)])
            assert ledger.abandon_interrupted() == 9 - left.count(MADE)
        assert files_beside(path) == [LEDGER_NAME]

    def test_one_run_at_a_time_has_a_directory(self, tmp_path: Path) -> None:
        """The next is told so at once, and has it as soon as the first is dead, however it died."""
        with working("with hold(folder): pause('holding')", tmp_path) as worker:
            worker.reached("holding")
            with pytest.raises(LedgerError) as caught, hold(tmp_path):
                pass
            assert str(caught.value) == (
                f"{tmp_path}: another run is at work in it (wait until it has ended, or write elsewhere)"
            )
            worker.kill()
        with hold(tmp_path):
            pass
        (lock,) = tmp_path.iterdir()
        assert (lock.name[0], lock.stat().st_size, mode(lock)) == (".", 0, 0o600)

    def test_a_directory_is_held_against_this_process_too(self, tmp_path: Path) -> None:
        """And let go of where the work fails; the failure is nobody else's."""
        with hold(tmp_path), pytest.raises(LedgerError, match="another run"), hold(tmp_path):
            pass
        with pytest.raises(UnicodeDecodeError), hold(tmp_path):
            b"\xff".decode()
        with hold(tmp_path):
            pass

    def test_a_directory_that_is_not_there_cannot_be_held(self, tmp_path: Path) -> None:
        """Nor one that nobody can write to."""
        with pytest.raises(LedgerError, match="its directory does not exist"), hold(tmp_path / "absent"):
            pass

    def test_the_wait_for_another_writer_has_an_end(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """And the error says what to do."""
        record(path, devices(1))
        monkeypatch.setattr(ledger_file, "_PATIENCE", 0.05)
        with Ledger.open(path) as ledger, contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(LedgerError) as caught:
                ledger.begin([device(9)])
            assert str(caught.value) == (
                f"{path}: cannot be used: database is locked (wait until the other run has ended)"
            )


@dataclass(frozen=True)
class Bad:
    """A file that is no ledger of ours, and what is said of it."""

    make: Callable[[Path], None]
    message: str


def altered(*statements: str) -> Callable[[Path], None]:
    """A ledger that somebody did this to."""

    def make(path: Path) -> None:
        record(path, devices(3))
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for each in statements:
                connection.execute(each)

    return make


def cut(size: int) -> Callable[[Path], None]:
    """The first bytes of a ledger."""

    def make(path: Path) -> None:
        record(path, devices(30))
        path.write_bytes(path.read_bytes()[:size])

    return make


def as_text(path: Path) -> None:
    """A table of devices under the wrong name."""
    path.write_text("serial,udid\n" * 100)


def in_a_circle(path: Path) -> None:
    """A ledger whose inner pages all lead to one leaf again and again."""
    record(path, devices(2000))
    data = bytearray(path.read_bytes())
    for page in range(4096, len(data), 4096):
        if data[page] == 5:
            cells = [page + int.from_bytes(data[at : at + 2]) for at in range(page + 12, page + 12 + 2 * 100, 2)]
            for cell in cells:
                data[cell : cell + 4] = data[cells[0] : cells[0] + 4]
    path.write_bytes(data)


def crowded(path: Path) -> None:
    """A ledger with more tables than anybody has patience for."""
    record(path, devices(1))
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        rows = ((f"t{number}", f"t{number}", f"CREATE TABLE t{number} (a, b)") for number in range(50_000))
        connection.executemany("INSERT INTO sqlite_master VALUES ('table', ?, ?, 2, ?)", rows)


NO_LEDGER = "is no ledger"
OTHER_TABLES = "its tables are not those of a ledger"
DAMAGED = "is damaged"
BAD = {
    "empty": Bad(Path.touch, NO_LEDGER),
    "text": Bad(as_text, NO_LEDGER),
    "another program's": Bad(
        lambda path: sqlite3.connect(path).executescript("CREATE TABLE a (b)").connection.close(), NO_LEDGER
    ),
    "the header alone": Bad(cut(100), DAMAGED),
    "half a page": Bad(cut(2000), DAMAGED),
    "cut off": Bad(cut(9000), DAMAGED),
    "a newer version": Bad(altered("PRAGMA user_version = 2"), "was written by a newer version of mdmprofile"),
    "a trigger": Bad(altered("CREATE TRIGGER t AFTER INSERT ON runs BEGIN SELECT 1; END"), OTHER_TABLES),
    "a view in its place": Bad(
        altered(
            "DROP TABLE profiles",
            "CREATE VIEW profiles AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
        ),
        OTHER_TABLES,
    ),
    "a missing index": Bad(altered("DROP INDEX one_of_a_udid"), OTHER_TABLES),
    "many tables": Bad(crowded, DAMAGED),
}
READ_ALONE = {
    "a circle": Bad(in_a_circle, DAMAGED),
    "a huge value": Bad(
        altered("UPDATE profiles SET subject = zeroblob(1000) || printf('%.*c', 1000000, 'x')"), DAMAGED
    ),
    "no date": Bad(altered("UPDATE profiles SET not_after = 9223372036854775807"), DAMAGED),
    "a blob for a text": Bad(altered("UPDATE profiles SET subject = CAST(x'ff' AS TEXT)"), DAMAGED),
}


class TestStrangers:
    """A file from anybody: it is a ledger, or an error that says so."""

    @pytest.mark.parametrize("bad", [*BAD.values(), *READ_ALONE.values()], ids=[*BAD, *READ_ALONE])
    def test_what_is_no_ledger_is_not_read(self, path: Path, bad: Bad) -> None:
        """And left as it was."""
        bad.make(path)
        before = path.read_bytes()
        with pytest.raises(LedgerError) as caught, Ledger.read(path) as ledger:
            list(ledger.entries())
        assert caught.value.message == ("" if bad.message.startswith("cannot") else "cannot be used: ") + bad.message
        assert (caught.value.where, bool(caught.value.hint)) == (str(path), True)
        assert path.read_bytes() == before
        assert files_beside(path) == [LEDGER_NAME]

    @pytest.mark.parametrize("name", [each for each in BAD if each not in {"empty", "many tables"}])
    def test_what_is_no_ledger_is_not_written_to(self, path: Path, name: str) -> None:
        """Whatever it is, somebody may need it."""
        bad = BAD[name]
        bad.make(path)
        before = path.read_bytes()
        with pytest.raises(LedgerError) as caught:
            Ledger.open(path)
        assert bad.message in caught.value.message
        assert path.read_bytes() == before

    def test_a_directory_or_a_pipe_is_no_ledger(self, tmp_path: Path) -> None:
        """Nobody waits for a pipe."""
        folder, pipe = tmp_path / "folder.sqlite", tmp_path / "pipe.sqlite"
        folder.mkdir()
        os.mkfifo(pipe)
        for each in (folder, pipe):
            for opened in (Ledger.open, Ledger.read):
                with pytest.raises(LedgerError, match=NO_LEDGER):
                    opened(each)

    def test_what_is_not_there_cannot_be_read(self, path: Path) -> None:
        """And is not made by reading."""
        with pytest.raises(LedgerError, match=NO_LEDGER):
            Ledger.read(path)
        assert files_beside(path) == []

    @pytest.mark.parametrize("name", ["no/such/folder/ledger.sqlite", "\0", "x" * 300])
    def test_a_place_that_cannot_be_is_an_error(self, tmp_path: Path, name: str) -> None:
        """The directory of a ledger is made by whoever runs."""
        for opened in (Ledger.open, Ledger.read):
            with pytest.raises(LedgerError):
                opened(tmp_path / name)

    def test_damage_anywhere_is_an_error_or_does_no_harm(self, path: Path) -> None:
        """Nothing but a ``LedgerError`` comes out, and nobody waits."""
        record(path, devices(40))
        good, chance = path.read_bytes(), random.Random(4711)  # noqa: S311 - the same damage each time
        outcomes = set()
        for _ in range(600):
            data = bytearray(good)
            for _ in range(chance.choice((1, 2, 16))):
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            page = 4096 * chance.randrange(len(data) // 4096)
            if chance.random() < 0.5:
                data[page + chance.randrange(110)] = chance.choice((0, 2, 5, 10, 13, 255))
            path.write_bytes(data)
            try:
                with Ledger.read(path) as ledger:
                    list(ledger.history())
                    ledger.lookup([(each.udid, each.serial) for each in devices(40)])
                    ledger.count()
                    ledger.was_interrupted()
                outcomes.add("read")
            except LedgerError as error:
                outcomes.add(error.message)
            assert files_beside(path) == [LEDGER_NAME]
        assert {"read", f"cannot be used: {DAMAGED}"} <= outcomes

    def test_an_error_shows_nothing_of_what_is_damaged(self, path: Path) -> None:
        """What it cannot read may be what an ACME server must know."""
        record(path, [entry(device(1)._replace(identity="acme"))])
        data = path.read_bytes()
        path.write_bytes(data.replace(b"client-of-C02000001", b"client-of-C0200000\xff"))
        with pytest.raises(LedgerError) as caught, Ledger.read(path) as ledger:
            list(ledger.entries())
        assert "client" not in str(caught.value)

    def test_a_reader_writes_nothing(self, path: Path) -> None:
        """Whatever it is asked to."""
        ids = record(path, devices(1))
        with Ledger.read(path) as ledger:
            for write in (lambda: ledger.begin([device(9)]), lambda: ledger.supersede(ids), ledger.abandon_interrupted):
                with pytest.raises(LedgerError, match="readonly"):
                    write()


class TestDisk:
    """A disk that is full or cannot be written to."""

    @pytest.fixture
    def small(self, tmp_path: Path) -> Iterator[Path]:
        """A directory on a disk of one MiB of its own."""
        folder = tmp_path / "small"
        folder.mkdir()
        if (
            os.geteuid()
            or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "x", folder], check=False).returncode
        ):
            pytest.skip("only root can mount a small disk")
        yield folder
        subprocess.run(["umount", folder], check=True)

    def test_a_full_disk_undoes_the_batch_alone(self, small: Path) -> None:
        """What was recorded before it is still there, and can be read on."""
        path, done = small / LEDGER_NAME, 0
        error: LedgerError | None = None
        with Ledger.open(path) as ledger:
            while error is None:
                try:
                    ledger.begin([device(number) for number in range(done, done + 100)])
                    done += 100
                except LedgerError as full:
                    error = full
            assert error.message == "cannot be used: database or disk is full"
            assert "free some space" in error.hint
            assert len(list(ledger.history())) == done > 0
        assert states(path) == [BEGUN] * done

    def test_a_disk_that_cannot_be_written_to_is_an_error(self, small: Path) -> None:
        """It can be read all the same."""
        record(small / LEDGER_NAME, devices(3))
        subprocess.run(["mount", "-o", "remount,ro", small], check=True)
        with Ledger.read(small / LEDGER_NAME) as ledger:
            assert ledger.count() == 3
        with pytest.raises(LedgerError):
            Ledger.open(small / LEDGER_NAME)
        with pytest.raises(LedgerError, match="Read-only"), hold(small):
            pass

    def test_a_limit_to_the_size_of_files_undoes_the_batch_alone(self, path: Path) -> None:
        """The same for everybody who is not root."""
        limit = 1024 * 1024
        code = f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
from mdmprofile.errors import LedgerError
done = 0
with Ledger.open(folder / "ledger.sqlite") as ledger:
    try:
        while True:
            ledger.begin([device(number) for number in range(done, done + 100)])
            done += 100
    except LedgerError as error:
        pause(f"{{done}} {{error.message}}")
"""
        with working(code, path.parent) as worker:
            assert worker.process.stdout is not None
            done, _, message = worker.process.stdout.readline().partition(" ")
            assert worker.ended() == 0
        assert message.startswith("cannot be used: ")
        assert states(path) == [BEGUN] * int(done)
        assert int(done)
