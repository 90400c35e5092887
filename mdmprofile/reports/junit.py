"""The JUnit XML report, which build servers read: a test suite a file, a test case a finding."""

from __future__ import annotations

from collections.abc import Iterable
from xml.sax.saxutils import escape, quoteattr

from mdmprofile.errors import MdmprofileError, flatten
from mdmprofile.findings import Finding
from mdmprofile.printable import printable
from mdmprofile.reports.model import FileReport, View


def render(view: View) -> str:
    """Errors and warnings are failures, information is output, and what could not be read is an error."""
    suites = [_suite(each) for each in view.by_file]
    return "\n".join(
        ['<?xml version="1.0" encoding="UTF-8"?>', '<testsuites name="mdmprofile">', *suites, "</testsuites>"]
    )


def _suite(report: FileReport) -> str:
    errors = flatten(report.errors)
    cases = [_case(each, report.source) for each in report.findings]
    cases += [_unread(each, report.source) for each in errors]
    # A file without any case would not be seen at all.
    cases = cases or [_element("testcase", {"name": "no findings", "classname": report.source})]
    counts = {
        "name": report.source,
        "tests": str(len(cases)),
        "failures": str(sum(bool(each.severity.rank) for each in report.findings)),
        "errors": str(len(errors)),
    }
    return _element("testsuite", counts, cases)


def _case(found: Finding, source: str) -> str:
    where = f"{found.rule} {found.where}".rstrip()
    hint = f" ({found.hint})" if found.hint and found.severity.rank else ""
    text = f"{source}: {found.where}: {found.message}{hint}" if found.where else f"{source}: {found.message}{hint}"
    if found.severity.rank:
        inner = _element("failure", {"type": found.severity.value, "message": found.message}, [_text(text)])
    else:
        inner = _element("system-out", {}, [_text(text)])
    return _element("testcase", {"name": where, "classname": source}, [inner])


def _unread(error: MdmprofileError, source: str) -> str:
    inner = _element("error", {"type": "error", "message": error.message}, [_text(str(error))])
    return _element("testcase", {"name": "readable", "classname": source}, [inner])


def _element(name: str, attributes: dict[str, str], inner: Iterable[str] = ()) -> str:
    """One element; text in attributes is printable, so that nothing XML forbids is in it (XML 1.0 section 2.2)."""
    written = "".join(f" {key}={quoteattr(printable(value))}" for key, value in attributes.items())
    content = "".join(inner)
    return f"<{name}{written}>{content}</{name}>" if content else f"<{name}{written}/>"


def _text(text: str) -> str:
    return escape(printable(text))
