"""A batch that is killed at any moment, and started again until it ends."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from batches import ISSUED, devices_csv, fleet_site, rows_of, set_identity
from killing import Moment, assert_halfway, assert_whole, run_and_kill, some_moment, workers_of
from mdmprofile.batch import STAGING
from mdmprofile.ledger import ABANDONED, LEDGER_NAME, MADE, SUPERSEDED
from pki import NOW, Site

OpenSSL = Callable[..., bytes]

DEVICES = 300


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site with a table of devices that a CA issues identities for."""
    site = fleet_site(tmp_path)
    (tmp_path / "devices.csv").write_text(devices_csv(DEVICES))
    return site


def small(site: Site, devices: int) -> int:
    """Give the site a table of so many devices only."""
    (site.folder / "devices.csv").write_text(devices_csv(devices))
    return devices


def openssl_verifies(openssl: OpenSSL, site: Site, name: str) -> None:
    """The signature of a profile leads to the root."""
    words = ("cms", "-verify", "-binary", "-inform", "DER", "-in", site.folder / "out" / name)
    ends = ("-CAfile", site.folder / "root.pem", "-purpose", "any", "-attime", str(int(NOW.timestamp())))
    openssl(*words, *ends)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_batch_that_was_killed_again_and_again_ends_whole(site: Site, openssl: OpenSSL, seed: int) -> None:
    """Each device exactly once, no certificate that the ledger does not know, and no serial number twice."""
    chance = random.Random(seed)  # noqa: S311 - a failure must come again
    killed = 0
    while killed < 4:
        moment = some_moment(chance, DEVICES)
        code, said = run_and_kill(site, moment)
        print(f"seed {seed}: {moment} ended with {code} {said}")  # noqa: T201 - shown where the test fails
        assert code in (-signal.SIGKILL, 0)
        assert_halfway(site.folder / "out")
        killed += code != 0
        if code == 0:
            # It was faster, so there is nothing left to kill.
            break
    code, said = run_and_kill(site, None)
    assert (code, said) == (0, "")
    made = assert_whole(site, DEVICES)
    for name in chance.sample(sorted(made), 3):
        openssl_verifies(openssl, site, name)


def test_making_again_under_other_names_can_be_killed_too(site: Site) -> None:
    """The old file is there until the new one is, and none is left behind."""
    devices = small(site, 70)
    assert run_and_kill(site, None)[0] == 0
    site.edit(lambda text: text.replace("Example MDM", "Other MDM"))
    flags = ("--again", "--name", "new-{{ device.serial }}.mobileconfig")
    for moment in (Moment("os.rename", 0), Moment("os.remove", 0), Moment("os.remove", 12), Moment("os.remove", 3)):
        code, said = run_and_kill(site, moment, *flags)
        print(f"{moment} ended with {code} {said}")  # noqa: T201 - shown where the test fails
        assert code == -signal.SIGKILL
        assert_halfway(site.folder / "out")
        assert len(list((site.folder / "out").glob("*.mobileconfig"))) >= devices
    assert run_and_kill(site, None, *flags)[0] == 0
    made = assert_whole(site, devices)
    assert all(name.startswith("new-") for name in made)
    assert len([each for each in rows_of(site.folder / "out") if each.state == SUPERSEDED]) == devices


def test_death_of_a_worker_ends_the_run_and_the_next_goes_on(site: Site) -> None:
    """Whoever ran out of memory is told what to do."""

    def a_worker(process: int) -> None:
        os.kill(workers_of(process)[0], signal.SIGKILL)

    set_identity(site, ISSUED.replace("p256", "rsa2048"))
    devices = small(site, 50)
    code, said = run_and_kill(site, Moment("profiles", 5), victim=a_worker)
    assert code == 3
    assert said.startswith("mdmprofile: error: a process that made profiles has died (was there enough memory? ")
    assert said.count("\n") == 1
    assert_halfway(site.folder / "out")
    assert run_and_kill(site, None) == (0, "")
    assert_whole(site, devices)


def test_death_of_all_processes_at_once_leaves_nothing_undone(site: Site) -> None:
    """As when a machine is switched off."""
    set_identity(site, ISSUED.replace("p256", "rsa2048"))
    devices = small(site, 50)
    code, _ = run_and_kill(site, Moment("profiles", 5), victim=lambda process: os.killpg(process, signal.SIGKILL))
    assert code == -signal.SIGKILL
    assert_halfway(site.folder / "out")
    assert run_and_kill(site, None) == (0, "")
    assert_whole(site, devices)


def test_what_was_begun_is_abandoned_with_its_serial_number(site: Site) -> None:
    """A certificate may have been issued with it, and somebody may have to revoke it."""
    devices = small(site, 40)
    assert run_and_kill(site, Moment("os.rename", 0))[0] == -signal.SIGKILL
    assert run_and_kill(site, None)[0] == 0
    abandoned = [each for each in rows_of(site.folder / "out") if each.state == ABANDONED]
    assert abandoned
    assert {each.reason for each in abandoned} == {"interrupted"}
    assert all(each.entry.certificate_serial for each in abandoned)
    assert_whole(site, devices)


def test_profile_that_was_made_but_not_in_its_place_is_brought_there(site: Site) -> None:
    """It is not made again: its identity is the one that the ledger has; what is damaged is."""
    out, count = site.folder / "out", small(site, 30)
    assert run_and_kill(site, None)[0] == 0
    rows = {each.entry.name: each for each in rows_of(out)}
    whole, damaged, same_size = (rows[f"S0000{n}.mobileconfig"] for n in (1, 2, 3))
    before = {name: (out / name).read_bytes() for name in rows}
    for each in (whole, damaged):
        (out / each.entry.name).rename(out / STAGING / f"{each.id}.new")
    (out / STAGING / f"{damaged.id}.new").write_bytes(before[damaged.entry.name][:-100])
    (out / same_size.entry.name).write_bytes(b"x" * same_size.entry.size)
    for stray in ("999.new", "x.new", "junk"):
        (out / STAGING / stray).write_bytes(b"junk")
    with sqlite3.connect(out / LEDGER_NAME) as database:
        database.execute("UPDATE runs SET finished = NULL")
    assert run_and_kill(site, None)[0] == 0
    assert_whole(site, count)
    after = {name: (out / name).read_bytes() for name in rows}
    changed = {name for name in rows if before[name] != after[name]}
    assert changed == {damaged.entry.name, same_size.entry.name}
    assert [each.state for each in rows_of(out)].count(MADE) == count


@pytest.mark.parametrize("pause", [0.05, 0.4])
def test_interruption_ends_every_process_even_when_it_comes_twice(site: Site, pause: float) -> None:
    """Impatient people press the keys again: nobody may wait for the others for ever then."""

    def twice(process: int) -> None:
        os.killpg(process, signal.SIGINT)
        time.sleep(pause)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process, signal.SIGINT)

    set_identity(site, ISSUED.replace("p256", "rsa4096"))
    small(site, 40)
    code, said = run_and_kill(site, Moment("staged"), victim=twice)
    assert code == 130
    # Python's own helper may complain of what the killed processes had.
    lines = [line for line in said.splitlines() if line.startswith("mdmprofile: ")]
    assert lines[-1] == "mdmprofile: interrupted"
    assert_halfway(site.folder / "out")


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.3])
def test_interruption_while_the_table_is_read_ends_the_processes_that_have_just_started(
    site: Site, delay: float
) -> None:
    """They start before the table has been read to its end, and say nothing of their own."""
    words = [sys.executable, "-m", "mdmprofile", "batch", "-", "-o", "out", "--jobs", "2", "--at", str(NOW.date())]
    # An interruption would find the measuring of coverage with its lock held, and wait for it for ever.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    pipe = subprocess.PIPE
    with contextlib.ExitStack() as ending:
        process = subprocess.Popen(
            words, cwd=site.folder, env=environment, start_new_session=True, stdin=pipe, stderr=pipe
        )
        ending.callback(process.wait)
        ending.callback(process.kill)
        assert process.stdin is not None
        process.stdin.write(devices_csv(20_000).encode())
        process.stdin.flush()
        end = time.monotonic() + 60
        while len(workers_of(process.pid)) < 2 and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.decode().strip() == "mdmprofile: interrupted"
