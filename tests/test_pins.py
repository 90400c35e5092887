"""Pins in both stores: made, moved, refused, kept; and raced for by processes."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import racing
from mdmprofile.device_messages import DeviceMessage
from mdmprofile.errors import PinError, PinMismatchError, PinStoreError, PinTakenError, PinUnknownError
from mdmprofile.pins import Pin, Reservation, check_pin, fingerprint
from mdmprofile.pins_sql import SqlPinStore
from mdmprofile.pins_sqlite import SqlitePinStore
from mdmprofile.pins_tables import TableStore
from pki import NOW
from postgres import running

Open = Callable[[], TableStore]
A, B, C = ("a" * 64, "b" * 64, "c" * 64)
LATER = NOW + timedelta(hours=1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a real server."""
    with running() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the same, at first empty, store as often as it is called."""
    stores: list[TableStore] = []

    def sqlite() -> TableStore:
        stores.append(SqlitePinStore(tmp_path / "pins.sqlite"))
        return stores[-1]

    def postgresql() -> TableStore:
        stores.append(SqlPinStore(request.getfixturevalue("postgres")))
        return stores[-1]

    if request.param == "sqlite":
        yield sqlite
    else:
        racing.empty(request.getfixturevalue("postgres"))
        yield postgresql
    for each in stores:
        each.close()


def message(udid: str = "", enrollment_id: str = "", *, kind: str = "", serial: str = "") -> DeviceMessage:
    """A message of a device; Authenticate where its kind says so."""
    return DeviceMessage(udid, enrollment_id, kind, "" if kind else "Idle", serial)


def authenticate(store: TableStore, udid: str, certificate: str, *, serial: str = "", twin: str = "") -> Pin:
    """An Authenticate with this certificate."""
    sent = message(udid, kind="Authenticate", serial=serial)
    return check_pin(store, sent, certificate, at=NOW, twin=twin)


def at_once(*some: Callable[[], object]) -> list[Any]:
    """What they return, each called in a thread of its own at the same moment."""
    barrier = threading.Barrier(len(some))

    def work(each: Callable[[], object]) -> object:
        barrier.wait()
        return each()

    with ThreadPoolExecutor(len(some)) as pool:
        return list(pool.map(work, some))


def attempt(store: TableStore, udid: str, certificate: str, *, serial: str = "", twin: str = "") -> bool:
    """Whether an Authenticate gets the certificate; being refused is no error, all else is."""
    try:
        authenticate(store, udid, certificate, serial=serial, twin=twin)
    except PinTakenError:
        return False
    return True


def load(store: TableStore, rows: list[tuple[str, str]]) -> None:
    """Import pins, whatever of them can be."""
    assert len(list(store.load(rows, at=NOW))) <= len(rows)


def reserve(store: TableStore, rows: list[Reservation]) -> None:
    """Import what was issued, whatever of it can be."""
    assert len(list(store.reserve(rows, at=NOW))) <= len(rows)


class TestRules:
    """What a device may do."""

    def test_authenticate_pins_and_every_other_message_has_to_match(self, opened: Open) -> None:
        """The pin is found again by another process too, whatever the case of the UDID."""
        store = opened()
        with pytest.raises(PinUnknownError):
            check_pin(store, message("U1"), A, at=NOW)
        assert authenticate(store, "U1", A) == Pin("U1", A, NOW)
        for kind in ("", "TokenUpdate", "CheckOut", "DeclarativeManagement", "SomethingNew"):
            assert check_pin(opened(), message("u1", kind=kind), A, at=LATER) == Pin("U1", A, NOW)
            with pytest.raises(PinMismatchError):
                check_pin(store, message("U1", kind=kind), B, at=LATER)

    def test_only_a_new_authenticate_moves_the_pin(self, opened: Open) -> None:
        """After that the old certificate is refused; the way back is another Authenticate."""
        store = opened()
        authenticate(store, "U1", A)
        authenticate(store, "U1", B)
        with pytest.raises(PinMismatchError):
            check_pin(store, message("U1"), A, at=NOW)
        assert check_pin(store, message("U1"), B, at=NOW)
        assert authenticate(store, "U1", A).certificate == A

    def test_certificate_of_another_device_is_refused_for_good(self, opened: Open) -> None:
        """Also when that device has got a new one since; nothing changes, and it says nothing of the owner."""
        store = opened()
        authenticate(store, "OWNER", A)
        authenticate(store, "OWNER", B)
        authenticate(store, "U2", C)
        for certificate in (A, B):
            with pytest.raises(PinTakenError) as caught:
                authenticate(store, "U2", certificate)
            assert "OWNER" not in str(caught.value)
        assert check_pin(store, message("U2"), C, at=NOW)
        assert check_pin(store, message("OWNER"), B, at=NOW)

    def test_twin_of_a_certificate_is_the_same_device_s(self, opened: Open) -> None:
        """Either of both is refused for another, in whatever order they come."""
        store = opened()
        authenticate(store, "U1", A, twin=B)
        for certificate, twin in ((B, A), (B, ""), (C, A)):
            with pytest.raises(PinTakenError):
                authenticate(store, "U2", certificate, twin=twin)
        assert authenticate(store, "U1", B, twin=A).certificate == B

    def test_enrollment_id_of_a_user_enrollment_is_pinned_like_a_udid(self, opened: Open) -> None:
        """There is no UDID then."""
        store = opened()
        check_pin(store, message("", "E1", kind="Authenticate"), A, at=NOW)
        assert check_pin(store, message("", "E1"), A, at=NOW).identifier == "E1"
        with pytest.raises(PinMismatchError):
            check_pin(store, message("", "E1"), B, at=NOW)

    def test_second_name_of_another_device_is_refused(self, opened: Open) -> None:
        """A server that reads the other one would take the message for that device's."""
        store = opened()
        check_pin(store, message("", "VICTIM", kind="Authenticate"), A, at=NOW)
        authenticate(store, "U1", B)
        for kind in ("", "Authenticate"):
            with pytest.raises(PinMismatchError):
                check_pin(store, message("U1", "VICTIM", kind=kind), B, at=NOW)
        assert check_pin(store, message("U1", "NOBODY"), B, at=NOW)

    def test_removed_device_is_unknown_and_its_certificates_are_free(self, opened: Open) -> None:
        """All of them; other devices stay as they are."""
        store = opened()
        authenticate(store, "U1", A)
        authenticate(store, "U1", B)
        authenticate(store, "U2", C)
        assert store.remove("u1", at=LATER)
        assert not store.remove("U1", at=LATER)
        with pytest.raises(PinUnknownError):
            check_pin(store, message("U1"), B, at=NOW)
        assert authenticate(store, "U3", A)
        assert authenticate(store, "U4", B)
        assert check_pin(store, message("U2"), C, at=NOW)

    def test_history_tells_everything_in_order(self, opened: Open) -> None:
        """An Authenticate that changes nothing is no event."""
        store = opened()
        authenticate(store, "U1", A)
        authenticate(store, "U1", A)
        authenticate(store, "U2", C)
        authenticate(store, "U1", B)
        store.remove("U1", at=LATER)
        assert store.add("U1", A, at=LATER) == Pin("U1", A, LATER)
        told = [(each.identifier, each.certificate, each.what, each.at) for each in store.history("u1")]
        assert told == [
            ("U1", A, "pinned", NOW),
            ("U1", B, "moved", NOW),
            ("U1", A, "removed", LATER),
            ("U1", B, "removed", LATER),
            ("U1", A, "added", LATER),
        ]
        assert len(list(store.history())) == 6

    def test_all_pins_are_listed_however_many(self, opened: Open) -> None:
        """By identifier, in pieces."""
        store = opened()
        for number in range(1005 if isinstance(store, SqlitePinStore) else 30):
            authenticate(store, f"U{number:04}", f"{number:064x}")
        names = [each.identifier for each in store.pins()]
        assert names == sorted(names)
        assert len(names) >= 30


class TestReservations:
    """Certificates that were issued for a device which has not come yet."""

    def test_issued_certificate_is_refused_for_another_device_the_first_time(self, opened: Open) -> None:
        """The device that it was issued for is not pinned by that, but may authenticate."""
        store = opened()
        assert list(store.reserve([Reservation("U1", "S1", A)], at=NOW)) == []
        with pytest.raises(PinTakenError):
            authenticate(store, "U2", A)
        with pytest.raises(PinUnknownError):
            check_pin(store, message("U1"), A, at=NOW)
        assert authenticate(store, "u1", A)

    def test_certificate_of_a_serial_number_is_for_the_device_that_says_it(self, opened: Open) -> None:
        """Where the table had no UDIDs; a device that leaves its serial number out could be any."""
        store = opened()
        assert list(store.reserve([Reservation("", "S1", A)], at=NOW)) == []
        for serial in ("S2", ""):
            with pytest.raises(PinTakenError):
                authenticate(store, "U2", A, serial=serial)
        assert authenticate(store, "U1", A, serial="s1")
        with pytest.raises(PinTakenError):
            authenticate(store, "U2", A, serial="S1")

    def test_conflicts_come_back_and_the_rest_goes_in(self, opened: Open) -> None:
        """Any number of times: a ledger grows."""
        store = opened()
        authenticate(store, "U1", A)
        rows = [Reservation("U2", "", A), Reservation("U1", "", A), Reservation("U3", "", B), Reservation("", "S4", C)]
        for _ in range(2):
            assert list(store.reserve(rows, at=NOW)) == [Reservation("U2", "", A)]
        with pytest.raises(PinTakenError):
            authenticate(store, "U1", B)

    def test_conflicts_are_found_among_however_many(self, opened: Open) -> None:
        """More than go into one statement, and more than into one transaction."""
        store = opened()
        rows = [Reservation(f"U{number}", "", f"{number:064x}") for number in range(5600)]
        theirs = [rows[number]._replace(identifier="OTHER") for number in (0, 499, 500, 4999, 5000, 5599)]
        assert list(store.reserve(theirs, at=NOW)) == []
        assert list(store.reserve(rows, at=NOW)) == [rows[number] for number in (0, 499, 500, 4999, 5000, 5599)]

    def test_administrator_may_pin_what_was_reserved_for_a_serial_number(self, opened: Open) -> None:
        """He knows which device has it; what is another device's is refused him too."""
        store = opened()
        assert list(store.reserve([Reservation("", "S1", A), Reservation("U2", "", B)], at=NOW)) == []
        store.add("U1", A, at=NOW)
        with pytest.raises(PinTakenError):
            store.add("U1", B, at=NOW)
        assert check_pin(store, message("U1"), A, at=NOW)

    def test_reserved_certificate_is_set_free_with_its_device(self, opened: Open) -> None:
        """The device has no pin to remove, but a certificate; that it was freed is on record."""
        store = opened()
        assert list(store.reserve([Reservation("U1", "", A)], at=NOW)) == []
        assert store.remove("U1", at=LATER)
        assert authenticate(store, "U2", A)
        assert [each.what for each in store.history("U1")] == ["removed"]


class TestAdministrators:
    """What is decided by hand."""

    def test_certificate_of_another_device_is_taken_by_force_alone(self, opened: Open) -> None:
        """That device is removed, with all its certificates: one that stayed could be the other's twin."""
        store = opened()
        authenticate(store, "U1", A, twin=B)
        with pytest.raises(PinTakenError):
            store.add("U2", A, at=LATER)
        assert store.add("U2", A, at=LATER, force=True) == Pin("U2", A, LATER)
        with pytest.raises(PinUnknownError):
            check_pin(store, message("U1"), A, at=LATER)
        assert authenticate(store, "U2", A, twin=B)
        with pytest.raises(PinTakenError):
            authenticate(store, "U1", A, twin=B)
        assert [each.what for each in store.history()] == ["pinned", "removed", "removed", "added"]

    def test_added_pin_moves_one_that_is_there(self, opened: Open) -> None:
        """An administrator knows; the former certificate stays the device's."""
        store = opened()
        authenticate(store, "U1", A)
        assert store.add("u1", B, at=LATER).certificate == B
        with pytest.raises(PinTakenError):
            authenticate(store, "U2", A)

    def test_imported_pins_move_none_that_is_here(self, opened: Open) -> None:
        """An export that is imported again would lock out every device that has renewed its certificate since."""
        store = opened()
        rows = [("U1", A), ("U2", A), ("U3", C)]
        assert [(type(each), each.rule) for each in store.load(rows, at=NOW)] == [(PinTakenError, "pin.taken")]
        authenticate(store, "U1", B)
        refused = [(type(each), each.where) for each in store.load(rows, at=LATER)]
        assert [each for each, _ in refused] == [PinMismatchError, PinTakenError]
        assert refused[0][1] == "U1"
        assert [(each.identifier, each.certificate) for each in store.pins()] == [("U1", B), ("U3", C)]
        assert [each.what for each in store.history()] == ["imported", "imported", "moved"]


class TestRaces:
    """Several at once."""

    @pytest.mark.parametrize("store", ["sqlite", "postgresql"])
    def test_exactly_one_of_eight_processes_gets_the_certificate(
        self, store: str, tmp_path: Path, request: pytest.FixtureRequest
    ) -> None:
        """Forty times over, each at the same moment."""
        place = str(tmp_path / "pins.sqlite") if store == "sqlite" else request.getfixturevalue("postgres")
        if store == "postgresql":
            racing.empty(place)
        assert racing.race(place, rounds=40, processes=8) == [1] * 40

    def test_exactly_one_gets_a_certificate_of_a_serial_number(self, opened: Open) -> None:
        """All of them say that serial number; those that come too late hear that it is taken, not that it failed."""
        store = opened()
        for turn in range(20):
            certificate = f"{turn:064x}"
            assert list(store.reserve([Reservation("", "S1", certificate)], at=NOW)) == []
            names = [f"U{turn}-{number}" for number in range(6)]
            assert sum(at_once(*[partial(attempt, store, each, certificate, serial="S1") for each in names])) == 1

    def test_pin_s_certificate_is_never_free(self, opened: Open) -> None:
        """However devices that authenticate and an administrator who removes, adds and imports come together."""
        store = opened()
        for turn in range(25):
            one, other, free = (f"{turn * 10 + number:064x}" for number in range(3))
            first, second = f"U{turn}", f"V{turn}"
            authenticate(store, first, one, twin=other)
            issued = [Reservation(first, "", other), Reservation(second, "", one)]
            at_once(
                partial(attempt, store, first, one, twin=other),
                partial(attempt, store, second, other, twin=one),
                partial(store.remove, first, at=NOW),
                partial(store.add, second, free, at=NOW, force=True),
                partial(load, store, [(first, free), (second, one)]),
                partial(load, store, [(second, one), (first, other)]),
                partial(reserve, store, issued),
            )
            for pin in filter(None, map(store.find, (first, second))):
                assert store.owner(pin.certificate) == (pin.identifier.casefold(), "")

    def test_new_file_is_made_once(self, tmp_path: Path) -> None:
        """Eight processes that open the same absent file."""
        with multiprocessing.get_context("spawn").Pool(8) as pool:
            results = pool.starmap(racing.pin_one, [(str(tmp_path / "pins.sqlite"), number) for number in range(8)])
        assert results == [True] * 8
        with SqlitePinStore(tmp_path / "pins.sqlite") as store:
            assert len(list(store.pins())) == 8

    def test_devices_that_try_each_other_s_certificates_do_not_wait_for_ever(self, opened: Open) -> None:
        """Threads that move two devices to and fro, with twins."""
        store = opened()
        barrier = threading.Barrier(4)

        def work(number: int) -> int:
            barrier.wait()
            refused = 0
            for turn in range(20):
                certificate, twin = (A, B) if (turn + number) % 2 else (B, A)
                try:
                    authenticate(store, f"U{number % 2}", certificate, twin=twin)
                except PinTakenError:
                    refused += 1
            return refused

        with ThreadPoolExecutor(4) as pool:
            refusals = list(pool.map(work, range(4)))
        assert sorted(refusals) == [0, 0, 20, 20]

    def test_store_can_be_used_after_a_fork(self, opened: Open) -> None:
        """As servers do that load the application first; nobody gets another process's answers."""
        store = opened()
        authenticate(store, "U1", A)
        children = []
        for number in range(3):
            children.append(os.fork())
            if children[-1] == 0:
                status = 1
                try:
                    authenticate(store, f"CHILD{number}", f"{number:064x}")
                    for _ in range(100):
                        assert store.find(f"CHILD{number}") == Pin(f"CHILD{number}", f"{number:064x}", NOW)
                    status = 0
                finally:
                    os._exit(status)
        for _ in range(100):
            assert store.find("U1") == Pin("U1", A, NOW)
        assert [os.waitpid(each, 0)[1] for each in children] == [0, 0, 0]
        assert [each.identifier for each in store.pins()] == ["CHILD0", "CHILD1", "CHILD2", "U1"]


class TestFiles:
    """The SQLite file."""

    def test_file_is_its_owner_s_alone(self, tmp_path: Path) -> None:
        """It says who has which device."""
        with SqlitePinStore(tmp_path / "pins.sqlite"):
            assert stat.S_IMODE((tmp_path / "pins.sqlite").stat().st_mode) == 0o600

    @pytest.mark.parametrize("content", [b"x" * 5000, b"SQLite format 3\0" + b"\xff" * 5000])
    def test_other_file_is_refused_and_stays_as_it_is(self, content: bytes, tmp_path: Path) -> None:
        """Whatever it is."""
        file = tmp_path / "pins.sqlite"
        file.write_bytes(content)
        with pytest.raises(PinStoreError):
            SqlitePinStore(file)
        assert file.read_bytes() == content

    def test_other_database_is_refused_and_stays_as_it_is(self, tmp_path: Path) -> None:
        """A ledger, for one, or one of a newer version."""
        file = tmp_path / "pins.sqlite"
        with sqlite3.connect(file) as connection:
            connection.execute("CREATE TABLE other (x)")
        connection.close()
        before = file.read_bytes()
        with pytest.raises(PinStoreError, match="something else"):
            SqlitePinStore(file)
        assert file.read_bytes() == before
        with SqlitePinStore(tmp_path / "new.sqlite"):
            pass
        with sqlite3.connect(tmp_path / "new.sqlite") as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
        with pytest.raises(PinStoreError, match="another version"):
            SqlitePinStore(tmp_path / "new.sqlite")

    def test_empty_database_of_another_program_is_refused_and_stays_as_it_is(self, tmp_path: Path) -> None:
        """It has no tables yet, but says whose it is."""
        file = tmp_path / "pins.sqlite"
        with sqlite3.connect(file) as connection:
            connection.execute("PRAGMA application_id = 7")
        connection.close()
        before = file.read_bytes()
        with pytest.raises(PinStoreError, match="something else"):
            SqlitePinStore(file)
        assert file.read_bytes() == before

    def test_whoever_looks_a_pin_up_waits_for_nobody_who_writes(self, tmp_path: Path) -> None:
        """In a thread that has not asked before either, and in a store that is only opened then."""
        with SqlitePinStore(tmp_path / "pins.sqlite") as store:
            authenticate(store, "U1", A)
            writer = sqlite3.connect(tmp_path / "pins.sqlite", isolation_level=None)
            writer.execute("BEGIN IMMEDIATE")
            with ThreadPoolExecutor(1) as pool:
                looked = pool.submit(store.find, "U1")
                opened = pool.submit(SqlitePinStore, tmp_path / "pins.sqlite")
                wait([looked], timeout=10)
                wait([opened], timeout=10)
                waited = not looked.done() or not opened.done()
                writer.execute("ROLLBACK")
                writer.close()
                opened.result().close()
            assert not waited
            assert looked.result() == Pin("U1", A, NOW)

    def test_absent_file_is_made_only_where_that_is_asked(self, tmp_path: Path) -> None:
        """Who lists the pins of a misspelt file wants to know."""
        with pytest.raises(PinStoreError, match="does not exist"):
            SqlitePinStore(tmp_path / "pins.sqlite", create=False)
        assert not list(tmp_path.iterdir())
        with pytest.raises(PinStoreError):
            SqlitePinStore(tmp_path / "absent" / "pins.sqlite")

    def test_text_that_cannot_be_stored_is_an_error_of_ours(self, tmp_path: Path) -> None:
        """Half a surrogate pair, which JSON can hold."""
        with SqlitePinStore(tmp_path / "pins.sqlite") as store, pytest.raises(PinStoreError):
            authenticate(store, "U\ud800", A)


class TestDatabase:
    """What only PostgreSQL's store has."""

    @pytest.mark.parametrize(
        "url",
        [
            "postgresql://mdm:secret-word@localhost:1/nothing",
            "postgresql+psycopg://mdm:secret-word@/x?host=/nowhere",
            "postgresql://mdm@localhost:1/x?password=secret-word",
            "postgresql://mdm@localhost:1/x?sslpassword=secret-word&sslkey=secret-word",
            "postgresql://mdm:secret-word@localhost:port/x",
            "mysql://mdm:secret-word@localhost/x",
            "sqlite:///secret-word.sqlite",
            "secret-word",
            "postgresql://mdm:p@secret-word@localhost:1/x",
            "postgresql://mdm:p@x/secret-word@localhost:1/x",
            "postgresql+unknown://mdm:secret-word@localhost/x",
        ],
    )
    def test_database_that_cannot_be_used_is_an_error_without_the_password(self, url: str) -> None:
        """Nor is it in the representation."""
        with pytest.raises(PinStoreError) as caught:
            SqlPinStore(url)
        assert caught.value.hint
        assert "secret-word" not in str(caught.value) + repr(caught.value)

    def test_password_does_not_show(self, postgres: str) -> None:
        """In a log of a server, for one."""
        with SqlPinStore(postgres) as store:
            assert "not-needed" not in repr(store)
            assert "postgresql" in repr(store)

    def test_no_device_waits_for_ever(self, postgres: str) -> None:
        """For a server that does not answer, unless the URL says so, nor for whoever holds a certificate."""
        separator = "&" if "?" in postgres else "?"
        for more, expected in (("", "10"), (f"{separator}connect_timeout=33", "33")):
            with SqlPinStore(postgres + more) as store, store._engine.connect() as connection:
                driver: Any = connection.connection.driver_connection
                assert driver.info.get_parameters()["connect_timeout"] == expected
        with SqlPinStore(postgres) as store, store._writing() as run:
            assert run("SHOW lock_timeout", {}) == [("20s",)]

    def test_tables_of_another_version_are_refused(self, postgres: str) -> None:
        """Before anything is written to them."""
        racing.empty(postgres)
        SqlPinStore(postgres).close()
        racing.execute(postgres, "UPDATE mdm_pin_version SET version = 99")
        with pytest.raises(PinStoreError, match="another version"):
            SqlPinStore(postgres)
        racing.empty(postgres)


@pytest.mark.parametrize("text", ["AB" * 32, ":".join(["ab"] * 32), f" {'ab' * 32}\n"])
def test_fingerprints_are_read_as_people_write_them(text: str) -> None:
    """As openssl and browsers show them."""
    assert fingerprint(text) == "ab" * 32


@pytest.mark.parametrize("text", ["", "ab" * 31, "ab" * 33, "zz" * 32, "\N{FULLWIDTH LATIN SMALL LETTER A}b" * 32])
def test_other_text_is_no_fingerprint(text: str) -> None:
    """It would never match."""
    with pytest.raises(PinError):
        fingerprint(text)
