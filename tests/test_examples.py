"""The monitoring examples do what their comments say: each is run as its own system runs it, as far as one machine can.

The paths of an installation are put in place, and ``mdmprofile`` is the program as of the tests' own today.
"""

from __future__ import annotations

import configparser
import json
import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import Command, Outcome, system_tool
from mdmprofile.moments import stamp
from monitor import plugin_line
from pki import CONFIG, DAY, NOW, Site, issue, make_site

EXAMPLES = Path(__file__).parent.parent / "examples" / "monitoring"
PROGRAM = "/usr/local/bin/mdmprofile"
COLLECTOR = "/var/lib/prometheus/node-exporter"
UNITS = (
    "systemd/mdmprofile-check.service",
    "systemd/mdmprofile-check.timer",
    "node_exporter/mdmprofile-metrics.service",
    "node_exporter/mdmprofile-metrics.timer",
)
FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


@dataclass(frozen=True)
class Machine:
    """A machine as the examples expect it, below one folder."""

    folder: Path
    site: Site

    @property
    def program(self) -> Path:
        return self.folder / "bin" / "mdmprofile"

    @property
    def profile(self) -> Path:
        return self.folder / "srv" / "enroll.mobileconfig"

    @property
    def metrics(self) -> Path:
        return self.folder / "collector" / "mdmprofile.prom"

    def placed(self, example: str) -> str:
        """The text of an example with this machine's paths; each that is replaced must be in it."""
        text = (EXAMPLES / example).read_text(encoding="utf-8")
        assert PROGRAM in text
        moved = {
            PROGRAM: self.program,
            "/etc/mdm": self.site.folder,
            "/srv/mdm": self.profile.parent,
            COLLECTOR: self.metrics.parent,
        }
        for old, new in moved.items():
            text = text.replace(old, str(new))
        return text

    def run(self, *words: str, cwd: Path | None = None, check: bool = False) -> Outcome:
        """Run a command as a service manager does: no shell, a short PATH, with mdmprofile on it."""
        path = f"{self.program.parent}:/usr/bin:/bin"
        done = subprocess.run(
            words, capture_output=True, check=check, cwd=cwd or self.folder, env={"PATH": path, "LC_ALL": "C.UTF-8"}
        )
        return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())

    def shell(self, line: str, cwd: Path | None = None) -> Outcome:
        """Run a line as cron, a monitor or a build server does."""
        return self.run("/bin/sh", "-ec", line, cwd=cwd)

    def expire(self, days: int = -1) -> None:
        """Let the server's certificate end in so many days; without a number, it has."""
        (self.site.folder / "server.pem").write_bytes(
            issue("mdm.example.com", self.site.intermediate, start=NOW - 9 * DAY, end=NOW + days * DAY).pem
        )

    def break_profile(self) -> None:
        """Leave half of the profile, as a copy that was cut off does."""
        self.profile.write_bytes(self.profile.read_bytes()[:500])


@pytest.fixture
def machine(tmp_path: Path, mdmprofile: Command) -> Machine:
    """Everything in its place and good; neither a private key nor a secret is there, because none is needed."""
    # A signature's time is the machine's own clock, and issued identities count from it; so nobody states how long.
    site = make_site(tmp_path / "etc", config=CONFIG.replace('validity = "365d"\n', ""))
    here = Machine(tmp_path, site)
    for each in ("bin", "srv", "collector"):
        (tmp_path / each).mkdir()
    here.program.write_text(
        f"#!/bin/sh\nPYTHONPATH={shlex.quote(':'.join(filter(None, sys.path)))} "
        f'exec {shlex.quote(sys.executable)} -m mdmprofile "$@" --at {stamp(NOW)}\n'
    )
    here.program.chmod(0o755)
    assert mdmprofile("build", "-c", site.config, "-o", tmp_path / "out").code == 0
    (tmp_path / "out" / here.profile.name).rename(here.profile)
    for each in ("signer.key", "challenge.txt"):
        (site.folder / each).unlink()
    return here


def test_every_example_is_tested_and_says_what_to_do_with_it() -> None:
    """A file that nobody runs is a file that does not run; the first lines are for the administrator."""
    here = Path(__file__).read_text(encoding="utf-8")
    found = {each.relative_to(EXAMPLES).as_posix() for each in EXAMPLES.rglob("*") if each.is_file()}
    assert found
    assert {each for each in found if f'"{each}"' not in here} == set()
    commented = {each for each in found if (EXAMPLES / each).read_text(encoding="utf-8").startswith(("#", "/*"))}
    assert found - commented == {each for each in found if each.endswith(".timer")}


def cron_jobs(text: str) -> Iterator[tuple[str, str]]:
    """User and command of every job of a cron.d file, each with five fields of time that cron takes."""
    for line in text.splitlines():
        if not line.strip() or line.startswith("#") or re.match(r"[A-Z]+=", line):
            continue
        *times, user, command = line.split(None, 6)
        for each, (least, most) in zip(times, FIELDS, strict=True):
            assert each == "*" or least <= int(each) <= most
        # An unescaped one would be a newline, and the rest the command's input.
        assert "%" not in command
        yield user, command


class TestCron:
    """cron.d: mails what is printed."""

    def test_job_prints_nothing_while_all_is_well_and_what_is_wrong_otherwise(self, machine: Machine) -> None:
        """What is printed is mailed; what cannot be read is, too."""
        text = machine.placed("cron.d/mdmprofile")
        assert text.endswith("\n")
        ((user, command),) = cron_jobs(text)
        assert user == "mdm"
        assert machine.shell(command) == Outcome(0, "", "")
        machine.expire()
        outcome = machine.shell(command)
        assert (outcome.code, outcome.err) == (2, "")
        assert "leaf mdm.example.com expired on 2031-02-28" in outcome.out
        machine.break_profile()
        outcome = machine.shell(command)
        assert "leaf mdm.example.com expired on 2031-02-28" in outcome.out
        assert str(machine.profile) in outcome.err

    def test_file_s_name_is_one_that_cron_reads(self) -> None:
        """Debian's run-parts names: no dot."""
        assert [each.name for each in (EXAMPLES / "cron.d").iterdir()] == ["mdmprofile"]


def unit(text: str) -> configparser.ConfigParser:
    """A unit file, its lines that continue joined."""
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's keys have capitals
    parser.read_string(re.sub(r"\\\n\s*", "", text))
    return parser


class TestSystemd:
    """Services and their timers."""

    @pytest.mark.parametrize("name", UNITS)
    def test_systemd_takes_the_unit(self, name: str, machine: Machine) -> None:
        """systemd-analyze finds nothing to say about it, nor about the unit that it starts."""
        units = machine.folder / "units"
        units.mkdir()
        for each in UNITS:
            if Path(each).stem == Path(name).stem:
                text = machine.placed(each) if each.endswith(".service") else (EXAMPLES / each).read_text()
                (units / Path(each).name).write_text(text)
        done = subprocess.run(
            [system_tool("systemd-analyze"), "verify", "--man=no", units / Path(name).name],
            capture_output=True,
            check=False,
        )
        said = done.stderr.decode()
        assert (done.returncode, [each for each in said.splitlines() if "mdmprofile" in each]) == (0, []), said

    @pytest.mark.parametrize("name", [each for each in UNITS if each.endswith(".timer")])
    def test_timer_has_a_service_a_calendar_and_catches_up(self, name: str) -> None:
        """The expression is one that systemd reads, and means daily or more often."""
        parsed = unit((EXAMPLES / name).read_text(encoding="utf-8"))
        assert (EXAMPLES / name).with_suffix(".service").is_file()
        expression = parsed["Timer"]["OnCalendar"]
        done = subprocess.run(
            [system_tool("systemd-analyze"), "calendar", "--iterations=3", expression],
            capture_output=True,
            check=False,
            env={"TZ": "UTC", "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
        )
        assert done.returncode == 0, done.stderr
        days = {each[:10] for each in re.findall(r"\d{4}-\d\d-\d\d \d\d:17:00", done.stdout.decode())}
        assert 1 <= len(days) <= 3
        assert parsed["Timer"]["Persistent"] == "yes"
        assert parsed["Install"]["WantedBy"] == "timers.target"

    def test_check_fails_when_something_is_found(self, machine: Machine) -> None:
        """Which puts it among the failed units, with the reason in the journal."""
        service = unit(machine.placed("systemd/mdmprofile-check.service"))["Service"]
        assert "SuccessExitStatus" not in service
        words = shlex.split(service["ExecStart"])
        assert machine.run(*words) == Outcome(0, "", "")
        machine.expire()
        outcome = machine.run(*words)
        assert outcome.code == 2
        assert "expired on 2031-02-28" in outcome.out


class TestNodeExporter:
    """The textfile collector's directory, and the alerts."""

    def promtool(self, *words: str | Path, data: str = "") -> str:
        """What promtool says; it must be content."""
        done = subprocess.run([system_tool("promtool"), *words], input=data.encode(), capture_output=True, check=False)
        assert done.returncode == 0, (done.stdout + done.stderr).decode()
        return done.stdout.decode()

    def test_service_writes_metrics_whatever_is_found(self, machine: Machine) -> None:
        """Good, over, and unreadable: each time a whole new file that promtool takes, and a success to systemd."""
        service = unit(machine.placed("node_exporter/mdmprofile-metrics.service"))["Service"]
        words = shlex.split(service["ExecStart"])
        assert service["ReadWritePaths"] == str(machine.metrics.parent)
        good = {0, *map(int, service["SuccessExitStatus"].split())}
        seen = []
        for changes in ((), (machine.expire,), (machine.break_profile,)):
            for change in changes:
                change()
            outcome = machine.run(*words)
            assert outcome.code in good
            assert [each.name for each in machine.metrics.parent.iterdir()] == [machine.metrics.name]
            text = machine.metrics.read_text()
            self.promtool("check", "metrics", data=text)
            errors = re.search(r'(?m)^mdmprofile_findings{severity="error"} (.*)$', text)
            unread = re.findall(r"(?m)^mdmprofile_target_readable{.*} 0\.0$", text)
            assert errors
            seen.append((float(errors[1]), len(unread)))
        assert seen == [(0, 0), (1, 0), (1, 1)]
        machine.expire(days=300)
        outcome = machine.run(*words)
        # Half of a profile, and nothing else: 3.
        assert outcome.code == 3
        assert outcome.code in good
        assert re.search(r"(?m)^mdmprofile_target_readable{.*} 0\.0$", machine.metrics.read_text())

    def test_alerts_speak_for_what_the_metrics_say(self, machine: Machine) -> None:
        """The rules over the real metrics, their times moved so that 0 on promtool's clock is the tests' today."""
        rules = EXAMPLES / "node_exporter/mdmprofile-alerts.yml"
        assert "SUCCESS" in self.promtool("check", "rules", rules)
        words = shlex.split(unit(machine.placed("node_exporter/mdmprofile-metrics.service"))["Service"]["ExecStart"])
        alerts = {each["alert"] for each in yaml.safe_load(rules.read_text())["groups"][0]["rules"]}
        fires: dict[str, set[str]] = {"nothing": set()}
        for state in ("good", "soon", "expired", "broken"):
            if state == "soon":
                machine.expire(days=20)
            if state == "expired":
                machine.expire()
            if state == "broken":
                machine.break_profile()
            machine.run(*words)
            fires[state] = self.firing(machine, rules, machine.metrics.read_text(), alerts)
        fires["nothing"] = self.firing(machine, rules, "", alerts)
        fires["late"] = self.firing(machine, rules, self.with_replacement(machine, words, "2034-01-01"), alerts)
        fires["stale"] = self.firing(machine, rules, machine.metrics.read_text(), alerts, days=2)
        assert fires["good"] == set()
        assert fires["soon"] == {"MdmCertificateEndsSoon", "MdmCheckFindsWarnings"}
        assert fires["expired"] == {"MdmCertificateEndsSoon", "MdmCheckFindsErrors"}
        assert fires["broken"] == fires["expired"] | {"MdmTargetUnreadable"}
        assert fires["nothing"] == {"MdmCheckStale"}
        assert fires["late"] >= {"MdmReplacementPlannedTooLate"}
        assert "MdmCheckStale" in fires["stale"]
        assert "MdmReplaceProfile" in self.firing(machine, rules, machine.metrics.read_text(), alerts, days=690)

    def with_replacement(self, machine: Machine, words: list[str], day: str) -> str:
        """The metrics with another planned date."""
        machine.run(*words, "--replace-on", day)
        return machine.metrics.read_text()

    def firing(self, machine: Machine, rules: Path, text: str, alerts: set[str], days: int = 0) -> set[str]:
        """Which alerts fire so many days after the metrics were made.

        promtool is told that none does, and what it says to that names those that do.
        """
        series = []
        for line in text.splitlines():
            if line.startswith("mdmprofile_"):
                name, _, value = line.rpartition(" ")
                moved = float(value) - (NOW.timestamp() if "_timestamp_" in name else 0)
                series.append({"series": name, "values": f"{moved:.0f}x{days}"})
        case = {
            "interval": "1d",
            "input_series": series,
            "alert_rule_test": [
                {"eval_time": f"{days}d", "alertname": each, "exp_alerts": []} for each in sorted(alerts)
            ],
        }
        file = machine.folder / "alerts-test.yml"
        file.write_text(yaml.safe_dump({"rule_files": [str(rules)], "evaluation_interval": "1d", "tests": [case]}))
        done = subprocess.run([system_tool("promtool"), "test", "rules", file], capture_output=True, check=False)
        said = (done.stdout + done.stderr).decode()
        found = set(re.findall(r"alertname: ?(\w+)", said))
        assert bool(found) is (done.returncode != 0), said
        return found


@pytest.fixture
def repository(machine: Machine) -> Path:
    """The folder that a build server checked out: config, certificates and profiles."""
    (machine.site.folder / "profiles").mkdir()
    (machine.site.folder / "profiles" / "enroll.mobileconfig").write_bytes(machine.profile.read_bytes())
    return machine.site.folder


def installed_already(line: str) -> str:
    """The line as it is run here: what ``pip install`` would install is on PATH, so that it is only looked for."""
    return "command -v mdmprofile" if re.fullmatch(r'python -m pip install "\$MDMPROFILE"', line) else line


def spoil_rules(repository: Path) -> None:
    """A profile without its signature and with a key that nobody knows."""
    (repository / "profiles" / "bad.mobileconfig").write_bytes(
        b'<?xml version="1.0"?><plist version="1.0"><dict><key>PayloadType</key><string>Configuration</string>'
        b"<key>PayloadContent</key><array/></dict></plist>"
    )


class TestGithub:
    """The workflow for Actions."""

    @pytest.fixture
    def workflow(self) -> dict[Any, Any]:
        text = (EXAMPLES / "github/mdm-profiles.yml").read_text(encoding="utf-8")
        loaded: dict[Any, Any] = yaml.safe_load(text)
        return loaded

    def steps(self, workflow: dict[Any, Any], machine: Machine, repository: Path) -> list[tuple[str, Outcome]]:
        """Every step as the runner does it: one that failed ends the job, but for those that run always."""
        (job,) = workflow["jobs"].values()
        done: list[tuple[str, Outcome]] = []
        failed = False
        for step in job["steps"]:
            if "run" in step and (not failed or "!cancelled()" in step.get("if", "")):
                outcome = machine.shell(installed_already(step["run"]), cwd=repository)
                failed = failed or outcome.code != 0
                done.append((step["name"], outcome))
        return done

    def test_workflow_runs_for_pull_requests_and_every_day(self, workflow: dict[Any, Any]) -> None:
        """With no right but to read."""
        # YAML 1.1 reads the key "on" as true.
        events = workflow[True]
        assert {"pull_request", "schedule"} <= set(events)
        (schedule,) = events["schedule"]
        assert list(cron_jobs(f"{schedule['cron']} user command")) == [("user", "command")]
        assert workflow["permissions"] == {"contents": "read"}
        (job,) = workflow["jobs"].values()
        assert all(set(each) <= {"name", "uses", "with", "run", "if"} for each in job["steps"])
        assert {each["uses"].partition("@")[0] for each in job["steps"] if "uses" in each} == {
            "actions/checkout",
            "actions/setup-python",
        }

    def test_good_profiles_pass(self, workflow: dict[Any, Any], machine: Machine, repository: Path) -> None:
        """Every line ends well."""
        done = self.steps(workflow, machine, repository)
        assert [(name, outcome.code) for name, outcome in done] == [("Install", 0), ("Apple's rules", 0), ("Dates", 0)]

    def test_bad_profile_fails_and_the_dates_are_told_all_the_same(
        self, workflow: dict[Any, Any], machine: Machine, repository: Path
    ) -> None:
        """With annotations at the files of the repository."""
        spoil_rules(repository)
        machine.expire()
        (_, installed), (_, rules), (_, dates) = self.steps(workflow, machine, repository)
        assert (installed.code, rules.code, dates.code) == (0, 2, 2)
        assert "::error file=profiles/bad.mobileconfig,title=" in rules.out
        assert "::error file=enroll.toml,title=expiry.expired::" in dates.out

    def test_expired_certificate_alone_fails(
        self, workflow: dict[Any, Any], machine: Machine, repository: Path
    ) -> None:
        """As on the day after, when nobody changed a file."""
        machine.expire()
        assert [outcome.code for _, outcome in self.steps(workflow, machine, repository)] == [0, 0, 2]


class TestGitlab:
    """The jobs for GitLab."""

    @pytest.fixture
    def pipeline(self) -> dict[str, Any]:
        text = (EXAMPLES / "gitlab/gitlab-ci.yml").read_text(encoding="utf-8")
        loaded: dict[str, Any] = yaml.safe_load(text)
        return loaded

    def jobs(self, pipeline: dict[str, Any], machine: Machine, repository: Path) -> dict[str, tuple[int, ET.Element]]:
        """Exit code and uploaded test report of every job, each in a checkout of its own."""
        done = {}
        for name, job in pipeline.items():
            if "script" not in job:
                continue
            whole = {**pipeline[job["extends"]], **job}
            report = repository / whole["artifacts"]["reports"]["junit"]
            assert whole["artifacts"]["when"] == "always"
            report.unlink(missing_ok=True)
            lines = map(installed_already, [*whole["before_script"], *whole["script"]])
            outcome = machine.shell("\n".join(lines), cwd=repository)
            done[name] = (outcome.code, ET.fromstring(report.read_bytes()))  # noqa: S314 - our own
            report.unlink()
        return done

    def test_good_profiles_pass_with_a_report(
        self, pipeline: dict[str, Any], machine: Machine, repository: Path
    ) -> None:
        """One suite a file, none with a failure."""
        done = self.jobs(pipeline, machine, repository)
        assert {name: code for name, (code, _) in done.items()} == {"mdm-lint": 0, "mdm-check": 0}
        for _, report in done.values():
            assert len(report)
            assert not list(report.iter("failure"))

    def test_bad_profile_fails_and_still_leaves_its_report(
        self, pipeline: dict[str, Any], machine: Machine, repository: Path
    ) -> None:
        """The merge request shows which."""
        spoil_rules(repository)
        machine.expire()
        done = self.jobs(pipeline, machine, repository)
        assert {name: code for name, (code, _) in done.items()} == {"mdm-lint": 2, "mdm-check": 2}
        failed = {
            name: {each.get("name") for each in report if each.find(".//failure") is not None}
            for name, (_, report) in done.items()
        }
        assert failed["mdm-lint"] == {"profiles/bad.mobileconfig"}
        assert failed["mdm-check"] == {"enroll.toml"}

    def test_jobs_run_for_merge_requests_and_on_schedule(self, pipeline: dict[str, Any]) -> None:
        """Each by its rule."""
        rules = " ".join(each["if"] for each in pipeline[".mdmprofile"]["rules"])
        assert '"merge_request_event"' in rules
        assert '"schedule"' in rules


def nagios_objects(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Kind and directives of every object of a Nagios configuration."""
    text = re.sub(r"(?m)^[ \t]*[#;].*$", "", text)
    blocks = re.compile(r"define\s+(\w+)\s*{([^}]*)}")
    assert blocks.sub("", text).strip() == ""
    for kind, body in blocks.findall(text):
        lines = [each.split(None, 1) for each in body.splitlines() if each.strip()]
        yield kind, dict(lines)


def icinga_command(text: str) -> list[str]:
    """The command line of the only CheckCommand, its macros filled from the command's and the service's variables."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    variables: dict[str, Any] = {
        name: json.loads(value) for name, value in re.findall(r"(?m)^  vars\.(\w+) = (.+)$", text)
    }
    command = re.search(r"(?m)^  command = (\[.*\])$", text)
    arguments = re.search(r"(?ms)^  arguments = {\n(.*?)^  }$", text)
    assert command
    assert arguments
    words: list[str] = json.loads(command[1])
    last: list[str] = []
    for key, macro, body in re.findall(r'"([\w-]+)" = (?:"\$(\w+)\$"|{([^}]*)})', arguments[1]):
        if macro:
            words += [key, variables[macro]] if macro in variables else []
            continue
        value = re.search(r'value = "\$(\w+)\$"', body)
        assert value
        assert "skip_key = true" in body
        # A higher order than the others' 0 puts it behind them.
        assert "order = 1" in body
        last += variables[value[1]]
    return words + last


class TestNagiosAndIcinga:
    """The plugin's command, filled as the monitor fills it."""

    def judge(self, outcome: Outcome) -> tuple[int, str]:
        state, text, data = plugin_line(outcome.out)
        assert ("OK", "WARNING", "CRITICAL", "UNKNOWN")[outcome.code] == state
        assert "certificates" in data
        return outcome.code, text

    def test_nagios_runs_the_command_of_the_service(self, machine: Machine) -> None:
        """Good, over, and half of a profile."""
        objects = dict(nagios_objects(machine.placed("nagios/mdmprofile.cfg")))
        assert {"use", "host_name", "service_description", "check_command"} <= set(objects["service"])
        name, *arguments = objects["service"]["check_command"].split("!")
        assert name == objects["command"]["command_name"]
        line = objects["command"]["command_line"]
        for number, each in enumerate(arguments, 1):
            assert f"$ARG{number}$" in line
            line = line.replace(f"$ARG{number}$", each)
        assert "$" not in line
        assert self.judge(machine.shell(line))[0] == 0
        machine.break_profile()
        code, text = self.judge(machine.shell(line))
        assert (code, text.startswith(f"could not read {machine.profile}: ")) == (3, True)
        machine.expire()
        code, text = self.judge(machine.shell(line))
        assert (code, text.startswith("leaf mdm.example.com expired on 2031-02-28")) == (2, True)

    def test_icinga_runs_the_command_of_the_service(self, machine: Machine) -> None:
        """The targets come behind the options, a macro without a value is left out."""
        words = icinga_command(machine.placed("icinga2/mdmprofile.conf"))
        assert words[1:8] == ["check", "--format", "nagios", "--warn", "30d", "--critical", "7d"]
        assert self.judge(machine.run(*words))[0] == 0
        machine.expire()
        assert self.judge(machine.run(*words))[0] == 2
