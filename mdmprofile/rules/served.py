"""What a device makes of the certificates that a live server shows, given the trust of its profile alone.

https://support.apple.com/103769
https://support.apple.com/guide/deployment/distribute-certificates-depcdc9a6a3f/web
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from cryptography import x509

from mdmprofile.certificates import X509_ERRORS, Certificate
from mdmprofile.chain import ROOT, IssuerGraph, role_of
from mdmprofile.errors import CertificateError
from mdmprofile.findings import Finding, Severity, finding
from mdmprofile.moments import day
from mdmprofile.rules.chains import affordable, has_public_issuer
from mdmprofile.rules.tls import alternative_names, judge_server_certificate, key_problem, may_serve

# A device does not get any further; what is only weak or too long may still be looked at behind it.
_BLOCKING = ("tls.untrusted", "tls.incomplete-chain", "tls.hostname", "tls.expired", "tls.version")
# Of a hostile server: ways from its certificate to an anchor, and steps on the way.
_MOST_PATHS, _MOST_STEPS, _LONGEST_PATH = 50, 2_000, 10
_LONGEST = 200


class DeviceTrust(NamedTuple):
    """What a device trusts: the roots as ``anchors``, and the intermediates that its profile ``carries``.

    ``public`` says that the anchors are the ones devices come with, ``given`` that somebody named them, and no profile
    did.
    """

    anchors: tuple[Certificate, ...]
    carries: tuple[Certificate, ...] = ()
    public: bool = False
    given: bool = False

    @property
    def whose(self) -> str:
        """What the anchors are called."""
        return "a public root" if self.public else "a trusted root" if self.given else "a root of the profile"

    @property
    def holder(self) -> str:
        """Where they are."""
        return "among the trusted ones" if self.given or self.public else "in the profile"

    @property
    def advice(self) -> str:
        """Where a missing one is added."""
        return "give it with --trust" if self.given else "add it to trust.certificates"


class Shown(NamedTuple):
    """What a server shows: its host, the certificates as sent, and the protocol and cipher suite that were agreed on.

    ``modern`` says that both are what devices offer; ``where`` is the server's URL.
    """

    host: str
    chain: tuple[Certificate, ...]
    protocol: str
    modern: bool
    where: str
    cipher: str = ""


class Verdict(NamedTuple):
    """What was found, and the ``path`` from the server's certificate to an anchor; empty when there is none.

    ``others`` are further paths that a device could take as well.
    """

    findings: tuple[Finding, ...]
    path: tuple[Certificate, ...]
    others: tuple[tuple[Certificate, ...], ...] = ()

    @property
    def connects(self) -> bool:
        """Whether a device would trust the server and go on."""
        return not any(each.rule in _BLOCKING and each.severity is Severity.ERROR for each in self.findings)


def require_affordable(trust: DeviceTrust) -> None:
    """Raise ``CertificateError`` for more CAs than are judged in one chain, which only a hostile profile holds."""
    if not affordable(trust.carries if trust.public else (*trust.anchors, *trust.carries)):
        raise CertificateError(
            "has more CA certificates than are judged in one chain", hint="leave out what is not needed"
        )


def judge_shown(shown: Shown, trust: DeviceTrust, *, at: datetime) -> Verdict:
    """Everything that a device holds against a server, as of ``at`` (aware UTC).

    Of several paths to an anchor the one with the least against it counts, as a device looks for one that holds. See
    ``judge_alone`` for what can be said without knowing whom it trusts. Raises ``CertificateError`` for more CAs than
    are judged in one chain.
    """
    leaf = shown.chain[0]
    between = [each for each in (*shown.chain[1:], *trust.carries) if each.is_ca]
    if not affordable(tuple(between)):
        raise CertificateError("shows more CA certificates than are judged in one chain", where=shown.where)
    graph = IssuerGraph((*trust.anchors, *between))
    alone = list(judge_alone(shown, public=trust.public))
    judged = [(_judge_path(path, shown, at), path) for path in _paths(leaf, graph, trust.anchors)]
    if not judged:
        return _without_path(leaf, graph, shown, trust, alone, at)
    judged.sort(key=lambda pair: _badness(pair[0]))
    found, path = judged[0]
    others = tuple(one for against, one in judged[1:] if _badness(against) == _badness(found))
    return Verdict(tuple(dict.fromkeys([*alone, *found, *_left_out(path, shown)])), path, others)


def _judge_path(path: tuple[Certificate, ...], shown: Shown, at: datetime) -> list[Finding]:
    return [*_dates(path, shown.where, at), *_constraints(path, shown), *_weak(path[1:], shown.where)]


def _badness(found: Sequence[Finding]) -> tuple[int, int]:
    """First what stops a device, then everything else."""
    return sum(each.rule in _BLOCKING for each in found), len(found)


def _without_path(
    leaf: Certificate, graph: IssuerGraph, shown: Shown, trust: DeviceTrust, alone: list[Finding], at: datetime
) -> Verdict:
    climbed = (leaf, *graph.ancestors(leaf))
    vouching = None if trust.public else next((each for each in climbed if has_public_issuer(each)), None)
    if vouching is None:
        sent = tuple(each for each in shown.chain[1:] if each.is_ca)
        found = [*alone, *_dates((leaf,), shown.where, at), *_untrusted(climbed, graph, shown, trust)]
        return Verdict(tuple(dict.fromkeys([*found, *_weak(sent, shown.where)])), ())
    from mdmprofile.public import public_roots  # noqa: PLC0415 - only where one vouches

    message = (
        f"no path leads from {leaf.name} to {trust.whose}, but one to the public root {vouching.issuer[:_LONGEST]}"
    )
    known = finding(
        "tls.untrusted",
        f"{message}, which devices have of their own",
        where=shown.where,
        severity=Severity.WARNING,
        hint="set trust.public if that is meant, or let the server show a certificate of the profile's CA",
    )
    verdict = judge_shown(shown, DeviceTrust(public_roots(), trust.carries, public=True), at=at)
    return verdict._replace(findings=(known, *verdict.findings))


def judge_alone(shown: Shown, *, public: bool = False) -> Iterable[Finding]:
    """What a device holds against a server whomever it trusts: protocol, name, key, digest, usage and validity."""
    yield from _version(shown)
    yield from judge_server_certificate(shown.chain[0], shown.where, host=shown.host, public=public)


def judge_pins(verdict: Verdict, pins: Sequence[Certificate], where: str, key: str) -> Iterable[Finding]:
    """A certificate of the path is one of those that the MDM payload pins the server to."""
    paths = [each for each in (verdict.path, *verdict.others) if each]
    if pins and paths and all(set(pins).isdisjoint(each) for each in paths):
        names = ", ".join(dict.fromkeys(each.name for each in pins))
        message = f"{key} names {names}, and {paths[0][0].name} is neither that nor issued by it"
        yield finding("tls.pinning", message, where=where)


def _paths(leaf: Certificate, graph: IssuerGraph, anchors: Sequence[Certificate]) -> list[tuple[Certificate, ...]]:
    """The paths from the leaf to an anchor, the shortest first; of a maze of CAs only some."""
    known = set(anchors)
    found: list[tuple[Certificate, ...]] = []
    waiting: deque[tuple[Certificate, ...]] = deque([(leaf,)])
    for _ in range(_MOST_STEPS):
        if not waiting or len(found) >= _MOST_PATHS:
            break
        path = waiting.popleft()
        if path[-1] in known:
            found.append(path)
        elif len(path) < _LONGEST_PATH:
            waiting.extend((*path, issuer) for issuer in graph.issuers(path[-1]) if issuer not in path)
    return found


def _version(shown: Shown) -> Iterable[Finding]:
    if not shown.modern:
        how = f"speaks {shown.protocol or 'an old protocol'} at best"
        if shown.protocol in {"TLSv1.2", "TLSv1.3"}:
            how = f"speaks {shown.protocol} with {shown.cipher or 'another suite'}, not with forward secrecy by ECDHE"
        yield finding("tls.version", f"the server {how}", where=shown.where)


def _dates(path: Iterable[Certificate], where: str, at: datetime) -> Iterable[Finding]:
    for each in path:
        if each.not_after < at:
            message = f"{_role(each)} {each.name} expired on {day(each.not_after)}"
            yield finding("tls.expired", message, where=where)
        elif at < each.not_before:
            message = f"{_role(each)} {each.name} is not valid before {day(each.not_before)}"
            yield finding("tls.expired", message, where=where, hint="check the clock of the issuer, or wait")


def _role(certificate: Certificate) -> str:
    return {"leaf": "the server's certificate", "root": "the root"}.get(role_of(certificate), "the intermediate")


def _left_out(path: Sequence[Certificate], shown: Shown) -> Iterable[Finding]:
    """Intermediates of the path that only the profile has."""
    missing = [each.name for each in path[1:-1] if each not in shown.chain]
    if missing:
        yield finding(
            "tls.incomplete-chain",
            f"the server does not send {', '.join(missing)}; the profile carries what it leaves out, so devices that "
            "have it connect, and those that have not yet, as in automated enrollment, do not",
            where=shown.where,
            severity=Severity.WARNING,
        )


def _constraints(path: Sequence[Certificate], shown: Shown) -> Iterable[Finding]:
    """What the CAs on the path are allowed to issue (RFC 5280 sections 4.2.1.3, 4.2.1.9, 4.2.1.10 and 4.2.1.12)."""
    for number, each in enumerate(path):
        # Roots are anchors whatever they say of themselves.
        unknown = each.unknown_critical_extensions if each is not path[-1] else ()
        reason = f"has a critical extension that devices do not know, {unknown[0]}" if unknown else ""
        limit = each.basic_constraints.path_length if each.basic_constraints else None
        below = sum(one.subject_name != one.issuer_name for one in path[1:number])
        if number and not each.key_cert_sign:
            reason = "has a keyUsage without keyCertSign"
        elif number and limit is not None and below > limit:
            reason = f"allows {limit} CAs below it and has {below}"
        elif number:
            reason = reason or _name_problem(path[0], each)
        if reason:
            message = f"{each.name} {reason}, so devices do not trust {path[0].name}"
            yield finding("tls.untrusted", message, where=shown.where, hint="have it reissued")
        if number and each is not path[-1] and each.extended_key_usage and not may_serve(each):
            message = f"the CA {each.name} has an extendedKeyUsage without serverAuth"
            yield finding("tls.eku", message, where=shown.where)


def _name_problem(leaf: Certificate, authority: Certificate) -> str:
    """Whether the leaf's DNS names and addresses keep to the CA's name constraints; other kinds are not looked at."""
    try:
        constraints = authority.parsed.extensions.get_extension_for_class(x509.NameConstraints).value
    except (x509.ExtensionNotFound, *X509_ERRORS):
        return ""
    names, addresses = alternative_names(leaf)
    permitted, excluded = constraints.permitted_subtrees or [], constraints.excluded_subtrees or []
    for name in names:
        allowed = [each.value for each in permitted if isinstance(each, x509.DNSName)]
        forbidden = [each.value for each in excluded if isinstance(each, x509.DNSName)]
        if (allowed and not _is_below(name, allowed)) or _is_below(name, forbidden):
            return f"constrains names, and {name[:_LONGEST]} is not among them"
    for address in addresses:
        networks = [each.value for each in permitted if isinstance(each, x509.IPAddress)]
        barred = [each.value for each in excluded if isinstance(each, x509.IPAddress)]
        if (networks and not _is_inside(address, networks)) or _is_inside(address, barred):
            return f"constrains names, and {address} is not among them"
    return ""


def _is_below(name: str, domains: Iterable[str]) -> bool:
    """Whether the name is one of the domains or below it (RFC 5280 section 4.2.1.10)."""
    wanted = name.lower().removeprefix("*.")
    plain = [each.lower().removeprefix(".") for each in domains]
    return any(not each or wanted == each or wanted.endswith(f".{each}") for each in plain)


def _is_inside(address: Any, networks: Iterable[Any]) -> bool:  # noqa: ANN401 - of either version
    return any(each.version == address.version and address in each for each in networks)


def _untrusted(
    climbed: Sequence[Certificate], graph: IssuerGraph, shown: Shown, trust: DeviceTrust
) -> Iterable[Finding]:
    """Why no path leads to an anchor, in the words of whoever has to mend it."""
    leaf = climbed[0]
    top = next((each for each in climbed if not graph.issuers(each)), climbed[-1])
    namesake = next((each for each in graph.named_issuers(top) if not top.signed_by(each)), None)
    other = next((each for each in trust.anchors if each.subject_name == top.subject_name and each != top), None)
    known = namesake or (other if top.self_signed else None)
    nowhere = f"no path leads from {leaf.name} to {trust.whose}"
    if known is not None:
        yield finding(
            "tls.untrusted",
            f"{nowhere}: the server's chain ends at another {known.name} than the one {trust.holder}, with another key",
            where=shown.where,
            hint="" if trust.given else "put the CA that really issued the server's certificate into the profile",
        )
    elif top.self_signed or not trust.anchors:
        leads = f"it leads to {top.name}" if top.self_signed else "there is none"
        yield finding("tls.untrusted", f"{nowhere}: {leads}", where=shown.where)
    else:
        missing = top.issuer[:_LONGEST]
        if top == leaf:
            yield finding(
                "tls.incomplete-chain",
                f"the server does not send the issuer of {leaf.name}, and it is not {trust.holder}: {missing}",
                where=shown.where,
            )
        yield finding(
            "tls.untrusted",
            f"{nowhere}: it ends at {top.name}, whose issuer is neither sent nor {trust.holder}: {missing}",
            where=shown.where,
            hint=f"let the server send it, or {trust.advice}",
        )


def _weak(authorities: Iterable[Certificate], where: str) -> Iterable[Finding]:
    """CAs with short keys, and those but roots that are signed with SHA-1."""
    for each in authorities:
        problem = key_problem(each)
        if problem:
            yield finding("tls.weak-key", f"the CA {each.name} {problem}", where=where)
        if each.weak_signature and role_of(each) != ROOT:
            message = f"the CA {each.name} is signed with SHA-1 or an older digest"
            yield finding("tls.weak-signature", message, where=where)
