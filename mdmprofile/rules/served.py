"""What a device makes of the certificates that a live server shows, given the trust of its profile alone.

https://support.apple.com/103769
https://support.apple.com/guide/deployment/distribute-certificates-depcdc9a6a3f/web
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from cryptography import x509

from mdmprofile.certificates import X509_ERRORS, Certificate
from mdmprofile.chain import ROOT, IssuerGraph, role_of
from mdmprofile.findings import Finding, Severity, finding
from mdmprofile.moments import day
from mdmprofile.rules.chains import SMALLEST, has_public_issuer
from mdmprofile.rules.tls import judge_server_certificate, may_serve

# A device does not get any further; what is only weak or too long may still be looked at behind it.
_BLOCKING = ("tls.untrusted", "tls.incomplete-chain", "tls.hostname", "tls.expired")


class DeviceTrust(NamedTuple):
    """What a device trusts: the roots as ``anchors``, and the intermediates that its profile ``carries``.

    ``public`` says that the anchors are the ones devices come with.
    """

    anchors: tuple[Certificate, ...]
    carries: tuple[Certificate, ...] = ()
    public: bool = False

    @property
    def whose(self) -> str:
        """What the anchors are called."""
        return "a public root" if self.public else "a root of the profile"


class Shown(NamedTuple):
    """What a server shows: its host, the certificates as sent, and the protocol that was agreed on.

    ``modern`` says that it is TLS 1.2 or newer with forward secrecy; ``where`` is its URL.
    """

    host: str
    chain: tuple[Certificate, ...]
    protocol: str
    modern: bool
    where: str


class Verdict(NamedTuple):
    """What was found, and the ``path`` from the server's certificate to an anchor; empty when there is none."""

    findings: tuple[Finding, ...]
    path: tuple[Certificate, ...]

    @property
    def connects(self) -> bool:
        """Whether a device would trust the server and go on."""
        return not any(each.rule in _BLOCKING and each.severity is Severity.ERROR for each in self.findings)


def judge_shown(shown: Shown, trust: DeviceTrust, *, at: datetime) -> Verdict:
    """Everything that a device holds against a server, as of ``at`` (aware UTC).

    See ``judge_alone`` for what can be said without knowing whom it trusts. Raises ``CertificateError`` for more CAs
    than are judged in one chain.
    """
    leaf, sent = shown.chain[0], shown.chain[1:]
    between = [each for each in (*sent, *trust.carries) if each.is_ca]
    graph = IssuerGraph((*trust.anchors, *between))
    path = _path(leaf, graph, trust.anchors, at)
    found = [
        *judge_alone(shown, public=trust.public),
        *_dates(path or (leaf,), shown.where, at),
    ]
    if path:
        found += [*_left_out(path, shown), *_constraints(path, shown, at)]
    else:
        found += _untrusted(leaf, graph, shown, trust)
    found += _weak(path[1:] or tuple(each for each in sent if each.is_ca), shown.where)
    return Verdict(tuple(dict.fromkeys(found)), path)


def judge_alone(shown: Shown, *, public: bool = False) -> Iterable[Finding]:
    """What a device holds against a server whomever it trusts: protocol, name, key, digest, usage and validity."""
    yield from _version(shown)
    yield from judge_server_certificate(shown.chain[0], shown.where, host=shown.host, public=public)


def judge_pins(path: Sequence[Certificate], pins: Sequence[Certificate], where: str, key: str) -> Iterable[Finding]:
    """A certificate of the path is one of those that the MDM payload pins the server to."""
    if pins and path and set(pins).isdisjoint(path):
        names = ", ".join(dict.fromkeys(each.name for each in pins))
        message = f"{key} names {names}, and {path[0].name} is neither that nor issued by it"
        yield finding("tls.pinning", message, where=where)


def _path(
    leaf: Certificate, graph: IssuerGraph, anchors: Sequence[Certificate], at: datetime
) -> tuple[Certificate, ...]:
    """The shortest path whose certificates are valid; where there is none, the shortest whatever the dates say."""
    for strict in (True, False):
        waiting: list[tuple[Certificate, ...]] = [(leaf,)]
        seen = {leaf}
        while waiting:
            path = waiting.pop(0)
            if path[-1] in anchors:
                return path
            for issuer in graph.issuers(path[-1]):
                if issuer not in seen and not (strict and _ended(issuer, at)):
                    seen.add(issuer)
                    waiting.append((*path, issuer))
    return ()


def _ended(certificate: Certificate, at: datetime) -> bool:
    return not certificate.not_before <= at <= certificate.not_after


def _version(shown: Shown) -> Iterable[Finding]:
    if not shown.modern:
        how = f"speaks {shown.protocol or 'an old protocol'} at best"
        if shown.protocol in {"TLSv1.2", "TLSv1.3"}:
            how = f"speaks {shown.protocol} without forward secrecy"
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
            f"the server does not send {', '.join(missing)}; the profile carries what it leaves out, "
            "so enrolled devices connect and everybody else does not",
            where=shown.where,
            severity=Severity.WARNING,
        )


def _constraints(path: Sequence[Certificate], shown: Shown, at: datetime) -> Iterable[Finding]:
    """What the CAs on the path are allowed to issue (RFC 5280 sections 4.2.1.3, 4.2.1.9, 4.2.1.10 and 4.2.1.12)."""
    for number, each in enumerate(path[1:]):
        reason = ""
        limit = each.basic_constraints.path_length if each.basic_constraints else None
        below = sum(one.subject_name != one.issuer_name for one in path[1 : number + 1])
        if not each.key_cert_sign:
            reason = "has a keyUsage without keyCertSign"
        elif limit is not None and below > limit:
            reason = f"allows {limit} CAs below it and has {below}"
        elif _constrains_names(each):
            from mdmprofile.cms.trust import trust_path  # noqa: PLC0415 - few CAs constrain names

            reason = trust_path(path[0], path[1:-1], path[-1:], at=at)[1]
            reason = f"constrains names, and the path does not hold: {reason}" if reason else ""
        if reason:
            message = f"{each.name} {reason}, so devices do not trust {path[0].name}"
            yield finding("tls.untrusted", message, where=shown.where, hint="have the CA reissued")
        # Roots are anchors whatever they say they are for.
        if each is not path[-1] and each.extended_key_usage and not may_serve(each):
            message = f"the CA {each.name} has an extendedKeyUsage without serverAuth"
            yield finding("tls.eku", message, where=shown.where)


def _constrains_names(certificate: Certificate) -> bool:
    try:
        return bool(certificate.parsed.extensions.get_extension_for_class(x509.NameConstraints))
    except (x509.ExtensionNotFound, *X509_ERRORS):
        return False


def _untrusted(leaf: Certificate, graph: IssuerGraph, shown: Shown, trust: DeviceTrust) -> Iterable[Finding]:
    """Why no path leads to an anchor, in the words of whoever has to mend it."""
    climbed = (leaf, *graph.ancestors(leaf))
    top = next((each for each in climbed if not graph.issuers(each)), climbed[-1])
    namesake = next((each for each in graph.named_issuers(top) if not top.signed_by(each)), None)
    other = next((each for each in trust.anchors if each.subject_name == top.subject_name and each != top), None)
    public = next((each for each in climbed if has_public_issuer(each)), None)
    nowhere = f"no path leads from {leaf.name} to {trust.whose}"
    if public is not None and not trust.public:
        yield finding(
            "tls.untrusted",
            f"{nowhere}: it leads to the public root {public.issuer}, which devices have of their own",
            where=shown.where,
            severity=Severity.WARNING,
            hint="set trust.public if that is meant, or let the server show a certificate of the profile's CA",
        )
    elif namesake is not None or (other is not None and top.self_signed):
        known = namesake or other
        assert known is not None  # noqa: S101 - one of them is there
        yield finding(
            "tls.untrusted",
            f"{nowhere}: the server's chain ends at another {known.name} than the profile has, with another key",
            where=shown.where,
            hint="put the CA that really issued the server's certificate into the profile",
        )
    elif top.self_signed or not trust.anchors:
        where_to = f"it leads to {top.name}" if top.self_signed else "the profile has no root"
        yield finding("tls.untrusted", f"{nowhere}: {where_to}", where=shown.where)
    else:
        if top == leaf:
            yield finding(
                "tls.incomplete-chain",
                f"the server does not send the issuer of {leaf.name}, and the profile does not carry it: {top.issuer}",
                where=shown.where,
            )
        yield finding(
            "tls.untrusted",
            f"{nowhere}: it ends at {top.name}, whose issuer is neither sent nor in the profile: {top.issuer}",
            where=shown.where,
            hint="let the server send it, or add it to trust.certificates",
        )


def _weak(authorities: Iterable[Certificate], where: str) -> Iterable[Finding]:
    """CAs with short keys, and those but roots that are signed with SHA-1."""
    for each in authorities:
        kind, bits = each.key_strength
        if bits < SMALLEST.get(kind, 0):
            yield finding("tls.weak-key", f"the CA {each.name} has an {kind} key of {bits} bits", where=where)
        if each.weak_signature and role_of(each) != ROOT:
            message = f"the CA {each.name} is signed with SHA-1 or an older digest"
            yield finding("tls.weak-signature", message, where=where)
