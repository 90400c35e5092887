"""Where the device's identity comes from: the SCEP server's CA, or the ACME directory. Nothing is ordered.

https://www.rfc-editor.org/rfc/rfc8894
https://www.rfc-editor.org/rfc/rfc8555
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mdmprofile.certificates import Certificate
from mdmprofile.containers import load_certificates
from mdmprofile.doctor.enrolled import Scep
from mdmprofile.doctor.visits import Step, Visitor, passed, untried_step
from mdmprofile.errors import MdmprofileError, flatten
from mdmprofile.findings import Finding, Severity, finding
from mdmprofile.printable import printable
from mdmprofile.probe.http import Answer
from mdmprofile.probe.locations import Location

_CA, _CA_RA = "application/x-x509-ca-cert", "application/x-x509-ca-ra-cert"
_ACME_KEYS = ("newNonce", "newAccount", "newOrder")
_DIGESTS = {16: "md5", 20: "sha1"}
_LONGEST = 300
_SHOWN = 5


class ScepSeen(NamedTuple):
    """The steps at the SCEP server, and the certificates that it answers with."""

    steps: tuple[Step, ...]
    certificates: tuple[Certificate, ...] = ()


def visit_scep(visitor: Visitor, scep: Scep, location: Location) -> ScepSeen:
    """GetCACaps and GetCACert, as a device asks them before it sends a request of its own."""
    message = {"message": scep.name} if scep.name else {}
    capabilities = _capabilities(visitor, location.asking(operation="GetCACaps", **message))
    asked = location.asking(operation="GetCACert", **message)
    name = "SCEP GetCACert"
    visit = visitor.get(name, asked, rule="scep.unreachable")
    if visit.answer is None:
        return ScepSeen((capabilities, Step(name, location.place, visit.findings)))
    try:
        certificates = _certificates(visit.answer)
    except MdmprofileError as error:
        problem = flatten([error])[0].message
        wrong = finding("scep.unreachable", f"{name}: the answer {problem}", where=location.place)
        return ScepSeen((capabilities, Step(name, location.place, (*visit.findings, wrong))))
    found = [*visit.findings, *_judge_type(visit.answer, certificates), *_judge_fingerprint(scep, certificates, asked)]
    return ScepSeen((capabilities, Step(name, location.place, tuple(found))), certificates)


def visit_acme(visitor: Visitor, location: Location) -> tuple[Step, ...]:
    """The directory, which a device reads first (RFC 8555 section 7.1.1)."""
    name = "ACME directory"
    if not location.is_secure:
        found = finding("acme.unreachable", f"{name}: the URL is not https", where=location.place)
        return (Step(name, location.place, (found,)),)
    visit = visitor.get(name, location, rule="acme.unreachable")
    if visit.answer is None:
        return (Step(name, location.place, visit.findings),)
    problem = _directory_problem(visit.answer)
    if problem:
        found = finding("acme.unreachable", f"{name}: {problem}", where=location.place)
        return (Step(name, location.place, (*visit.findings, found)),)
    found = passed(name, "the server answers with a directory", location)
    order = untried_step("ACME order", "it would create an account and an order", location)
    return Step(name, location.place, (*visit.findings, found)), order


def status_problem(answer: Answer) -> str:
    """Why an answer is not the document that was asked for; empty when it is."""
    if answer.elsewhere:
        return f"the server redirects to another one, which was not followed: {answer.elsewhere}"
    return "" if answer.ok else f"the server answers with status {answer.status}"


def _capabilities(visitor: Visitor, asked: Location) -> Step:
    name = "SCEP GetCACaps"
    visit = visitor.get(name, asked, rule="scep.unreachable")
    if visit.answer is None:
        return Step(name, asked.place, visit.findings)
    problem = status_problem(visit.answer)
    words = [each.strip() for each in visit.answer.body.decode("ascii", "replace").splitlines()]
    if not problem and any(not each.isprintable() or len(each) > _LONGEST or "<" in each for each in words):
        problem = "the answer is no list of capabilities"
    if problem:
        # A client takes it for a server without any (RFC 8894 section 3.5.1), which still can enroll.
        found = finding(
            "scep.unreachable",
            f"{name}: {problem}, so devices take the oldest algorithms for granted",
            where=asked.place,
            severity=Severity.WARNING,
        )
    else:
        told = printable(", ".join(filter(None, words))[:_LONGEST]) or "none"
        found = passed(name, f"capabilities: {told}", asked)
    return Step(name, asked.place, (*visit.findings, found))


def _certificates(answer: Answer) -> tuple[Certificate, ...]:
    problem = status_problem(answer)
    if problem:
        raise MdmprofileError(f"is no certificate: {problem}")
    if answer.body.lstrip()[:1] == b"<":
        raise MdmprofileError("is a web page and no certificate")
    return load_certificates(answer.body)


def _judge_type(answer: Answer, certificates: Sequence[Certificate]) -> Iterable[Finding]:
    expected = _CA if len(certificates) == 1 else _CA_RA
    if answer.media_type not in {_CA, _CA_RA}:
        told = answer.media_type or "nothing"
        message = f"GetCACert answers with the content type {told} instead of {expected}"
        yield finding("scep.content-type", message, where=answer.location.place)


def _judge_fingerprint(scep: Scep, certificates: Sequence[Certificate], asked: Location) -> Iterable[Finding]:
    name, place = "SCEP GetCACert", asked.place
    authorities = [each for each in certificates if each.is_ca]
    names = ", ".join(dict.fromkeys(each.name for each in authorities[:_SHOWN]))
    if not authorities:
        others = ", ".join(dict.fromkeys(each.name for each in certificates[:_SHOWN]))
        yield finding("scep.unreachable", f"{name}: the answer holds no CA, only {others}", where=place)
    elif scep.fingerprint is None:
        if not asked.is_secure:
            message = f"the CA {names} comes over http and the profile has no CAFingerprint to know it by"
            yield finding("scep.no-fingerprint", message, where=place)
        yield passed(name, f"the CA is {names}", asked)
    elif len(scep.fingerprint) not in _DIGESTS:
        message = f"CAFingerprint has {len(scep.fingerprint)} bytes, and devices compare SHA-1 (20) or MD5 (16)"
        yield finding("scep.fingerprint", message, where=place)
    else:
        yield _compared(scep.fingerprint, authorities, asked)


def _compared(fingerprint: bytes, authorities: Sequence[Certificate], asked: Location) -> Finding:
    digest = _DIGESTS[len(fingerprint)]
    known = [(each.name, hashlib.new(digest, each.der, usedforsecurity=False).digest()) for each in authorities]
    for name, value in known:
        if value == fingerprint:
            return passed("SCEP GetCACert", f"the CA is {name}, as CAFingerprint says", asked)
    told = ", ".join(f"{one} has {value.hex()}" for one, value in known[:_SHOWN])
    return finding("scep.fingerprint", f"CAFingerprint is {fingerprint.hex()}, but {told}", where=asked.place)


def _directory_problem(answer: Answer) -> str:
    problem = status_problem(answer)
    if problem:
        return problem
    try:
        directory = json.loads(answer.body)
    except (ValueError, RecursionError):
        return "the answer is a web page" if answer.body.lstrip()[:1] == b"<" else "the answer is no JSON"
    if not isinstance(directory, dict) or not all(isinstance(directory.get(each), str) for each in _ACME_KEYS):
        return f"the answer is no directory with {', '.join(_ACME_KEYS)}"
    return ""
