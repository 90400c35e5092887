"""Servers that ``check`` is pointed at: the chain as served, documents, and what an MDMServiceConfig leads to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from mdmprofile.certificates import Certificate
from mdmprofile.chain import LEAF
from mdmprofile.contents import SUFFIXES, Keys, Target, read_contents
from mdmprofile.errors import DocumentError, MdmprofileError, NetworkError
from mdmprofile.findings import Finding, Severity, finding
from mdmprofile.inventory import by_role, without_repeats
from mdmprofile.plan import Watched
from mdmprofile.probe.http import Answer, fetch
from mdmprofile.probe.locations import Location, locate
from mdmprofile.probe.network import Route
from mdmprofile.probe.tls import MAX_SERVED, Served, shake_hands
from mdmprofile.published import (
    ANCHORS,
    JSON_TYPE,
    PROFILE_TYPE,
    SERVICE_PATH,
    TRUST_PROFILE,
    judge_content_type,
    read_service_config,
)
from mdmprofile.rules.served import DeviceTrust, Shown, judge_alone, judge_shown
from mdmprofile.tables import nearest

# Dates are what check judges itself, with its own thresholds.
_DATED = ("tls.expired",)
# A config names files beside it, which nobody can fetch.
_DOCUMENTS = tuple(SUFFIXES - {".toml", ".sqlite"})


# What a longer last part of a path is like does not matter.
_LONGEST_NAME = 100


class _DistrustedError(NetworkError):
    """The server showed what ``anchors`` do not vouch for, so nothing was asked of it."""

    def __init__(self, served: Served) -> None:
        super().__init__("shows certificates that are not trusted, so nothing was asked", where=served.location.place)
        self.served = served


class Asking(NamedTuple):
    """How servers are reached and judged; without ``anchors``, the dates of what they show alone."""

    route: Route
    now: datetime
    keys: Keys
    anchors: Sequence[Certificate] | None = None


def read_server(url: str, asking: Asking) -> Target:
    """What ends at a URL: the certificates of a TLS server, those of a document, or of a whole MDMServiceConfig.

    A URL whose path has the name of a profile or certificate file is fetched, one that ends with /MDMServiceConfig
    too, with the trust profile and the anchors behind it; of any other, only the TLS handshake is looked at. Raises
    ``MdmprofileError`` when nothing could be read.
    """
    location = locate(url)
    path = location.target.partition("?")[0]
    try:
        if path.endswith(SERVICE_PATH):
            return _service(location, asking)
        if path.lower().endswith(_DOCUMENTS):
            profile = path.lower().endswith(".mobileconfig")
            return _document(location, asking, PROFILE_TYPE if profile else "")
    except _DistrustedError as error:
        return Target(_shown_by(error.served), tuple(_judge(error.served, asking)))
    if not location.is_secure:
        raise NetworkError("has no certificate to look at", where=location.place, hint="give an https:// URL")
    served = shake_hands(location, asking.route)
    return Target(_shown_by(served), (*_judge(served, asking), *_not_fetched(location, path)))


def _not_fetched(location: Location, path: str) -> Iterable[Finding]:
    """What was passed over without a word otherwise, where somebody meant a document."""
    if path in {"", "/"}:
        return
    message = f"only the certificates of the server were looked at; {path} was not fetched"
    last = path.rstrip("/").rpartition("/")[2]
    meant = nearest(last.lower()[:_LONGEST_NAME], [SERVICE_PATH.strip("/").lower()])
    hint = f"give {location.origin}{SERVICE_PATH} to have {SERVICE_PATH} read" if meant else ""
    yield finding(
        "service.not-fetched",
        message + (f" (did you mean {SERVICE_PATH}?)" if meant else ""),
        where=location.place,
        hint=hint,
    )


def _document(location: Location, asking: Asking, expected: str) -> Target:
    answer = _fetched(location, asking)
    target = read_contents(answer.body, source=location.place, keys=asking.keys)
    served = answer.served
    return target._replace(
        watched=without_repeats([*target.watched, *_shown_by(served)]),
        findings=(*target.findings, *_judge(served, asking), *_typed(answer, expected, asking)),
    )


def _typed(answer: Answer, expected: str, asking: Asking) -> Iterable[Finding]:
    """Whether a document that Apple names a content type for has it; information where dates alone count."""
    for each in judge_content_type(answer.content_type, expected, answer.location.place) if expected else ():
        yield each if asking.anchors is not None else each._replace(severity=Severity.INFO)


def _service(location: Location, asking: Asking) -> Target:
    answer = _fetched(location, asking)
    watched, findings = [*_shown_by(answer.served)], [*_judge(answer.served, asking)]
    findings += _typed(answer, JSON_TYPE, asking)
    errors: list[MdmprofileError] = []
    urls = read_service_config(answer.body, source=location.place)
    for name, expected in ((TRUST_PROFILE, PROFILE_TYPE), (ANCHORS, JSON_TYPE)):
        if name not in urls:
            continue
        try:
            place = locate(urls[name])
            if place.host != location.host:
                findings.append(_elsewhere(name, place))
                continue
            document = _document(place, asking, expected)
        except MdmprofileError as error:
            errors.append(error)
            continue
        watched += document.watched
        findings += document.findings
        errors += document.errors
    return Target(without_repeats(watched), tuple(dict.fromkeys(findings)), errors=tuple(errors))


def _elsewhere(name: str, place: Location) -> Finding:
    message = f"{name} is on {place.host}, another host, and was not fetched"
    return finding("service.elsewhere", message, where=place.place)


def _fetched(location: Location, asking: Asking) -> Answer:
    """The document; raises ``MdmprofileError`` for any other answer, and before asking a server that is not trusted."""

    def vet(served: Served) -> None:
        if (
            asking.anchors is not None
            and not judge_shown(_shown(served), _trust(asking.anchors), at=asking.now).connects
        ):
            raise _DistrustedError(served)

    answer = fetch(location, asking.route, vet=vet)
    if answer.elsewhere:
        hint = "name that as a target, if you know the host"
        message = f"redirects to another server, which was not followed: {answer.elsewhere}"
        raise DocumentError(message, where=location.place, hint=hint)
    if not answer.ok:
        raise DocumentError(f"answers with status {answer.status}", where=location.place, hint="check the URL")
    return answer


def _shown_by(served: Served | None) -> tuple[Watched, ...]:
    """What a server shows is renewed there; no profile changes for it."""
    found = by_role(served.chain) if served else ()
    return without_repeats([each._replace(baked_in=False, consequence_of=LEAF) for each in found])


def _judge(served: Served | None, asking: Asking) -> Iterable[Finding]:
    if served is None:
        return
    origin, shown = served.location.origin, _shown(served)
    if served.sent > MAX_SERVED:
        message = f"the server sends {served.sent} certificates; the first {MAX_SERVED} were looked at"
        yield finding("tls.incomplete-chain", message, where=origin, severity=Severity.WARNING)
    if asking.anchors is not None:
        verdict = judge_shown(shown, _trust(asking.anchors), at=asking.now)
        yield from (each for each in verdict.findings if each.rule not in _DATED)
        return
    for each in judge_alone(shown):
        yield each._replace(severity=Severity.INFO)
    message = "whether devices trust the server was not judged, only when its certificates end"
    yield finding("tls.not-judged", message, where=origin)


def _shown(served: Served) -> Shown:
    location = served.location
    return Shown(location.host, served.chain, served.version, served.modern, location.origin, served.cipher)


def _trust(anchors: Sequence[Certificate]) -> DeviceTrust:
    return DeviceTrust(tuple(anchors), given=True)
