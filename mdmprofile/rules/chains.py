"""How the CAs of a profile stand to each other: missing issuers, false ones, constraints, keys, copies.

https://support.apple.com/guide/deployment/distribute-certificates-depcdc9a6a3f/web
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

from mdmprofile.certificates import Certificate
from mdmprofile.chain import INTERMEDIATE, ROOT, IssuerGraph, arrange, role_of
from mdmprofile.findings import Finding, Severity, finding
from mdmprofile.rules.examined import AS_TRUST, AUTO, Examined
from mdmprofile.rules.registry import FILE, rule

# The smallest keys of https://support.apple.com/103769, in bits.
SMALLEST = {"RSA": 2048, "EC": 256}

# What a hostile profile may cost: CAs in one chain, and signatures to verify because names say so.
MAX_AUTHORITIES = 150
MAX_SIGNATURES = 1000
_CACHED = 128
_CACHED_BYTES = 64 * 1024

_TAKEN = ("chain.bad-signature", "chain.path-length", "chain.key-usage", "chain.weak-signature")


def affordable(authorities: tuple[Certificate, ...]) -> bool:
    """Whether the chains of these CAs are judged in reasonable time; ``lint`` says so where they are not."""
    names = Counter(each.subject_name for each in authorities)
    signatures = sum(names[each.issuer_name] for each in authorities)
    return len(authorities) <= MAX_AUTHORITIES and signatures <= MAX_SIGNATURES


@rule("chain.incomplete", *_TAKEN, on=FILE)
def chains(examined: Examined) -> Iterable[Finding]:
    """Every intermediate leads to a root of the profile or a public one, by signatures that verify."""
    authorities = examined.authorities
    if not affordable(authorities):
        return ()
    placed = tuple((each.source, each) for each in authorities)
    small = sum(len(each.der) for each in authorities) <= _CACHED_BYTES
    return _judged_cached(placed) if small else _judged(placed)


def _judged(placed: tuple[tuple[str, Certificate], ...]) -> tuple[Finding, ...]:
    authorities = [each for _, each in placed]
    if not authorities:
        return ()
    arranged = arrange(authorities, where="the profile").findings
    found = [each for each in arranged if each.rule in _TAKEN]
    false = {each.where for each in found if each.rule == "chain.bad-signature"}
    return (*found, *_incomplete(IssuerGraph(authorities), false))


_judged_cached = lru_cache(maxsize=_CACHED)(_judged)


def _incomplete(graph: IssuerGraph, false: set[str]) -> Iterable[Finding]:
    """The topmost CAs whose issuer nobody has; what is below them misses the same one."""
    complete = {each.key_info for each in graph.authorities if graph.reaches_root(each)}
    for each in graph.root_down:
        known = each.key_info in complete or each.source in false or has_public_issuer(each)
        if role_of(each) == INTERMEDIATE and not graph.issuers(each) and not known:
            yield finding(
                "chain.incomplete",
                f"the issuer of {each.name} is neither in the profile nor a public root: {each.issuer}",
                where=each.source,
                hint="add its root, unless every device has it already",
                severity=Severity.WARNING,
            )


def has_public_issuer(certificate: Certificate) -> bool:
    """Whether a public root issued this certificate."""
    return bool(_public().issuers(certificate))


@lru_cache(maxsize=1)
def _public() -> IssuerGraph:
    from mdmprofile.public import public_roots  # noqa: PLC0415 - only where an issuer is missing

    return IssuerGraph(public_roots())


@rule("chain.weak-key", on=FILE)
def weak_keys(examined: Examined) -> Iterable[Finding]:
    """RSA keys of CAs have 2048 bits, EC keys 256, or more."""
    for each in examined.authorities:
        kind, bits = each.key_strength
        if bits < SMALLEST.get(kind, 0):
            yield finding("chain.weak-key", f"{each.name} has an {kind} key of {bits} bits", where=each.source)


@rule("chain.duplicate", on=FILE)
def duplicates(examined: Examined) -> Iterable[Finding]:
    """No certificate twice."""
    first: dict[Certificate, str] = {}
    for each in examined.held:
        for certificate in each.certificates:
            if certificate in first:
                message = f"{certificate.name} is in {first[certificate]} already"
                yield finding("chain.duplicate", message, where=each.path)
            first.setdefault(certificate, each.path)


@rule("trust.not-root", on=FILE)
def roots_apart(examined: Examined) -> Iterable[Finding]:
    """A trust profile holds roots alone, and its root payloads roots: beside them nothing is an anchor."""
    if examined.kind not in {AUTO, AS_TRUST}:
        return
    trust = examined.kind == AS_TRUST
    roots = {each.path for each in examined.held if any(role_of(one) == ROOT for one in each.certificates)}
    only_certificates = len(examined.held) == len(examined.profile.payloads)
    if not trust and not (roots and only_certificates):
        return
    for each in examined.held:
        if each.path in roots or not each.certificates:
            continue
        name = each.certificates[0].name
        yield finding(
            "trust.not-root",
            f"{name} is no root" + ("" if trust else "; if this is a trust profile, it has no place in it"),
            where=each.path,
            severity=None if trust else Severity.WARNING,
        )
