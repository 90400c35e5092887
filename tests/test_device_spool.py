"""The spool: every good row in order, what is wrong with the others, and all of it in constant memory."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mdmprofile.devices.filenames import DEFAULT_NAME, FileNames
from mdmprofile.devices.spool import MAX_FINDINGS, Spool
from mdmprofile.devices.table import BadRow, Device, read_table
from mdmprofile.errors import InputError

NAMES = FileNames(DEFAULT_NAME, [], {})


KNOWN = '''
import os, resource, sys
from mdmprofile.devices.filenames import DEFAULT_NAME, FileNames
from mdmprofile.devices.spool import Spool
from mdmprofile.devices.table import Device, read_table
from mdmprofile.errors import OutputError

NAMES = FileNames(DEFAULT_NAME, [], {})
FD = "/proc/self/fd"

def peak():
    """The most memory this process had, in MB."""
    if os.path.exists("/proc/self/status"):
        # getrusage counts what the parent had when it started this process.
        [line] = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
        return int(line.split()[1]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024 ** 2

def rows(count):
    return (Device(line, {"serial": f"S{line}", "note": "x" * 500}) for line in range(count))

'''


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Python code with a temporary directory of its own."""
    temporary = folder / "temporary"
    temporary.mkdir()
    environment = os.environ | {"TMPDIR": str(temporary)}
    environment.pop("SQLITE_TMPDIR", None)
    # The record of what was executed is a file, and in memory, too.
    environment = {name: value for name, value in environment.items() if not name.startswith("COVERAGE_")}
    return subprocess.run(
        [sys.executable, "-c", KNOWN + textwrap.dedent(code)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def spool(text: str, *, names: FileNames = NAMES, shard: tuple[int, int] | None = None) -> Spool:
    """The spool of a CSV table."""
    return Spool(read_table(io.BytesIO(text.encode()), source="fleet.csv"), names, source="fleet.csv", shard=shard)


def found(text: str, *, names: FileNames = NAMES) -> tuple[list[str], list[tuple[str, str, str]]]:
    """The files' names of the devices, and rule, message and place of each finding."""
    with spool(text, names=names) as fleet:
        files = [name for _, name in fleet.devices()]
        assert len(files) == fleet.count
        assert len(fleet.findings) == fleet.bad
        return files, [(each.rule, each.message, each.where) for each in fleet.findings]


def test_devices_come_back_as_they_were_in_the_table() -> None:
    """In its order, with their lines and values, and the names of their files."""
    table = 'serial,udid,room\nB,,"1\n2"\nA,U-1,Zoë 🍏 {{ x }}\n\n,U-2,\n'
    rows = list(read_table(io.BytesIO(table.encode()), source="x"))
    with spool(table) as fleet:
        assert fleet.count == 3
        assert (fleet.findings, fleet.bad) == ((), 0)
        assert list(fleet.devices()) == list(
            zip(rows, [f"{each}.mobileconfig" for each in ("B", "A", "U-2")], strict=True)
        )


def test_devices_can_be_gone_through_several_times_at_once() -> None:
    """Each time has a place of its own, and a pool may take them from another thread."""
    with spool("serial\n" + "".join(f"S{number}\n" for number in range(500))) as fleet:
        one, other = fleet.devices(), fleet.devices()
        first = [next(one) for _ in range(100)]
        assert list(other)[:100] == first
        rest: list[tuple[Device, str]] = []
        thread = threading.Thread(target=lambda: rest.extend(one))
        thread.start()
        thread.join()
        assert [each.serial for each, _ in first + rest] == [f"S{number}" for number in range(500)]


@pytest.mark.parametrize(
    ("rows", "files", "findings"),
    [
        ("A,1\nB,2\na,3\n", "A B", ["4: the serial number is that of the row in line 2"]),
        ("A,ab-c\nB,AB-C\n", "A", ["3: the UDID is that of the row in line 2"]),
        (
            "Ä1,\nA\N{COMBINING DIAERESIS}1,\nä1,\n",
            "Ä1",
            [f"{each}: the serial number is that of the row in line 2" for each in (3, 4)],
        ),
        ("straße,\nSTRASSE,\n", "straße", ["3: the serial number is that of the row in line 2"]),
        ("X,\n,x\n", "X", ["3: the file's name is that of the row in line 2"]),
        ("A,\n,1\nB,\n,2\n", "A 1 B 2", []),
        ("A,1\nA,1\nA,1\n", "A", [f"{each}: the UDID is that of the row in line 2" for each in (3, 4)]),
        (
            "A,1\nA,2\nB,2\n",
            "A",
            ["3: the serial number is that of the row in line 2", "4: the UDID is that of the row in line 3"],
        ),
    ],
    ids=["serial", "udid", "accents", "sharp s", "file", "different", "thrice", "chain"],
)
def test_first_of_the_rows_about_one_device_counts(rows: str, files: str, findings: list[str]) -> None:
    """The others name the line of the first; case and the way an accent is written make no difference."""
    names, wrong = found(f"serial,udid\n{rows}")
    assert names == [f"{each}.mobileconfig" for each in files.split()]
    assert wrong == [
        ("devices.duplicate", each.partition(": ")[2], f"fleet.csv:{each.partition(': ')[0]}") for each in findings
    ]


def test_two_devices_never_share_a_file() -> None:
    """Not on a file system that folds case either."""
    by_room = FileNames("{{ device.room }}/profile.xml", ["serial", "room"], {})
    names, wrong = found(
        "serial,room\nA,Lab\nB,lab\nC,Caf\N{LATIN SMALL LETTER E WITH ACUTE}\nD,CAFE\N{COMBINING ACUTE ACCENT}\n",
        names=by_room,
    )
    assert names == ["Lab/profile.xml", "Caf\N{LATIN SMALL LETTER E WITH ACUTE}/profile.xml"]
    assert [each[2] for each in wrong] == ["fleet.csv:3", "fleet.csv:5"]


def test_findings_are_in_the_order_of_the_table() -> None:
    """Whatever was found when."""
    names, wrong = found('serial,udid,room\nA,,\nA,,\nB\n,,x\n../C,,\nA,,\n"D\n')
    assert names == ["A.mobileconfig"]
    assert wrong == [
        ("devices.duplicate", "the serial number is that of the row in line 2", "fleet.csv:3"),
        ("devices.row", "the row has 1 field where the header has 3", "fleet.csv:4"),
        ("devices.missing", "the row has neither a serial number nor a UDID", "fleet.csv:5"),
        ("devices.file-name", "the file's name '../C.mobileconfig' has a part that begins with a dot", "fleet.csv:6"),
        ("devices.duplicate", "the serial number is that of the row in line 2", "fleet.csv:7"),
        ("devices.row", "the row has a quote that is not closed before the end of the file", "fleet.csv:8"),
    ]


def test_findings_are_bounded_and_all_are_counted() -> None:
    """A table that is wrong throughout makes no endless report."""
    with spool("serial,x\n" + "A,1\nB\n" * 3000) as fleet:
        assert (fleet.count, fleet.bad, len(fleet.findings)) == (1, 5999, MAX_FINDINGS)
        assert [each.where for each in fleet.findings] == [f"fleet.csv:{line}" for line in range(3, MAX_FINDINGS + 3)]


@pytest.mark.parametrize("shards", [1, 2, 3, 7, 40])
def test_shards_are_disjoint_and_complete(shards: int) -> None:
    """Several machines make one fleet; what is wrong with the table each of them says."""
    table = "serial\n" + "".join(f"S{number}\n" for number in range(20)) + "S3\n..\nT\n"
    with spool(table) as fleet:
        everything = list(fleet.devices())
        findings = fleet.findings
    assert len(everything) == 21
    for kept in range(1, shards + 1):
        with spool(table, shard=(kept, shards)) as fleet:
            assert list(fleet.devices()) == everything[kept - 1 :: shards]
            assert fleet.count == len(everything[kept - 1 :: shards])
            assert fleet.findings == findings


@pytest.mark.parametrize("shard", [(0, 1), (2, 1), (-1, 3), (1, 0)])
def test_shard_that_cannot_be_is_refused(shard: tuple[int, int]) -> None:
    """It would leave devices out, or make them twice."""
    with pytest.raises(ValueError, match="there is no shard"):
        spool("serial\nA\n", shard=shard)


def test_table_without_a_row_is_refused() -> None:
    """A header alone is a wrong file, a bad row is not."""
    with pytest.raises(InputError) as caught:
        spool("serial,udid\n\n")
    assert (caught.value.message, caught.value.where) == ("holds no device", "fleet.csv")
    with spool("serial,udid\nA\n") as fleet:
        assert (fleet.count, fleet.bad, list(fleet.devices())) == (0, 1, [])


def test_progress_is_told_while_the_table_is_read() -> None:
    """Bad rows count too: it is the table that is read."""
    told: list[int] = []
    rows: list[Device | BadRow] = [Device(line, {"serial": f"S{line}"}) for line in range(2, 2500)]
    rows.insert(0, BadRow(1, "is bad"))
    with Spool(rows, NAMES, source="x", progress=told.append):
        assert told == [1000, 2000, 2499]


def test_error_while_the_table_is_read_comes_out_as_it_is() -> None:
    """It says at which line the table is no longer one."""
    with pytest.raises(InputError, match="is not text in UTF-8"):
        Spool(read_table(io.BytesIO(b"serial\nA\n" + b"B\n" * 50_000 + b"\xff"), source="x"), NAMES, source="x")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_no_file_is_left_in_the_temporary_directory(tmp_path: Path) -> None:
    """The rows hold secrets, and are gone with the process, however it ends."""
    done = run(
        """
        with Spool(rows(50_000), NAMES, source="x") as fleet:
            print(fleet.count, os.listdir(os.environ["TMPDIR"]))
            opened = [os.readlink(f"{FD}/{each}") for each in os.listdir(FD) if os.path.islink(f"{FD}/{each}")]
            print(any(each.startswith(os.environ["TMPDIR"]) and each.endswith("(deleted)") for each in opened))
        """,
        tmp_path,
    )
    assert done.stdout.splitlines() == ["50000 []", "True"], done.stderr


def test_full_disk_is_an_error_with_what_to_do(tmp_path: Path) -> None:
    """The limit of a file's size stands for a disk without room."""
    done = run(
        """
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, before[1]))
        try:
            Spool(rows(100_000), NAMES, source="x")
        except OutputError as error:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            print(error)
        """,
        tmp_path,
    )
    assert done.stdout.startswith("the device table cannot be kept while it is read: "), done.stdout + done.stderr
    assert "TMPDIR" in done.stdout


def test_large_table_costs_no_more_memory_than_a_small_one(tmp_path: Path) -> None:
    """Also where every device is there twice, in another order."""
    with (tmp_path / "fleet.csv").open("wb") as stream:
        stream.writelines(lines(100_000))
    done = run(
        f"""
        with open({str(tmp_path / "fleet.csv")!r}, "rb") as stream:
            with Spool(read_table(stream, source="x"), NAMES, source="x") as fleet:
                print(fleet.count, fleet.bad, sum(1 for _ in fleet.devices()))
        print(peak())
        """,
        tmp_path,
    )
    counts, _, most = done.stdout.partition("\n")
    assert counts == "100000 100000 100000", done.stderr
    # Held in memory, the rows alone take 140 MB.
    assert int(most) < 100


def lines(devices: int) -> Iterator[bytes]:
    """A table with each device twice, the second time in another order."""
    yield b"serial,udid,owner,challenge\r\n"
    for number in range(2 * devices):
        which = number if number < devices else number * 7919 % devices
        yield b"C02%08d,00008030-%016X,user%d@example.com,%064d\r\n" % (which, which, number, number)
