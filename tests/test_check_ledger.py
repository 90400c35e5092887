"""The check command and the plan of ledgers: every device's identity, told once, within bounds."""

from __future__ import annotations

import csv
import io
import sqlite3
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from conftest import Command
from ledgers import begin, device, devices, entry, record
from mdmprofile.ledger import LEDGER_NAME, Entry, Ledger, hold
from mdmprofile.moments import day, stamp
from pki import CONFIG, DAY, NOW, Entity, Site, issue, root_ca
from replacing import PKCS12, ROOT, file_of, made, mdm, plist, usual

YEAR = 365 * DAY
PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // (1024 if sys.platform == "darwin" else 1))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a ledger can be, with nothing else beside it."""
    folder = tmp_path / "fleet"
    folder.mkdir()
    return folder / LEDGER_NAME


def scep(number: int, *, end: datetime | None = None, made: datetime = NOW - DAY, profile: bytes = b"") -> Entry:
    """A device that fetches its identity by itself."""
    return entry(device(number, made=made)._replace(identity="scep"), end=end, profile=profile)


class TestDates:
    """What ends when, device by device."""

    def test_every_certificate_is_listed(self, path: Path, mdmprofile: Command) -> None:
        """With the dates, the fingerprint and the file of the profile."""
        record(path, devices(3))
        outcome = mdmprofile("check", path, "--format", "json")
        assert outcome.code == 0
        assert outcome.json["identities"] == []
        assert outcome.json["certificates"] == [
            {
                "role": "identity",
                "subject": each.subject,
                "sha256": each.certificate_sha256,
                "not_before": stamp(NOW),
                "not_after": stamp(NOW + (100 + number) * DAY),
                "days_left": 100 + number,
                "where": f"{path}: {each.name}",
                "baked_in": True,
            }
            for number, each in enumerate(devices(3))
        ]
        assert outcome.json["plan"]["latest_safe_date"] == day(NOW + 70 * DAY)
        assert outcome.json["plan"]["limited_by"] == f"identity C02000000 ({device(0).udid})"

    def test_an_identity_that_a_device_fetches_is_listed_too(self, path: Path, mdmprofile: Command) -> None:
        """It begins no earlier than its profile was made."""
        record(path, [scep(1, end=NOW + YEAR)])
        outcome = mdmprofile("check", path, "--format", "json")
        (found,) = outcome.json["identities"]
        assert (found["subject"], found["sha256"]) == (f"C02000001 ({device(1).udid})", "")
        assert (found["not_before"], found["not_after"]) == (stamp(NOW - DAY), stamp(NOW + YEAR))

    @pytest.mark.parametrize(
        ("known", "name"),
        [
            ({}, "C02000001 (00008101-0000000000000001)"),
            ({"udid": ""}, "C02000001"),
            ({"serial": ""}, "00008101-0000000000000001"),
            ({"serial": "", "udid": ""}, "C02000001.mobileconfig"),
        ],
        ids=["both", "serial", "udid", "neither"],
    )
    def test_a_device_is_called_what_is_known_of_it(
        self, path: Path, mdmprofile: Command, known: dict[str, str], name: str
    ) -> None:
        """Its serial number, its UDID, or the file of its profile."""
        record(path, [entry(device(1))._replace(**known)])  # type: ignore[arg-type]
        assert mdmprofile("check", path, "--format", "json").json["plan"]["limited_by"] == f"identity {name}"

    def test_the_devices_that_end_before_the_replacement_are_told(self, path: Path, mdmprofile: Command) -> None:
        """Each of them, those that end first at the start, and nobody else."""
        record(path, list(reversed(devices(40))))
        planned = NOW + 80 * DAY
        outcome = mdmprofile("check", path, "--replace-on", day(planned), "--format", "json")
        assert outcome.code == 1
        assert set(outcome.rules) == {"expiry.before-replacement"}
        # The day has begun at noon, and the margin is 30 days.
        assert [each["where"] for each in outcome.json["findings"]] == [f"{path}: {device(n).name}" for n in range(10)]
        assert outcome.json["findings"][0]["message"].startswith(f"identity C02000000 ({device(0).udid}) ends on ")

    def test_a_device_whose_identity_has_ended_is_an_error(self, path: Path, mdmprofile: Command) -> None:
        """It is lost."""
        record(path, [entry(device(1), end=NOW - DAY), entry(device(2))])
        outcome = mdmprofile("check", path)
        assert outcome.code == 2
        assert "error: " in outcome.out
        assert outcome.out.count("C02000001 (00008101-0000000000000001) expired on") == 1

    def test_only_what_a_device_has_now_counts(self, path: Path, mdmprofile: Command) -> None:
        """Neither an identity that was made again, nor one that nobody got."""
        ids = record(path, [entry(device(1), end=NOW + DAY), entry(device(2))])
        with Ledger.open(path) as ledger:
            ledger.supersede(ids[:1])
            again = entry(device(1), end=NOW + YEAR)
            row, other = ledger.begin([begin(again), device(3)])
            ledger.finish([(row, again)])
            ledger.abandon([other], "failed")
            ledger.begin([device(4)])
        outcome = mdmprofile("check", path, "--format", "json")
        assert outcome.code == 0
        assert len(outcome.json["certificates"]) == 2

    def test_ends_that_nobody_knows_are_one_finding(self, path: Path, mdmprofile: Command) -> None:
        """Of thousands of devices, thousands of findings would hide what matters."""
        record(path, [*(scep(number) for number in range(150)), entry(device(999))])
        outcome = mdmprofile("check", path, "--format", "json")
        assert outcome.rules == ["expiry.identity-unknown"]
        assert outcome.json["findings"][0]["message"].startswith(
            "nobody said how long identity of 150 devices is valid"
        )
        assert outcome.json["findings"][0]["where"] == str(path)
        assert len(outcome.json["identities"]) == 150

    def test_a_validity_counts_from_when_each_profile_was_made(self, path: Path, mdmprofile: Command) -> None:
        """Where the ledger does not know the end; where it does, it knows better."""
        record(path, [scep(1, made=NOW - 10 * DAY), scep(2, made=NOW - 5 * DAY), scep(3, end=NOW + 3 * YEAR)])
        outcome = mdmprofile("check", path, "--identity-validity", "365d", "--format", "json")
        assert outcome.rules == []
        ends = [each["not_after"] for each in outcome.json["identities"]]
        assert ends == [stamp(NOW + 355 * DAY), stamp(NOW + 360 * DAY), stamp(NOW + 3 * YEAR)]

    def test_an_empty_ledger_has_nothing_to_tell(self, path: Path, mdmprofile: Command) -> None:
        """A run that had no device to make a profile for."""
        Ledger.open(path).close()
        assert mdmprofile("check", path, "--quiet").code == 0


class TestConfig:
    """A config that is checked beside the ledger."""

    def test_the_only_config_says_what_ends_are_held_against(self, path: Path, site: Site, mdmprofile: Command) -> None:
        """Its planned replacement, and how long its issuer's certificates last."""
        record(path, [entry(device(1), end=NOW + 190 * DAY), scep(2, made=NOW - 300 * DAY)])
        outcome = mdmprofile("check", path, site.config, "--format", "json")
        late = [each for each in outcome.json["findings"] if each["rule"] == "expiry.before-replacement"]
        assert {each["where"] for each in late} >= {f"{path}: {device(n).name}" for n in (1, 2)}
        ends = {each["where"]: each["not_after"] for each in outcome.json["identities"]}
        assert ends[f"{path}: {device(2).name}"] == stamp(NOW + 65 * DAY)

    def test_of_two_configs_nobody_knows_which(self, path: Path, site: Site, mdmprofile: Command) -> None:
        """The ledger does not say which of them it is of."""
        (site.folder / "other.toml").write_text(CONFIG.replace("com.example.mdm.enroll", "com.example.other"))
        record(path, [entry(device(1), end=NOW + 190 * DAY)])
        outcome = mdmprofile("check", path, site.config, site.folder / "other.toml", "--format", "json")
        assert not [each for each in outcome.json["findings"] if each["where"].startswith(str(path))]

    def test_the_config_in_the_same_directory_counts(self, site: Site, mdmprofile: Command) -> None:
        """As it does for what else is there."""
        record(site.folder / LEDGER_NAME, [entry(device(1), end=NOW + 190 * DAY)])
        outcome = mdmprofile("check", site.folder, "--format", "json")
        late = [each["where"] for each in outcome.json["findings"] if each["rule"] == "expiry.before-replacement"]
        assert f"{site.folder / LEDGER_NAME}: {device(1).name}" in late


class TestBesideProfiles:
    """A ledger with the profiles that it lists: each end is told once."""

    @pytest.fixture
    def root(self) -> Entity:
        """What the profiles trust."""
        return root_ca(days=200)

    @pytest.fixture
    def fleet(self, path: Path, root: Entity) -> Path:
        """The directory of a ledger, with one profile with a SCEP and one with a PKCS#12 identity."""
        own = issue("C02000002", root, end=NOW + 300 * DAY)
        trust = made(ROOT, 1, PayloadContent=root.der)
        pkcs12 = made(PKCS12, 2, PayloadContent=own.p12("secret"), Password="secret")
        first, second = file_of(usual(root)), file_of(plist(trust, pkcs12, mdm()))
        for number, data in enumerate((first, second), 1):
            (path.parent / device(number).name).write_bytes(data)
        issued = entry(device(2), end=NOW + 300 * DAY, profile=second)._replace(certificate_sha256=own.sha256)
        record(path, [scep(1, end=NOW + YEAR, profile=first), issued])
        return path.parent

    def test_of_a_directory_each_identity_is_told_once(
        self, fleet: Path, path: Path, root: Entity, mdmprofile: Command
    ) -> None:
        """By the ledger, which knows the devices; everything else that ends, by the profiles."""
        outcome = mdmprofile("check", fleet, "--format", "json")
        assert outcome.rules == []
        told = [(each["role"], each["where"]) for each in (*outcome.json["certificates"], *outcome.json["identities"])]
        assert sorted(told) == [
            ("identity", f"{path}: {device(1).name}"),
            ("identity", f"{path}: {device(2).name}"),
            ("root", f"{fleet / device(1).name}: PayloadContent[0]"),
            ("root", f"{fleet / device(2).name}: PayloadContent[0]"),
        ]
        assert outcome.json["plan"]["limited_by"] == f"root {root.ours.name}"

    def test_of_files_that_are_named_too(self, fleet: Path, mdmprofile: Command) -> None:
        """As a shell writes out a ``*``, wherever the ledger is among them."""
        names = sorted(fleet.iterdir(), reverse=True)
        assert names[0].name == LEDGER_NAME
        for each in (names, names[::-1]):
            outcome = mdmprofile("check", *each, "--format", "json")
            assert [one["role"] for one in outcome.json["certificates"]].count("identity") == 1
            assert len(outcome.json["identities"]) == 1

    def test_a_profile_that_is_not_the_listed_one_speaks_for_itself(self, fleet: Path, mdmprofile: Command) -> None:
        """Somebody changed it since: nobody knows which of both a device has."""
        (fleet / device(1).name).write_bytes(file_of(usual(root_ca("Another"))))
        outcome = mdmprofile("check", fleet, "--format", "json")
        assert outcome.rules == ["expiry.identity-unknown"]
        assert len(outcome.json["identities"]) == 2

    def test_a_profile_without_its_file_is_told_all_the_same(self, fleet: Path, mdmprofile: Command) -> None:
        """It was delivered and deleted; the device has it."""
        (fleet / device(2).name).unlink()
        outcome = mdmprofile("check", fleet, "--format", "json")
        assert "identity" in [each["role"] for each in outcome.json["certificates"]]

    @pytest.mark.parametrize("choice", [(), ("--include", "*")], ids=["all", "chosen"])
    def test_a_run_that_is_at_work_is_no_trouble(
        self, fleet: Path, path: Path, mdmprofile: Command, choice: tuple[str, ...]
    ) -> None:
        """What SQLite keeps beside the ledger, the lock and what is not moved into place yet are none of ours."""
        staging = fleet / ".mdmprofile-staging"
        staging.mkdir()
        (staging / "half.mobileconfig").write_bytes(b"half a profile")
        with hold(fleet), Ledger.open(path) as ledger:
            ledger.begin([device(7)])
            assert {f"{LEDGER_NAME}-wal", f"{LEDGER_NAME}-shm"} <= {each.name for each in fleet.iterdir()}
            outcome = mdmprofile("check", fleet, *choice, "--format", "json")
        assert (outcome.code, outcome.err) == (0, "")
        assert len(outcome.json["certificates"]) == 3

    def test_what_is_excluded_tells_nothing(self, fleet: Path, mdmprofile: Command) -> None:
        """Then the profiles speak for themselves."""
        outcome = mdmprofile("check", fleet, "--exclude", "*.sqlite", "--format", "json")
        assert outcome.rules == ["expiry.identity-unknown"]


class TestFiles:
    """Which files are ledgers."""

    def test_a_ledger_may_have_any_name(self, path: Path, mdmprofile: Command) -> None:
        """Where somebody names it, or where it says itself what it is."""
        record(path, devices(2))
        copy = path.rename(path.with_name("fleet 2031.db"))
        assert len(mdmprofile("check", copy, "--format", "json").json["certificates"]) == 2
        path.with_name("old.sqlite").write_bytes(copy.read_bytes())
        assert len(mdmprofile("check", path.parent, "--format", "json").json["certificates"]) == 2

    def test_other_databases_in_a_directory_are_passed_over(self, path: Path, mdmprofile: Command) -> None:
        """Unless somebody chose them."""
        record(path, devices(1))
        other = path.with_name("other.sqlite")
        sqlite3.connect(other).executescript("CREATE TABLE a (b)").connection.close()
        outcome = mdmprofile("check", path.parent, "--format", "json")
        assert (outcome.code, len(outcome.json["certificates"])) == (0, 1)
        chosen = mdmprofile("check", path.parent, "--include", "*.sqlite")
        assert chosen.code == 3
        advice = "name a ledger.sqlite that mdmprofile batch wrote"
        assert chosen.err == f"mdmprofile: error: {other}: cannot be used: is no ledger ({advice})\n"

    @pytest.mark.parametrize("size", [0, 50, 3000])
    def test_what_is_left_of_a_ledger_is_an_error(self, path: Path, mdmprofile: Command, size: int) -> None:
        """And no silence; the rest of the directory is judged all the same."""
        record(path, devices(5))
        path.write_bytes(path.read_bytes()[:size])
        (path.parent / "root.pem").write_bytes(root_ca().pem)
        for target, certificates in ((path, 0), (path.parent, 1)):
            outcome = mdmprofile("check", target, "--format", "json")
            assert outcome.code == 3
            assert len(outcome.json["certificates"]) == certificates
            assert f"error: {path}: cannot be used: is " in outcome.err

    def test_a_ledger_that_is_not_there_is_no_server(self, tmp_path: Path, mdmprofile: Command) -> None:
        """Although its name could be one's."""
        outcome = mdmprofile("check", LEDGER_NAME)
        assert outcome.code == 3
        assert "ledger.sqlite: no such file (check the path)" in outcome.err
        assert not (tmp_path / LEDGER_NAME).exists()


class TestCrowds:
    """Ledgers of more devices than a person can read of."""

    @pytest.fixture
    def crowd(self, path: Path) -> Path:
        """300 devices, ten of them a day."""
        record(path, [entry(device(number), end=NOW + timedelta(20 + number // 10, number)) for number in range(300)])
        return path

    def test_people_are_told_day_by_day(self, crowd: Path, mdmprofile: Command) -> None:
        """How many end on it, and the first few of them; the end is that of the first."""
        outcome = mdmprofile("check", crowd)
        assert outcome.code == 1
        lines = [each for each in outcome.out.splitlines() if each.startswith("warning: ")]
        assert len(lines) == 10
        assert lines[1].startswith(
            f"warning: {crowd}: identity of 10 devices: C02000010, C02000011, C02000012, C02000013, C02000014 and 5 "
            f"more ends on {day(NOW + 21 * DAY)}, in 21 days; then these devices can no longer prove who they are"
        )

    @pytest.mark.parametrize(("report", "row"), [("html", "<tr"), ("ics", "BEGIN:VEVENT")])
    def test_so_are_those_who_read_a_page_or_a_calendar(
        self, crowd: Path, mdmprofile: Command, report: str, row: str
    ) -> None:
        """An event for each of thousands of devices would fill anybody's day."""
        outcome = mdmprofile("check", crowd, "--format", report)
        assert 30 <= outcome.out.count(row) <= 35
        assert "of 10 devices" in outcome.out

    def test_programs_are_told_device_by_device(self, crowd: Path, mdmprofile: Command) -> None:
        """Whoever wants to know which devices they are has them all, with what is wrong with each."""
        listed = mdmprofile("check", crowd, "--format", "json")
        assert len(listed.json["certificates"]) == 300
        assert listed.rules == ["expiry.soon"] * 100
        rows = list(csv.DictReader(io.StringIO(mdmprofile("check", crowd, "--format", "csv").out)))
        assert [each["severity"] for each in rows] == ["warning"] * 100 + [""] * 200
        assert [each["name"].partition(" ")[0] for each in rows] == [device(number).serial for number in range(300)]

    def test_a_hundred_are_told_one_by_one(self, path: Path, mdmprofile: Command) -> None:
        """That many a person can read."""
        record(path, [entry(device(number), end=NOW + 20 * DAY) for number in range(100)])
        assert mdmprofile("check", path).out.count("warning: ") == 100

    @pytest.mark.parametrize("report", ["nagios", "prometheus", "junit", "github", "csv", "ics", "html", "text"])
    def test_every_report_can_tell_of_a_ledger(self, path: Path, mdmprofile: Command, report: str) -> None:
        """Also of one whose names could steer a terminal."""
        strange = [scep(1)._replace(serial="C0\x1b[2J|'\n;", udid=""), scep(2), scep(3, end=NOW + DAY)]
        record(path, [*strange, entry(device(4))])
        outcome = mdmprofile("check", path, "--format", report)
        assert outcome.code == 2
        assert "\x1b" not in outcome.out

    def test_memory_grows_by_less_than_a_kilobyte_and_a_half_a_device(self, path: Path) -> None:
        """A ledger can list a million of them."""
        peaks = []
        for count in (1, 20_000):
            path.unlink(missing_ok=True)
            record(path, devices(count) if count == 1 else [entry(device(number)) for number in range(count)])
            arguments = [sys.executable, "-m", "mdmprofile", "check", path, "--at", stamp(NOW)]
            done = subprocess.run([sys.executable, "-c", PEAK, *map(str, arguments)], capture_output=True, check=True)
            peaks.append(int(done.stdout))
        assert peaks[1] - peaks[0] < 20_000 * 1.5


class TestPlan:
    """The plan of a ledger."""

    def test_devices_get_their_profiles_day_by_day(self, path: Path, mdmprofile: Command) -> None:
        """A step for those of each day: a new identity for some, the same profile again for others."""
        soon, late = NOW + 100 * DAY, NOW + 200 * DAY
        record(
            path,
            [
                *(entry(device(number), end=soon + timedelta(minutes=number)) for number in range(3)),
                *(scep(number, end=late) for number in range(10, 17)),
                entry(device(20), end=late),
            ],
        )
        outcome = mdmprofile("plan", path, "--format", "json")
        assert outcome.code == 0
        assert outcome.json["plan"]["latest_safe_date"] == day(soon - 30 * DAY)
        # The latest safe date for all is that for the first of them.
        assert [(each["date"], each["action"]) for each in outcome.json["plan"]["steps"]] == [
            (
                day(soon - 30 * DAY),
                f"send each of these devices a profile with a renewed identity by {day(soon - 30 * DAY)}",
            ),
            (day(late - 30 * DAY), f"send the device a profile with a renewed identity by {day(late - 30 * DAY)}"),
        ]
        assert [each["name"] for each in outcome.json["plan"]["ends"]] == [
            "of 3 devices: C02000000, C02000001, C02000002",
            f"C02000020 ({device(20).udid})",
            "of 7 devices: C02000010, C02000011, C02000012, C02000013, C02000014 and 2 more",
        ]

    def test_ends_that_nobody_knows_are_said_so(self, path: Path, mdmprofile: Command) -> None:
        """With what would make them known."""
        record(path, [scep(number) for number in range(3)])
        outcome = mdmprofile("plan", path)
        assert "unknown     identity of 3 devices: C02000000, C02000001, C02000002: " in outcome.out
        assert "give --identity-validity" in outcome.out
        known = mdmprofile("plan", path, "--identity-validity", "365d")
        assert day(NOW + 364 * DAY) in known.out
        assert "unknown" not in known.out

    def test_a_later_calendar_moves_its_events(self, path: Path, mdmprofile: Command) -> None:
        """However many devices there are by then."""
        calendars = []
        for count in (3, 4):
            path.unlink(missing_ok=True)
            record(path, [entry(device(number), end=NOW + (100 + count) * DAY) for number in range(count)])
            lines = mdmprofile("plan", path, "--format", "ics").out.splitlines()
            calendars.append({each for each in lines if each.startswith("UID:")})
        assert calendars[0] == calendars[1]

    def test_what_is_left_of_a_ledger_has_no_plan(self, path: Path, mdmprofile: Command) -> None:
        """The error says why."""
        path.write_bytes(b"SQLite format 3\0")
        outcome = mdmprofile("plan", path)
        assert (outcome.code, "is no ledger" in outcome.err) == (3, True)
