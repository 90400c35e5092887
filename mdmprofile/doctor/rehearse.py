"""The rehearsal, step by step, as a device goes: the MDM server, the identity, what is published."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from mdmprofile.certificates import Certificate
from mdmprofile.chain import LEAF
from mdmprofile.doctor.enrolled import Enrolled
from mdmprofile.doctor.identity import ScepSeen, visit_acme, visit_scep
from mdmprofile.doctor.service import visit_service
from mdmprofile.doctor.visits import Step, Visitor, passed, untried_step
from mdmprofile.errors import NetworkError
from mdmprofile.findings import Finding, by_severity, finding
from mdmprofile.inventory import by_role, without_repeats
from mdmprofile.plan import Thresholds, Watched, judge_dates
from mdmprofile.probe.locations import Location, locate
from mdmprofile.probe.network import Route
from mdmprofile.probe.pool import at_once
from mdmprofile.rules.served import Verdict, judge_pins, require_affordable

# What is expired on the way to a server is said by the rules of the handshake.
_MOST = 20
_SAID = ("expiry.expired", "expiry.not-yet-valid")


class Rehearsal(NamedTuple):
    """The steps in the order of a device, and every certificate that a server showed, as something that ends."""

    steps: tuple[Step, ...]
    watched: tuple[Watched, ...]
    dates: tuple[Finding, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything that was found, errors first."""
        return by_severity([each for step in self.steps for each in step.findings] + list(self.dates))


def rehearse(
    enrolled: Enrolled,
    route: Route,
    *,
    at: datetime,
    thresholds: Thresholds | None = None,
    progress: Callable[[int, int], None] | None = None,
    fetch_enrollment: bool = False,
) -> Rehearsal:
    """Do what a device with this profile would do, short of changing anything on a server.

    Nothing is ordered, signed or checked in. ``at`` is aware UTC. ``progress`` is told how many of how many servers'
    parts are done. ``fetch_enrollment`` asks for the enrollment profile too, which may spend a one-time challenge.
    Servers that do not answer are findings; raises ``CertificateError`` when the profile has more CAs than are judged.
    """
    require_affordable(enrolled.trust)
    visitor = Visitor(enrolled.trust, route, at=at)
    seen: list[ScepSeen] = []
    steps = [Step("profile", "", enrolled.refused)] if enrolled.refused else []
    # First, so that what is wrong with the MDM server is said where a device meets it; and in a thread, because nothing
    # interrupts OpenSSL in this one.
    (connections,) = at_once(lambda _: list(_connections(visitor, enrolled)), [None])
    steps += connections
    jobs: list[Callable[[], Iterable[Step]]] = []
    if enrolled.scep is not None:
        jobs.append(lambda: _scep(visitor, enrolled, seen))
    if enrolled.acme_url is not None:
        jobs.append(lambda: _acme(visitor, enrolled.acme_url or ""))
    jobs.append(lambda: _service(visitor, enrolled, fetch_enrollment=fetch_enrollment))
    for done, found in enumerate(at_once(lambda job: list(job()), jobs), 1):
        steps += found
        if progress is not None:
            progress(done, len(jobs))
    authorities = [each for one in seen for each in one.certificates]
    watched = _watched(visitor.seen, authorities)
    dates = judge_dates(watched, thresholds or Thresholds(), now=at)
    ca = {each.where for each in watched if each.consequence_of == "scep-ca"}
    told = tuple(each for each in dates if each.rule not in _SAID or each.where in ca)
    return Rehearsal(tuple(steps), watched, told)


def _connections(visitor: Visitor, enrolled: Enrolled) -> Iterable[Step]:
    urls = [("ServerURL", enrolled.server_url, enrolled.pins)]
    if enrolled.checkin_url is not None and (enrolled.checkin_url != enrolled.server_url or enrolled.checkin_pins):
        urls.append(("CheckInURL", enrolled.checkin_url, enrolled.checkin_pins))
    for name, url, pins in urls:
        try:
            location = locate(url)
        except NetworkError as error:
            yield _no_url(name, "tls.unreachable", error)
            continue
        if not location.is_secure:
            found = finding("mdm.url-scheme", f"{name} is not an https:// URL", where=location.place)
            yield Step(name, location.place, (found,))
            continue
        visit = visitor.handshake(name, location)
        pinned = _pinned(name, visit.verdict, pins, location) if visit.verdict is not None else ()
        yield Step(name, location.place, (*visit.findings, *pinned))
        if name == "ServerURL" and visit.verdict is not None and visit.verdict.connects:
            yield untried_step("check-in", "it would enroll a device", location)


def _pinned(name: str, verdict: Verdict, pins: Sequence[Certificate], location: Location) -> Iterable[Finding]:
    key = f"{name}PinningCertificateUUIDs"
    broken = list(judge_pins(verdict, pins, location.origin, key))
    yield from broken
    if pins and verdict.path and not broken:
        yield passed(key, "the server shows a pinned certificate", location)


def _scep(visitor: Visitor, enrolled: Enrolled, seen: list[ScepSeen]) -> Iterable[Step]:
    assert enrolled.scep is not None  # noqa: S101 - the caller looked
    try:
        location = locate(enrolled.scep.url)
    except NetworkError as error:
        return [_no_url("SCEP", "scep.unreachable", error)]
    found = visit_scep(visitor, enrolled.scep, location)
    seen.append(found)
    request = untried_step("SCEP PKIOperation", "it would have a certificate issued", location)
    return [*found.steps, *([request] if found.certificates else [])]


def _acme(visitor: Visitor, url: str) -> Iterable[Step]:
    try:
        return visit_acme(visitor, locate(url))
    except NetworkError as error:
        return [_no_url("ACME directory", "acme.unreachable", error)]


def _service(visitor: Visitor, enrolled: Enrolled, *, fetch_enrollment: bool) -> Iterable[Step]:
    try:
        location = locate(enrolled.server_url)
    except NetworkError:
        return []
    return visit_service(visitor, enrolled, location, fetch_enrollment=fetch_enrollment) if location.is_secure else []


def _no_url(name: str, rule: str, error: NetworkError) -> Step:
    if "variable" in error.message:
        rule = "config.unfilled"
    found = finding(rule, f"{name}: the URL {error.message}", where=error.where, hint=error.hint)
    return Step(name, error.where, (found,))


def _watched(served: Sequence[Certificate], authorities: Sequence[Certificate]) -> tuple[Watched, ...]:
    """What the servers showed: renewed there, so that the profile survives it.

    Of what a SCEP server answers with, the certificates of its registration authority too: without them nobody enrolls.
    """
    shown = [each._replace(baked_in=False, consequence_of=LEAF) for each in by_role(served)]
    issuing = [
        each._replace(baked_in=False, consequence_of="scep-ca", where="SCEP GetCACert")
        for each in by_role(authorities[:_MOST])
    ]
    return without_repeats([*shown, *issuing])
