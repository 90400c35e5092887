"""What ``batch`` does where it cannot write, may not issue, or gets a table that somebody else's program wrote."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from batches import (
    ISSUED,
    SCEP,
    assert_in_order,
    device_ca,
    devices_csv,
    files_of,
    fleet_site,
    payload_of,
    rows_of,
    set_identity,
    write_ca,
)
from conftest import Command, Outcome
from killing import assert_halfway, assert_whole
from mdmprofile.batch import STAGING
from mdmprofile.ledger import LEDGER_NAME, MADE
from mdmprofile.moments import stamp
from pki import DAY, NOW, Entity, Site, ec_key, issue, root_ca

AT = stamp(NOW)
Disk = Callable[[str], Path]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk of its own, of the size that is asked for; only root can have one."""
    mounted: list[Path] = []

    def make(size: str) -> Path:
        place = tmp_path / "disk"
        place.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        if sys.platform != "linux" or subprocess.run(words, capture_output=True, check=False).returncode:
            pytest.skip("only root may mount a disk")
        mounted.append(place)
        return place

    yield make
    for each in mounted:
        subprocess.run(["umount", str(each)], check=True)


def batch(site: Site, *flags: str | Path, out: Path | None = None, limit: int = 0) -> subprocess.CompletedProcess[str]:
    """Run it in a process of its own, which may write no file larger than ``limit`` where that is given."""
    code = (
        "import resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY)) if {limit} else None\n"
        "from mdmprofile.cli import run\nsys.exit(run(sys.argv[1:]))"
    )
    words = ["batch", site.folder / "devices.csv", "-c", site.config, "-o", out or site.folder / "out", "--at", AT]
    command = [sys.executable, "-c", code, *map(str, [*words, *flags])]
    # The record of what was executed is a file too, and may be larger.
    environment = {name: value for name, value in os.environ.items() if not (limit and name.startswith("COVERAGE_"))}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def with_devices(site: Site, count: int) -> Site:
    """The site with a table of so many devices."""
    (site.folder / "devices.csv").write_text(devices_csv(count, "challenge"))
    return site


def assert_one_line(done: subprocess.CompletedProcess[str] | Outcome) -> str:
    """One error, and what it says."""
    text = done.stderr if isinstance(done, subprocess.CompletedProcess) else done.err
    lines = [each for each in text.splitlines() if each.strip()]
    assert len(lines) == 1, text
    assert lines[0].startswith("mdmprofile: error: ")
    return lines[0]


# Where it writes


@pytest.mark.parametrize(("jobs", "left"), [("1", 64 * 1024), ("1", 500 * 1024), ("2", 400 * 1024)])
def test_full_disk_stops_the_run_and_room_lets_it_go_on(tmp_path: Path, disk: Disk, jobs: str, left: int) -> None:
    """Exit code 3, one line, no half file; what was made until then is good, and each device is made once."""
    place = disk("8m")
    site = with_devices(fleet_site(tmp_path / "site"), 100)
    ballast = place / "ballast"
    ballast.write_bytes(bytes(8 * 1024 * 1024 - left))
    done = batch(site, "--jobs", jobs, out=place / "out")
    assert done.returncode == 3
    line = assert_one_line(done)
    assert "space" in line
    assert_halfway(place / "out")
    # The disk is as full as before.
    done = batch(site, "--jobs", jobs, out=place / "out")
    assert done.returncode == 3
    assert "space" in assert_one_line(done)
    assert_halfway(place / "out")
    ballast.unlink()
    done = batch(site, "--jobs", jobs, out=place / "out")
    assert (done.returncode, done.stderr) == (0, "")
    (site.folder / "out").symlink_to(place / "out")
    assert_whole(site, 100)


@pytest.mark.parametrize("limit", [3_000, 20_000, 50_000])
def test_file_that_may_not_grow_stops_the_run(tmp_path: Path, limit: int) -> None:
    """A quota is a full disk too."""
    site = with_devices(fleet_site(tmp_path), 80)
    done = batch(site, "--jobs", "1", limit=limit)
    assert done.returncode == 3
    assert_one_line(done)
    assert_halfway(tmp_path / "out")
    done = batch(site, "--jobs", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert_whole(site, 80)


def test_full_disk_while_the_archive_is_written_leaves_none(tmp_path: Path, disk: Disk) -> None:
    """The profiles are there; the next run makes the archive of them."""
    place = disk("400k")
    site = with_devices(fleet_site(tmp_path / "site"), 100)
    done = batch(site, "--archive", place / "all.tar")
    assert done.returncode == 3
    assert f"{place}/all.tar: cannot be written: No space left" in assert_one_line(done)
    assert list(place.iterdir()) == []
    done = batch(site, "--archive", tmp_path / "all.tar")
    assert done.returncode == 0
    assert "with one already" in done.stdout
    assert_whole(site, 100)


def test_directory_that_cannot_be_written_is_an_error(tmp_path: Path, disk: Disk) -> None:
    """As it stands on a disk that is read-only, with and without a ledger in it."""
    place = disk("8m")
    site = with_devices(fleet_site(tmp_path / "site"), 3)
    assert batch(site, out=place / "out").returncode == 0
    (site.folder / "devices.csv").write_text(devices_csv(5, "challenge"))
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    for out in (place, place / "new", place / "out"):
        done = batch(site, out=out)
        assert done.returncode == 3
        line = assert_one_line(done)
        assert str(place) in line
        assert "permissions" in line
    subprocess.run(["mount", "-o", "remount,rw", str(place)], check=True)
    assert batch(site, out=place / "out").returncode == 0
    assert len(assert_in_order(place / "out")) == 5


# Root may write everywhere, so there is nothing to be seen as root.
if not hasattr(os, "geteuid") or os.geteuid() != 0:

    def test_permission_that_is_missing_is_an_error(tmp_path: Path) -> None:
        """For the directory as for the ledger."""
        site = with_devices(fleet_site(tmp_path), 3)
        assert batch(site).returncode == 0
        for place, mode in ((tmp_path / "out", 0o555), (tmp_path / "out" / LEDGER_NAME, 0o444)):
            before = place.stat().st_mode
            place.chmod(mode)
            done = batch(site)
            place.chmod(before)
            assert done.returncode == 3
            assert "permissions" in assert_one_line(done)
        assert batch(site).returncode == 0


def a_file(out: Path) -> None:
    """A file of somebody."""
    out.write_text("mine")


def a_link_to_nothing(out: Path) -> None:
    """A link whose target was removed."""
    out.symlink_to("nothing")


def a_link_in_a_circle(out: Path) -> None:
    """A link to itself."""
    out.symlink_to(out)


def a_file_above(out: Path) -> None:
    """A directory below what is a file."""
    (out.parent / "file").write_text("mine")
    out.symlink_to("file/below")


@pytest.mark.parametrize("make", [a_file, a_link_to_nothing, a_link_in_a_circle, a_file_above])
def test_what_is_no_directory_is_not_written_over(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """Whatever is called like it stays."""
    site = with_devices(fleet_site(tmp_path), 2)
    make(tmp_path / "out")
    before = sorted(tmp_path.iterdir())
    done = batch(site)
    assert done.returncode == 3
    assert f"{tmp_path}/out: " in assert_one_line(done)
    assert sorted(tmp_path.iterdir()) == before


def test_link_to_a_directory_is_followed(tmp_path: Path) -> None:
    """As a file system on another disk is put in the place."""
    site = with_devices(fleet_site(tmp_path), 3)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").symlink_to("elsewhere")
    assert batch(site).returncode == 0
    assert (tmp_path / "out").is_symlink()
    assert len(assert_in_order(tmp_path / "elsewhere")) == 3
    assert_whole(site, 3)


@pytest.mark.parametrize("name", [LEDGER_NAME, STAGING, ".mdmprofile-lock", "S00001.mobileconfig"])
def test_something_else_where_a_file_of_ours_belongs_is_an_error_until_it_is_gone(tmp_path: Path, name: str) -> None:
    """It is named, it stays, and the run goes on when it was moved away."""
    site = with_devices(fleet_site(tmp_path), 3)
    other = tmp_path / "out" / name
    other.parent.mkdir()
    if name == STAGING:
        other.write_text("mine")
    else:
        (other / "inside").mkdir(parents=True)
    done = batch(site)
    assert done.returncode == 3
    assert "out" in assert_one_line(done)
    assert other.exists()
    other.rename(tmp_path / "moved")
    done = batch(site)
    assert (done.returncode, done.stderr) == (0, "")
    assert_whole(site, 3)


@pytest.mark.parametrize("kind", ["text", "empty", "database", "damaged"])
def test_other_file_in_the_ledgers_place_is_not_touched(tmp_path: Path, kind: str) -> None:
    """Nothing is made that would not be recorded."""
    site = with_devices(fleet_site(tmp_path), 3)
    assert batch(site).returncode == 0
    ledger = tmp_path / "out" / LEDGER_NAME
    if kind == "database":
        ledger.unlink()
        with sqlite3.connect(ledger) as database:
            database.execute("CREATE TABLE mine (x)")
    else:
        whole = ledger.read_bytes()
        ledger.write_bytes(
            {"text": b"mine", "empty": b"", "damaged": whole[:4096] + b"\xff" * (len(whole) - 4096)}[kind]
        )
    kept = [path for path in (tmp_path / "out").iterdir() if path.is_file() and (kind != "damaged" or path != ledger)]
    before = {path: path.read_bytes() for path in kept}
    (site.folder / "devices.csv").write_text(devices_csv(4, "challenge"))
    done = batch(site)
    if kind == "empty":
        # As it is after a crash at the very beginning; the profiles beside it are made again.
        assert done.returncode == 0
        assert_whole(site, 4)
        return
    assert done.returncode == 3
    assert f"{ledger}: cannot be used" in assert_one_line(done)
    assert {path: path.read_bytes() for path in before} == before
    assert not (tmp_path / "out" / "S00003.mobileconfig").exists()


def test_archive_in_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """Said in one line; the profiles are there."""
    site = with_devices(fleet_site(tmp_path), 3)
    done = batch(site, "--archive", tmp_path / "nowhere" / "all.tar")
    assert done.returncode == 3
    assert "nowhere/all.tar: its directory does not exist" in assert_one_line(done)
    assert_whole(site, 3)


def test_reader_of_the_archive_can_leave(tmp_path: Path) -> None:
    """Nobody reads the tar to its end, and nothing is made of that but an exit code."""
    site = with_devices(fleet_site(tmp_path), 100)
    words = [sys.executable, "-m", "mdmprofile", "batch", "devices.csv", "-o", "out", "--at", AT, "--archive", "-"]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(10)
        process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == 3
    assert b"Traceback" not in said
    assert_whole(site, 100)


# Who issues


def no_key_cert_sign(site: Site) -> None:
    """A CA with a keyUsage that does not allow it."""
    write_ca(site, device_ca(site, key_cert_sign=False))


def no_ca(site: Site) -> None:
    """A certificate that is no CA."""
    write_ca(site, issue("Device CA", site.root, key=ec_key()))


def expired(site: Site) -> None:
    """A CA that has ended."""
    write_ca(site, issue("Device CA", site.root, key=ec_key(), ca=True, start=NOW - 9 * DAY, end=NOW - DAY))


def not_valid_yet(site: Site) -> None:
    """A CA of tomorrow."""
    write_ca(site, issue("Device CA", site.root, key=ec_key(), ca=True, start=NOW + DAY, end=NOW + 900 * DAY))


def too_deep(site: Site) -> None:
    """A CA below one that allows none below it."""
    above = issue("Low CA", site.root, ca=True, path_length=0, end=NOW + 900 * DAY)
    ca = issue("Device CA", above, key=ec_key(), ca=True, end=NOW + 800 * DAY)
    write_ca(site, Entity(ca.certificate, ca.key))
    (site.folder / "ca.pem").write_bytes(ca.pem + above.pem + site.root.pem)


def key_of_another(site: Site) -> None:
    """A key that is not the certificate's."""
    (site.folder / "ca.key").write_bytes(root_ca(key=ec_key()).key_pem())


def no_key_file(site: Site) -> None:
    """No key."""
    (site.folder / "ca.key").unlink()


def no_certificate_file(site: Site) -> None:
    """No certificate."""
    (site.folder / "ca.pem").unlink()


def wrong_password(site: Site) -> None:
    """A password that does not open the key."""
    ca = device_ca(site)
    (site.folder / "ca.pem").write_bytes(ca.pem)
    (site.folder / "ca.key").write_bytes(ca.key_pem("right"))
    set_identity(site, f'{ISSUED}ca_key_password = "wr0ng-s3cret"\n')


def no_password(site: Site) -> None:
    """A key with a password that nobody gave."""
    ca = device_ca(site)
    (site.folder / "ca.pem").write_bytes(ca.pem)
    (site.folder / "ca.key").write_bytes(ca.key_pem("right"))


def rubbish(site: Site) -> None:
    """A key that is none."""
    key = (site.folder / "ca.key").read_bytes()
    # Its lines, but for the ones in the middle.
    (site.folder / "ca.key").write_bytes(b"".join((*key.splitlines(True)[:1], b"AAAA\n", *key.splitlines(True)[-1:])))


@pytest.mark.parametrize(
    ("spoil", "code", "said"),
    [
        (no_key_cert_sign, 2, "issuer.key-usage"),
        (no_ca, 2, "issuer.not-ca"),
        (expired, 2, "issuer.expired"),
        (not_valid_yet, 2, "issuer.expired"),
        (too_deep, 2, "issuer.path-length"),
        (key_of_another, 2, "issuer.key-mismatch"),
        (no_key_file, 3, "ca.key: no such file"),
        (no_certificate_file, 3, "ca.pem: no such file"),
        (wrong_password, 3, "ca.key"),
        (no_password, 3, "identity.ca_key_password"),
        (rubbish, 3, "ca.key"),
    ],
)
def test_ca_that_may_not_or_cannot_issue_stops_the_run_before_it_writes(
    tmp_path: Path, mdmprofile: Command, spoil: Callable[[Site], None], code: int, said: str
) -> None:
    """One finding or one line, not one for each device."""
    site = with_devices(fleet_site(tmp_path), 50)
    spoil(site)
    words = ("batch", tmp_path / "devices.csv", "-c", site.config, "-o", tmp_path / "out", "--at", AT)
    outcome = mdmprofile(*words)
    assert outcome.code == code, outcome.out + outcome.err
    if code == 2:
        found = [each.rpartition("[")[2] for each in outcome.out.splitlines() if each.startswith("error")]
        # An expired CA is in the report's list of what ends, too.
        assert found[-1] == f"{said}]"
        assert len(found) <= 2
        assert "Nothing was written." in outcome.out
    else:
        assert said in assert_one_line(outcome)
    assert "s3cret" not in outcome.out + outcome.err
    assert not (tmp_path / "out").exists()


def test_identity_ends_with_a_ca_that_ends_first(tmp_path: Path, mdmprofile: Command) -> None:
    """A warning, once; the certificates and the ledger say when."""
    site = with_devices(fleet_site(tmp_path), 3)
    write_ca(site, device_ca(site, days=200))
    words = ("batch", tmp_path / "devices.csv", "-c", site.config, "-o", tmp_path / "out", "--at", AT)
    outcome = mdmprofile(*words, "--format", "json")
    assert outcome.code == 0
    assert outcome.rules.count("issuer.validity-cut") == 1
    assert {each.entry.not_after for each in assert_in_order(tmp_path / "out").values()} == {NOW + 200 * DAY}


# Tables


GOOD = "serial,udid,challenge\nS1,U1,chällenge\nS2,U2,c2\n"


@pytest.mark.parametrize(
    ("table", "flags"),
    [
        (GOOD.encode("utf-8-sig"), ()),
        (GOOD.replace("\n", "\r\n").encode(), ()),
        (GOOD.replace("\n", "\r").encode(), ()),
        (GOOD.replace(",", ";").encode(), ()),
        (GOOD.replace(",", "\t").encode("utf-16"), ()),
        (GOOD.encode("latin-1"), ("--encoding", "latin-1")),
        (GOOD.rstrip().encode(), ()),
        (GOOD.replace("serial,udid", "Serial Number, Device UDID ").encode(), ()),
        (GOOD.replace("\n", ",,\n").encode() + b",,,,\n\n", ()),
        (b'{"serial": "S1", "udid": "U1", "challenge": "ch\\u00e4llenge"}\n{"serial": "S2", "challenge": "c2"}\n', ()),
        (b'{"serial": "S1", "udid": "U1", "challenge": "ch\xc3\xa4llenge"}\n{"serial": "S2", "challenge": "c2"}', ()),
    ],
    ids=[
        "bom",
        "crlf",
        "cr",
        "semicolons",
        "utf-16",
        "latin-1",
        "no-end",
        "names",
        "empty-columns",
        "jsonl",
        "jsonl-utf8",
    ],
)
def test_table_of_any_program_is_read(
    tmp_path: Path, mdmprofile: Command, table: bytes, flags: tuple[str, ...]
) -> None:
    """As spreadsheets and inventories on any system write it."""
    site = fleet_site(tmp_path, SCEP)
    (tmp_path / "devices.csv").write_bytes(table)
    words = ("batch", tmp_path / "devices.csv", "-c", site.config, "-o", tmp_path / "out", "--at", AT)
    outcome = mdmprofile(*words, *flags)
    assert outcome.code == 0, outcome.out + outcome.err
    assert [each.entry.serial for each in rows_of(tmp_path / "out") if each.state == MADE] == ["S1", "S2"]
    data = (tmp_path / "out" / "S1.mobileconfig").read_bytes()
    assert payload_of(data, "scep")["PayloadContent"]["Challenge"] == "chällenge"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (b"", "devices.csv: holds no device"),
        (b"\n\n", "devices.csv: holds no device"),
        (b"serial,challenge\n", "devices.csv: holds no device"),
        (b"serial,challenge,Serial\nS1,c,S1\n", "devices.csv:1: the columns 'serial' and 'Serial' have the same name"),
        (b"serial\nS1\n", "devices.csv:1: has no column challenge"),
        (b"name,challenge,serials\nx,c,S1\n", "devices.csv:1: has no column serial or udid"),
        (GOOD.encode("latin-1"), "devices.csv:2: is not text in UTF-8"),
        (b'[{"serial": "S1"}]', "devices.csv: is a JSON array"),
        (b"PK\x03\x04\x00\x00", "devices.csv: is a spreadsheet"),
        (b'serial,challenge\nS1,"c\nS2,c\n' + b"x" * 2**21, "every quote is closed"),
    ],
    ids=["nothing", "blank", "header", "twice", "missing", "no-device", "latin-1", "json", "xlsx", "quote"],
)
def test_table_that_cannot_be_read_is_one_error(tmp_path: Path, mdmprofile: Command, table: bytes, said: str) -> None:
    """Nothing is written for the part that could be."""
    site = fleet_site(tmp_path, SCEP)
    (tmp_path / "devices.csv").write_bytes(table)
    words = ("batch", tmp_path / "devices.csv", "-c", site.config, "-o", tmp_path / "out", "--at", AT)
    outcome = mdmprofile(*words)
    assert outcome.code == 3
    assert said in outcome.err
    assert outcome.err.count("\n") == (2 if "or udid" in said else 1)
    assert not (tmp_path / "out").exists()


def test_table_that_is_not_there_is_one_error(tmp_path: Path, mdmprofile: Command) -> None:
    """Or a directory."""
    site = fleet_site(tmp_path, SCEP)
    for place, said in ((tmp_path / "nothing.csv", "no such file"), (tmp_path, "is a directory")):
        outcome = mdmprofile("batch", place, "-c", site.config, "-o", tmp_path / "out", "--at", AT)
        assert outcome.code == 3
        assert f"{place}: {said}" in assert_one_line(outcome)
    assert not (tmp_path / "out").exists()


def test_cell_that_a_template_needs_makes_its_row_bad(tmp_path: Path, mdmprofile: Command) -> None:
    """One that has another way is no mistake."""
    site = fleet_site(tmp_path, SCEP)
    site.edit(lambda text: text.replace("Example MDM", "MDM of {{ device.owner | default('', true) or 'nobody' }}"))
    (tmp_path / "devices.csv").write_text("serial,challenge,owner\nS1,c,ann\nS2,,bob\nS3,c,\n")
    words = ("batch", tmp_path / "devices.csv", "-c", site.config, "-o", tmp_path / "out", "--at", AT)
    outcome = mdmprofile(*words, "--format", "json")
    assert (outcome.code, outcome.rules) == (2, ["devices.missing"])
    assert outcome.json["findings"][0]["where"] == f"{tmp_path}/devices.csv:3"
    assert sorted(files_of(tmp_path / "out")) == ["S1.mobileconfig", "S3.mobileconfig"]
