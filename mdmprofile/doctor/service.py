"""What the server publishes, held against the profile: MDMServiceConfig, the trust profile, the anchors.

https://developer.apple.com/documentation/devicemanagement/providing-information-about-your-device-management-service
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mdmprofile.certificates import Certificate
from mdmprofile.chain import ROOT, role_of
from mdmprofile.changes import certificates_of
from mdmprofile.doctor.enrolled import Enrolled
from mdmprofile.doctor.identity import status_problem
from mdmprofile.doctor.visits import Step, Visitor, absent, passed, untried_step
from mdmprofile.errors import MdmprofileError, flatten
from mdmprofile.findings import Finding, Severity, finding
from mdmprofile.probe.http import Answer
from mdmprofile.probe.locations import Location, locate, name_of
from mdmprofile.published import (
    ANCHORS,
    DISCOVERY_PATH,
    ENROLLMENT,
    JSON_TYPE,
    PROFILE_TYPE,
    SERVICE_PATH,
    TRUST_PROFILE,
    judge_content_type,
    read_anchors,
    read_json_object,
    read_service_config,
)
from mdmprofile.reader import open_profile
from mdmprofile.rules.examined import AS_TRUST
from mdmprofile.rules.lint import lint
from mdmprofile.urls import has_scheme

_NAME = "MDMServiceConfig"


def visit_service(
    visitor: Visitor, enrolled: Enrolled, server: Location, *, fetch_enrollment: bool = False
) -> list[Step]:
    """MDMServiceConfig on the MDM server, and behind it the trust profile and the anchors.

    The enrollment profile is asked for only on demand: that may spend a one-time challenge.
    """
    location = server.at(SERVICE_PATH)
    expected = enrolled.published.urls if enrolled.published else None
    visit = visitor.get(_NAME, location, rule="service.inconsistent", optional=not expected)
    urls: dict[str, str] = {}
    if visit.answer is None:
        found = list(visit.findings)
    elif _absence(visit.answer, expected):
        found = [*visit.findings, _missing(visit.answer, _absence(visit.answer, expected), expected)]
    else:
        try:
            urls = read_service_config(visit.answer.body, source=location.place)
            found = [
                *visit.findings,
                *_typed(visit.answer, JSON_TYPE),
                *_judge_urls(urls, expected, enrolled, location),
            ]
        except MdmprofileError as error:
            found = [*visit.findings, inconsistent(f"{_NAME} {error.message}", location)]
    first = Step(_NAME, location.place, tuple(found))
    # Where the server's own list cannot be had, the config still says what must be there.
    named = {**(expected or {}), **urls}
    found_there = _documents(visitor, enrolled, server, named, expected or {}, fetch_enrollment)
    servers = enrolled.published.servers if enrolled.published else ()
    return [first, *found_there, *([_discovery(visitor, server, servers)] if servers else [])]


def _typed(answer: Answer, expected: str) -> Iterable[Finding]:
    return judge_content_type(answer.content_type, expected, answer.location.place)


def inconsistent(message: str, location: Location, *, hint: str = "") -> Finding:
    """The finding that a document does not fit."""
    return finding("service.inconsistent", message, where=location.place, hint=hint)


def _absence(answer: Answer, expected: Mapping[str, str] | None) -> str:
    """Why the answer is no MDMServiceConfig at all; empty where it may be one."""
    problem = status_problem(answer)
    # Many servers answer every path with their start page.
    if not problem and not expected and answer.body.lstrip()[:1] not in {b"{", b"["}:
        return "the server answers with something else than JSON"
    return problem


def _missing(answer: Answer, problem: str, expected: Mapping[str, str] | None) -> Finding:
    if expected:
        return inconsistent(f"{_NAME} is not published: {problem}", answer.location)
    why = "automated enrollment and trust profiles need it, enrollment by hand does not"
    return absent(_NAME, f"{problem}; {why}", answer.location)


def _judge_urls(
    urls: Mapping[str, str], expected: Mapping[str, str] | None, enrolled: Enrolled, location: Location
) -> Iterable[Finding]:
    problems = []
    for name, url in urls.items():
        if not has_scheme(url, "https"):
            problems.append(f"{name} {name_of(url)} is not an https:// URL")
    if (ENROLLMENT in urls) != (ANCHORS in urls):
        has, lacks = (ENROLLMENT, ANCHORS) if ENROLLMENT in urls else (ANCHORS, ENROLLMENT)
        problems.append(f"{_NAME} has {has} without {lacks}")
    if enrolled.trust.public and TRUST_PROFILE in urls:
        problems.append(f"{_NAME} has {TRUST_PROFILE} although the server's certificate is publicly trusted")
    for name in (ENROLLMENT, ANCHORS, TRUST_PROFILE) if expected is not None else ():
        wanted, given = (expected or {}).get(name), urls.get(name)
        if wanted != given:
            told = f"is {name_of(given)}" if given else "is missing"
            same = bool(wanted and given) and name_of(wanted or "") == name_of(given or "")
            has = "another query" if same else name_of(wanted) if wanted else "none"
            config = f"the config has {has}"
            problems.append(f"{name} {told} in {_NAME}, and {config}")
    if not problems:
        yield passed(_NAME, ", ".join(urls) or "no URL", location)
    for each in problems:
        yield inconsistent(each, location)


def _documents(
    visitor: Visitor,
    enrolled: Enrolled,
    server: Location,
    urls: Mapping[str, str],
    expected: Mapping[str, str],
    fetch_enrollment: bool,
) -> Iterable[Step]:
    """The documents behind the URLs.

    The config's own may be anywhere; what only the server names is fetched from its own host alone, so that it cannot
    send us to others.
    """
    for name in (TRUST_PROFILE, ANCHORS, ENROLLMENT):
        if name not in urls:
            continue
        try:
            location = locate(urls[name])
        except MdmprofileError as error:
            yield Step(
                name, str(error.where), (finding("service.inconsistent", f"{name} {error.message}", where=name),)
            )
            continue
        if location.host != server.host and urls[name] != expected.get(name):
            message = f"{name} is on {location.host}, another host than the MDM server, and was not fetched"
            yield Step(name, location.place, (finding("service.elsewhere", message, where=location.place),))
        elif name == ENROLLMENT and fetch_enrollment:
            yield _enrollment(visitor, location)
        elif name == ENROLLMENT:
            # Asking for a profile may spend a one-time challenge, so its server alone is looked at.
            yield Step(name, location.place, visitor.handshake(name, location).findings)
            why = "asking for it may spend a one-time challenge; --fetch-enrollment does"
            yield untried_step("enrollment profile", why, location)
        else:
            yield _document(visitor, enrolled, name, location)


def _enrollment(visitor: Visitor, location: Location) -> Step:
    """The enrollment profile as a device gets it, as far as GET shows; automated enrollment sends a POST."""
    visit = visitor.get(ENROLLMENT, location, rule="service.inconsistent")
    if visit.answer is None:
        return Step(ENROLLMENT, location.place, visit.findings)
    problem = status_problem(visit.answer)
    found: list[Finding] = [] if problem else list(_typed(visit.answer, PROFILE_TYPE))
    try:
        opened = None if problem else open_profile(visit.answer.body, source=location.place)
    except MdmprofileError as error:
        opened, problem = None, flatten([error])[0].message
    if opened is None:
        found.append(inconsistent(f"{ENROLLMENT}: {problem}", location))
    else:
        found.append(passed(ENROLLMENT, f"the profile {opened.profile.identifier}", location))
    return Step(ENROLLMENT, location.place, (*visit.findings, *found))


def _document(visitor: Visitor, enrolled: Enrolled, name: str, location: Location) -> Step:
    visit = visitor.get(name, location, rule="service.inconsistent")
    if visit.answer is None:
        return Step(name, location.place, visit.findings)
    problem = status_problem(visit.answer)
    if problem:
        found: Iterable[Finding] = (inconsistent(f"{name}: {problem}", location),)
    else:
        judge = _judge_trust_profile if name == TRUST_PROFILE else _judge_anchors
        try:
            found = tuple(judge(visitor, enrolled, visit.answer))
        except MdmprofileError as error:
            found = (inconsistent(f"{name} {flatten([error])[0].message}", location),)
    return Step(name, location.place, (*visit.findings, *found))


def _discovery(visitor: Visitor, server: Location, servers: Sequence[Mapping[str, str]]) -> Step:
    """The document for account-driven enrollment.

    Devices ask the domain of the user's Managed Apple Account for it, which no config names; the MDM server is asked
    in its place.
    """
    location, name = server.at(DISCOVERY_PATH), "account-driven enrollment"
    visit = visitor.get(name, location, rule="service.inconsistent", optional=True)
    if visit.answer is None:
        return Step(name, location.place, visit.findings)
    problem = status_problem(visit.answer)
    if problem:
        why = f"{problem}; devices ask the domain of the user's Managed Apple Account"
        return Step(name, location.place, (*visit.findings, absent(name, why, location)))
    try:
        document = read_json_object(visit.answer.body, source=location.place)
    except MdmprofileError as error:
        return Step(
            name, location.place, (*visit.findings, inconsistent(f"{name}: the document {error.message}", location))
        )
    found = [*visit.findings, *_typed(visit.answer, JSON_TYPE)]
    if document.get("Servers") == [dict(each) for each in servers]:
        found.append(passed(name, ", ".join(each["Version"] for each in servers), location))
    else:
        found.append(inconsistent(f"{name}: the servers are not those of the config", location))
    return Step(name, location.place, tuple(found))


def _judge_trust_profile(visitor: Visitor, enrolled: Enrolled, answer: Answer) -> Iterable[Finding]:
    yield from _typed(answer, PROFILE_TYPE)
    place = answer.location.place
    roots = [each.certificate for each in certificates_of(open_profile(answer.body, source=place).profile)]
    for each in lint(answer.body, source=place, now=visitor.at, kind=AS_TRUST).findings:
        if each.severity.rank:
            yield each._replace(where=f"{place}: {each.where}" if each.where else place)
    yield from _compare(TRUST_PROFILE, "the trust profile", roots, enrolled, answer.location)


def _judge_anchors(_visitor: Visitor, enrolled: Enrolled, answer: Answer) -> Iterable[Finding]:
    yield from _typed(answer, JSON_TYPE)
    certificates = read_anchors(answer.body, source=answer.location.place)
    if enrolled.trust.public:
        if certificates:
            message = "the anchors are not empty although the server's certificate is publicly trusted"
            yield inconsistent(message, answer.location)
        else:
            yield passed(ANCHORS, "empty, as with a publicly trusted certificate", answer.location)
        return
    yield from _compare(ANCHORS, "the anchors' document", certificates, enrolled, answer.location)


def _compare(
    name: str, what: str, published: Sequence[Certificate], enrolled: Enrolled, location: Location
) -> Iterable[Finding]:
    """The roots published are those of the profile."""
    if enrolled.trust.public:
        return
    missing = [each.name for each in enrolled.trust.anchors if each not in published]
    roots = [each for each in published if role_of(each) == ROOT]
    more = [each.name for each in roots if each not in enrolled.trust.anchors]
    if missing:
        message = f"{what} lacks {', '.join(missing)}, which the profile has"
        yield inconsistent(message, location)
    if more:
        message = f"{what} has {', '.join(more)}, which the profile has not"
        yield inconsistent(message, location)._replace(severity=Severity.WARNING)
    if not missing and not more:
        yield passed(name, f"the roots of the profile: {', '.join(each.name for each in roots)}", location)
