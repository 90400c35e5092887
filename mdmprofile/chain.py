"""Certificates in any order become a trust chain: roles by evidence, order, and every problem at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

from mdmprofile.certificates import Certificate
from mdmprofile.errors import CertificateError
from mdmprofile.findings import Finding, Severity, finding

# Signatures to verify grow with the square of the CAs that share a name.
MAX_CERTIFICATES = 300

ROOT, INTERMEDIATE, LEAF = "root", "intermediate", "leaf"


def role_of(certificate: Certificate) -> str:
    """``root`` for a CA that signed itself and verifies, ``intermediate`` for another CA, else ``leaf``."""
    if not certificate.is_ca:
        return LEAF
    return ROOT if certificate.self_signed else INTERMEDIATE


class TrustChain(NamedTuple):
    """Roots and intermediates in the order a profile installs them, and what is wrong with them.

    ``leaves`` are the certificates that are no CA; they are never embedded.
    """

    roots: tuple[Certificate, ...]
    intermediates: tuple[Certificate, ...]
    leaves: tuple[Certificate, ...]
    findings: tuple[Finding, ...]

    @property
    def ordered(self) -> tuple[Certificate, ...]:
        """Roots, then intermediates from the root down: an issuer always before what it issued."""
        return self.roots + self.intermediates


def server_leaves(servers: Sequence[Certificate]) -> tuple[Certificate, ...]:
    """The server's own certificates: those that are no CA, else the first.

    A self-signed certificate that tools made with CA:TRUE is a server's own all the same.
    """
    return tuple(each for each in servers if not each.is_ca) or tuple(servers[:1])


class IssuerGraph:
    """Who issued whom among a set of CA certificates: names match and the signature verifies."""

    def __init__(self, authorities: Iterable[Certificate]) -> None:
        self.authorities = tuple(dict.fromkeys(authorities))
        if len(self.authorities) > MAX_CERTIFICATES:
            raise CertificateError(f"more than {MAX_CERTIFICATES} CA certificates in one chain")
        self._by_name: dict[tuple[object, ...], list[Certificate]] = {}
        for each in self.authorities:
            self._by_name.setdefault(each.subject_name, []).append(each)
        self._issuers: dict[Certificate, tuple[Certificate, ...]] = {}
        self._ancestors: dict[Certificate, dict[Certificate, None]] = {}

    def named_issuers(self, certificate: Certificate) -> list[Certificate]:
        """The CAs whose subject is this certificate's issuer, whether they signed it or not; never itself."""
        return [each for each in self._by_name.get(certificate.issuer_name, []) if each != certificate]

    def issuers(self, certificate: Certificate) -> tuple[Certificate, ...]:
        """The CAs that really signed this certificate, without itself."""
        if certificate not in self._issuers:
            self._issuers[certificate] = tuple(
                each for each in self.named_issuers(certificate) if certificate.signed_by(each)
            )
        return self._issuers[certificate]

    def ancestors(self, certificate: Certificate) -> dict[Certificate, None]:
        """Every CA on any path upwards from this certificate, nearest first."""
        if certificate in self._ancestors:
            return self._ancestors[certificate]
        found: dict[Certificate, None] = {}
        waiting = list(self.issuers(certificate))
        while waiting:
            each = waiting.pop(0)
            if each not in found:
                found[each] = None
                waiting.extend(self.issuers(each))
        self._ancestors[certificate] = found
        return found

    def reaches_root(self, certificate: Certificate) -> bool:
        """Whether a path leads from this certificate to a root of the set, or it is one."""
        at_hand = (certificate,) if certificate in self.authorities else ()
        return any(role_of(each) == ROOT for each in (*at_hand, *self.ancestors(certificate)))

    @cached_property
    def root_down(self) -> tuple[Certificate, ...]:
        """All CAs, an issuer before what it issued; ties by notAfter, then fingerprint.

        CAs that signed each other in a circle have no such order; the member that ends first breaks the circle.
        """
        remaining = sorted(self.authorities, key=lambda each: (each.not_after, each.sha256))
        ordered: list[Certificate] = []
        while remaining:
            left = set(remaining)
            free = [each for each in remaining if not left.intersection(self.issuers(each))]
            layer = free or [next(each for each in remaining if self._in_circle(each, left))]
            ordered.extend(layer)
            remaining = [each for each in remaining if each not in set(layer)]
        return tuple(ordered)

    def _in_circle(self, certificate: Certificate, left: set[Certificate]) -> bool:
        """Whether everything left above this CA also has it above itself, so that it is in a topmost circle."""
        return all(certificate in self.ancestors(each) for each in self.ancestors(certificate) if each in left)


def arrange(
    certificates: Sequence[Certificate],
    *,
    servers: Sequence[Certificate] = (),
    where: str = "trust.certificates",
) -> TrustChain:
    """Sort trust certificates into roles and order, and judge them against the server's.

    ``servers`` are the server's own certificates, never embedded; with them every CA must lie on a path. The
    findings hold every problem of the set, and an error among them means that a device may not connect.
    """
    findings: list[Finding] = []
    unique = list(dict.fromkeys(certificates))
    findings.extend(_duplicates(certificates, where))
    graph = IssuerGraph(each for each in unique if each.is_ca)
    ordered = graph.root_down
    leaves = tuple(each for each in unique if not each.is_ca)
    findings.extend(_leaf_in_trust(each, unique, where) for each in leaves)
    findings.extend(_bad_signatures(graph, [*graph.authorities, *servers], where))
    findings.extend(_constraints(graph, where))
    findings.extend(_completeness(graph, servers, leaves, where))
    return TrustChain(
        roots=tuple(each for each in ordered if role_of(each) == ROOT),
        intermediates=tuple(each for each in ordered if role_of(each) == INTERMEDIATE),
        leaves=leaves,
        findings=tuple(findings),
    )


def _duplicates(certificates: Sequence[Certificate], where: str) -> Iterable[Finding]:
    first: dict[Certificate, Certificate] = {}
    for each in certificates:
        if each in first:
            yield finding(
                "chain.duplicate",
                f"{each.name} was given more than once: in {first[each].source} and {each.source}",
                where=each.source or where,
            )
        else:
            first[each] = each


def _leaf_in_trust(leaf: Certificate, everything: Sequence[Certificate], where: str) -> Finding:
    issued = next(
        (
            each.name
            for each in everything
            if each != leaf and each.issuer_name == leaf.subject_name and each.signed_by(leaf)
        ),
        None,
    )
    if issued is not None:
        reason = "has no basicConstraints with CA:TRUE"
        return finding(
            "chain.leaf-in-trust",
            f"{leaf.name} is not a CA although it issued {issued}: it {reason}",
            where=leaf.source or where,
            hint="have it reissued as a CA certificate",
        )
    return finding("chain.leaf-in-trust", f"{leaf.name} is not a CA", where=leaf.source or where)


def _bad_signatures(graph: IssuerGraph, certificates: Iterable[Certificate], where: str) -> Iterable[Finding]:
    for each in certificates:
        named = graph.named_issuers(each)
        if named and role_of(each) != ROOT and not graph.issuers(each):
            yield finding(
                "chain.bad-signature",
                f"{each.name} names {named[0].name} as its issuer, but the key in {named[0].source or 'it'} "
                "did not sign it",
                where=each.source or where,
            )
        elif each.is_ca and each.subject_name == each.issuer_name and not each.self_signed and not named:
            yield finding(
                "chain.bad-signature",
                f"{each.name} is self-issued, but its own key does not verify its signature",
                where=each.source or where,
                hint="the file is damaged or the key was replaced; get the root again",
            )


def _constraints(graph: IssuerGraph, where: str) -> Iterable[Finding]:
    for each in graph.authorities:
        if not each.key_cert_sign:
            yield finding(
                "chain.key-usage",
                f"{each.name} has a keyUsage without keyCertSign",
                where=each.source or where,
            )
        if role_of(each) == INTERMEDIATE and each.weak_signature:
            yield finding(
                "chain.weak-signature",
                f"{each.name} is signed with SHA-1 or an older digest",
                where=each.source or where,
            )
        limit = each.basic_constraints.path_length if each.basic_constraints else None
        if limit is not None and (below := _depth_below(graph, each)) > limit:
            yield finding(
                "chain.path-length",
                f"{each.name} allows {limit} CAs below it and has {below}",
                where=each.source or where,
            )


def _depth_below(graph: IssuerGraph, top: Certificate) -> int:
    """How many CAs follow below ``top`` on the way to the lowest, self-issued ones not counted.

    RFC 5280 section 4.2.1.9. Where several ways lead to a CA the shortest counts, since one valid path is enough.
    """
    depth = {top: 0}
    waiting = [top]
    while waiting:
        issuer = waiting.pop(0)
        for each in graph.authorities:
            if issuer in graph.issuers(each):
                found = depth[issuer] + (each.subject_name != each.issuer_name)
                if found < depth.get(each, len(graph.authorities) + 1):
                    depth[each] = found
                    waiting.append(each)
    return max(depth.values())


def _completeness(
    graph: IssuerGraph, servers: Sequence[Certificate], refused: Sequence[Certificate], where: str
) -> Iterable[Finding]:
    leaves = server_leaves(servers)
    served = IssuerGraph([*graph.authorities, *(each for each in servers if each.is_ca)])
    if not graph.authorities:
        yield finding(
            "chain.incomplete",
            "no root or intermediate certificate was given, so devices cannot trust the server",
            where=where,
            hint="set trust.certificates, or trust.public for a publicly trusted server certificate",
        )
        return
    on_path: dict[Certificate, None] = {}
    for leaf in leaves:
        on_path |= {leaf: None} | graph.ancestors(leaf)
        if not graph.reaches_root(leaf):
            yield _incomplete(graph, leaf, served, refused, where)
    if not leaves:
        yield from _without_leaf(graph, refused, where)
        return
    complete = all(graph.reaches_root(leaf) for leaf in leaves)
    hint = "" if complete else "it may be needed once the missing issuer is there; otherwise remove it"
    keys, names = {each.key_info for each in on_path}, {each.subject_name for each in on_path}
    related = {each for each in graph.authorities if each.key_info in keys or each.subject_name in names}
    for each in graph.root_down:
        message = f"{each.name} is on no path from the server's certificate {leaves[0].name}"
        place = each.source or where
        if each not in related and related.isdisjoint(graph.ancestors(each)):
            yield finding("chain.unrelated", message, where=place, hint=hint)
        elif each.key_info not in keys and role_of(each) == ROOT:
            # The next root of a rollover often has the old one's name; so has a root that somebody mistook.
            message += ": it has the name of one that is, and another key"
            yield finding("chain.unrelated", message, where=place, severity=Severity.INFO)


def _without_leaf(graph: IssuerGraph, refused: Sequence[Certificate], where: str) -> Iterable[Finding]:
    yield finding(
        "chain.server-unknown",
        "no server certificate was given, so nobody checked that the chain leads from it to a root",
        where="trust.server_certificate",
    )
    complete_keys = {each.key_info for each in graph.authorities if graph.reaches_root(each)}
    for each in graph.root_down:
        if not graph.reaches_root(each) and each.key_info not in complete_keys:
            yield _incomplete(graph, each, graph, refused, where)


def _incomplete(
    graph: IssuerGraph, start: Certificate, served: IssuerGraph, refused: Sequence[Certificate], where: str
) -> Finding:
    """Name the issuer that is missing above ``start``, and where it was seen if it was."""
    top = start
    for each in graph.ancestors(start):
        if not graph.issuers(each):
            top = each
    if graph.issuers(top):
        message = f"no path leads from {start.name} to a root: its issuers only signed each other"
        return finding("chain.incomplete", message, where=start.source or where)
    missing = top.issuer or "an issuer without a name"
    elsewhere = next(iter(served.issuers(top)), None)
    hint = f"add it to {where}; it is in {elsewhere.source}" if elsewhere else f"add {missing} to {where}"
    if any(each.subject_name == top.issuer_name and top.signed_by(each) for each in refused):
        hint = "it is there, but is not a CA: have it reissued as one"
    return finding(
        "chain.incomplete",
        f"the issuer of {top.name} is missing: {missing}",
        where=start.source or where,
        hint=hint,
    )
