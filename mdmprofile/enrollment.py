"""The enrollment profile: certificates first, then the identity, the MDM payload last."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from mdmprofile.certificates import Certificate
from mdmprofile.chain import INTERMEDIATE, ROOT, TrustChain
from mdmprofile.config import EnrollmentConfig
from mdmprofile.config_identity import AcmeSettings, IdentitySettings, ScepSettings
from mdmprofile.containers import fingerprint_sha1
from mdmprofile.extras import with_extras
from mdmprofile.materials import Materials, Pkcs12File
from mdmprofile.naming import Names
from mdmprofile.payloads.base import Payload
from mdmprofile.payloads.certificates import CertificatePayload, Pkcs1Payload, RootPayload
from mdmprofile.payloads.mdm import MdmPayload
from mdmprofile.printable import printable
from mdmprofile.profile import Profile, TopLevel


def enrollment_profile(config: EnrollmentConfig, chain: TrustChain, materials: Materials, names: Names) -> Profile:
    """Assemble the profile; what a device would say to it is judged by the rules."""
    settings = config.profile
    certificates = certificate_payloads(
        chain.roots,
        chain.intermediates,
        names,
        pinned=(*materials.pinned, *materials.checkin_pinned),
        organization=settings.organization,
    )
    identity = identity_payload(config.identity, materials, names, settings.organization)
    others = _removal_password(materials, names)
    mdm = _mdm_payload(config, materials, names, identity, certificates)
    top = TopLevel(
        identifier=names.identifier,
        uuid=names.profile_uuid(settings.uuid),
        display_name=settings.display_name or "MDM enrollment",
        description=settings.description,
        organization=settings.organization,
        scope=settings.scope,
        removal_disallowed=settings.removal_disallowed,
        has_removal_passcode=settings.has_removal_passcode or (bool(others) or None),
        removal_date=settings.removal_date,
        duration_until_removal=(
            None if settings.duration_until_removal is None else settings.duration_until_removal.total_seconds()
        ),
        expiration_date=settings.expiration_date,
        target_device=settings.target_device,
        consent_text=settings.consent_text,
    )
    return with_extras(Profile.assemble(top, (*certificates, identity, *others, mdm)), materials.extras)


def certificate_payloads(
    roots: Iterable[Certificate],
    intermediates: Iterable[Certificate],
    names: Names,
    *,
    pinned: Iterable[Certificate] = (),
    organization: str | None = None,
) -> tuple[CertificatePayload, ...]:
    """Roots, then intermediates, then pinned certificates that are neither."""
    wanted: dict[Certificate, tuple[type[CertificatePayload], str]] = {}
    wanted |= dict.fromkeys(roots, (RootPayload, ROOT))
    wanted |= dict.fromkeys(intermediates, (Pkcs1Payload, INTERMEDIATE))
    for each in pinned:
        wanted.setdefault(each, (Pkcs1Payload, "pinned"))
    payloads = []
    for certificate, (kind, role) in wanted.items():
        name = names.certificate(certificate, kind.TYPE, role)
        payloads.append(
            kind(
                identifier=name.identifier,
                uuid=name.uuid,
                display_name=printable(certificate.name),
                description=f"{role.capitalize()} certificate",
                organization=organization,
                data=certificate.der,
                file_name=f"{role}-{certificate.sha256[:16]}.cer",
            )
        )
    return tuple(payloads)


def identity_payload(
    identity: IdentitySettings, materials: Materials, names: Names, organization: str | None
) -> Payload:
    """The SCEP, ACME or PKCS#12 payload."""
    # A profile has one identity, so one of the three modules is loaded.
    if isinstance(identity, ScepSettings):
        from mdmprofile.payloads.scep import ScepPayload  # noqa: PLC0415

        name = names.by_type(ScepPayload.TYPE, "identity", identity.uuid)
        fingerprint = fingerprint_sha1(materials.scep_ca) if materials.scep_ca else identity.ca_fingerprint
        return ScepPayload(
            identifier=name.identifier,
            uuid=name.uuid,
            display_name="Device identity (SCEP)",
            organization=organization,
            url=identity.url,
            name=identity.name,
            subject=_default_subject(names, organization) if identity.subject is None else identity.subject,
            challenge=materials.challenge,
            key_size=identity.key_size,
            key_type=identity.key_type,
            key_usage=identity.key_usage,
            ca_fingerprint=fingerprint,
            retries=identity.retries,
            retry_delay=identity.retry_delay,
            subject_alt_name=identity.subject_alt_name,
            key_is_extractable=identity.key_is_extractable,
            allow_all_apps_access=identity.allow_all_apps_access,
        )
    if isinstance(identity, AcmeSettings):
        from mdmprofile.payloads.acme import AcmePayload  # noqa: PLC0415

        name = names.by_type(AcmePayload.TYPE, "identity", identity.uuid)
        return AcmePayload(
            identifier=name.identifier,
            uuid=name.uuid,
            display_name="Device identity (ACME)",
            organization=organization,
            directory_url=identity.directory_url,
            client_identifier=identity.client_identifier,
            subject=identity.subject or _default_subject(names, organization),
            key_type=identity.key_type,
            key_size=identity.key_size,
            hardware_bound=identity.hardware_bound,
            attest=identity.attest,
            subject_alt_name=identity.subject_alt_name,
            usage_flags=identity.usage_flags,
            extended_key_usage=identity.extended_key_usage,
            key_is_extractable=identity.key_is_extractable,
            allow_all_apps_access=identity.allow_all_apps_access,
        )
    from mdmprofile.payloads.pkcs12 import Pkcs12Payload  # noqa: PLC0415

    # load_materials opened it, or said why not, and then nothing is built.
    file = cast("Pkcs12File", materials.pkcs12)
    sha256 = file.certificate.sha256
    name = names.by_type(Pkcs12Payload.TYPE, "identity", identity.uuid, sha256)
    return Pkcs12Payload(
        identifier=name.identifier,
        uuid=name.uuid,
        display_name="Device identity",
        organization=organization,
        data=file.data,
        file_name=printable(file.file_name),
        password=file.password if identity.embed_password else None,
        key_is_extractable=identity.key_is_extractable,
        allow_all_apps_access=identity.allow_all_apps_access,
    )


def _default_subject(names: Names, organization: str | None) -> tuple[tuple[str, str], ...]:
    """A subject that SCEP servers accept: many refuse the empty one that a device sends when it has none."""
    common_name = ("CN", names.identifier.encode("utf-8")[:64].decode("utf-8", "ignore"))
    return (("O", organization), common_name) if organization else (common_name,)


def _removal_password(materials: Materials, names: Names) -> tuple[Payload, ...]:
    if materials.removal_password is None:
        return ()
    from mdmprofile.payloads.removal import RemovalPasswordPayload  # noqa: PLC0415 - seldom used

    name = names.by_type(RemovalPasswordPayload.TYPE, "removal-password")
    return (
        RemovalPasswordPayload(
            identifier=name.identifier,
            uuid=name.uuid,
            display_name="Removal password",
            password=materials.removal_password,
        ),
    )


def _mdm_payload(
    config: EnrollmentConfig,
    materials: Materials,
    names: Names,
    identity: Payload,
    certificates: tuple[CertificatePayload, ...],
) -> MdmPayload:
    server = config.server
    uuids = {each.data: each.uuid for each in certificates}
    name = names.by_type(MdmPayload.TYPE, "mdm", server.uuid)
    return MdmPayload(
        identifier=name.identifier,
        uuid=name.uuid,
        display_name="Device management",
        organization=config.profile.organization,
        identity_certificate_uuid=identity.uuid,
        topic=server.topic or (materials.push.push_topic if materials.push else ""),
        server_url=server.url,
        checkin_url=server.checkin_url,
        access_rights=server.access_rights,
        server_capabilities=server.capabilities,
        sign_message=server.sign_message,
        check_out_when_removed=server.check_out_when_removed,
        use_development_apns=server.use_development_apns,
        managed_apple_id=server.managed_apple_id,
        assigned_managed_apple_id=server.assigned_managed_apple_id,
        enrollment_mode=server.enrollment_mode,
        required_app_id=server.required_app_id,
        server_pinning_uuids=tuple(uuids[each.der] for each in materials.pinned) or None,
        checkin_pinning_uuids=tuple(uuids[each.der] for each in materials.checkin_pinned) or None,
        pinning_revocation_check_required=server.pinning_revocation_check_required,
        prompt_for_bootstrap_token=server.prompt_for_bootstrap_token,
    )
