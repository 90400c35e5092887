"""The formats for other programs: SARIF, JUnit XML and GitHub's workflow commands, whatever text is in a profile."""

from __future__ import annotations

import json
import os
import plistlib
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from sarif_pydantic import Sarif

from conftest import Command
from lint_cases import changed, good
from mdmprofile.catalogue import RULES
from mdmprofile.errors import CertificateError
from mdmprofile.findings import Severity, finding
from mdmprofile.reports import github, junit, sarif
from mdmprofile.reports.model import FileReport, View
from pki import NOW
from profiles import both, drop, put

MDM = "PayloadContent[3]"
URI = re.compile(r"(file://)?([A-Za-z0-9._~/-]|%[0-9A-F]{2})*")


def view(source: str = "a.mobileconfig", text: str = "text") -> View:
    """A report of one file with a finding of each severity, and of one that could not be read."""
    found = [
        finding("mdm.topic-prefix", text, where=f"PayloadContent[0].{text}"),
        finding("profile.user-scope", text, where="PayloadScope"),
        finding("signing.unsigned", text, severity=Severity.INFO),
    ]
    broken = FileReport(f"{source}.broken", errors=[CertificateError(text, where=source)])
    return View(now=NOW, by_file=[FileReport(source, found), FileReport("empty"), broken])


def strangers(model: object, path: str = "") -> list[str]:
    """Every key that the SARIF model does not know; it keeps them instead of refusing them."""
    if isinstance(model, BaseModel):
        inner = [
            found for name in type(model).model_fields for found in strangers(getattr(model, name), f"{path}.{name}")
        ]
        return [f"{path}.{each}" for each in model.model_extra or {}] + inner
    if isinstance(model, list):
        return [found for each in model for found in strangers(each, path)]
    return []


def assert_sarif(text: str) -> Any:
    """SARIF 2.1.0 whose keys and types the model knows, and whose references lead somewhere."""
    report = json.loads(text)
    # The model lacks this one key, which the standard has in section 3.20.21.
    assert set(strangers(Sarif.model_validate(report))) <= {".runs.invocations.toolExecutionNotifications"}
    assert report["version"] == "2.1.0"
    (run,) = report["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert len({each["id"] for each in rules}) == len(rules)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in {"note", "warning", "error"}
        (location,) = result["locations"]
        artifact = location["physicalLocation"]["artifactLocation"]
        assert run["artifacts"][artifact["index"]]["location"]["uri"] == artifact["uri"]
        assert location["physicalLocation"]["region"]["startLine"] >= 1
    for each in run["artifacts"]:
        assert URI.fullmatch(each["location"]["uri"])
    return run


def test_sarif_says_what_was_found_where_and_by_which_rule(mdmprofile: Command, tmp_path: Path) -> None:
    """Severity, rule with its documentation, file and payload, as code scanning shows them."""
    bad = tmp_path / "bad.mobileconfig"
    bad.write_bytes(changed(both(put(f"{MDM}.Topic", "x"), put("PayloadScope", "User")))())
    (tmp_path / "junk").write_bytes(b"junk")
    target = tmp_path / "lint.sarif"
    outcome = mdmprofile("lint", bad, tmp_path / "junk", "--format", "sarif", "-o", target)
    assert (outcome.code, outcome.out) == (2, "")
    run = assert_sarif(target.read_text())
    first, second = run["results"]
    assert (first["ruleId"], first["level"]) == ("mdm.topic-prefix", "error")
    assert first["locations"][0]["logicalLocations"] == [{"fullyQualifiedName": f"{MDM}.Topic"}]
    assert first["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == bad.as_uri()
    assert (second["ruleId"], second["level"]) == ("profile.user-scope", "warning")
    topic, scope = run["tool"]["driver"]["rules"]
    assert topic["helpUri"] == RULES["mdm.topic-prefix"].source
    assert topic["shortDescription"]["text"] == RULES["mdm.topic-prefix"].about
    assert "helpUri" not in scope
    assert scope["properties"]["source"] == "observed"
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    assert "not a property list" in invocation["toolExecutionNotifications"][0]["message"]["text"]


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_can_stand_in_sarif(rule: str) -> None:
    """With or without a page of its own."""
    run = assert_sarif(sarif.render(View(now=NOW, by_file=[FileReport("a", [finding(rule, "x")])])))
    help_uri = run["tool"]["driver"]["rules"][0].get("helpUri", "https://example.com")
    assert urlsplit(help_uri).scheme == "https"


@pytest.mark.parametrize(
    "name",
    [b"a b%c.mobileconfig", b"a:b", b"\xff\xfe", "ä\n\u2028".encode(), b"a#b?c", b"dir/[a]", b"C\\x", b"/etc/a b"],
    ids=repr,
)
def test_sarif_names_a_file_of_any_name_with_a_uri(name: bytes) -> None:
    """A name is bytes on Linux; decoding the URI gives exactly them again."""
    uri = sarif.file_uri(os.fsdecode(name))
    assert URI.fullmatch(uri)
    assert unquote_to_bytes(uri.removeprefix("file://")) == name
    assert uri.startswith("file:///") == name.startswith(b"/")
    # Before the first slash a colon would make the rest of the name a path in a scheme.
    assert ":" not in uri.removeprefix("file://")


def test_junit_counts_failures_and_errors(mdmprofile: Command, tmp_path: Path) -> None:
    """A build server shows a suite a file, and a file without a finding as passed."""
    (tmp_path / "bad").write_bytes(changed(both(put(f"{MDM}.Topic", "x"), drop(f"{MDM}.SignMessage")))())
    (tmp_path / "info").write_bytes(plistlib.dumps(good()))
    (tmp_path / "good").write_bytes(changed(lambda _plist: None)())
    outcome = mdmprofile("lint", *(tmp_path / each for each in ("bad", "info", "good", "absent")), "--format", "junit")
    assert outcome.code == 2
    suites = list(ET.fromstring(outcome.out.encode()))  # noqa: S314 - our own
    counts = [tuple(each.get(key) for key in ("name", "tests", "failures", "errors")) for each in suites]
    assert counts == [
        (str(tmp_path / "bad"), "1", "1", "0"),
        (str(tmp_path / "info"), "1", "0", "0"),
        (str(tmp_path / "good"), "1", "0", "0"),
        (str(tmp_path / "absent"), "1", "0", "1"),
    ]
    (failure,) = suites[0].iter("failure")
    assert failure.get("type") == "error"
    assert "com.apple.mgmt." in (failure.text or "")
    (bad,), (info,), (absent,) = (suites[number].findall("testcase") for number in (0, 1, 3))
    assert bad.get("name") == f"mdm.topic-prefix {MDM}.Topic"
    # Information is a case that passed; what it says is the suite's output.
    assert list(info) == []
    assert "not signed" in (suites[1].findtext("system-out") or "")
    assert [each.tag for each in absent] == ["error"]


def test_github_gets_a_command_a_line(mdmprofile: Command, tmp_path: Path) -> None:
    """Errors, warnings and notices, each with its file."""
    bad = tmp_path / "100%, a:b"
    bad.write_bytes(changed(both(put(f"{MDM}.Topic", "50%"), put("PayloadScope", "User")))())
    outcome = mdmprofile("lint", bad, tmp_path / "absent", "--format", "github")
    assert outcome.code == 2
    error, warning, absent = outcome.out.splitlines()
    place = f"{tmp_path}/100%25%2C a%3Ab"
    assert error.startswith(f"::error file={place},title=mdm.topic-prefix::{MDM}.Topic: the topic '50%25' does not")
    assert warning.startswith(f"::warning file={place},title=profile.user-scope%2C observed::PayloadScope: ")
    assert absent.startswith(f"::error file={tmp_path}/absent,title=mdmprofile::")


@pytest.mark.parametrize("form", ["json", "sarif", "junit", "github"])
def test_quiet_prints_nothing_in_any_format_while_all_is_well(form: str, mdmprofile: Command, tmp_path: Path) -> None:
    """As for text."""
    (tmp_path / "a").write_bytes(changed(lambda _plist: None)())
    assert mdmprofile("lint", tmp_path / "a", "-q", "--format", form).out == ""


HOSTILE = st.text(st.characters() | st.sampled_from("\0\x07\x1b\x7f\x85\u2028\u202e\ufeff\ufffe\n\r,:%<>&\"']]>"))


@settings(derandomize=True, deadline=None)
@given(HOSTILE | st.binary().map(os.fsdecode), HOSTILE)
def test_no_text_of_a_profile_breaks_a_format(source: str, text: str) -> None:
    """Names, keys and values are somebody else's; the report stays one report."""
    shown = view(source, text)
    run = assert_sarif(sarif.render(shown))
    assert len(run["results"]) == 3
    suites = list(ET.fromstring(junit.render(shown).encode("utf-8", "backslashreplace")))  # noqa: S314 - our own
    assert [each.get("tests") for each in suites] == ["3", "1", "1"]
    lines = github.render(shown).splitlines()
    assert [re.match(r"::(\w+) file=[^,:]*,title=[^,:]*::", each) is not None for each in lines] == [True] * 4
    # What GitHub reads when it undoes its escapes begins no further command.
    assert not any(re.search(r"%(?!25|3A|2C)", each) for each in lines)
