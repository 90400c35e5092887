"""The command: which files, which rules, which exit code; a thousand files in one call."""

from __future__ import annotations

import io
import plistlib
import re
from pathlib import Path

import pytest

from conftest import Command
from lint_cases import BROKEN, changed, good, signed, trust_profile
from mdmprofile.catalogue import RULES
from pki import Site
from profiles import both, drop, put

MDM = "PayloadContent[3]"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A signed profile that nothing is wrong with."""
    path = tmp_path / "good.mobileconfig"
    path.write_bytes(signed(good()))
    return path


def write(folder: Path, name: str, data: bytes) -> Path:
    """A file of these bytes."""
    path = folder / name
    path.write_bytes(data)
    return path


def test_our_own_profiles_pass(site: Site, mdmprofile: Command) -> None:
    """What build makes is what lint asks for."""
    assert mdmprofile("build", "-c", site.config, "-o", site.folder / "out").code == 0
    outcome = mdmprofile("lint", site.folder / "out" / "enroll.mobileconfig", "--as", "enrollment", "--format", "json")
    assert (outcome.code, outcome.rules) == (0, [])
    assert mdmprofile("lint", site.folder / "out" / "enroll.mobileconfig", "--quiet").out == ""
    outcome = mdmprofile("lint", site.folder / "out" / "trust.mobileconfig", "--as", "trust", "--format", "json")
    assert (outcome.code, outcome.rules) == (0, ["trust.user-switch"])


def test_every_finding_names_file_payload_and_rule(file: Path, mdmprofile: Command, tmp_path: Path) -> None:
    """One line a finding, which grep and a person understand."""
    bad = write(tmp_path, "bad.mobileconfig", changed(put(f"{MDM}.Topic", "x"))())
    outcome = mdmprofile("lint", file, bad)
    assert outcome.code == 2
    assert outcome.out.splitlines()[0] == "2 files: 1 error"
    assert f"error: {bad}: {MDM}.Topic: the topic 'x' does not begin with" in outcome.out
    assert outcome.out.rstrip().endswith("[mdm.topic-prefix]")
    report = mdmprofile("lint", file, bad, "--format", "json").json
    assert [(each["rule"], each["where"]) for each in report["findings"]] == [
        ("mdm.topic-prefix", f"{bad}: {MDM}.Topic")
    ]
    assert report["files"] == [
        {"file": str(file), "readable": True, "findings": 0, "worst": None},
        {"file": str(bad), "readable": True, "findings": 1, "worst": "error"},
    ]


def test_a_rule_that_was_only_observed_says_so(mdmprofile: Command, tmp_path: Path) -> None:
    """Nobody must take a report of a community for Apple's word."""
    bad = write(tmp_path, "a", changed(put("PayloadScope", "User"))())
    assert mdmprofile("lint", bad).out.rstrip().endswith("[profile.user-scope, observed]")
    coloured = re.sub(r"\x1b\[\d*m", "", mdmprofile("lint", bad, "--color", "always").out)
    assert "profile.user-scope, observed" in " ".join(coloured.split())
    topic = write(tmp_path, "b", changed(put(f"{MDM}.Topic", "x"))())
    assert "observed" not in mdmprofile("lint", topic).out


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (("good",), 0),
        (("info",), 0),
        (("warning", "good"), 1),
        (("error", "warning"), 2),
        (("absent",), 3),
        (("absent", "warning", "good"), 3),
        (("junk", "error"), 2),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else str(value),
)
def test_the_worst_file_decides(names: tuple[str, ...], code: int, mdmprofile: Command, tmp_path: Path) -> None:
    """In the order 2, 3, 1, 0, and what can be read is reported all the same."""
    write(tmp_path, "good", signed(good()))
    write(tmp_path, "info", plistlib.dumps(good()))
    write(tmp_path, "warning", changed(put("PayloadScope", "User"))())
    write(tmp_path, "error", changed(put(f"{MDM}.Topic", "x"))())
    write(tmp_path, "junk", b"junk")
    outcome = mdmprofile("lint", *(tmp_path / each for each in names), "--format", "json")
    assert outcome.code == code
    assert [each["file"] for each in outcome.json["files"]] == [str(tmp_path / each) for each in names]
    assert len(outcome.err.splitlines()) == sum(each in {"absent", "junk"} for each in names)


def test_warnings_count_unless_told_otherwise(mdmprofile: Command, tmp_path: Path) -> None:
    """As for check: a warning is worth a look in a pipeline."""
    path = write(tmp_path, "a", changed(put("PayloadScope", "User"))())
    assert mdmprofile("lint", path).code == 1
    assert mdmprofile("lint", path, "--fail-on", "error").code == 0


def test_quiet_says_nothing_while_all_is_well(file: Path, mdmprofile: Command, tmp_path: Path) -> None:
    """Cron mails what is printed."""
    info = write(tmp_path, "info", plistlib.dumps(good()))
    assert mdmprofile("lint", file, info, "-q").out == ""
    bad = write(tmp_path, "bad", changed(put("PayloadScope", "User"))())
    assert mdmprofile("lint", file, info, bad, "-q").out.count("\n") == 1


def test_standard_input_is_a_file_too(mdmprofile: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile from a pipe is judged under that name."""
    data = changed(put(f"{MDM}.Topic", "x"))()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    outcome = mdmprofile("lint", "-", "--format", "json")
    assert outcome.json["findings"][0]["where"] == f"standard input: {MDM}.Topic"


@pytest.mark.parametrize(
    ("arguments", "rules"),
    [
        ((), {"scep.weak-key", "scep.extractable", "mdm.topic-prefix"}),
        (("--select", "scep"), {"scep.weak-key", "scep.extractable"}),
        (("--select", "scep.weak-key"), {"scep.weak-key"}),
        (("--select", "scep", "--disable", "scep.extractable"), {"scep.weak-key"}),
        (("--disable", "scep"), {"mdm.topic-prefix"}),
        (("--disable", "scep", "--disable", "mdm.topic-prefix"), set()),
        (("--select", "mdm.topic-prefix", "--select", "scep.weak-key"), {"mdm.topic-prefix", "scep.weak-key"}),
        (("--select", "acme"), set()),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_rules_are_chosen_by_id_or_area(
    arguments: tuple[str, ...], rules: set[str], mdmprofile: Command, tmp_path: Path
) -> None:
    """What is not chosen is neither shown nor counted."""
    scep = "PayloadContent[2].PayloadContent"
    change = both(drop(f"{scep}.Keysize"), drop(f"{scep}.KeyIsExtractable"), put(f"{MDM}.Topic", "x"))
    outcome = mdmprofile("lint", write(tmp_path, "a", changed(change)()), "--format", "json", *arguments)
    assert set(outcome.rules) == rules
    assert outcome.code == max((["info", "warning", "error"].index(RULES[each].severity) for each in rules), default=0)


@pytest.mark.parametrize(
    ("option", "word", "near"),
    [("--select", "scep.weakkey", "scep.weak-key"), ("--disable", "signng", "signing"), ("--select", "zzz", "rules")],
)
def test_a_rule_that_does_not_exist_is_a_usage_error(
    option: str, word: str, near: str, file: Path, mdmprofile: Command
) -> None:
    """A misspelt rule must not switch a check off without a word."""
    outcome = mdmprofile("lint", file, option, word)
    assert (outcome.code, outcome.out) == (3, "")
    assert near in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_a_date_decides_what_has_expired(file: Path, mdmprofile: Command) -> None:
    """The clock is read only when no date is given."""
    outcome = mdmprofile("lint", file, "--at", "2035-01-01", "--format", "json", at=None)
    assert set(outcome.rules) == {"expiry.expired"}
    assert mdmprofile("lint", file, "--at", "2031-03-01", at=None).code == 0


def test_kind_of_profile_can_be_said(mdmprofile: Command, tmp_path: Path) -> None:
    """A file that should enroll devices and does not is told so only when somebody says that it should."""
    path = write(tmp_path, "a", signed(trust_profile()))
    assert mdmprofile("lint", path).code == 0
    assert mdmprofile("lint", path, "--as", "trust").code == 0
    assert mdmprofile("lint", path, "--as", "enrollment").code == 2


def test_the_report_can_go_to_a_file(file: Path, mdmprofile: Command, tmp_path: Path) -> None:
    """Standard output stays empty then."""
    target = tmp_path / "report.txt"
    outcome = mdmprofile("lint", file, "-o", target)
    assert (outcome.code, outcome.out) == (0, "")
    assert target.read_text() == "1 file: nothing found\n"


def test_a_thousand_files_are_judged_in_one_call(mdmprofile: Command, tmp_path: Path) -> None:
    """Each by itself: what the files share does not mix their findings up."""
    data = plistlib.dumps(good())
    bad = plistlib.dumps(good()).replace(b"com.apple.mgmt.", b"com.example.")
    files = [write(tmp_path, f"{number:04}", bad if number % 100 == 0 else data) for number in range(1000)]
    outcome = mdmprofile("lint", *files, "--disable", "signing.unsigned", "--format", "json")
    assert outcome.code == 2
    assert [each["where"].partition(": ")[0] for each in outcome.json["findings"]] == [
        str(each) for each in files[::100]
    ]
    assert len(outcome.json["files"]) == 1000


def test_nothing_secret_is_repeated(mdmprofile: Command, tmp_path: Path) -> None:
    """A report goes into logs and tickets; passwords and challenges do not."""
    path = write(tmp_path, "a", BROKEN["PKCS#12 with another password"].make())
    scep = changed(put("PayloadContent[2].PayloadContent.Challenge", ["open-sesame-4711"]))()
    for form in ("text", "json", "sarif", "junit", "github"):
        outcome = mdmprofile("lint", path, write(tmp_path, "b", scep), "--format", form)
        assert outcome.code == 2
        assert "open-sesame" not in outcome.out + outcome.err
        assert "other" not in outcome.out.replace("any other", "").replace("others", "")
