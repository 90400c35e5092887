"""Everything that ends, gathered from a config or an opened profile, each with its role and place."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from datetime import datetime

from mdmprofile.certificates import PUSH_TOPIC_PREFIX, Certificate, Identity
from mdmprofile.chain import INTERMEDIATE, LEAF, IssuerGraph, role_of, server_leaves
from mdmprofile.config import EnrollmentConfig
from mdmprofile.config_identity import IssuedSettings, Pkcs12Settings, ScepSettings
from mdmprofile.errors import CertificateError
from mdmprofile.materials import Materials, Pkcs12File
from mdmprofile.moments import shift, spoken
from mdmprofile.payloads import types
from mdmprofile.plan import OWN_CA, Thresholds, Watched, watch


def watched_by_config(
    config: EnrollmentConfig, materials: Materials, *, now: datetime, enrollment: bool = True
) -> tuple[Watched, ...]:
    """Everything that ends among what a config names; an identity without a certificate begins at ``now``.

    Without ``enrollment``, only what the trust profile and the documents depend on.
    """
    found = []
    if not config.trust.public:
        found += by_role(materials.trust)
    found += [watch(each, LEAF, each.source) for each in server_leaves(materials.servers)]
    served = (each for each in materials.servers if role_of(each) == INTERMEDIATE)
    found += [each._replace(baked_in=False, consequence_of=LEAF) for each in by_role(served)]
    if materials.scep_ca is not None:
        found += [each._replace(baked_in=False, consequence_of="scep-ca") for each in by_role([materials.scep_ca])]
    found += [watch(each, "pinned", each.source) for each in (*materials.pinned, *materials.checkin_pinned)]
    if enrollment:
        found += _identity(config, materials, now)
        found += _extra_certificates(config, materials)
    if materials.signer_certificate is not None:
        signer = materials.signer_certificate
        found.append(watch(signer, "signer", signer.source))
        beside = materials.signer.chain if isinstance(materials.signer, Identity) else ()
        graph = IssuerGraph(each for each in (*materials.signing_chain, *beside, *materials.trust) if each.is_ca)
        found += signing_chain(graph.ancestors(signer))
    found += [watch(each, "recipient", each.source) for each in materials.recipients]
    if materials.push is not None:
        found.append(watch(materials.push, "push", materials.push.source))
    return without_repeats(found)


def by_role(certificates: Iterable[Certificate]) -> list[Watched]:
    """Certificates in the roles that their own evidence gives them; a leaf with an MDM topic is a push certificate."""
    return [watch(each, evident_role(each), each.source) for each in certificates]


def of_file(certificates: Iterable[Certificate]) -> list[Watched]:
    """Certificates of a bare file, where nobody can tell whose a leaf is."""
    return [each._replace(consequence_of="file") if each.role == LEAF else each for each in by_role(certificates)]


def signing_chain(certificates: Iterable[Certificate]) -> list[Watched]:
    """The intermediates above a signer; when one ends, the profile shows as not verified."""
    above = (each for each in certificates if role_of(each) == INTERMEDIATE)
    return [each._replace(consequence_of="signer") for each in by_role(above)]


def evident_role(certificate: Certificate) -> str:
    """``root``, ``intermediate``, ``push`` or ``leaf``."""
    role = role_of(certificate)
    return "push" if role == LEAF and certificate.push_topic.startswith(PUSH_TOPIC_PREFIX) else role


def without_repeats(found: Sequence[Watched]) -> tuple[Watched, ...]:
    """One row for a certificate in a role, however often it is named.

    Where it is baked in in one place and renewed in another, it is baked in: the profile does not survive its end.
    """
    seen: dict[tuple[str, object, bool], Watched] = {}
    for each in found:
        # As the SCEP server's CA it is something else than as an anchor, and nothing that a server could move to.
        key = (each.role, each.certificate or each.where, each.consequence_of == "scep-ca")
        known = seen.setdefault(key, each)
        if each.baked_in and not known.baked_in:
            seen[key] = each
    return tuple(seen.values())


def _identity(config: EnrollmentConfig, materials: Materials, now: datetime) -> list[Watched]:
    identity = config.identity
    if isinstance(identity, Pkcs12Settings):
        if materials.pkcs12 is not None:
            return watched_identity(materials.pkcs12)
        return [
            Watched("identity", "in the PKCS#12 file", f"{config.source}: identity.file", baked_in=True, not_after=None)
        ]
    place = f"{config.source}: identity.validity"
    if isinstance(identity, IssuedSettings):
        return [_issued(identity, materials.issuing_ca, place, now)]
    protocol = "SCEP" if isinstance(identity, ScepSettings) else "ACME"
    if identity.validity is None:
        return [Watched("identity", f"from {protocol}", place, baked_in=True, not_after=None)]
    name = f"from {protocol}, valid for {spoken(identity.validity)}"
    end = shift(now, identity.validity)
    return [Watched("identity", name, place, baked_in=True, not_after=end)]


def _issued(identity: IssuedSettings, ca: Certificate | None, place: str, now: datetime) -> Watched:
    """An identity as it would be issued at ``now``; it ends with the CA at the latest."""
    validity = identity.wanted.validity
    name, end = f"issued here, valid for {spoken(validity)}", shift(now, validity)
    if ca is not None and ca.not_after < end:
        name, end = f"issued here, valid as long as {ca.name}", ca.not_after
    return Watched("identity", name, place, baked_in=True, not_after=end, consequence_of=OWN_CA)


def _extra_certificates(config: EnrollmentConfig, materials: Materials) -> Iterable[Watched]:
    """The certificates of extra payloads: they change with the profile alone."""
    files = config.profile.extra_payloads
    for file, payload in zip(files, materials.extras.payloads, strict=True) if materials.extras.payloads else ():
        if payload.get("PayloadType") in types.CERTIFICATES:
            from mdmprofile.reader import payload_certificates  # noqa: PLC0415 - few configs have extra payloads

            with contextlib.suppress(CertificateError):
                found = by_role(payload_certificates(payload.get("PayloadContent"), source=str(file)))
                yield from (each._replace(baked_in=True, consequence_of="file") for each in found)


def watched_identity(identity: Identity | Pkcs12File, where: str = "") -> list[Watched]:
    """A PKCS#12's own certificate and those beside it."""
    others = [each._replace(where=where or each.where) for each in by_role(identity.chain)]
    return [watch(identity.certificate, "identity", where or identity.certificate.source), *others]


def thresholds_of(config: EnrollmentConfig) -> Thresholds:
    """The dates and margins that a config is judged against."""
    settings = config.profile
    return Thresholds(
        replace_on=settings.replace_on,
        margin=settings.replace_margin,
        warn=settings.warn,
        critical=settings.critical,
    )
