"""Whether to trust a signer: a path from its certificate to an anchor that the caller names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError

from mdmprofile.certificates import X509_ERRORS, Certificate, first_line
from mdmprofile.cms.verify import Signature
from mdmprofile.findings import Finding, finding

MAX_CHAIN_DEPTH = 8


def judge_trust(signature: Signature, anchors: Sequence[Certificate], *, at: datetime) -> tuple[Finding, ...]:
    """A ``signature.untrusted`` finding for every signer that no path connects to ``anchors`` at the time ``at``.

    Paths are built and validated by ``cryptography`` (RFC 5280 section 6) with the extension rules of the Web PKI
    left out: private CAs often lack what browsers ask for, and no key usage is required of a profile's signer.
    Revocation is not checked.
    """
    found = []
    for each in signature.signers:
        if each.certificate is None:
            continue
        _, reason = trust_path(each.certificate, signature.certificates, anchors, at=at)
        if reason:
            message = f"the signer {each.certificate.name} is not trusted: {reason}"
            hint = "" if reason.startswith("no path") else "sign the profile again with a valid certificate"
            found.append(finding("signature.untrusted", message, where="signature", hint=hint))
    return tuple(found)


def trust_path(
    signer: Certificate, embedded: Sequence[Certificate], anchors: Sequence[Certificate], *, at: datetime
) -> tuple[tuple[Certificate, ...], str]:
    """The path from the signer to one of ``anchors``, both included, and an empty reason; or no path, and why.

    ``embedded`` are the certificates that came with the signature, which may join the two; ``at`` is aware UTC.
    """
    # The verifier leaves keyUsage to the extension rules, and those are left out.
    stand_ins = tuple(_below_version_1(anchors, (signer, *embedded), at))
    trusted = (*anchors, *(each for each, _ in stand_ins))
    roots, issuers = ([each.parsed for each in some if each.key_cert_sign] for some in (trusted, embedded))
    if not roots:
        return (), "no path to a trusted certificate (the keyUsage of none of those given lets it sign certificates)"
    try:
        verified = (
            PolicyBuilder()
            .store(Store(roots))
            .time(at)
            .max_chain_depth(MAX_CHAIN_DEPTH)
            .extension_policies(
                ca_policy=ExtensionPolicy.permit_all().require_present(
                    x509.BasicConstraints, Criticality.AGNOSTIC, None
                ),
                ee_policy=ExtensionPolicy.permit_all(),
            )
            .build_client_verifier()
            .verify(signer.parsed, [each for each in issuers if each != signer.parsed])
        )
    except (VerificationError, *X509_ERRORS) as error:
        return (), _distrust(signer, error, at)
    known = {each.parsed: each for each in (*embedded, *anchors, signer)}
    path = tuple(known[each] for each in verified.chain)
    return (*path, *(root for each, root in stand_ins if each == path[-1] and path[-1] not in anchors)), ""


def _distrust(signer: Certificate, error: BaseException, at: datetime) -> str:
    """Why there is no trusted path."""
    if not signer.not_before <= at <= signer.not_after:
        return "its certificate is expired or not valid yet"
    # Without the verifier's own name of the certificate, which is the representation of an object.
    reason = first_line(error).partition(" (encountered processing")[0].rpartition(": ")[2]
    # A root that is embedded but not trusted sends the search round in circles.
    vague = "max depth" in reason or "no interior errors" in reason
    detail = "" if vague else f" ({reason})"
    return f"no path to a trusted certificate{detail}"


def _below_version_1(
    anchors: Sequence[Certificate], certificates: Sequence[Certificate], at: datetime
) -> Iterator[tuple[Certificate, Certificate]]:
    """What trusted version 1 roots signed, to stand in for them, and those: the verifier knows version 3 alone."""
    old = [
        each
        for each in anchors
        if each.parsed.version is x509.Version.v1 and each.self_signed and each.not_before <= at <= each.not_after
    ]
    for each in certificates:
        roots = (root for root in old if each.issuer_name == root.subject_name and each.signed_by(root))
        root = next(roots, None)
        if root is not None and not each.weak_signature:
            yield each, root
