"""The JUnit XML report, which build servers read: a test suite a file or server, a test case a finding.

There is no standard. What is written is valid by the schema of Ant's reports and by that of Jenkins's xUnit plugin: the
first wants every attribute and all four kinds of children in their order, the second no empty ``properties``.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from xml.sax.saxutils import escape, quoteattr

from mdmprofile import __version__
from mdmprofile.errors import MdmprofileError, flatten
from mdmprofile.findings import Finding
from mdmprofile.printable import printable
from mdmprofile.reports.model import FileReport, View


def render(view: View) -> str:
    """Errors and warnings are failures, information is output, and what could not be read is an error."""
    suites = [_suite(each, number, view.now) for number, each in enumerate(view.by_file)]
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>", *suites, "</testsuites>"])


def _suite(report: FileReport, number: int, now: datetime) -> str:
    errors = flatten(report.errors)
    cases = [_case(each, report.source) for each in report.findings]
    cases += [_unread(each, report.source) for each in errors]
    # A file without any case would not be seen at all.
    cases = cases or [_testcase("no findings", report.source)]
    attributes = {
        "package": "mdmprofile",
        "id": str(number),
        "name": _name(report.source),
        # A time without a zone is all that the schemas take; it is UTC.
        "timestamp": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0"),
        "hostname": "localhost",
        "tests": str(len(cases)),
        "failures": str(sum(bool(each.severity.rank) for each in report.findings)),
        "errors": str(len(errors)),
        "time": "0",
    }
    told = "\n".join(_text(_place(each, report.source)) for each in report.findings if not each.severity.rank)
    version = _element("property", {"name": "mdmprofile.version", "value": __version__})
    children = [
        _element("properties", {}, [version]),
        *cases,
        _element("system-out", {}, [told]),
        _element("system-err", {}),
    ]
    return _element("testsuite", attributes, children)


def _case(found: Finding, source: str) -> str:
    name = f"{found.rule} {found.where}".rstrip()
    if not found.severity.rank:
        return _testcase(name, source)
    hint = f" ({found.hint})" if found.hint else ""
    text = _text(f"{_place(found, source)}{hint}")
    failure = _element("failure", {"type": found.severity.value, "message": found.message}, [text])
    return _testcase(name, source, failure)


def _place(found: Finding, source: str) -> str:
    return f"{source}: {found.where}: {found.message}" if found.where else f"{source}: {found.message}"


def _unread(error: MdmprofileError, source: str) -> str:
    inner = _element("error", {"type": "error", "message": error.message}, [_text(str(error))])
    return _testcase("readable", source, inner)


def _testcase(name: str, source: str, *inner: str) -> str:
    return _element("testcase", {"name": name, "classname": _name(source), "time": "0"}, inner)


def _name(source: str) -> str:
    """A name that is not empty to a schema, which does not count spaces."""
    return source if source.strip(" ") else repr(source)


def _element(name: str, attributes: dict[str, str], inner: Iterable[str] = ()) -> str:
    """One element; text in attributes is printable, so that nothing XML forbids is in it (XML 1.0 section 2.2)."""
    written = "".join(f" {key}={quoteattr(printable(value))}" for key, value in attributes.items())
    content = "".join(inner)
    return f"<{name}{written}>{content}</{name}>" if content else f"<{name}{written}/>"


def _text(text: str) -> str:
    return escape(printable(text))
