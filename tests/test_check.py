"""The check command: exit codes, flags, and what it writes where, to pipes, files and terminals."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shlex
import subprocess
import sys
import termios
from collections.abc import Mapping
from pathlib import Path

import pytest
from cryptography import x509

from conftest import Command, Outcome
from mdmprofile.moments import stamp
from pki import DAY, NOW, Entity, Site, issue, root_ca, server_leaf

PROGRAM = (sys.executable, "-m", "mdmprofile")
AT = ("--at", stamp(NOW))
ESCAPE = "\x1b"
# Sets the window's title, reverses the reading order, forges a line, and asks rich for colour. In 64 characters.
HOSTILE = "\x1b]0;pwned\x07\u202eevil\nerror: forged\x9b31m[red]x[/red]"
OUTCOMES = ("error", "absent", "warning", "fine")


def environment(**changed: str | None) -> dict[str, str]:
    """This process's environment without what a developer's terminal adds, and with these changes."""
    own = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "COLUMNS", "LINES", "TERM"}}
    return own | {key: value for key, value in changed.items() if value is not None}


def program(*arguments: str | Path, **changed: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command line in a process of its own, piped."""
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)], capture_output=True, check=False, env=environment(**changed)
    )


def terminal(
    *arguments: str | Path, answer: tuple[str, str] | None = None, env: Mapping[str, str | None] | None = None
) -> tuple[int, str]:
    """Run it in a terminal of 100 columns and return exit code and screen.

    ``answer`` is typed as soon as the screen ends with its first part.
    """
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (40, 100))
    screen = b""
    with subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env=environment(**{"TERM": "xterm-256color", **(env or {})}),
    ) as process:
        os.close(slave)
        # Linux reports the end of a terminal as an error, macOS as an empty read.
        with contextlib.suppress(OSError):
            while chunk := os.read(master, 65_536):
                screen += chunk
                if answer is not None and screen.endswith(answer[0].encode()):
                    os.write(master, answer[1].encode() + b"\n")
                    answer = None
    os.close(master)
    return process.returncode, screen.decode()


@pytest.fixture
def pki(tmp_path: Path) -> dict[str, Path]:
    """One target for each exit code, by what is found in it."""
    entities: dict[str, Entity] = {
        "error": issue("Over", ca=True, start=NOW - 9 * DAY, end=NOW - DAY),
        "warning": issue("Nearly", ca=True, end=NOW + 20 * DAY),
        "fine": issue("Fresh", ca=True, end=NOW + 900 * DAY),
    }
    for each, entity in entities.items():
        (tmp_path / f"{each}.pem").write_bytes(entity.pem)
    return {each: tmp_path / f"{each}.pem" for each in OUTCOMES}


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """An expired root whose name attacks the terminal, in a file whose name does."""
    file = tmp_path / "a\x1b[2J\u202e.pem"
    file.write_bytes(issue(HOSTILE, ca=True, start=NOW - 9 * DAY, end=NOW - DAY).pem)
    return file


class TestIdentities:
    """What ends and has no certificate yet."""

    def test_identities_without_a_certificate_are_listed_apart(self, site: Site, mdmprofile: Command) -> None:
        """As CSV and the table have them: with the end where it is known, and without one where it is not."""
        end = {"role": "identity", "sha256": "", "not_before": None, "baked_in": True}
        report = mdmprofile("check", site.config, "--format", "json").json
        where = f"{site.config}: identity.validity"
        subject = "from SCEP, valid for 365 days"
        known = {"subject": subject, "not_after": stamp(NOW + 365 * DAY), "days_left": 365, "where": where}
        assert report["identities"] == [end | known]
        assert all(each["sha256"] for each in report["certificates"])
        site.edit(lambda text: text.replace('validity = "365d"', ""))
        (identity,) = mdmprofile("check", site.config, "--format", "json").json["identities"]
        assert (identity["subject"], identity["not_after"], identity["days_left"]) == ("from SCEP", None, None)
        fine = mdmprofile("check", site.folder / "root.pem", "--format", "json").json
        assert (len(fine["certificates"]), fine["identities"]) == (1, [])


class TestMistakes:
    """What people type that is nearly right is answered with what is."""

    @pytest.mark.parametrize("name", ["mdm.example.com:8443", "localhost:443", "mdm.example.com", "192.0.2.7:8443"])
    def test_server_without_its_scheme_is_told_how_to_name_it(self, mdmprofile: Command, name: str) -> None:
        """Nobody looks for a file of that name."""
        outcome = mdmprofile("check", name)
        assert outcome.code == 3
        assert f"give https://{name})" in outcome.err

    @pytest.mark.parametrize("name", ["enroll.mobileconfig", "root.pem", "a/b.example.com:1", "x" * 200, "enroll"])
    def test_absent_file_is_told_nothing_about_servers(self, mdmprofile: Command, name: str) -> None:
        """What has the name of a file is one."""
        outcome = mdmprofile("check", name)
        assert outcome.code == 3
        assert "no such file (check the path)" in outcome.err

    @pytest.mark.parametrize("named", ["link", "directory"])
    def test_link_to_nothing_is_called_one(self, mdmprofile: Command, tmp_path: Path, named: str) -> None:
        """The name is there, so that 'no such file' would puzzle whoever looks."""
        (tmp_path / "a.pem").symlink_to(tmp_path / "absent.pem")
        outcome = mdmprofile("check", tmp_path / "a.pem" if named == "link" else tmp_path)
        assert outcome.code == 3
        assert f"{tmp_path / 'a.pem'}: is a link to nothing (correct the link)" in outcome.err

    @pytest.mark.parametrize("words", [("lint",), ("show",), ("diff", "other")])
    def test_config_in_a_profiles_place_is_called_one(
        self, site: Site, mdmprofile: Command, words: tuple[str, ...]
    ) -> None:
        """With variables in it, it is still no template of a profile."""
        site.edit(lambda text: text.replace("com.example.mdm.enroll", "com.example.{{ tenant }}"))
        outcome = mdmprofile(words[0], site.config, *[site.config for _ in words[1:]])
        assert outcome.code == 3
        assert f"{site.config}: is a config, not a profile (mdmprofile build makes a profile of it)" in outcome.err

    def test_legend_names_the_letters_that_are_there(self, site: Site, mdmprofile: Command, tmp_path: Path) -> None:
        """A server's certificate has no latest safe date."""
        config = mdmprofile("check", site.config).out
        assert "S latest safe date, R planned replacement" in config
        (tmp_path / "leaf.pem").write_bytes(server_leaf(site.intermediate).pem)
        assert "S latest safe date" not in mdmprofile("check", tmp_path / "leaf.pem").out
        _, screen = terminal("check", tmp_path / "leaf.pem", *AT)
        assert "latest safe date" not in screen.lower().partition("latest safe replacement date")[0]


class TestSteps:
    """The plan's steps are those of every target, its dates those of the one to replace first."""

    @staticmethod
    def steps(outcome: Outcome) -> list[tuple[str, str]]:
        return [(each["date"], each["action"]) for each in outcome.json["plan"]["steps"]]

    def test_what_another_target_needs_sooner_is_a_step(self, site: Site, mdmprofile: Command, tmp_path: Path) -> None:
        """A server's certificate that nobody named in the config is renewed first, and nothing is said twice."""
        leaf = issue("near.example.com", end=NOW + 31 * DAY)
        (tmp_path / "near.pem").write_bytes(leaf.pem)
        alone = mdmprofile("check", site.config, "--format", "json")
        both = mdmprofile("check", site.config, tmp_path / "near.pem", site.config, "--format", "json")
        renewal = ("2031-03-02", "renew the server's certificate near.example.com")
        assert self.steps(both) == [renewal, *self.steps(alone)]
        assert both.json["plan"] == alone.json["plan"] | {"steps": both.json["plan"]["steps"]}

    def test_steps_of_several_profiles_say_which(self, site: Site, mdmprofile: Command) -> None:
        """Two latest dates of one plan would contradict each other."""
        other = site.folder / "other.toml"
        text = site.config.read_text().replace("com.example.mdm.enroll", "com.example.other")
        other.write_text(text.replace('"365d"', '"465d"'))
        found = self.steps(mdmprofile("check", other, site.config, "--format", "json"))
        at_the_latest = [(date, action) for date, action in found if "at the latest" in action]
        assert at_the_latest == [
            (stamp(NOW + 335 * DAY)[:10], "replace the profile com.example.mdm.enroll at the latest"),
            (stamp(NOW + 435 * DAY)[:10], "replace the profile com.example.other at the latest"),
        ]

    def test_steps_are_the_earliest_of_many(self, mdmprofile: Command, tmp_path: Path) -> None:
        """Nobody reads thousands, whatever their order."""
        for number in range(120):
            leaf = server_leaf(root_ca(), f"{number}.example.com", days=400 - number)
            (tmp_path / f"{number:03}.pem").write_bytes(leaf.pem)
        found = self.steps(mdmprofile("check", tmp_path, "--format", "json"))
        renewed = [action.split()[-1] for _, action in found]
        assert renewed == [f"{number}.example.com" for number in range(119, 69, -1)]


class TestExitCodes:
    """The worst of all targets, in the order 2, 3, 1, 0."""

    @pytest.mark.parametrize(
        ("targets", "code"),
        [
            ("fine", 0),
            ("warning", 1),
            ("error", 2),
            ("absent", 3),
            ("fine warning", 1),
            ("warning absent", 3),
            ("absent error", 2),
            ("fine warning absent error", 2),
            ("error absent warning fine", 2),
        ],
    )
    def test_worst_target_decides_and_every_readable_one_is_reported(
        self, pki: dict[str, Path], mdmprofile: Command, targets: str, code: int
    ) -> None:
        """An error beats what cannot be read, which beats a warning; the order on the command line does not matter."""
        named = targets.split()
        outcome = mdmprofile("check", *(pki[each] for each in named), "--format", "json")
        assert outcome.code == code
        assert [each["where"] for each in outcome.json["certificates"]] == [
            str(pki[each]) for each in named if each != "absent"
        ]
        assert ("errors" in outcome.json) is ("absent" in named)
        assert str(pki["absent"]) in outcome.err if "absent" in named else outcome.err == ""

    @pytest.mark.parametrize(
        ("target", "fail_on", "code"),
        [
            ("warning", "warning", 1),
            ("warning", "error", 0),
            ("error", "warning", 2),
            ("error", "error", 2),
            ("absent", "error", 3),
            ("fine", "warning", 0),
        ],
    )
    def test_fail_on_decides_whether_a_warning_counts(
        self, pki: dict[str, Path], mdmprofile: Command, target: str, fail_on: str, code: int
    ) -> None:
        """An error and a job not done always count; what was found is reported either way."""
        outcome = mdmprofile("check", pki[target], "--fail-on", fail_on)
        assert outcome.code == code
        assert ("expiry." in outcome.out) is (target in {"warning", "error"})

    @pytest.mark.parametrize(
        "arguments",
        [
            (),
            ("--at", "tomorrow"),
            ("--margin", "-5d"),
            ("--warn", "5 weeks"),
            ("--replace-on", "2031-02-30"),
            ("--fail-on", "info"),
            ("--format", "yaml"),
            ("--colour", "always"),
        ],
        ids=["no target", "at", "margin", "warn", "replace-on", "fail-on", "format", "unknown"],
    )
    def test_usage_is_exit_3_in_one_line(
        self, pki: dict[str, Path], mdmprofile: Command, arguments: tuple[str, ...]
    ) -> None:
        """Click's own 2 would say that a certificate had expired."""
        outcome = mdmprofile("check", *arguments, *([pki["fine"]] if arguments else []), at=None)
        assert outcome.code == 3
        assert outcome.out == ""
        assert outcome.err.startswith("mdmprofile: error: ")
        assert outcome.err.count("\n") == 1


class TestSeveralTargets:
    """Each target with its own dates, and one plan for all."""

    def test_plan_is_the_one_that_must_be_replaced_first(
        self, pki: dict[str, Path], tmp_path: Path, mdmprofile: Command
    ) -> None:
        """Whatever the order, the earliest latest safe date is named; a server's leaf has none."""
        pki["leaf"] = tmp_path / "leaf.pem"
        pki["leaf"].write_bytes(server_leaf(root_ca(), days=2).pem)
        for targets in (("leaf", "fine", "warning"), ("warning", "fine", "leaf")):
            plan = mdmprofile("check", *(pki[each] for each in targets), "--format", "json").json["plan"]
            assert plan["limited_by"] == "root Nearly"
            assert plan["latest_safe_date"] == "2031-02-19"

    def test_config_s_dates_do_not_reach_another_target(
        self, site: Site, pki: dict[str, Path], mdmprofile: Command
    ) -> None:
        """Only the config knows when its own profile is replaced."""
        outcome = mdmprofile("check", site.config, pki["warning"], "--format", "json")
        assert outcome.rules == ["expiry.soon"]

    def test_flags_reach_every_target(self, site: Site, pki: dict[str, Path], mdmprofile: Command) -> None:
        """What is asked for on the command line holds for all."""
        flags = ("--replace-on", "2041-01-28", "--format", "json")
        outcome = mdmprofile("check", site.config, pki["fine"], *flags)
        where = {Path(each["where"]).name for each in outcome.json["findings"]}
        assert where == {"fine.pem", "root.pem", "intermediate.pem", "signer.pem", "enroll.toml: identity.validity"}

    def test_same_target_twice_is_judged_once(self, pki: dict[str, Path], mdmprofile: Command) -> None:
        """Two equal findings are one."""
        outcome = mdmprofile("check", pki["error"], pki["error"], "--format", "json")
        assert outcome.rules == ["expiry.expired"]

    def test_errors_come_before_warnings_and_information(
        self, pki: dict[str, Path], site: Site, mdmprofile: Command
    ) -> None:
        """The first line is the one that matters most."""
        site.edit(lambda text: text.replace('validity = "365d"\n', ""))
        outcome = mdmprofile("check", site.config, pki["warning"], pki["error"], pki["fine"])
        found = [
            line.partition(":")[0] for line in outcome.out.splitlines() if re.search(r"\[[a-z]+\.[a-z-]+\]$", line)
        ]
        assert found == ["error", "warning", "info"]


class TestJson:
    """The report for scripts."""

    def test_report_has_exactly_the_keys_that_scripts_read(self, site: Site, mdmprofile: Command) -> None:
        """INTERFACE's words, with nothing on standard error."""
        outcome = mdmprofile("check", site.config, "--format", "json", "--replace-on", "2041-01-01")
        report = outcome.json
        assert set(report) == {"findings", "plan", "certificates", "identities"}
        assert {"role", "subject", "sha256", "not_before", "not_after", "days_left", "where"} <= set(
            report["certificates"][0]
        )
        assert {"latest_safe_date", "limited_by", "steps"} <= set(report["plan"])
        assert set(report["findings"][0]) == {"rule", "severity", "message", "where", "hint", "source"}
        assert outcome.err == ""
        root = next(each for each in report["certificates"] if each["role"] == "root")
        assert (root["sha256"], root["subject"], root["days_left"]) == (site.root.sha256, "CN=Test Root", 3650)
        assert (root["not_before"], root["not_after"]) == (stamp(NOW - DAY), stamp(NOW + 3650 * DAY))

    def test_days_left_of_an_expired_certificate_are_negative(self, pki: dict[str, Path], mdmprofile: Command) -> None:
        """A script can sort by it."""
        report = mdmprofile("check", pki["error"], pki["fine"], "--format", "json").json
        assert [each["days_left"] for each in report["certificates"]] == [-1, 900]

    def test_what_stops_the_command_is_json_too(self, site: Site, pki: dict[str, Path], mdmprofile: Command) -> None:
        """A script always gets an object to parse, and a person the same on standard error."""
        flags = ("--trust", site.folder / "server.pem")
        outcome = mdmprofile("check", pki["fine"], "--format", "json", *flags)
        assert outcome.code == 3
        assert outcome.json["findings"] == []
        (error,) = outcome.json["errors"]
        assert set(error) == {"message", "where", "hint"}
        assert error["where"] == str(site.folder / "server.pem")
        assert error["message"] in outcome.err

    def test_hostile_names_survive_json_unchanged(self, hostile: Path) -> None:
        """The parsed report holds exactly what the certificate does; the raw text holds no escape sequence."""
        done = program("check", hostile, "--format", "json", *AT)
        assert ESCAPE.encode() not in done.stdout
        (row,) = json.loads(done.stdout)["certificates"]
        assert row["subject"] == x509.load_pem_x509_certificate(hostile.read_bytes()).subject.rfc4514_string()
        assert row["where"] == str(hostile)


class TestQuietAndVerbose:
    """-q for cron, -v for the curious."""

    @pytest.mark.parametrize("extra", [(), ("--color", "always")], ids=["plain", "rich"])
    def test_quiet_prints_nothing_when_nothing_was_found(
        self, site: Site, mdmprofile: Command, extra: tuple[str, ...]
    ) -> None:
        """Information is nothing: cron mails only trouble."""
        site.edit(lambda text: text.replace('validity = "365d"\n', ""))
        assert mdmprofile("check", site.config, "--format", "json").rules == ["expiry.identity-unknown"]
        outcome = mdmprofile("check", site.config, "--quiet", *extra)
        assert (outcome.code, outcome.out, outcome.err) == (0, "", "")

    def test_quiet_prints_what_was_found_and_nothing_else(
        self, site: Site, pki: dict[str, Path], mdmprofile: Command
    ) -> None:
        """One line a finding; no table, no plan, no information."""
        site.edit(lambda text: text.replace('validity = "365d"\n', ""))
        outcome = mdmprofile("check", "-q", site.config, pki["warning"], pki["error"])
        lines = outcome.out.splitlines()
        assert outcome.code == 2
        assert len(lines) == 2
        assert lines[0].startswith(f"error: {pki['error']}: root Over expired on 2031-02-28")
        assert lines[1].startswith(f"warning: {pki['warning']}: root Nearly ends on 2031-03-21, in 20 days")

    def test_quiet_still_says_what_could_not_be_read(self, pki: dict[str, Path], mdmprofile: Command) -> None:
        """A monitor that read nothing must not be silent."""
        outcome = mdmprofile("check", "-q", pki["absent"], pki["fine"])
        assert (outcome.code, outcome.out) == (3, "")
        assert str(pki["absent"]) in outcome.err

    def test_verbose_names_the_source_of_each_rule(self, pki: dict[str, Path], mdmprofile: Command) -> None:
        """Where it is written, for whoever doubts it."""
        source = "https://support.apple.com/"
        assert source not in mdmprofile("check", pki["warning"]).out
        assert source in mdmprofile("check", pki["warning"], "--verbose").out


class TestReportFile:
    """-o writes the report to a file instead."""

    def test_text_report_goes_to_the_file_without_colour(
        self, pki: dict[str, Path], tmp_path: Path, mdmprofile: Command
    ) -> None:
        """Nothing is printed, the exit code stays, and the file is what a pipe would have got."""
        file = tmp_path / "report.txt"
        outcome = mdmprofile("check", pki["error"], "-o", file, "--color", "always")
        assert (outcome.code, outcome.out, outcome.err) == (2, "", "")
        assert file.read_text() == mdmprofile("check", pki["error"]).out

    def test_json_report_goes_to_the_file(self, pki: dict[str, Path], tmp_path: Path, mdmprofile: Command) -> None:
        """The same object as on standard output."""
        file = tmp_path / "report.json"
        outcome = mdmprofile("check", pki["warning"], "-o", file, "--format", "json")
        assert (outcome.code, outcome.out) == (1, "")
        assert json.loads(file.read_text()) == mdmprofile("check", pki["warning"], "--format", "json").json

    @pytest.mark.parametrize("shape", ["text", "json"])
    def test_report_that_cannot_be_written_is_exit_3(
        self, pki: dict[str, Path], tmp_path: Path, mdmprofile: Command, shape: str
    ) -> None:
        """An older report in the same directory is not at stake, but nobody must think that there is a new one."""
        outcome = mdmprofile("check", pki["error"], "-o", tmp_path / "absent" / "report", "--format", shape)
        assert outcome.code == 3
        assert str(tmp_path / "absent" / "report") in outcome.err

    def test_dash_is_standard_output(self, pki: dict[str, Path], mdmprofile: Command) -> None:
        """As everywhere else."""
        assert mdmprofile("check", pki["fine"], "-o", "-").out == mdmprofile("check", pki["fine"]).out


class TestColour:
    """Rich output for people, plain output for pipes."""

    @pytest.mark.parametrize(
        ("arguments", "env", "rich", "coloured"),
        [
            ((), {}, True, True),
            (("--color", "auto"), {"NO_COLOR": "1"}, True, False),
            (("--color", "auto"), {"NO_COLOR": ""}, True, True),
            (("--color", "always"), {"NO_COLOR": "1"}, True, True),
            (("--color", "never"), {}, True, False),
            ((), {"TERM": "dumb"}, False, False),
        ],
        ids=["auto", "NO_COLOR", "empty NO_COLOR", "always wins", "never", "dumb terminal"],
    )
    def test_terminal_gets_a_drawing_and_its_colours_can_be_switched_off(
        self,
        pki: dict[str, Path],
        arguments: tuple[str, ...],
        env: dict[str, str | None],
        rich: bool,
        coloured: bool,
    ) -> None:
        """A table and a time line that a person reads at a glance; NO_COLOR counts when it is not empty."""
        code, screen = terminal("check", pki["warning"], *AT, *arguments, env=env)
        assert code == 1
        assert "Nearly" in screen
        assert ("━" in screen) is rich
        assert ("|=" in screen) is not rich
        assert (ESCAPE in screen) is coloured

    @pytest.mark.parametrize(
        ("arguments", "coloured"),
        [((), False), (("--color", "auto"), False), (("--color", "never"), False), (("--color", "always"), True)],
        ids=["default", "auto", "never", "always"],
    )
    def test_pipe_gets_plain_text_unless_colour_is_asked_for(
        self, pki: dict[str, Path], arguments: tuple[str, ...], coloured: bool
    ) -> None:
        """No escape code, no box: one fact a line."""
        out = program("check", pki["warning"], *AT, *arguments, TERM="xterm-256color").stdout.decode()
        assert (ESCAPE in out) is coloured
        assert ("━" in out) is coloured

    def test_drawing_fits_the_terminal(self, pki: dict[str, Path]) -> None:
        """No line is wider than its 100 columns."""
        _, screen = terminal("check", pki["warning"], pki["fine"], *AT, "--color", "never")
        assert max(len(line.rstrip()) for line in screen.splitlines()) <= 100

    def test_stream_that_cannot_write_a_letter_gets_its_escape(self, tmp_path: Path) -> None:
        """An ASCII locale is no reason to fail."""
        file = tmp_path / "root.pem"
        file.write_bytes(root_ca("Größe ✓").pem)
        for arguments in ((), ("--color", "always")):
            done = program("check", file, *AT, *arguments, PYTHONIOENCODING="ascii")
            assert done.returncode == 0, done.stderr
            assert b"Gr\\xf6\\xdfe \\u2713" in done.stdout


class TestHostileText:
    """Certificates and file names can hold anything; a terminal must not obey it."""

    @pytest.mark.parametrize("arguments", [(), ("--quiet",), ("--verbose",)], ids=["full", "quiet", "verbose"])
    @pytest.mark.parametrize("colour", ["never", "always"])
    def test_no_hostile_character_reaches_standard_output(
        self, hostile: Path, mdmprofile: Command, colour: str, arguments: tuple[str, ...]
    ) -> None:
        """Table, time line, findings and plan show them as escapes, and markup as what it is."""
        outcome = mdmprofile("check", hostile, "--color", colour, *arguments)
        own_colours = re.sub(r"\x1b\[[0-9;]*m", "", outcome.out)
        assert own_colours.replace("\n", "").isprintable()
        assert not re.search(r"^error: forged", own_colours, re.MULTILINE)
        flat = re.sub(r"\s+", "", own_colours)
        assert r"\x1b]0;pwned\x07\u202eevil\nerror:forged\x9b31m[red]x[/red]" in flat
        assert outcome.code == 2

    def test_no_hostile_character_reaches_a_real_terminal(self, hostile: Path) -> None:
        """The same, seen from the other end of a terminal."""
        code, screen = terminal("check", hostile, *AT, env={"NO_COLOR": "1"})
        assert code == 2
        assert re.sub(r"[\r\n]", "", screen).isprintable()
        assert "[red]x[/red]" in re.sub(r"\s+", "", screen)

    @pytest.mark.parametrize("shape", ["text", "json"])
    def test_no_hostile_character_reaches_standard_error(
        self, hostile: Path, tmp_path: Path, mdmprofile: Command, shape: str
    ) -> None:
        """A file that cannot be read is named on one line, escaped."""
        hostile.write_bytes(b"-----BEGIN \x1b[31mKEY-----\nx\n-----END \x1b[31mKEY-----\n")
        absent = tmp_path / "absent\n\x1b]0;pwned\x07\u202e.pem"
        outcome = mdmprofile("check", hostile, absent, "--format", shape)
        assert outcome.code == 3
        lines = outcome.err.splitlines()
        assert len(lines) == 2
        assert all(line.isprintable() and line.startswith("mdmprofile: error: ") for line in lines)
        assert r"\x1b]0;pwned\x07\u202e.pem" in lines[1]

    def test_no_hostile_character_reaches_a_report_file(
        self, hostile: Path, tmp_path: Path, mdmprofile: Command
    ) -> None:
        """Somebody will look at it with cat."""
        mdmprofile("check", hostile, "-o", tmp_path / "report.txt")
        assert (tmp_path / "report.txt").read_text().replace("\n", "").isprintable()


class TestReaderGone:
    """Whoever read our output has left, or has no room for it."""

    @pytest.mark.parametrize("shape", [(), ("--format", "json"), ("--color", "always")], ids=["plain", "json", "rich"])
    def test_closed_pipe_is_no_traceback(self, pki: dict[str, Path], shape: tuple[str, ...]) -> None:
        """The report could not be delivered, which is exit 3 and not the 1 of a warning; nothing else is said."""
        reader, writer = os.pipe()
        os.close(reader)
        try:
            done = subprocess.run(
                [*PROGRAM, "check", str(pki["fine"]), *AT, *shape],
                stdout=writer,
                stderr=subprocess.PIPE,
                check=False,
                env=environment(),
            )
        finally:
            os.close(writer)
        assert done.stderr == b""
        assert done.returncode == 3

    def test_head_of_a_long_report_leaves_no_noise(self, tmp_path: Path) -> None:
        """As people type it: the report is longer than a pipe holds, and head leaves after one byte."""
        root = root_ca()
        folder = tmp_path / "many"
        folder.mkdir()
        for number in range(600):
            (folder / f"{number}-{'long' * 20}.pem").write_bytes(root.pem)
        line = shlex.join([*PROGRAM, "check", str(folder), *AT]) + " | head -c1"
        done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, check=False, env=environment())
        assert done.stdout == b"R"
        assert done.stderr == b""

    @pytest.mark.parametrize("shape", ["text", "json"])
    def test_full_disk_is_said_in_one_line(self, pki: dict[str, Path], shape: str) -> None:
        """/dev/full takes nothing, as a full disk under a redirected report."""
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                [*PROGRAM, "check", str(pki["fine"]), *AT, "--format", shape],
                stdout=full,
                stderr=subprocess.PIPE,
                check=False,
                env=environment(),
            )
        assert done.returncode == 3
        assert done.stderr.decode() == (
            "mdmprofile: error: standard output: cannot be written: No space left on device"
            " (check its permissions and the space left, or write elsewhere)\n"
        )

    @pytest.mark.parametrize("shape", ["text", "json"])
    def test_closed_standard_output_is_said_in_one_line(self, pki: dict[str, Path], shape: str) -> None:
        """As some schedulers start their jobs; a report that nobody can get is a job not done."""
        line = shlex.join([*PROGRAM, "check", str(pki["fine"]), *AT, "--format", shape]) + " >&-"
        done = subprocess.run(["/bin/sh", "-c", line], stderr=subprocess.PIPE, check=False, env=environment())
        assert done.returncode == 3
        assert (
            done.stderr.decode() == "mdmprofile: error: standard output: is closed"
            " (check its permissions and the space left, or write elsewhere)\n"
        )


class TestQuestions:
    """A secret that only a person knows."""

    def test_secret_is_asked_for_at_a_terminal_and_never_shown(self, site: Site) -> None:
        """The typed challenge goes into the profile and not onto the screen."""
        site.edit(lambda text: text.partition("[signing]")[0])
        site.edit(lambda text: text.replace('{ file = "challenge.txt" }', '{ prompt = "SCEP challenge" }'))
        out = site.folder / "out"
        code, screen = terminal(
            "build", "-c", site.config, "-o", out, *AT, answer=("SCEP challenge: ", "typed-4711"), env={"NO_COLOR": "1"}
        )
        assert code == 0, screen
        assert "typed-4711" not in screen
        assert "<string>typed-4711</string>" in (out / "enroll.mobileconfig").read_text()

    def test_secret_that_nobody_can_type_is_an_error(self, site: Site) -> None:
        """Without a terminal there is no waiting for an answer."""
        site.edit(lambda text: text.replace('{ file = "challenge.txt" }', '{ prompt = "SCEP challenge" }'))
        done = program("build", "-c", site.config, "-o", site.folder / "out", *AT)
        assert done.returncode == 3
        assert b"nobody can answer here" in done.stderr
        assert not (site.folder / "out").exists()
