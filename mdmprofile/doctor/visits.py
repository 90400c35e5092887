"""One visit to a server: its certificates judged first, and nothing asked of a server that a device would not trust."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from mdmprofile.certificates import Certificate
from mdmprofile.errors import MdmprofileError, NetworkError
from mdmprofile.findings import Finding, Severity, finding
from mdmprofile.probe.http import Answer, ClientCertificateError, fetch
from mdmprofile.probe.locations import Location
from mdmprofile.probe.network import Route, UnreachableError
from mdmprofile.probe.tls import MAX_SERVED, HttpVersionError, Served, shake_hands
from mdmprofile.rules.served import DeviceTrust, Shown, Verdict, judge_shown

_GONE = "the server could not be reached before"
_ISSUERS = ("scep.unreachable", "acme.unreachable")
PASSED, WARNED, FAILED, NOT_TRIED = "passed", "warned", "failed", "not tried"


class Step(NamedTuple):
    """One thing that a device does: what it is called, where it leads, and what was found there."""

    name: str
    place: str
    findings: tuple[Finding, ...]

    @property
    def outcome(self) -> str:
        """``passed``, ``warned``, ``failed`` or ``not tried``."""
        severities = {each.severity for each in self.findings}
        if Severity.ERROR in severities:
            return FAILED
        if Severity.WARNING in severities:
            return WARNED
        return NOT_TRIED if any(each.rule == "live.not-tried" for each in self.findings) else PASSED


class Visit(NamedTuple):
    """What came of one connection; ``answer`` is None where nothing was asked, or nothing came back."""

    findings: tuple[Finding, ...]
    answer: Answer | None = None
    verdict: Verdict | None = None
    served: Served | None = None


class _DistrustedError(NetworkError):
    """The server showed what a device would not trust."""


class Visitor:
    """Connects as a device with this trust would, as of ``at``; remembers the servers it saw, so each is named once."""

    def __init__(self, trust: DeviceTrust, route: Route, *, at: datetime) -> None:
        self.trust, self.route, self.at = trust, route, at
        self._verdicts: dict[tuple[str, tuple[Certificate, ...]], Verdict] = {}
        self._told: set[Finding] = set()
        self._dead: set[str] = set()
        self._lock = threading.Lock()

    @property
    def seen(self) -> Sequence[Certificate]:
        """Every certificate that a server showed and that devices need of it, once; all where none leads anywhere."""
        needed = (
            each
            for (_, chain), verdict in self._verdicts.items()
            for each in chain
            if not verdict.path or each in verdict.path
        )
        return tuple(dict.fromkeys(needed))

    def handshake(self, name: str, location: Location, *, rule: str = "tls.unreachable") -> Visit:
        """Connect and look at the certificates; nothing is asked. What is told here is not told again by ``get``."""
        if location.origin in self._dead:
            return Visit((not_tried(name, _GONE, location),))
        try:
            served = shake_hands(location, self.route)
            verdict = self._judge(served)
        except MdmprofileError as error:
            return self._failed(rule, name, error, location)
        self._told.update(verdict.findings)
        return Visit((*verdict.findings, *_connected(name, served, verdict)), None, verdict, served)

    def get(self, name: str, location: Location, *, rule: str, optional: bool = False) -> Visit:
        """GET a document, once the server's certificates were found good enough for a device.

        With ``optional``, nobody says that it must be there for devices that have no identity yet.
        """
        visit = self._get(name, location, rule, optional)
        found = [each for each in visit.findings if each not in self._told]
        if rule in _ISSUERS:
            # Who issues identities may have a public certificate beside a private MDM server; devices trust that too.
            found = [
                each._replace(severity=Severity.INFO)
                if each.rule == "tls.untrusted" and each.severity is Severity.WARNING
                else each
                for each in found
            ]
        return visit._replace(findings=tuple(found))

    def _get(self, name: str, location: Location, rule: str, optional: bool) -> Visit:
        if location.origin in self._dead:
            return Visit((not_tried(name, _GONE, location),))
        verdicts: list[Verdict] = []

        def vet(served: Served) -> None:
            verdicts.append(self._judge(served))
            if not verdicts[-1].connects:
                raise _DistrustedError("shows certificates that devices do not trust", where=location.place)

        try:
            answer = fetch(location, self.route, vet=vet)
        except HttpVersionError as error:
            found = verdicts[-1].findings if verdicts else ()
            return Visit((*found, not_tried(name, f"the server {error.message}", location)))
        except ClientCertificateError as error:
            found = verdicts[-1].findings if verdicts else ()
            why = f"the server {error.message}, and devices have none yet"
            said = not_tried(name, why, location) if optional else finding(rule, f"{name}: {why}", where=location.place)
            return Visit((*found, said))
        except _DistrustedError:
            return Visit((*verdicts[-1].findings, not_tried(name, "a device would not trust the server", location)))
        except MdmprofileError as error:
            return self._failed(rule, name, error, location, verdicts[-1].findings if verdicts else ())
        found = verdicts[-1].findings if verdicts else ()
        return Visit(found, answer, verdicts[-1] if verdicts else None, answer.served)

    def _failed(
        self, rule: str, name: str, error: MdmprofileError, location: Location, found: Sequence[Finding] = ()
    ) -> Visit:
        """What to say of a server that could not be read; one that cannot be reached is not waited for again."""
        if isinstance(error, UnreachableError):
            self._dead.add(location.origin)
            rule = rule if rule in _ISSUERS else "tls.unreachable"
        message = f"{name}: the server {error.message}"
        return Visit((*found, finding(rule, message, where=error.where or location.place, hint=error.hint)))

    def _judge(self, served: Served) -> Verdict:
        origin = served.location.origin
        shown = Shown(served.location.host, served.chain, served.version, served.modern, origin, served.cipher)
        with self._lock:
            known = self._verdicts.get((origin, served.chain))
        if known is not None:
            return known
        verdict = judge_shown(shown, self.trust, at=self.at)
        if served.sent > MAX_SERVED:
            message = f"the server sends {served.sent} certificates; the first {MAX_SERVED} were looked at"
            more = finding("tls.incomplete-chain", message, where=origin, severity=Severity.WARNING)
            verdict = verdict._replace(findings=(*verdict.findings, more))
        with self._lock:
            return self._verdicts.setdefault((origin, served.chain), verdict)


def passed(name: str, what: str, location: Location) -> Finding:
    """The finding that a step went as a device needs it."""
    return finding("live.passed", f"{name}: {what}", where=location.place)


def not_tried(name: str, why: str, location: Location) -> Finding:
    """The finding that a step was not tried, and why."""
    return finding("live.not-tried", f"{name} was not tried: {why}", where=location.place)


def absent(name: str, why: str, location: Location) -> Finding:
    """The finding that something is not there which need not be."""
    return finding("live.not-tried", f"{name} is not published: {why}", where=location.place)


def untried_step(name: str, why: str, location: Location) -> Step:
    """A step that a device would go on with and a rehearsal must not."""
    return Step(name, location.place, (not_tried(name, why, location),))


def _connected(name: str, served: Served, verdict: Verdict) -> Sequence[Finding]:
    if not verdict.connects:
        return ()
    chain = " > ".join(each.name for each in verdict.path)
    what = f"{served.version or 'TLS'}; {chain}" if chain else served.version
    if served.problem:
        # What a device does here, with its identity, cannot be rehearsed without it.
        what += f"; without a client certificate the server ends the handshake ({served.problem})"
    return (passed(name, what, served.location),)
