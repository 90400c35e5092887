"""The formats of check for other programs: monitors, metrics, spreadsheets and build servers, each read by its own."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import plistlib
import re
import stat
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from conftest import Command, system_tool
from mdmprofile.certificates import Certificate
from mdmprofile.errors import InputError, Problems
from mdmprofile.findings import Finding, finding
from mdmprofile.moments import as_utc, stamp
from mdmprofile.plan import Thresholds, Watched, judge_dates, make_plan, watch
from mdmprofile.reports import csv as csv_report
from mdmprofile.reports import github, junit, nagios, prometheus
from mdmprofile.reports.model import FileReport, View
from monitor import Value, alerts, harmless, plugin_line
from pki import DAY, NOW, Entity, Site, intermediate_ca, issue, root_ca, server_leaf

HERE = Path(__file__).parent
URL = "https://mdm.example.com:8443"
AT = ("--at", stamp(NOW))
# What means something to a monitor, an exposition, a spreadsheet, XML, a workflow command or a terminal.
HOSTILE = (
    "=cmd()|'/c calc'!A1",
    '"\\\n|x=1',
    "\u202eevil\u2066",
    "🔑" * 16,
    "]]><b>&",
    "::error::%0A,",
    "-1+1",
    "@SUM(A1)",
)


def long_name(length: int) -> x509.Name:
    """A subject with an organization that no form would take."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        kinds = (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME)
        return x509.Name([x509.NameAttribute(each, "x" * length, _validate=False) for each in kinds])


def expired(name: str = "Over") -> Entity:
    """A root that ended yesterday."""
    return issue(name, ca=True, start=NOW - 9 * DAY, end=NOW - DAY)


def ending_in(days: int, name: str = "Nearly") -> Entity:
    """A root that ends in so many days."""
    return issue(name, ca=True, end=NOW + days * DAY)


def profile(*payloads: Mapping[str, object]) -> bytes:
    """An unsigned profile with these payloads."""
    keys = {"PayloadType": "Configuration", "PayloadVersion": 1, "PayloadIdentifier": "com.example", "PayloadUUID": "P"}
    return plistlib.dumps({**keys, "PayloadContent": list(payloads)})


SCEP = {"PayloadType": "com.apple.security.scep", "PayloadVersion": 1, "PayloadIdentifier": "s", "PayloadUUID": "S"}


@pytest.fixture
def targets(tmp_path: Path) -> dict[str, Path]:
    """Targets of every kind: by date, hostile, with an end that nobody knows, and unreadable."""
    contents = {
        "fine.pem": server_leaf(root_ca()).pem,
        "soon.pem": ending_in(20).pem,
        "expired.pem": expired().pem,
        "rollover.pem": expired("Same").pem + ending_in(20, "Same").pem + ending_in(900, "Same").pem,
        "hostile.pem": b"".join(ending_in(20 + number, name).pem for number, name in enumerate(HOSTILE)),
        "long.pem": issue(long_name(10_000), ca=True, end=NOW + 20 * DAY).pem,
        "unknown.mobileconfig": profile(SCEP),
        "broken.pem": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    }
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    return {Path(name).stem: tmp_path / name for name in contents}


def view_of(
    *watched: Watched,
    source: str = "a.pem",
    findings: Sequence[Finding] | None = None,
    thresholds: Thresholds | None = None,
) -> View:
    """What check would show of these things in one target."""
    limits = thresholds or Thresholds()
    found = judge_dates(watched, limits, now=NOW) if findings is None else findings
    report = FileReport(source, found, watched=watched, thresholds=limits)
    return View(NOW, found, watched, make_plan(watched, limits), by_file=[report])


class TestNagios:
    """One line that a plugin's reader takes."""

    @pytest.mark.parametrize(
        ("names", "state", "code"),
        [
            ("fine", "OK", 0),
            ("unknown", "OK", 0),
            ("soon fine", "WARNING", 1),
            ("fine expired soon", "CRITICAL", 2),
            ("fine broken", "UNKNOWN", 3),
            ("soon broken", "UNKNOWN", 3),
            ("broken expired", "CRITICAL", 2),
            ("hostile", "WARNING", 1),
            ("long", "WARNING", 1),
        ],
    )
    def test_state_is_the_exit_code(
        self, names: str, state: str, code: int, targets: dict[str, Path], mdmprofile: Command
    ) -> None:
        """The monitor goes by the code and shows the word; they never differ."""
        outcome = mdmprofile("check", *(targets[each] for each in names.split()), "--format", "nagios")
        said, _, data = plugin_line(outcome.out)
        assert (said, outcome.code) == (state, code)
        assert data["unread"].value == ("broken" in names)

    def test_text_says_what_ends_when_what_else_and_the_latest_safe_date(
        self, targets: dict[str, Path], mdmprofile: Command
    ) -> None:
        """The worst comes first, whatever the order on the command line."""
        outcome = mdmprofile("check", *(targets[each] for each in ("soon", "expired", "fine")), "--format", "nagios")
        _, text, data = plugin_line(outcome.out)
        assert text.startswith("root Over expired on 2031-02-28: devices no longer trust the server")
        assert f"({targets['expired']})" in text
        assert text.endswith("; root Nearly ends on 2031-03-21; latest safe replacement date 2031-01-29 has passed")
        assert data == {
            "days_left": Value(-1, "30:", "7:"),
            "days_to_latest_safe_date": Value(-31, "", ""),
            "certificates": Value(3, "", ""),
            "errors": Value(1, "", ""),
            "warnings": Value(1, "", ""),
            "unread": Value(0, "", ""),
        }

    def test_three_things_are_named_and_the_rest_counted(self, mdmprofile: Command, tmp_path: Path) -> None:
        """The worst in full, two more in a few words, and none of them twice though it is in two files."""
        for days, name in ((2, "First"), (3, "Second"), (-1, "Over"), (20, "Third")):
            (tmp_path / f"{name}.pem").write_bytes(ending_in(days, name).pem if days > 0 else expired(name).pem)
        (tmp_path / "copy.pem").write_bytes((tmp_path / "Over.pem").read_bytes())
        text = plugin_line(mdmprofile("check", tmp_path, "--format", "nagios").out)[1]
        assert text.startswith("root Over expired on 2031-02-28: devices no longer trust the server")
        others = "; root First ends on 2031-03-03; root Second ends on 2031-03-04; 2 more findings; latest safe"
        assert others in text

    def test_date_says_that_an_identity_is_not_in_it(self, mdmprofile: Command, site: Site) -> None:
        """Of a profile alone nobody knows when the identities that devices fetched end."""
        assert mdmprofile("build", "-c", site.config, "-o", site.folder / "out").code == 0
        profile = site.folder / "out" / "enroll.mobileconfig"
        state, text, _ = plugin_line(mdmprofile("check", profile, "--format", "nagios").out)
        assert state == "OK"
        assert re.search(r"latest safe replacement date \d{4}-\d\d-\d\d, identity not counted because its", text)
        told = mdmprofile("check", profile, "--format", "nagios", "--identity-validity", "9999d")
        assert "not counted" not in plugin_line(told.out)[1]

    def test_rehearsal_says_how_its_steps_went_and_no_date_of_a_plan(self, mdmprofile: Command, site: Site) -> None:
        """Its performance data has what the servers showed, held against the thresholds that were asked for."""
        steps = [{"outcome": each} for each in ("passed", "passed", "not tried", "failed")]
        leaf = watch(Certificate(server_leaf(root_ca(), days=90).der), "leaf", "a")
        report = FileReport("a.mobileconfig", watched=[leaf], thresholds=Thresholds(warn=100 * DAY))
        shown = View(NOW, by_file=[report], extra={"steps": steps})
        _, text, data = plugin_line(nagios.render(shown))
        assert text == (
            "leaf mdm.example.com ends first, on 2031-05-30, in 90 days; 2 steps passed, 1 not tried, 1 failed"
        )
        assert data["days_left"] == Value(90, "100:", "7:")
        assert data["certificates"].value == 1
        here = ("--resolve", "mdm.example.com:443:127.0.0.1", "--connect-timeout", "1")
        outcome = mdmprofile("doctor", site.config, *here, "--format", "nagios")
        state, text, data = plugin_line(outcome.out)
        assert (outcome.code, state) == (2, "CRITICAL")
        assert re.search(r"; 0 steps passed, .*failed", text)
        assert "latest safe" not in text
        assert "days_to_latest_safe_date" not in data

    def test_what_ends_first_is_the_worst_of_its_severity(self, mdmprofile: Command, tmp_path: Path) -> None:
        """Two errors, and the one that matters sooner is named."""
        (tmp_path / "later.pem").write_bytes(ending_in(6, "Later").pem)
        (tmp_path / "sooner.pem").write_bytes(ending_in(2, "Sooner").pem)
        outcome = mdmprofile("check", tmp_path / "later.pem", tmp_path / "sooner.pem", "--format", "nagios")
        assert plugin_line(outcome.out)[1].startswith("root Sooner ends on 2031-03-03, in 2 days; ")

    def test_good_state_names_what_ends_first(self, site: Site, mdmprofile: Command) -> None:
        """Somebody who looks at a green line sees how long it stays green."""
        outcome = mdmprofile("check", site.config, "--format", "nagios")
        state, text, data = plugin_line(outcome.out)
        assert state == "OK"
        assert text == (
            "identity from SCEP, valid for 365 days ends first, on 2032-02-29, in 365 days; "
            "latest safe replacement date 2032-01-30"
        )
        # The config plans its replacement in 183 days.
        assert data["days_to_latest_safe_date"] == Value(335, "183:", "")

    def test_target_that_cannot_be_read_is_said_first_with_the_reason(
        self, targets: dict[str, Path], mdmprofile: Command
    ) -> None:
        """Nobody must look for it behind a warning; behind an error it comes second."""
        absent = targets["fine"].with_name("absent.pem")
        outcome = mdmprofile("check", targets["soon"], absent, targets["broken"], "--format", "nagios")
        text = plugin_line(outcome.out)[1]
        assert text.startswith(f"could not read {absent}: no such file (check the path) and 1 more target; root Nearly")
        outcome = mdmprofile("check", targets["expired"], absent, "--format", "nagios")
        text = plugin_line(outcome.out)[1]
        assert text.startswith("root Over expired")
        assert f"; could not read {absent}: no such file" in text

    @pytest.mark.parametrize("days", [-1, 3, 6, 10, 29, 31, 300])
    @pytest.mark.parametrize("flags", [(), ("--warn", "12d", "--critical", "4d")], ids=["defaults", "flags"])
    def test_ranges_alert_as_the_check_does(
        self, days: int, flags: tuple[str, ...], mdmprofile: Command, tmp_path: Path
    ) -> None:
        """A graph that draws the ranges agrees with the state."""
        (tmp_path / "a.pem").write_bytes(issue("A", ca=True, start=NOW - 9 * DAY, end=NOW + days * DAY).pem)
        outcome = mdmprofile("check", tmp_path / "a.pem", "--format", "nagios", *flags)
        state, _, data = plugin_line(outcome.out)
        left = data["days_left"]
        by_range = (alerts(left.value, left.critical), alerts(left.value, left.warning))
        assert left.value == days
        assert state == ("CRITICAL" if by_range[0] else "WARNING" if by_range[1] else "OK")

    def test_replacement_planned_too_late_alerts_by_its_range(
        self, targets: dict[str, Path], mdmprofile: Command
    ) -> None:
        """The latest safe date is nearer than the planned one."""
        for planned, state in (("2031-03-20", "WARNING"), ("2033-01-01", "OK")):
            name = "soon" if state == "WARNING" else "rollover"
            certificate = targets[name].with_name("planned.pem")
            certificate.write_bytes(ending_in(45 if state == "WARNING" else 900).pem)
            outcome = mdmprofile("check", certificate, "--format", "nagios", "--replace-on", planned)
            said, _, data = plugin_line(outcome.out)
            safe = data["days_to_latest_safe_date"]
            assert (said, alerts(safe.value, safe.warning)) == (state, state == "WARNING")

    def test_hostile_names_leave_one_line_that_still_has_its_date(
        self, targets: dict[str, Path], mdmprofile: Command
    ) -> None:
        """No bar, newline or control character of a subject gets into the line, and no length pushes the date out."""
        for name in ("hostile", "long"):
            outcome = mdmprofile("check", targets[name], "--format", "nagios")
            _, text, data = plugin_line(outcome.out)
            assert "ends on 2031-03-21, in 20 days" in text
            assert "latest safe replacement date 2031-02-19" in text
            assert data["days_left"].value == 20

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (("--format", "nagios"), "Missing argument"),
            (("a.pem", "--format=nagios", "--margin", "x|y\n"), "'x|y\\n' is not a duration"),
            (("a.pem", "--format", "nagios", "--trust", "absent-ca.pem"), "absent-ca.pem: no such file"),
            (("a.pem", "--format", "nagios", "--nonsense"), "No such option"),
            (("a.pem", "--format", "nagios", "--password-file", "absent.txt"), "absent.txt"),
        ],
        ids=["no target", "duration", "trust", "option", "password"],
    )
    def test_run_that_comes_to_nothing_is_unknown_on_standard_output(
        self, arguments: tuple[str, ...], reason: str, mdmprofile: Command
    ) -> None:
        """A monitor does not read standard error."""
        outcome = mdmprofile("check", *arguments, at=None)
        state, text, data = plugin_line(outcome.out)
        assert (outcome.code, state, data) == (3, "UNKNOWN", {})
        assert reason.replace("|", "\\x7c") in text
        assert outcome.err.startswith("mdmprofile: error: ")

    def test_several_errors_of_one_run_are_one_line(self) -> None:
        """The first, and how many more."""
        group = Problems([InputError("no|such\nfile", where="a"), InputError("b"), InputError("c")])
        state, text, _ = plugin_line(nagios.failure(group))
        assert (state, text) == ("UNKNOWN", "a: no\\x7csuch\\nfile; 2 more")

    def test_other_formats_stay_as_they_are_when_a_run_comes_to_nothing(self, mdmprofile: Command) -> None:
        """JSON has its object, and the rest have nothing that a reader could take for a report."""
        assert json.loads(mdmprofile("check", "--format", "json", at=None).out)["findings"] == []
        for form in ("text", "csv", "prometheus", "junit", "github"):
            assert mdmprofile("check", "--format", form, at=None).out == ""

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.text(max_size=2000) | st.sampled_from(HOSTILE), st.binary(max_size=400).map(os.fsdecode))
    def test_no_text_breaks_the_line(self, text: str, source: str) -> None:
        """Names, places and errors are somebody else's."""
        thing = Watched("root", text, source, baked_in=True, not_after=NOW + 2 * DAY)
        shown = view_of(thing, source=source)._replace(exit_code=2)
        _, said, data = plugin_line(nagios.render(shown))
        assert data["days_left"].value == 2
        assert "ends on 2031-03-03, in 2 days" in said
        broken = FileReport(source, errors=[InputError(text, where=source)])
        assert plugin_line(nagios.render(View(NOW, by_file=[broken], exit_code=3)))[2]["unread"].value == 1
        assert plugin_line(nagios.failure(InputError(f"is {text}", where=source)))[0] == "UNKNOWN"


class Sample(NamedTuple):
    """One line of an exposition."""

    labels: dict[str, str]
    value: float


END = "mdmprofile_certificate_not_after_timestamp_seconds"
SAFE = "mdmprofile_latest_safe_replacement_timestamp_seconds"
LABELS = {
    END: {"role", "subject", "sha256", "target"},
    "mdmprofile_findings": {"severity"},
    "mdmprofile_target_readable": {"target"},
    SAFE: set(),
    "mdmprofile_planned_replacement_timestamp_seconds": set(),
    "mdmprofile_check_timestamp_seconds": set(),
}


def exposition(text: str) -> dict[str, list[Sample]]:
    """What the client library reads, and promtool takes: every family with HELP and TYPE, and no series twice."""
    done = subprocess.run(
        [system_tool("promtool"), "check", "metrics"], input=text.encode(), capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert text.endswith("\n")
    families = {each.name: each for each in text_string_to_metric_families(text)}
    assert set(families) == set(LABELS)
    read: dict[str, list[Sample]] = {}
    for name, family in families.items():
        assert family.documentation
        assert family.type == "gauge"
        assert all(set(each.labels) == LABELS[name] for each in family.samples)
        series = [tuple(sorted(each.labels.items())) for each in family.samples]
        assert len(set(series)) == len(series)
        read[name] = [Sample(each.labels, each.value) for each in family.samples]
    return read


class TestPrometheus:
    """Metrics that node_exporter takes."""

    def test_every_end_is_a_series_with_the_labels_of_the_json_report(
        self, site: Site, targets: dict[str, Path], mdmprofile: Command
    ) -> None:
        """The same certificates, the same times; what steers a terminal is escaped, a newline is kept."""
        named = (site.config, *targets.values())
        read = exposition(mdmprofile("check", *named, "--format", "prometheus").out)
        report = mdmprofile("check", *named, "--format", "json").json
        expected = {
            (each["role"], each["sha256"]): (each["subject"], datetime.fromisoformat(each["not_after"]).timestamp())
            for each in report["certificates"]
        }
        got = {(each.labels["role"], each.labels["sha256"]): each for each in read[END] if each.labels["sha256"]}
        assert set(got) == set(expected)
        for key, (subject, end) in expected.items():
            assert got[key].value == end
            if len(subject) < 1000 and "\u202e" not in subject:
                assert got[key].labels["subject"] == subject
        assert {each.labels["severity"]: each.value for each in read["mdmprofile_findings"]} == {
            severity: sum(each["severity"] == severity for each in report["findings"])
            for severity in ("info", "warning", "error")
        }
        (safe,) = read[SAFE]
        assert stamp(as_utc(datetime.fromtimestamp(safe.value, NOW.tzinfo)))[:10] == report["plan"]["latest_safe_date"]

    def test_each_target_says_whether_it_could_be_read(self, targets: dict[str, Path], mdmprofile: Command) -> None:
        """An alert on 0 names the file; the others are there in full."""
        outcome = mdmprofile("check", *targets.values(), "--format", "prometheus")
        read = exposition(outcome.out)
        assert {each.labels["target"]: each.value for each in read["mdmprofile_target_readable"]} == {
            str(path): float(name != "broken") for name, path in targets.items()
        }
        assert read["mdmprofile_check_timestamp_seconds"] == [Sample({}, NOW.timestamp())]

    def test_identity_without_a_certificate_has_its_name_and_no_fingerprint(
        self, site: Site, mdmprofile: Command
    ) -> None:
        """It is no certificate yet, but it ends."""
        read = exposition(mdmprofile("check", site.config, "--format", "prometheus").out)
        (identity,) = (each for each in read[END] if each.labels["role"] == "identity")
        assert identity.labels["sha256"] == ""
        assert identity.labels["subject"] == "from SCEP, valid for 365 days"
        assert identity.value == (NOW + 365 * DAY).timestamp()
        planned = read["mdmprofile_planned_replacement_timestamp_seconds"]
        assert planned == [Sample({}, datetime(2031, 9, 1, tzinfo=NOW.tzinfo).timestamp())]

    def test_what_nobody_knows_has_no_sample(self, targets: dict[str, Path], mdmprofile: Command) -> None:
        """A zero would be a date in 1970, and alert for ever."""
        read = exposition(mdmprofile("check", targets["unknown"], "--format", "prometheus").out)
        assert (read[END], read[SAFE]) == ([], [])
        assert [each.value for each in read["mdmprofile_findings"]] == [1, 0, 0]

    def test_same_certificate_twice_in_a_target_is_one_series(self, mdmprofile: Command, tmp_path: Path) -> None:
        """Two would make node_exporter refuse the whole file."""
        root = ending_in(900)
        payloads = [
            {"PayloadType": "com.apple.security.root", "PayloadUUID": uuid, "PayloadContent": root.der}
            for uuid in ("A", "B")
        ]
        (tmp_path / "twice.mobileconfig").write_bytes(profile(*payloads, SCEP, {**SCEP, "PayloadUUID": "T"}))
        outcome = mdmprofile(
            "check",
            *[tmp_path / "twice.mobileconfig"] * 2,
            "--identity-validity",
            "100d",
            "--format",
            "prometheus",
        )
        assert [each.labels["role"] for each in exposition(outcome.out)[END]] == ["root", "identity"]

    def test_earlier_end_speaks_for_two_of_the_same_labels(self) -> None:
        """Two identities that devices will fetch differ in nothing but their end."""
        things = [
            Watched("identity", "from SCEP", f"a.pem: {days}", baked_in=True, not_after=NOW + days * DAY)
            for days in (9, 3, 6)
        ]
        (sample,) = exposition(prometheus.render(view_of(*things)))[END]
        assert sample.value == (NOW + 3 * DAY).timestamp()

    @settings(derandomize=True, deadline=None, max_examples=100)
    @given(st.text(st.characters() | st.sampled_from('\0\n\r"\\{},=\u2028\u202e')), st.binary().map(os.fsdecode))
    def test_any_text_is_read_back_from_a_label(self, text: str, source: str) -> None:
        """One line a series, and what the parser reads is the text, escaped where it could steer a terminal."""
        thing = Watched("root", text, source, baked_in=True, not_after=NOW)
        families = {each.name: each for each in text_string_to_metric_families(prometheus.render(view_of(thing)))}
        (sample,) = families[END].samples
        if harmless(text.replace("\n", "")):
            assert sample.labels["subject"] == text
        assert harmless(sample.labels["subject"].replace("\n", ""))

    def test_labels_are_bounded_and_stay_utf8(self) -> None:
        """A store that drops long labels would drop the certificate's alert with them."""
        thing = Watched("root", "🔑" * 5000, "a.pem", baked_in=True, not_after=NOW)
        (sample,) = exposition(prometheus.render(view_of(thing)))[END]
        assert sample.labels["subject"] == "🔑" * 256

    @pytest.mark.parametrize("end", [datetime(1950, 1, 1), datetime(9999, 12, 31, 23, 59, 59)], ids=["1950", "9999"])  # noqa: DTZ001 - made aware below
    def test_calendar_s_ends_are_timestamps(self, end: datetime) -> None:
        """RFC 5280 has both."""
        thing = Watched("root", "a", "a.pem", baked_in=True, not_after=end.replace(tzinfo=NOW.tzinfo))
        (sample,) = exposition(prometheus.render(view_of(thing)))[END]
        assert datetime.fromtimestamp(sample.value, NOW.tzinfo).replace(tzinfo=None) == end

    def test_file_for_the_collector_is_readable_and_alone(
        self, site: Site, mdmprofile: Command, tmp_path: Path
    ) -> None:
        """node_exporter runs as another user, and reads no file that is only half there."""
        folder = tmp_path / "collector"
        folder.mkdir()
        target = folder / "mdmprofile.prom"
        for _ in range(2):
            before = target.stat().st_ino if target.exists() else None
            assert mdmprofile("check", site.config, "--format", "prometheus", "-o", target).out == ""
            assert [each.name for each in folder.iterdir()] == [target.name]
            # A new file in the place of the old one: who has the old one open reads it to its end.
            assert target.stat().st_ino != before
        mask = os.umask(0)
        os.umask(mask)
        assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~mask
        assert exposition(target.read_text())["mdmprofile_check_timestamp_seconds"]

    def test_library_is_loaded_for_its_format_alone_and_writes_no_file_of_its_own(
        self, site: Site, tmp_path: Path
    ) -> None:
        """It is slow to import, and where a server shares metrics between processes it would join in."""
        shared = tmp_path / "shared"
        shared.mkdir()
        code = (
            "import sys; from mdmprofile.cli import run; run(sys.argv[1:]); print('prometheus_client' in sys.modules)"
        )
        for form, loaded in (("json", "False"), ("nagios", "False"), ("csv", "False"), ("prometheus", "True")):
            done = subprocess.run(
                [sys.executable, "-c", code, "check", site.config, "--format", form, *AT],
                capture_output=True,
                check=True,
                env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(shared)},
            )
            assert done.stdout.decode().splitlines()[-1] == loaded
        assert list(shared.iterdir()) == []


def table(text: str) -> list[dict[str, str]]:
    """The rows of a CSV report: CRLF behind each, as many cells as columns."""
    assert text.endswith("\r\n")
    assert re.search(r"(?<!\r)\n|\r(?!\n)", text) is None
    header, *rows = csv.reader(text.splitlines(keepends=True), strict=True)
    assert header == list(csv_report.COLUMNS)
    assert all(len(each) == len(header) for each in rows)
    return [dict(zip(header, each, strict=True)) for each in rows]


class TestCsv:
    """A table that a spreadsheet opens, and nothing in it runs."""

    def test_row_is_the_certificate_of_the_json_report(self, site: Site, mdmprofile: Command, tmp_path: Path) -> None:
        """Every column of it, and the identity that is no certificate yet."""
        target = tmp_path / "report.csv"
        mdmprofile("check", site.config, "--format", "csv", "-o", target)
        rows = table(target.read_bytes().decode())
        report = mdmprofile("check", site.config, "--format", "json").json["certificates"]
        for expected in report:
            (row,) = (each for each in rows if each["sha256"] == expected["sha256"])
            shown = {key: str(value).lower() if key == "baked_in" else str(value) for key, value in expected.items()}
            assert {key: row[key] for key in shown} == shown
            assert row["target"] == str(site.config)
        (identity,) = (each for each in rows if each["role"] == "identity")
        assert (identity["subject"], identity["sha256"], identity["not_before"]) == ("", "", "")
        assert (identity["not_after"], identity["days_left"]) == ("2032-02-29T12:00:00Z", "365")
        assert len(rows) == len(report) + 1

    def test_severity_belongs_to_the_very_certificate(self, targets: dict[str, Path], mdmprofile: Command) -> None:
        """Of three of the same name in one bundle, the one that is over is the error."""
        rows = table(mdmprofile("check", targets["rollover"], "--format", "csv").out)
        assert [(each["name"], each["days_left"], each["severity"]) for each in rows] == [
            ("Same", "-1", "error"),
            ("Same", "20", "warning"),
            ("Same", "900", ""),
        ]
        assert rows[0]["message"].startswith("root Same expired on 2031-02-28")

    def test_severity_is_told_in_one_payload_of_several_certificates_too(
        self, mdmprofile: Command, tmp_path: Path
    ) -> None:
        """There they share their place."""
        content = expired("Same").pem + ending_in(900, "Same").pem + ending_in(900, "Same 2").pem
        payload = {"PayloadType": "com.apple.security.pem", "PayloadUUID": "A", "PayloadContent": content}
        (tmp_path / "a.mobileconfig").write_bytes(profile(payload, SCEP))
        rows = table(mdmprofile("check", tmp_path / "a.mobileconfig", "--format", "csv").out)
        assert [(each["name"], each["days_left"], each["severity"]) for each in rows] == [
            ("Same", "-1", "error"),
            ("Same", "900", ""),
            ("Same 2", "900", ""),
            ("from SCEP", "", "info"),
        ]

    def test_target_that_cannot_be_read_has_a_row(self, targets: dict[str, Path], mdmprofile: Command) -> None:
        """Nobody takes a table without it for complete."""
        rows = table(mdmprofile("check", targets["broken"], targets["fine"], "--format", "csv").out)
        broken, fine = rows
        assert (broken["role"], broken["target"], broken["severity"]) == ("unreadable", str(targets["broken"]), "error")
        assert "certificate" in broken["message"]
        assert fine["role"] == "leaf"

    def test_no_cell_is_a_formula_and_numbers_stay_numbers(self, targets: dict[str, Path], mdmprofile: Command) -> None:
        """A name that begins like a formula gets an apostrophe, days that are over keep their sign."""
        hostile = table(mdmprofile("check", targets["hostile"], "--format", "csv").out)
        assert [each["name"] for each in hostile if each["name"][0] == "'"] == [
            f"'{each}" for each in HOSTILE if each[0] in "=+-@"
        ]
        rows = table(mdmprofile("check", targets["expired"], "--format", "csv").out)
        assert rows[0]["days_left"] == "-1"

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(
        st.text(st.characters() | st.sampled_from("=+-@\t\r\n\0\"',;\u202e\uff1d")),
        st.binary().map(os.fsdecode),
    )
    def test_no_text_breaks_the_table_or_becomes_a_formula(self, text: str, source: str) -> None:
        """Two rows and twelve cells, whatever is in a name, a path or an error."""
        thing = Watched("root", text, source, baked_in=True, not_after=NOW - 2 * DAY)
        shown = view_of(thing, source=source)
        broken = FileReport(source, errors=[InputError(text, where=text, hint=text)])
        written = csv_report.render(shown._replace(by_file=[*shown.by_file, broken]))
        (row, unread) = table(written.encode("utf-8", "backslashreplace").decode())
        assert (row["days_left"], unread["role"]) == ("-2", "unreadable")
        for name, cell in (*row.items(), *unread.items()):
            assert name == "days_left" or not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
            assert harmless(cell)


def suites(text: str, tmp_path: Path) -> list[ET.Element]:
    """The suites of a JUnit report that both schemas take."""
    file = tmp_path / "junit.xml"
    file.write_bytes(text.encode("utf-8", "backslashreplace"))
    for schema in ("junit-ant.xsd", "junit-jenkins.xsd"):
        done = subprocess.run(
            [system_tool("xmllint"), "--noout", "--nonet", "--schema", HERE / schema, file],
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
    return list(ET.fromstring(file.read_bytes()))  # noqa: S314 - our own


class TestJunit:
    """What build servers read, by both of their schemas."""

    def test_check_s_suites_are_valid_and_count(
        self, site: Site, targets: dict[str, Path], mdmprofile: Command, tmp_path: Path
    ) -> None:
        """A suite a target: passed, failed, with information alone, and unreadable."""
        named = [targets[each] for each in ("fine", "rollover", "unknown", "broken", "hostile", "long")]
        outcome = mdmprofile("check", site.config, *named, "--format", "junit")
        assert outcome.code == 2
        read = suites(outcome.out, tmp_path)
        counts = [tuple(each.get(key) for key in ("name", "tests", "failures", "errors")) for each in read]
        assert counts == [
            (str(site.config), "1", "0", "0"),
            (str(targets["fine"]), "1", "0", "0"),
            (str(targets["rollover"]), "2", "2", "0"),
            (str(targets["unknown"]), "1", "0", "0"),
            (str(targets["broken"]), "1", "0", "1"),
            (str(targets["hostile"]), str(len(HOSTILE)), str(len(HOSTILE)), "0"),
            (str(targets["long"]), "1", "1", "0"),
        ]
        assert [each.get("name") for each in read[2].iter("testcase")] == ["expiry.expired #1", "expiry.soon #2"]
        assert {each.get("timestamp") for each in read} == {"2031-03-01T12:00:00"}
        assert [each.get("id") for each in read] == [str(number) for number in range(7)]
        (told,) = read[3].iter("system-out")
        assert "nobody said how long identity from SCEP is valid" in (told.text or "")
        assert [each.tag for case in read[3].iter("testcase") for each in case] == []

    def test_lint_s_report_is_valid_too(self, targets: dict[str, Path], mdmprofile: Command, tmp_path: Path) -> None:
        """The same format, with rules of every severity."""
        (tmp_path / "mdm").write_bytes(profile({"PayloadType": "com.apple.mdm", "Topic": "<x>"}))
        outcome = mdmprofile(
            "lint", targets["unknown"], tmp_path / "mdm", targets["broken"], "--format", "junit", "-o", tmp_path / "o"
        )
        assert (outcome.code, outcome.out) == (2, "")
        assert len(suites((tmp_path / "o").read_text(), tmp_path)) == 3

    @pytest.mark.parametrize(
        "source", ["", " ", "\t\n", "\ufffe", "a\0b", os.fsdecode(b"\xff"), "]]>", "<&\"'", "x" * 9999]
    )
    def test_any_name_is_valid(self, source: str, tmp_path: Path) -> None:
        """Schemas take no empty name, XML no control character."""
        shown = view_of(
            Watched("root", source, source, baked_in=True, not_after=NOW),
            Watched("identity", source, source, baked_in=True, not_after=None),
            source=source,
        )
        broken = FileReport(source, errors=[InputError(source)])
        assert len(suites(junit.render(shown._replace(by_file=[*shown.by_file, broken])), tmp_path)) == 2

    def test_schemas_refuse_what_readers_refuse(self, tmp_path: Path) -> None:
        """The tests' own schemas are no open door."""
        good = junit.render(view_of(Watched("root", "a", "a", baked_in=True, not_after=NOW)))
        suites(good, tmp_path)
        for old, new in (
            (' hostname="localhost"', ""),
            ("<system-err/>", ""),
            ("12:00:00", "12:00:00Z"),
            (' type="error"', ""),
            ("<testsuites>", '<testsuites name="x">'),
            ("</properties>", "</properties><system-out/>"),
        ):
            assert old in good
            with pytest.raises(AssertionError):
                suites(good.replace(old, new), tmp_path)
        without = re.sub("<property [^>]*>", "", good)
        with pytest.raises(AssertionError, match="properties"):
            suites(without, tmp_path)


class TestGithub:
    """A workflow command a finding."""

    def test_finding_is_shown_at_its_file(self, targets: dict[str, Path], mdmprofile: Command) -> None:
        """With the place inside it and what to do."""
        outcome = mdmprofile("check", targets["rollover"], targets["unknown"], targets["broken"], "--format", "github")
        over, soon, unknown, broken = outcome.out.splitlines()
        assert over.startswith(f"::error file={targets['rollover']},title=expiry.expired::#1: root Same expired on ")
        assert soon.startswith(f"::warning file={targets['rollover']},title=expiry.soon::#2: root Same ends on ")
        assert unknown.startswith(f"::notice file={targets['unknown']},title=expiry.identity-unknown::")
        assert broken.startswith(f"::error file={targets['broken']},title=mdmprofile::{targets['broken']}")

    def test_server_is_no_file_of_the_repository(self) -> None:
        """Its name is in the message instead."""
        leaf = watch(expired("L").ours, "leaf", URL)
        shown = view_of(leaf, source=URL)
        error = InputError("refused the connection", where=URL)
        shown = shown._replace(by_file=[shown.by_file[0]._replace(errors=[error])])
        found, unread = github.render(shown).splitlines()
        assert found.startswith(f"::error title=expiry.expired::{URL}: leaf L expired on 2031-02-28")
        assert unread == f"::error title=mdmprofile::{URL}: refused the connection"


def named_in(form: str, out: str) -> tuple[set[str], set[str]]:
    """Which targets a report shows with what is in them, and which as unreadable."""
    if form == "nagios":
        return set(), {out.partition("could not read ")[2].partition(":")[0]}
    if form == "prometheus":
        read = exposition(out)
        unread = {each.labels["target"] for each in read["mdmprofile_target_readable"] if not each.value}
        return {each.labels["target"] for each in read[END]}, unread
    if form == "csv":
        rows = table(out)
        unread = {each["target"] for each in rows if each["role"] == "unreadable"}
        return {each["target"] for each in rows} - unread, unread
    if form == "junit":
        read_suites = list(ET.fromstring(out))  # noqa: S314 - our own
        unread = {str(each.get("name")) for each in read_suites if each.get("errors") != "0"}
        return {str(each.get("name")) for each in read_suites} - unread, unread
    if form == "github":
        files = re.findall(r"(?m)^::\w+ file=([^,]*),title=([^:]*)::", out)
        unread = {file for file, title in files if title == "mdmprofile"}
        return {file for file, _ in files} - unread, unread
    if form == "json":
        report = json.loads(out)
        return {each["where"] for each in report["certificates"]}, {each["where"] for each in report["errors"]}
    return set(re.findall(r"\S+/[a-z]+\.pem", out)), set()


@pytest.mark.parametrize("form", ["text", "json", "nagios", "prometheus", "csv", "junit", "github"])
@pytest.mark.parametrize("bad", ["broken", "absent"])
@pytest.mark.parametrize(("good", "code"), [("soon", 3), ("expired", 2)])
def test_bad_target_hides_no_good_one(
    form: str, bad: str, good: str, code: int, targets: dict[str, Path], mdmprofile: Command
) -> None:
    """In every format the others are there in full, the bad one is named, and the run is not taken for good."""
    targets["absent"] = targets["fine"].with_name("absent.pem")
    named = [targets[each] for each in (good, bad, "soon")]
    outcome = mdmprofile("check", *named, "--format", form)
    assert outcome.code == code
    shown, unread = named_in(form, outcome.out)
    if form != "nagios":
        assert shown == {str(targets[good]), str(targets["soon"])}
    if form != "text":
        assert unread == {str(targets[bad])}
    assert outcome.err.startswith(f"mdmprofile: error: {targets[bad]}")


@pytest.mark.parametrize("form", ["nagios", "prometheus", "csv", "junit", "github"])
def test_big_bundle_is_reported_in_a_moment(form: str) -> None:
    """Two thousand certificates in two payloads, each with its finding, cost no two thousand times as many looks."""
    one = intermediate_ca(root_ca(), days=20)
    many = [Certificate(issue("Same", one, key=one.key, end=NOW + (number % 25 + 1) * DAY).der) for number in range(40)]
    things = [
        watch(many[number % 40], "leaf", f"a: P[{number % 2}]")._replace(name=str(number)) for number in range(2000)
    ]
    shown = view_of(*things, source="a")
    found = [each._replace(where=each.where.removeprefix("a: ")) for each in shown.findings]
    assert len(found) == 2000
    shown = shown._replace(findings=found, by_file=[shown.by_file[0]._replace(findings=found)])
    began = os.times()
    render = {"nagios": nagios, "prometheus": prometheus, "csv": csv_report, "junit": junit, "github": github}[form]
    assert render.render(shown)
    spent = os.times()
    assert spent.user - began.user < 2


def test_report_on_a_closed_standard_output_is_no_traceback(targets: dict[str, Path]) -> None:
    """A monitor that left early gets nothing, and neither does its log."""
    for form in ("nagios", "prometheus", "csv"):
        read, write = os.pipe()
        os.close(read)
        with contextlib.closing(os.fdopen(write, "wb")) as gone:
            done = subprocess.run(
                [sys.executable, "-m", "mdmprofile", "check", targets["soon"], "--format", form, *AT],
                stdout=gone,
                stderr=subprocess.PIPE,
                check=False,
            )
        assert done.returncode == 3
        assert b"Traceback" not in done.stderr


def test_days_of_a_threshold_may_be_part_of_one(mdmprofile: Command, tmp_path: Path) -> None:
    """Twelve hours are half a day."""
    (tmp_path / "a.pem").write_bytes(issue("A", ca=True, end=NOW + timedelta(hours=20)).pem)
    outcome = mdmprofile("check", tmp_path / "a.pem", "--critical", "12h", "--warn", "1d", "--format", "nagios")
    state, _, data = plugin_line(outcome.out)
    assert (state, data["days_left"]) == ("WARNING", Value(0, "1:", "0.5:"))


def finding_named(rule: str) -> Finding:
    """A finding of that rule about nothing that ends."""
    return finding(rule, f"about {rule}", where="x")


def test_finding_without_a_date_comes_behind_one_with_a_date() -> None:
    """A monitor's one line is for what ends; the rest is named behind it."""
    thing = Watched("root", "A", "a.pem", baked_in=True, not_after=NOW + 2 * DAY)
    found = [finding_named("signature.invalid"), *judge_dates([thing], Thresholds(), now=NOW)]
    shown = view_of(thing, findings=[each._replace(where=each.where.replace("a.pem", "")) for each in found])
    _, text, _ = plugin_line(nagios.render(shown._replace(exit_code=2)))
    assert text.startswith("root A ends on 2031-03-03, in 2 days")
    assert "; about signature.invalid; latest" in text
    alone = view_of(findings=[finding_named("signature.invalid")])._replace(exit_code=2)
    assert plugin_line(nagios.render(alone))[1].startswith("about signature.invalid (a.pem x)")
