"""The plan command: what it answers, in which words, and with which exit code."""

from __future__ import annotations

import json
import plistlib
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

import profiles
from conftest import Command
from mdmprofile.moments import stamp
from pki import CONFIG, DAY, NOW, Site, issue, make_site, root_ca
from test_check import ESCAPE, HOSTILE, PROGRAM, program, terminal

JSON = ("--format", "json")
AT = ("--at", stamp(NOW))
ADVICE = "mdmprofile: error: enroll.toml: no such file (run mdmprofile init, or name a config)\n"


@pytest.fixture
def profile(tmp_path: Path, mdmprofile: Command, site: Site) -> Path:
    """A signed profile of today."""
    assert mdmprofile("build", "-c", site.config, "-o", tmp_path / "out").code == 0
    return tmp_path / "out" / "enroll.mobileconfig"


class TestTarget:
    """What it plans for."""

    def test_config_of_the_folder_is_the_default(
        self, mdmprofile: Command, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As build does it."""
        monkeypatch.chdir(site.folder)
        named, unnamed = mdmprofile("plan", "enroll.toml", *JSON), mdmprofile("plan", *JSON)
        assert unnamed.code == 0
        assert unnamed.json == named.json

    def test_without_a_config_the_next_step_is_said(
        self, tmp_path: Path, mdmprofile: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever is new here has no config yet."""
        monkeypatch.chdir(tmp_path)
        outcome = mdmprofile("plan")
        assert (outcome.code, outcome.out, outcome.err) == (3, "", ADVICE)

    def test_profile_on_standard_input_is_planned_for(self, profile: Path) -> None:
        """``-`` works everywhere."""
        named = program("plan", profile, *JSON, *AT)
        piped = subprocess.run(
            [*PROGRAM, "plan", "-", *JSON, *AT], input=profile.read_bytes(), capture_output=True, check=False
        )
        assert named.returncode == piped.returncode == 0
        plans = [json.loads(each.stdout)["plan"] for each in (named, piped)]
        assert plans[0]["latest_safe_date"] == plans[1]["latest_safe_date"]
        assert all(each["where"].startswith("standard input") for each in plans[1]["ends"])

    def test_directory_has_no_single_plan(self, mdmprofile: Command, site: Site) -> None:
        """A plan is for one profile; check is for all that lie around."""
        outcome = mdmprofile("plan", site.folder)
        assert outcome.code == 3
        assert outcome.err == (
            f"mdmprofile: error: {site.folder}: is not one profile or config (name the one to plan for)\n"
        )

    @pytest.mark.parametrize("name", ["absent.mobileconfig", "absent.toml", "x" * 5000], ids=["file", "config", "long"])
    @pytest.mark.parametrize("shape", ["text", "json", "ics"])
    def test_what_cannot_be_read_has_no_plan(self, tmp_path: Path, mdmprofile: Command, name: str, shape: str) -> None:
        """One line, exit code 3, and no calendar that would overwrite a good one."""
        file = tmp_path / "report"
        outcome = mdmprofile("plan", tmp_path / name, "--format", shape, "-o", file)
        assert outcome.code == 3
        assert outcome.err.count("\n") == 1
        assert not file.exists()

    def test_file_that_the_config_names_and_nobody_can_read_leaves_the_rest_of_the_plan(
        self, mdmprofile: Command, site: Site
    ) -> None:
        """The dates that are known are still worth knowing; the exit code says that some are not."""
        (site.folder / "push.pem").unlink()
        outcome = mdmprofile("plan", site.config, *JSON)
        assert outcome.code == 3
        assert outcome.json["plan"]["latest_safe_date"] == "2032-01-30"
        assert "push.pem" in outcome.err

    def test_variables_fill_the_config(self, mdmprofile: Command, site: Site) -> None:
        """A certificate whose file name has a variable is found with it."""
        site.edit(lambda text: text.replace('"root.pem"', '"{{ which }}.pem"'))
        outcome = mdmprofile("plan", site.config, "--var", "which=root", *JSON)
        assert outcome.code == 0
        assert "root" in {each["role"] for each in outcome.json["plan"]["ends"]}

    def test_encrypted_profile_is_planned_for_with_the_recipients_key(
        self, tmp_path: Path, mdmprofile: Command, site: Site, profile: Path
    ) -> None:
        """Inside are the certificates that set the date."""
        device = issue("Device", site.root)
        (tmp_path / "device.pem").write_bytes(device.pem)
        (tmp_path / "device.key").write_bytes(device.key_pem())
        assert mdmprofile("unsign", profile, "-o", tmp_path / "plain").code == 0
        closed = tmp_path / "closed.mobileconfig"
        flags = ("--recipient", tmp_path / "device.pem")
        assert mdmprofile("encrypt", tmp_path / "plain", "-o", closed, *flags).code == 0
        assert mdmprofile("plan", closed).code == 3
        outcome = mdmprofile("plan", closed, *flags, "--recipient-key", tmp_path / "device.key", *JSON)
        assert outcome.code == 0
        assert outcome.json["plan"]["limited_by"] == "intermediate Test Intermediate"

    def test_pkcs12_is_planned_for_with_its_password(self, tmp_path: Path, mdmprofile: Command) -> None:
        """A device's own identity, in a file."""
        issuer = root_ca()
        (tmp_path / "device.p12").write_bytes(issue("Device", issuer, end=NOW + 90 * DAY).p12("correct-horse"))
        (tmp_path / "password").write_text("correct-horse\n")
        outcome = mdmprofile("plan", tmp_path / "device.p12", "--password-file", tmp_path / "password", *JSON)
        assert ("2031-04-30", "send the device a profile with a renewed identity by 2031-04-30") in [
            (each["date"], each["action"]) for each in outcome.json["plan"]["steps"]
        ]


class TestIdentity:
    """When the profile must be sent again, so that devices fetch new identities."""

    def test_config_counts_from_today(self, mdmprofile: Command, site: Site) -> None:
        """365 days from 2031-03-01 are 2032-02-29, and 30 days before that is 2032-01-30."""
        found = mdmprofile("plan", site.config, *JSON).json["plan"]["steps"]
        step = next(each for each in found if each["action"].startswith("send the profile again"))
        assert step["date"] == "2032-01-30"
        assert step["action"] == "send the profile again by 2032-01-30, so that each device fetches a new identity"
        assert "Apple's devices renew nothing by themselves" in step["why"]
        # The replacement on 2031-09-01 starts it anew: 365 days later is 2032-08-31, less 30 days 2032-08-01.
        assert step["why"].endswith("after the replacement on 2031-09-01 the next is by 2032-08-01")

    def test_config_says_from_which_day_the_identity_is_counted(
        self, mdmprofile: Command, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A plan made a day later moves the end, though nothing was sent; a file that was built is named."""
        monkeypatch.chdir(site.folder)
        said = "the identity is counted from 2031-03-01, as if every device got the profile that day"
        sent = "for devices that have it, plan the profile that was sent"
        rule = "[expiry.identity-assumed]"
        assert f"info: enroll.toml: identity.validity: {said}; {sent} {rule}" in mdmprofile("plan").out
        assert mdmprofile("build").code == 0
        outcome = mdmprofile("plan")
        assert f"{said}; {sent}, such as out/enroll.mobileconfig {rule}" in outcome.out
        assert outcome.code == 0
        later = mdmprofile("plan", at=stamp(NOW + DAY)).out
        assert "identity from SCEP, valid for 365 days, if sent on 2031-03-02, in 365 days" in later

    def test_profile_without_a_signature_is_counted_from_today_too(
        self, tmp_path: Path, mdmprofile: Command, profile: Path
    ) -> None:
        """A signature tells when a profile was made, and nothing else does."""
        assert mdmprofile("unsign", profile, "-o", tmp_path / "plain").code == 0
        flags = ("--identity-validity", "365d", *JSON)
        assert "expiry.identity-assumed" in mdmprofile("plan", tmp_path / "plain", *flags).rules
        assert "expiry.identity-assumed" not in mdmprofile("plan", profile, *flags).rules

    def test_profile_counts_from_its_signature(self, mdmprofile: Command, profile: Path) -> None:
        """The program signs at the real time, before the tests' today, so the identity of then ended the sooner."""
        outcome = mdmprofile("plan", profile, "--identity-validity", "3650d", *JSON)
        end = next(each for each in outcome.json["plan"]["ends"] if each["role"] == "identity")
        step = next(each for each in outcome.json["plan"]["steps"] if each["action"].startswith("send the profile ag"))
        assert "valid for 3650 days from" in end["name"]
        assert end["date"] <= "2041-02-26"
        assert step["date"] < end["date"]

    def test_passed_date_is_now(self, mdmprofile: Command, site: Site) -> None:
        """An issuer that grants 20 days leaves no 30 for the fleet."""
        site.edit(lambda text: text.replace('validity = "365d"', 'validity = "20d"'))
        found = mdmprofile("plan", site.config, *JSON).json["plan"]["steps"]
        step = next(each for each in found if each["action"].startswith("send the profile again"))
        assert step["date"] == "2031-03-01"
        assert "now: 2031-02-19, the latest safe date for it, has passed" in step["why"]

    @pytest.mark.parametrize("kind", ["config", "profile"])
    def test_unknown_validity_says_what_to_set(self, mdmprofile: Command, site: Site, profile: Path, kind: str) -> None:
        """The text names the key and the flag; the JSON report has the finding and no end."""
        site.edit(lambda text: text.replace('validity = "365d"\n', ""))
        target = site.config if kind == "config" else profile
        text = mdmprofile("plan", target).out
        assert "unknown     identity from SCEP: the device can no longer prove who it is" in text
        assert "set identity.validity in the config to what the issuer grants, or give --identity-validity" in text
        report = mdmprofile("plan", target, *JSON)
        assert "expiry.identity-unknown" in report.rules
        assert not [each for each in report.json["plan"]["ends"] if each["role"] == "identity"]


class TestAnswer:
    """What it says."""

    def test_text_has_the_date_the_ends_and_the_steps(self, mdmprofile: Command, site: Site) -> None:
        """Three sections that a person reads from the top; no table and no time line, which are check's."""
        lines = mdmprofile("plan", site.config).out.splitlines()
        assert lines[0] == (
            "Latest safe replacement date: 2032-01-30, because identity from SCEP, valid for 365 days, if sent on "
            "2031-03-01 ends on 2032-02-29; planned for 2031-09-01."
        )
        ends = lines.index("What ends, and what stops working then")
        steps = lines.index("What to do by when")
        assert [each[2:12] for each in lines[ends + 1 : steps - 1]] == [
            "2032-02-29", "2032-02-29", "2032-04-01", "2033-02-28", "2036-02-28", "2041-02-26",
        ]  # fmt: skip
        assert lines[steps - 2] == (
            "  2041-02-26  root Test Root, in 3650 days: devices no longer trust the server and are lost to MDM "
            f"({site.folder / 'root.pem'})"
        )
        assert lines[steps + 1 : steps + 3] == [
            "  2031-09-01  replace the profile as planned",
            "              the planned date",
        ]
        assert not [each for each in lines if "ROLE" in each or "|==" in each]

    def test_ends_in_json_are_in_order_and_say_what_stops_working(self, mdmprofile: Command, site: Site) -> None:
        """The keys that scripts read."""
        ends = mdmprofile("plan", site.config, *JSON).json["plan"]["ends"]
        assert [each["date"] for each in ends] == sorted(each["date"] for each in ends)
        assert len(ends) == 6
        assert ends[-1] == {
            "date": "2041-02-26",
            "role": "root",
            "name": "Test Root",
            "consequence": "devices no longer trust the server and are lost to MDM",
            "where": str(site.folder / "root.pem"),
        }

    def test_plan_is_the_one_that_check_has(self, mdmprofile: Command, site: Site) -> None:
        """The same dates and findings; the plan has more steps, the ends, and the day that the identity counts from."""
        checked = mdmprofile("check", site.config, *JSON).json
        planned = mdmprofile("plan", site.config, *JSON).json
        for key in ("replace_on", "margin_days", "latest_safe_date"):
            assert planned["plan"][key] == checked["plan"][key]
        assert planned["plan"]["limited_by"] == f"{checked['plan']['limited_by']}, if sent on 2031-03-01"
        # The latest safe date is that of the identity, so both are one sending.
        own = [each for each in checked["plan"]["steps"] if each["action"] != "replace the profile at the latest"]
        assert all(each in planned["plan"]["steps"] for each in own)
        assert planned["certificates"] == checked["certificates"]
        assert [each for each in planned["findings"] if each["rule"] != "expiry.identity-assumed"] == checked[
            "findings"
        ]

    def test_passed_date_says_to_replace_now(self, mdmprofile: Command, site: Site) -> None:
        """The first thing a person sees; on the latest safe date itself there is still time."""
        site.edit(lambda text: text.replace('validity = "365d"\n', ""))
        # The signer has 730 days, and the fleet needs 30 of them.
        for days, said in ((700, False), (701, True)):
            outcome = mdmprofile("plan", site.config, at=stamp(NOW + days * DAY))
            passed = ", passed 1 day ago" if said else ""
            start = f"Latest safe replacement date: 2033-01-29{passed}, because signer Profile Signer"
            assert outcome.out.startswith(start)
            checked = mdmprofile("check", site.config, at=stamp(NOW + days * DAY))
            assert [each for each in checked.out.splitlines() if each.startswith(start)]
            assert (outcome.out.splitlines()[1] == "It has passed: replace the profile now.") is said

    @pytest.mark.parametrize(
        ("planned", "why"),
        [
            ("2031-02-01", "; the planned date, 2031-02-01, has passed"),
            ("2032-02-10", "; the planned 2032-02-10 is too late"),
        ],
    )
    def test_planned_date_that_cannot_be_kept_is_a_word_and_no_step(
        self, mdmprofile: Command, site: Site, planned: str, why: str
    ) -> None:
        """One date to send the profile on, not two."""
        found = mdmprofile("plan", site.config, "--replace-on", planned, *JSON).json["plan"]["steps"]
        (step,) = [each for each in found if each["action"].startswith(("send", "replace"))]
        assert step["date"] == "2032-01-30"
        assert why in step["why"]

    def test_what_is_overdue_is_told_first_as_now(self, mdmprofile: Command, site: Site) -> None:
        """On 2032-02-20: the push certificate's 30 days are running; 365 days on is 2033-02-19, less 30 2033-01-20."""
        outcome = mdmprofile("plan", site.config, *JSON, at="2032-02-20")
        steps = outcome.json["plan"]["steps"]
        assert [(each["date"], each.get("was"), each["action"].split()[0]) for each in steps] == [
            ("2032-02-20", "2032-01-30", "renew"),
            ("2032-03-02", None, "renew"),
            ("2033-01-20", None, "send"),
        ]
        text = mdmprofile("plan", site.config, at="2032-02-20").out
        assert (
            "  2032-02-20  renew the push certificate with the same Apple Account, so that its topic stays (was 2032-"
            in text
        )

    def test_flags_lie_over_the_config(self, mdmprofile: Command, site: Site) -> None:
        """A date and a margin to try out."""
        outcome = mdmprofile("plan", site.config, "--replace-on", "2031-10-01", "--margin", "60d", *JSON)
        assert outcome.json["plan"]["replace_on"] == "2031-10-01T00:00:00Z"
        assert outcome.json["plan"]["latest_safe_date"] == "2031-12-31"

    @pytest.mark.parametrize(
        ("days", "flags", "code"),
        [(90, (), 0), (20, (), 0), (20, ("--fail-on", "warning"), 1), (3, (), 2), (-3, (), 2)],
        ids=["fine", "warning", "fail on warning", "critical", "expired"],
    )
    def test_exit_code_is_that_of_the_worst_finding(
        self, tmp_path: Path, mdmprofile: Command, days: int, flags: tuple[str, ...], code: int
    ) -> None:
        """A warning is printed and leaves 0; --fail-on changes that."""
        file = tmp_path / "root.pem"
        file.write_bytes(issue("Root", ca=True, start=NOW - 99 * DAY, end=NOW + timedelta(days=days)).pem)
        assert mdmprofile("plan", file, *flags).code == code

    def test_quiet_prints_nothing_when_all_is_well(self, mdmprofile: Command, site: Site) -> None:
        """For cron."""
        outcome = mdmprofile("plan", site.config, "-q")
        assert (outcome.code, outcome.out, outcome.err) == (0, "", "")

    def test_output_goes_into_a_file(self, tmp_path: Path, mdmprofile: Command, site: Site) -> None:
        """As text without colour."""
        file = tmp_path / "plan.txt"
        assert mdmprofile("plan", site.config, "-o", file).out == ""
        assert file.read_text() == mdmprofile("plan", site.config).out

    def test_hostile_names_neither_steer_a_terminal_nor_forge_a_line(self, tmp_path: Path) -> None:
        """Names of certificates go into ends, steps and reasons."""
        site = make_site(tmp_path, config=CONFIG)
        old = issue(HOSTILE, ca=True, start=NOW - 99 * DAY, end=NOW + 90 * DAY)
        for name, entity in (("root.pem", old), ("intermediate.pem", root_ca(f"{HOSTILE[:60]}2"))):
            (site.folder / name).write_bytes(entity.pem)
        (site.folder / "server.pem").write_bytes(issue("mdm.example.com", old).pem)
        piped = program("plan", site.config, *AT)
        assert "overlap" in piped.stdout.decode()
        assert all(each.isprintable() for each in piped.stdout.decode().replace("\n", ""))
        assert b"\nerror: forged" not in piped.stdout
        _, screen = terminal("plan", site.config, *AT, "--color", "never")
        assert f"{ESCAPE}]0;" not in screen
        assert "\u202e" not in screen


def test_flag_wins_over_the_configs_validity(site: Site, mdmprofile: Command) -> None:
    """As every flag does; the config says 365 days."""
    days = mdmprofile("plan", site.config, "--identity-validity", "90d", "--format", "json").json
    (identity,) = [each for each in days["plan"]["ends"] if each["role"] == "identity"]
    assert identity["date"] == "2031-05-30"
    checked = mdmprofile("check", site.config, "--identity-validity", "90d", "--format", "json").json
    assert [each["days_left"] for each in checked["identities"]] == [90]


def test_shortest_of_two_validities_counts(site: Site, mdmprofile: Command, tmp_path: Path) -> None:
    """Two configs have the profile's identifier, and nobody can tell which one it was built from."""
    profile = tmp_path / "scep.mobileconfig"
    plist = profiles.enrollment()
    plist["PayloadIdentifier"] = "com.example.mdm.enroll"
    profile.write_bytes(plistlib.dumps(plist))
    other = site.folder / "other.toml"
    other.write_text(site.config.read_text().replace('"365d"', '"90d"'))
    for order in ((site.config, other), (other, site.config)):
        found = mdmprofile("check", *order, profile, "--format", "json").json["identities"]
        assert [each["days_left"] for each in found if each["where"].startswith(str(profile))] == [90]


@pytest.mark.parametrize("command", ["check", "plan"])
def test_empty_name_is_not_the_current_directory(mdmprofile: Command, command: str) -> None:
    """An unset shell variable must not look like a check in which all is well."""
    outcome = mdmprofile(command, "")
    assert outcome.code == 3
    assert "empty" in outcome.err
