"""A signer and the certificates above it: what goes into the signature, and whether it is enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mdmprofile.certificates import Certificate, Identity
from mdmprofile.chain import INTERMEDIATE, ROOT, IssuerGraph, role_of
from mdmprofile.findings import Finding, Severity, finding

_EMBED = "have the command embed the signer's intermediates, as openssl cms -sign does with -certfile"


def complete_chain(signer: Identity, available: Sequence[Certificate]) -> Identity:
    """The signer with exactly the intermediates above it, nearest first; the root stays out.

    A device knows the root already or does not trust it; without the intermediates it shows the profile as
    unverified.
    """
    graph = IssuerGraph(each for each in (*signer.chain, *available) if each.is_ca)
    above = tuple(each for each in graph.ancestors(signer.certificate) if role_of(each) == INTERMEDIATE)
    return Identity(signer.certificate, signer.key, above)


def judge_signer(
    signer: Identity, available: Sequence[Certificate], *, public: Sequence[Certificate] = ()
) -> tuple[Finding, ...]:
    """Whether the key belongs to the certificate, and whether the chain leads to a root that is at hand.

    ``public`` are roots that devices know without being told.
    """
    found: tuple[Finding, ...] = ()
    if not signer.key_matches:
        message = f"the key does not belong to the certificate of {signer.certificate.name}"
        found = (finding("signing.key-mismatch", message, where=signer.certificate.source),)
    return (*found, *_judge_chain(signer.certificate, (*signer.chain, *available, *public)))


def judge_signing(signer: Identity, available: Sequence[Certificate]) -> tuple[Finding, ...]:
    """Whether the signer can sign, and whether its chain leads to a root at hand or a public one."""
    return _with_public_roots(lambda public: judge_signer(signer, available, public=public))


def judge_issuers(
    certificate: Certificate, beside: Sequence[Certificate], available: Sequence[Certificate]
) -> tuple[Finding, ...]:
    """Whether the certificates ``beside`` a signer's in its signature lead to a root at hand or a public one.

    What is only at hand counts as a root alone: a device has the embedded intermediates and no others.
    """
    roots = tuple(each for each in available if role_of(each) == ROOT)
    found = _with_public_roots(lambda public: _judge_chain(certificate, (*beside, *roots, *public)))
    # What is signed already cannot be added to, so signing.chain would be no help.
    return tuple(each._replace(hint=_EMBED) for each in found)


def _with_public_roots(judge: Callable[[Sequence[Certificate]], tuple[Finding, ...]]) -> tuple[Finding, ...]:
    found = judge(())
    if any(each.rule == "signing.chain-incomplete" for each in found):
        from mdmprofile.public import public_roots  # noqa: PLC0415 - only when a private root is not at hand

        found = judge(public_roots())
    return found


def _judge_chain(certificate: Certificate, issuers: Sequence[Certificate]) -> tuple[Finding, ...]:
    graph = IssuerGraph(each for each in issuers if each.is_ca)
    top = [certificate, *graph.ancestors(certificate)]
    if certificate.self_signed or any(role_of(each) == ROOT for each in top):
        return ()
    return (_incomplete(graph, top, certificate.source),)


def _incomplete(graph: IssuerGraph, top: Sequence[Certificate], where: str) -> Finding:
    """Without any issuer the chain is incomplete; above a given one the missing issuer may well be the root.

    The root stays out of a signature, so its absence alone is no reason to warn.
    """
    missing = next((each for each in reversed(top) if not graph.issuers(each)), None)
    reason = f"the issuer of {missing.name} is missing: {missing.issuer}" if missing else "its issuers have no root"
    if missing is None or missing == top[0]:
        return finding("signing.chain-incomplete", reason, where=where)
    message = f"{reason}; if that is the root, all is well"
    return finding("signing.chain-incomplete", message, where=where, severity=Severity.INFO)
