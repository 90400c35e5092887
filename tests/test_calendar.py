"""The calendar: read by three readers, imported twice, and whatever a certificate is called."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import icalendar
import pytest
import vobject
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import Command, Outcome
from mdmprofile.moments import day, stamp
from mdmprofile.plan import Plan, Step, Thresholds, Watched, make_plan
from mdmprofile.reports.ics import render
from mdmprofile.reports.model import FileReport, View
from pki import (
    DAY,
    NOW,
    Entity,
    Site,
    ec_key,
    intermediate_ca,
    issue,
    make_site,
    push_certificate,
    root_ca,
    server_leaf,
)
from test_rollover_plan import house, new_root, old_root

ICS = ("--format", "ics")
LATER = NOW + 40 * DAY
FOREVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
# A name of RFC 5545 (section 3.1), parameters that need no quotes, and a value without control characters.
LINE = re.compile(r"([A-Z-]+)((?:;[A-Z-]+=[^\x00-\x1f\";:,]+)*):([^\x00-\x08\x0a-\x1f\x7f]*)")
NAUGHTY = (
    'comma, semicolon; colon: quote" backslash\\ \\n \\, newline\nDTSTART:19700101\r\nEND:VCALENDAR\ttab',
    "\x1b]0;pwned\x07\u202eevil\u2028next\x85line\x00end",
    "<script>alert(1)</script> ünïcödé 漢字 😀👩‍👩‍👧 e\u0301",
    "漢" * 10_000,
    "BEGIN:VEVENT",
    " ",
)


class Event(NamedTuple):
    """A VEVENT as the strict reader found it: properties by name with their values, and its alarms."""

    properties: dict[str, str]
    alarms: list[dict[str, str]]

    @property
    def summary(self) -> str:
        return text_of(self.properties["SUMMARY"])

    @property
    def description(self) -> str:
        return text_of(self.properties["DESCRIPTION"])

    @property
    def date(self) -> date:
        return datetime.strptime(self.properties["DTSTART;VALUE=DATE"], "%Y%m%d").replace(tzinfo=UTC).date()


def text_of(value: str) -> str:
    """A TEXT value with its escapes undone (RFC 5545 section 3.3.11); any other backslash is a mistake."""
    assert re.fullmatch(r"(?:[^\\;,]|\\[\\;,nN])*", value), value
    return re.sub(r"\\(.)", lambda match: "\n" if match[1] in "nN" else match[1], value)


def content_lines(data: bytes) -> Iterator[str]:
    """The content lines, unfolded (RFC 5545 section 3.1): CRLF, 75 octets, and UTF-8 that no fold splits."""
    assert data.endswith(b"\r\n")
    physical = data.split(b"\r\n")[:-1]
    assert not any(b"\r" in each or b"\n" in each for each in physical)
    assert max(map(len, physical)) <= 75
    lines: list[str] = []
    for each in physical:
        decoded = each.decode("utf-8")
        if decoded.startswith(" "):
            lines[-1] += decoded[1:]
        else:
            lines.append(decoded)
    yield from lines


def strictly(data: bytes) -> list[Event]:
    """Walk a calendar line by line, and allow nothing that RFC 5545 does not."""
    lines = list(content_lines(data))
    assert lines[0] == "BEGIN:VCALENDAR"
    assert lines[-1] == "END:VCALENDAR"
    stack: list[str] = []
    head: Counter[str] = Counter()
    events: list[Event] = []
    for each in lines:
        match = LINE.fullmatch(each)
        assert match, each
        name, parameters, value = match.groups()
        if name == "BEGIN":
            assert [*stack, value] in (["VCALENDAR"], ["VCALENDAR", "VEVENT"], ["VCALENDAR", "VEVENT", "VALARM"])
            stack.append(value)
            if value == "VEVENT":
                events.append(Event({}, []))
            elif value == "VALARM":
                events[-1].alarms.append({})
        elif name == "END":
            assert stack.pop() == value
        elif stack == ["VCALENDAR"]:
            assert not events
            head[name] += 1
        else:
            found = events[-1].alarms[-1] if stack[-1] == "VALARM" else events[-1].properties
            assert name + parameters not in found, "a property that may be there once"
            found[name + parameters] = value
    assert not stack
    assert head == {"PRODID": 1, "VERSION": 1}
    for event in events:
        assert set(event.properties) == {
            "UID", "DTSTAMP", "DTSTART;VALUE=DATE", "SUMMARY", "DESCRIPTION", "CATEGORIES", "TRANSP", "SEQUENCE",
        }  # fmt: skip
        assert re.fullmatch(r"\d{8}T\d{6}Z", event.properties["DTSTAMP"])
        assert 0 <= int(event.properties["SEQUENCE"]) < 2**31
        assert event.properties["TRANSP"] == "TRANSPARENT"
        assert all(set(alarm) == {"ACTION", "TRIGGER", "DESCRIPTION"} for alarm in event.alarms)
        assert all(alarm["ACTION"] == "DISPLAY" for alarm in event.alarms)
    assert len({each.properties["UID"] for each in events}) == len(events)
    return events


def read(data: bytes) -> list[Event]:
    """The events by the strict reader, after two others agreed with it on every text and date."""
    events = strictly(data)
    mine = [(each.properties["UID"], each.date, each.summary, each.description, len(each.alarms)) for each in events]
    parsed: Any = icalendar.Calendar.from_ical(data)
    assert not parsed.errors
    theirs = [
        (str(each["UID"]), each["DTSTART"].dt, str(each["SUMMARY"]), str(each["DESCRIPTION"]), len(each.subcomponents))
        for each in parsed.walk("VEVENT")
    ]
    assert theirs == mine
    other: Any = vobject.readOne(data.decode("utf-8"))
    others = [
        (
            each.uid.value,
            each.dtstart.value,
            each.summary.value,
            each.description.value,
            len(list(each.components())),
        )
        for each in other.contents.get("vevent", [])
    ]
    assert others == mine
    return events


class Imported(dict[str, Event]):
    """A calendar program: events by UID, and of two with the same UID the higher SEQUENCE stays."""

    def take(self, data: bytes) -> None:
        for each in read(data):
            uid, sequence = each.properties["UID"], int(each.properties["SEQUENCE"])
            if uid not in self or sequence >= int(self[uid].properties["SEQUENCE"]):
                self[uid] = each

    def dates(self) -> list[tuple[str, str]]:
        """What is in the calendar now, in order."""
        return sorted((each.date.isoformat(), each.summary) for each in self.values())


def raw(outcome: Outcome) -> bytes:
    """Standard output as bytes."""
    return outcome.out.encode("utf-8")


def calendar(mdmprofile: Command, *words: str | Path, at: datetime = NOW) -> bytes:
    """What a command writes as a calendar."""
    return raw(mdmprofile(*words, *ICS, at=stamp(at)))


def ends(events: list[Event]) -> list[tuple[str, str]]:
    """Dates and summaries of the certificates' ends."""
    found = [each for each in events if "Certificate end" in each.properties["CATEGORIES"]]
    return sorted((each.date.isoformat(), each.summary) for each in found)


class TestPlan:
    """The calendar of one profile."""

    def test_every_end_the_latest_safe_date_and_every_step_is_an_event(self, mdmprofile: Command, site: Site) -> None:
        """The dates are those of the JSON report; the step of the latest safe date is not there twice."""
        plan = mdmprofile("plan", site.config, "--format", "json").json["plan"]
        events = read(calendar(mdmprofile, "plan", site.config))
        assert ends(events) == sorted(
            (each["date"], f"{each['role']} {each['name']} ends (Example MDM)") for each in plan["ends"]
        )
        by_kind = {
            kind: [each for each in events if kind in each.properties["CATEGORIES"]] for kind in ("Latest", "Step")
        }
        assert [day(datetime(*each.date.timetuple()[:3], tzinfo=UTC)) for each in by_kind["Latest"]] == [
            plan["latest_safe_date"]
        ]
        assert [(each.date.isoformat(), each.summary[1:]) for each in by_kind["Step"]] == [
            (each["date"], f"{each['action'][1:]} (Example MDM)")
            for each in plan["steps"]
            if each["action"] != "replace the profile at the latest"
        ]

    def test_end_says_what_stops_working_what_to_do_and_where(self, mdmprofile: Command, site: Site) -> None:
        """Whoever gets the reminder need not look anything up."""
        events = read(calendar(mdmprofile, "plan", site.config))
        root = next(each for each in events if each.summary == "root Test Root ends (Example MDM)")
        assert root.description.split("\n") == [
            "What stops working: devices no longer trust the server and are lost to MDM.",
            "What to do by 2041-01-27: send a new profile with its successor.",
            f"Where: {site.folder / 'root.pem'}",
            "Ends: 2041-02-26T12:00:00Z",
            "Subject: CN=Test Root",
            f"SHA-256: {site.root.sha256}",
            f"Target: {site.config}",
        ]
        leaf = next(each for each in events if each.summary.startswith("leaf"))
        assert "What to do: renew the server's certificate mdm.example.com." in leaf.description

    def test_alarms_ring_before_ends_and_the_latest_safe_date(self, mdmprofile: Command, site: Site) -> None:
        """30 and 7 days, or what --warn and --critical say; 7 days before a step; all at nine on the day."""
        events = read(calendar(mdmprofile, "plan", site.config))
        for each in events:
            expected = ["-P7D", "PT9H"] if "Step" in each.properties["CATEGORIES"] else ["-P30D", "-P7D", "PT9H"]
            assert [alarm["TRIGGER"] for alarm in each.alarms] == expected
            assert all(text_of(alarm["DESCRIPTION"]) == each.summary for alarm in each.alarms)
        data = calendar(mdmprofile, "plan", site.config, "--warn", "60d", "--critical", "12h")
        assert {tuple(alarm["TRIGGER"] for alarm in each.alarms) for each in read(data)} == {
            ("-P7D", "PT9H"),
            ("-P60D", "-PT12H", "PT9H"),
        }
        data = calendar(mdmprofile, "plan", site.config, "--warn", "7d")
        assert {tuple(alarm["TRIGGER"] for alarm in each.alarms) for each in read(data)} == {("-P7D", "PT9H")}

    def test_output_file_is_the_calendar_byte_for_byte(self, tmp_path: Path, mdmprofile: Command, site: Site) -> None:
        """The line ends of RFC 5545 survive the way into a file, even where nothing was found and --quiet is given."""
        file = tmp_path / "mdm.ics"
        assert mdmprofile("plan", site.config, *ICS, "-q", "-o", file).code == 0
        assert file.read_bytes() == calendar(mdmprofile, "plan", site.config)

    def test_other_formats_do_not_load_the_calendar_library(self, site: Site) -> None:
        """It takes a quarter of a second, and only a calendar needs it."""
        lines = (
            "import sys; from mdmprofile.cli import run",
            f"assert run(['plan', {str(site.config)!r}, '--format', sys.argv[1], '--at', {stamp(NOW)!r}]) == 0",
            "sys.exit('icalendar' in sys.modules)",
        )
        words = (sys.executable, "-c", "\n".join(lines))
        codes = [
            subprocess.run([*words, shape], capture_output=True, check=False).returncode
            for shape in ("text", "json", "ics")
        ]
        assert codes == [0, 0, 1]

    def test_what_is_overdue_is_an_event_of_today(self, mdmprofile: Command, site: Site) -> None:
        """A day that has passed reminds nobody; what has ended stays on its day, which is no day to act."""
        site.edit(lambda text: text.replace('validity = "365d"\n', ""))
        events = read(calendar(mdmprofile, "plan", site.config, at=datetime(2033, 3, 3, tzinfo=UTC)))
        found = {(each.date.isoformat(), each.summary) for each in events}
        latest = "Latest safe date to replace the profile (Example MDM), overdue since 2033-01-29"
        renew = "Renew the server's certificate mdm.example.com (Example MDM), overdue since 2032-03-02"
        assert {("2033-03-03", latest), ("2033-03-03", renew)} < found
        assert ("2032-04-01", "leaf mdm.example.com ends (Example MDM)") in found

    def test_unknown_end_has_no_event(self, mdmprofile: Command, site: Site) -> None:
        """Nobody knows the day of an identity whose validity is not stated."""
        site.edit(lambda text: text.replace('validity = "365d"\n', ""))
        assert not [each for each in read(calendar(mdmprofile, "plan", site.config)) if "identity" in each.summary]

    def test_nothing_that_ends_is_an_empty_calendar(self) -> None:
        """Readers take it, and a subscription loses the events of before."""
        thing = Watched("identity", "from SCEP", "a", baked_in=True, not_after=None)
        view = View(now=NOW, watched=[thing], plan=make_plan([thing], Thresholds()))
        assert read(render(view).encode()) == []

    @pytest.mark.parametrize("end", [FOREVER, datetime(1, 1, 1, tzinfo=UTC), datetime(1969, 12, 31, tzinfo=UTC)])
    def test_ends_of_the_calendar_are_dates_too(self, end: datetime) -> None:
        """RFC 5280 has 9999-12-31 for no end at all; nothing overflows behind it or before year 1."""
        thing = Watched("root", "Root", "root.pem", baked_in=True, not_after=end)
        view = View(now=NOW, watched=[thing], plan=make_plan([thing], Thresholds()))
        assert ends(read(render(view).encode())) == [(day(end), "root Root ends")]


class TestImportedAgain:
    """Importing again updates: events move, none is doubled."""

    @pytest.mark.parametrize("role", ["root", "intermediate", "leaf", "signer", "push"])
    def test_renewed_certificate_moves_its_event(self, mdmprofile: Command, site: Site, role: str) -> None:
        """Another key, serial number, fingerprint and end; the subject stays."""
        imported = Imported()
        imported.take(calendar(mdmprofile, "plan", site.config))
        before = imported.dates()
        renewed: dict[str, tuple[str, Entity]] = {
            "root": ("root.pem", root_ca(days=4000, key=ec_key())),
            "intermediate": ("intermediate.pem", intermediate_ca(site.root, days=2000)),
            "leaf": ("server.pem", server_leaf(site.intermediate, days=500)),
            "signer": ("signer.pem", issue("Profile Signer", site.intermediate, end=NOW + 900 * DAY)),
            "push": ("push.pem", push_certificate(site.intermediate, days=600)),
        }
        file, entity = renewed[role]
        (site.folder / file).write_bytes(entity.pem)
        imported.take(calendar(mdmprofile, "plan", site.config, at=NOW + timedelta(seconds=1)))
        after = imported.dates()
        assert len(after) == len(before)
        assert [name for _, name in sorted(before, key=lambda pair: pair[1])] == sorted(name for _, name in after)
        moved = [each for each in after if each not in before and each[1].startswith(f"{role} ")]
        assert [when for when, _ in moved] == [day(entity.ours.not_after)]

    def test_folder_does_not_matter(self, tmp_path: Path, mdmprofile: Command, site: Site) -> None:
        """Another machine, another checkout, another name of the file: the profile's identifier is the same."""
        imported = Imported()
        imported.take(calendar(mdmprofile, "plan", site.config))
        shutil.copytree(site.folder, tmp_path / "elsewhere")
        moved = (tmp_path / "elsewhere" / "enroll.toml").rename(tmp_path / "elsewhere" / "mdm.toml")
        imported.take(calendar(mdmprofile, "plan", moved, at=LATER))
        assert imported.dates() == imported_once(calendar(mdmprofile, "plan", moved, at=LATER))

    def test_other_profile_keeps_its_own_events(self, tmp_path: Path, mdmprofile: Command, site: Site) -> None:
        """Two customers' configs are both called enroll.toml."""
        other = make_site(tmp_path / "other")
        other.edit(lambda text: text.replace("com.example.mdm.enroll", "org.example.mdm"))
        imported = Imported()
        imported.take(calendar(mdmprofile, "plan", site.config))
        count = len(imported)
        imported.take(calendar(mdmprofile, "plan", other.config))
        assert len(imported) == 2 * count

    def test_identity_moves_with_every_run_and_another_validity(self, mdmprofile: Command, site: Site) -> None:
        """Its name says how long it is valid and from when; its event is the same all the same."""
        imported = Imported()
        imported.take(calendar(mdmprofile, "plan", site.config))
        site.edit(lambda text: text.replace('validity = "365d"', 'validity = "400d"'))
        imported.take(calendar(mdmprofile, "plan", site.config, at=LATER))
        found = [(when, name) for when, name in imported.dates() if name.startswith("identity")]
        assert found == [
            (day(LATER + 400 * DAY), "identity from SCEP, valid for 400 days, if sent on 2031-04-10 ends (Example MDM)")
        ]

    def test_steps_of_a_change_of_the_ca_move_with_the_planned_date(self, mdmprofile: Command, site: Site) -> None:
        """A plan that was put off is the same plan."""
        following = root_ca("Next Root")
        (site.folder / "next.pem").write_bytes(following.pem)
        site.edit(lambda text: text.replace('"intermediate.pem"]', '"intermediate.pem", "next.pem"]', 1))
        imported = Imported()
        for planned, at in (("2031-06-01", NOW), ("2031-07-01", LATER)):
            data = calendar(mdmprofile, "plan", site.config, "--replace-on", planned, at=at)
            imported.take(data)
        assert imported.dates() == imported_once(data)
        assert (
            "2031-07-31",
            "Move the server to a certificate of Next Root, and name it in trust.server_certificate (Example MDM)",
        ) in (imported.dates())

    def test_old_root_is_retired_once_before_and_after_the_move_of_the_server(
        self, tmp_path: Path, mdmprofile: Command
    ) -> None:
        """The plan that is made again after the move has the same step, at another date."""
        old, new = old_root(200), new_root()
        site = house(tmp_path, old, new, server=server_leaf(old), planned="2031-05-01")
        imported = Imported()
        imported.take(calendar(mdmprofile, "plan", site.config))
        (site.folder / "server.pem").write_bytes(server_leaf(new).pem)
        site.edit(lambda text: text.replace("2031-05-01", "2031-07-15"))
        imported.take(calendar(mdmprofile, "plan", site.config, at=NOW + 95 * DAY))
        retired = [(when, name) for when, name in imported.dates() if name.startswith("Retire")]
        assert [when for when, _ in retired] == ["2031-07-15"]

    def test_older_calendar_does_not_undo_a_later_one(self, mdmprofile: Command, site: Site) -> None:
        """SEQUENCE grows with the time of the run, so the order of the imports is all the same."""
        old = calendar(mdmprofile, "plan", site.config)
        (site.folder / "root.pem").write_bytes(root_ca(days=4000).pem)
        new = calendar(mdmprofile, "plan", site.config, at=LATER)
        imported = Imported()
        imported.take(new)
        after = imported.dates()
        imported.take(old)
        assert imported.dates() == after

    @pytest.mark.parametrize(
        ("at", "sequence"),
        [
            (datetime(1, 1, 1, tzinfo=UTC), 0),
            (datetime(2024, 1, 1, 0, 0, 1, tzinfo=UTC), 1),
            (datetime(2024, 1, 2, tzinfo=UTC), 86_400),
            (FOREVER, 2**31 - 1),
        ],
    )
    def test_sequence_fits_an_integer_of_31_bits(self, at: datetime, sequence: int) -> None:
        """Seconds since 2024; RFC 5545 section 3.3.8 has no larger integers."""
        thing = Watched("root", "Root", "root.pem", baked_in=True, not_after=NOW)
        events = read(render(View(now=at, watched=[thing])).encode())
        assert {each.properties["SEQUENCE"] for each in events} == {str(sequence)}

    def test_certificate_without_a_common_name_is_known_by_its_place_among_equals(
        self, tmp_path: Path, mdmprofile: Command
    ) -> None:
        """Public CAs issue server certificates with an empty subject; a fingerprint would change with each."""
        file = tmp_path / "server.pem"
        imported = Imported()
        for days in (90, 180):
            file.write_bytes(issue(x509.Name([]), root_ca(), end=NOW + days * DAY).pem)
            imported.take(calendar(mdmprofile, "check", file, at=NOW + days * DAY / 2))
        assert [when for when, name in imported.dates() if name.endswith("ends")] == [day(NOW + 180 * DAY)]

    def test_two_of_the_same_name_are_two_events(self, mdmprofile: Command, tmp_path: Path) -> None:
        """The next root often has the name of the old one; when both are renewed, both move."""
        file = tmp_path / "roots.pem"
        imported = Imported()
        for first, second, at in ((100, 200, NOW), (300, 200, NOW + DAY), (300, 400, LATER)):
            file.write_bytes(root_ca(days=first).pem + root_ca(days=second).pem)
            imported.take(calendar(mdmprofile, "check", file, at=at))
            found = [when for when, name in imported.dates() if name == "root Test Root ends"]
            assert found == sorted([day(NOW + first * DAY), day(NOW + second * DAY)])


def imported_once(data: bytes) -> list[tuple[str, str]]:
    """What a calendar holds after this one import."""
    fresh = Imported()
    fresh.take(data)
    return fresh.dates()


class TestManyTargets:
    """The calendar of a check."""

    def test_certificate_in_two_files_is_an_event_for_each_with_the_file_in_its_name(
        self, tmp_path: Path, mdmprofile: Command
    ) -> None:
        """Each of the two is replaced by itself; so is each of two files with one base name."""
        root = root_ca()
        files = [tmp_path / "a" / "root.pem", tmp_path / "b" / "root.pem", tmp_path / "b" / "copy.pem"]
        for each in files:
            each.parent.mkdir(exist_ok=True)
            each.write_bytes(root.pem)
        events = read(calendar(mdmprofile, "check", *files))
        names = ["root Test Root ends (copy.pem)", "root Test Root ends (root.pem)", "root Test Root ends (root.pem)"]
        assert [name for _, name in ends(events)] == names
        targets = {line for each in events for line in each.description.split("\n") if line.startswith("Target")}
        assert targets == {f"Target: {each}" for each in files}
        assert len([each for each in events if each.summary.startswith("Latest safe date")]) == 3

    def test_config_and_its_profile_are_told_apart(self, tmp_path: Path, mdmprofile: Command, site: Site) -> None:
        """They have one identifier, and certificates of one name."""
        assert mdmprofile("build", "-c", site.config, "-o", tmp_path / "out").code == 0
        names = Counter(
            each.summary
            for each in read(calendar(mdmprofile, "check", site.config, tmp_path / "out" / "enroll.mobileconfig"))
        )
        assert max(names.values()) == 1
        for file in ("enroll.toml", "enroll.mobileconfig"):
            assert f"root Test Root ends (com.example.mdm.enroll, {file})" in names

    def test_target_that_is_named_twice_is_there_once(self, mdmprofile: Command, site: Site) -> None:
        """As in a cron line that names a file and its folder."""
        once = calendar(mdmprofile, "check", site.config)
        assert calendar(mdmprofile, "check", site.config, site.config) == once

    def test_each_target_has_its_own_latest_safe_date(self) -> None:
        """With its own margin; the plan of the view is that of the file to replace first."""
        reports = [
            FileReport(f"{number}.pem", watched=[each], thresholds=Thresholds(margin=number * DAY))
            for number in (1, 2)
            for each in [Watched("root", "Root", "", baked_in=True, not_after=NOW + 100 * DAY)]
        ]
        tightest = make_plan(reports[1].watched, reports[1].thresholds)
        events = read(render(View(now=NOW, plan=tightest, by_file=reports)).encode())
        found = {each.summary: each.date for each in events if each.summary.startswith("Latest")}
        assert found == {
            "Latest safe date to replace the profile (1.pem)": (NOW + 99 * DAY).date(),
            "Latest safe date to replace the profile (2.pem)": (NOW + 98 * DAY).date(),
        }

    def test_unreadable_target_leaves_the_others_in_the_calendar(
        self, tmp_path: Path, mdmprofile: Command, site: Site
    ) -> None:
        """The run could not do all of its job, exit code 3, and says so on standard error."""
        outcome = mdmprofile("check", site.folder / "root.pem", tmp_path / "absent.pem", *ICS)
        assert outcome.code == 3
        assert [name for _, name in ends(read(raw(outcome)))] == ["root Test Root ends (root.pem)"]


class TestHostile:
    """Whatever is in a certificate, a file name or a profile is a text in one event, and nothing else."""

    @pytest.mark.parametrize("text", NAUGHTY, ids=range(len(NAUGHTY)))
    def test_subject_survives_every_reader(self, tmp_path: Path, mdmprofile: Command, text: str) -> None:
        """Three readers see the same text; no line, event or control character came out of it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is longer than RFC 5280 has it
            subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text, _validate=False)])
        file = tmp_path / f"{re.sub('[^ -.0-~]', '_', text[:20])}.pem"
        file.write_bytes(issue(subject, ca=True, end=NOW + 100 * DAY).pem)
        events = read(calendar(mdmprofile, "check", file))
        assert len(events) == 2
        everything = "".join(each.summary + each.description for each in events)
        assert all(each.isprintable() or each in "\n\u3000\u00a0" for each in everything)
        assert max(len(each.summary) for each in events) < 2000

    def test_file_name_of_undecodable_bytes_survives(self, tmp_path: Path, mdmprofile: Command) -> None:
        """A lone surrogate has no UTF-8."""
        file = tmp_path / "ro\udcffot.pem"
        file.write_bytes(root_ca().pem)
        assert "ro\\udcffot.pem" in read(calendar(mdmprofile, "check", file))[0].description

    @given(
        texts=st.lists(st.text(st.characters(exclude_categories=()), max_size=200), min_size=7, max_size=7),
        end=st.datetimes(datetime(1900, 1, 1), datetime(9999, 12, 31)),  # noqa: DTZ001 - made aware below
    )
    @settings(max_examples=60)
    def test_any_text_in_any_place_makes_a_calendar(self, texts: list[str], end: datetime) -> None:
        """Names, places, sources, identifiers, actions and reasons."""
        name, where, source, identifier, action, why, key = texts
        thing = Watched("root", name, where, baked_in=True, not_after=end.replace(tzinfo=UTC))
        plan = Plan(None, 30 * DAY, end.replace(tzinfo=UTC), thing, (Step(NOW, action, why, key),))
        report = FileReport(source, watched=[thing, thing], identifier=identifier)
        events = read(render(View(now=NOW, plan=plan, by_file=[report])).encode())
        assert len(events) == 4

    def test_crowd_of_equals_has_unique_names(self) -> None:
        """A thousand certificates of one subject are a thousand events."""
        things = [
            Watched("root", "Root", f"{number}.pem", baked_in=True, not_after=NOW + number * DAY)
            for number in range(1000)
        ]
        events = strictly(render(View(now=NOW, watched=things, plan=make_plan(things, Thresholds()))).encode())
        assert len(events) == 1001
