"""Any bytes a user hands us: an opened profile, with who signed it, or certificates."""

from __future__ import annotations

from dataclasses import dataclass, field

from mdmprofile.certificates import Certificate, Identity
from mdmprofile.cms.structure import holds_content
from mdmprofile.cms.verify import Signature, is_signed, verify
from mdmprofile.config_file import has_config_table
from mdmprofile.containers import is_certificate, is_pkcs12, load_certificates
from mdmprofile.errors import CertificateError, Problems, ProfileError
from mdmprofile.findings import Finding
from mdmprofile.inputs import MAX_PROFILE
from mdmprofile.profile import Profile, parse
from mdmprofile.propertylist import looks_like_plist

CONFIG = "config"


@dataclass(frozen=True)
class OpenedProfile:
    """A profile, the exact property-list bytes it was read from, and its signature if it has one.

    ``encrypted`` says that the file's payloads are encrypted; ``profile`` has them decrypted where a recipient's key
    was at hand, while ``content`` stays as it was signed.
    """

    profile: Profile
    content: bytes = field(repr=False)
    signature: Signature | None
    source: str
    encrypted: bool = False

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong with the signature; none when there is no signature."""
        return self.signature.findings if self.signature else ()


def is_profile(data: bytes) -> bool:
    """Whether the bytes look like a profile: a property list, or signed data that holds content."""
    if is_signed(data):
        return holds_content(data)
    return looks_like_plist(data)


def judge_signature(data: bytes, *, source: str = "") -> tuple[Finding, ...]:
    """What is wrong with the signature around the bytes, whatever is inside; none when there is no signature.

    A change can break the property list too, which must not hide the broken signature.
    """
    return verify(data, source=source).findings if is_signed(data) else ()


def open_profile(data: bytes, *, source: str = "", recipient: Identity | None = None) -> OpenedProfile:
    """Open a profile, signed or not; an encrypted one is decrypted where its ``recipient`` is given.

    A broken signature does not stop the reading; it is a finding. Raises ``ProfileError`` when the bytes are no
    profile, ``SignatureFormatError`` when they are broken CMS, and ``EncryptionError`` when the recipient's key does
    not open it.
    """
    if len(data) > MAX_PROFILE:
        raise ProfileError(
            f"is larger than the limit of {MAX_PROFILE // 1024:,} KiB",
            where=source,
            hint="check that it is the right file",
        )
    if not data.strip():
        raise ProfileError("is empty where a profile belongs", where=source, hint="copy the file again")
    kind = _other_kind(data)
    if kind:
        hint = "mdmprofile build makes a profile of it" if kind == CONFIG else "mdmprofile check judges certificates"
        raise ProfileError(f"is a {kind}, not a profile", where=source, hint=hint)
    signature = verify(data, source=source) if is_signed(data) else None
    content = signature.content if signature else data
    profile = profile_of(content, source=source)
    encrypted = profile.encrypted
    if encrypted and recipient is not None:
        from mdmprofile.cms.encrypt import decrypt_profile  # noqa: PLC0415 - few profiles are encrypted

        profile = decrypt_profile(profile, recipient, source=source)
    return OpenedProfile(profile, content, signature, source, encrypted)


def _other_kind(data: bytes) -> str:
    """What a file is that people give in a profile's place; empty for anything else."""
    if b"-----BEGIN CERTIFICATE-----" in data and not looks_like_plist(data) and not is_signed(data):
        return "certificate"
    if is_pkcs12(data):
        return "PKCS#12"
    if not looks_like_plist(data) and not is_signed(data) and has_config_table(data):
        return CONFIG
    return "certificate" if data[:1] == b"0" and is_certificate(data) else ""


def profile_of(content: bytes, *, source: str) -> Profile:
    """The profile in property-list bytes; raises ``ProfileError`` when it is another kind of property list."""
    profile = parse(content, source=source)
    # A damaged profile is still one, for the rules to judge; only what never was one is refused.
    if not any(str(key).startswith(("Payload", "EncryptedPayload")) for key in profile.plist):
        raise ProfileError(
            "is a property list, but no configuration profile", where=source, hint="give a .mobileconfig file"
        )
    return profile


def payload_certificates(content: object, *, source: str) -> tuple[Certificate, ...]:
    """The certificates of a root, pkcs1 or pem payload, DER or PEM; there should be one, and there is at least one.

    Raises ``CertificateError`` when the content is no data or holds no certificate.
    """
    if not isinstance(content, bytes):
        raise CertificateError("holds no data", where=source)
    try:
        return load_certificates(content, source=source)
    except Problems as error:
        # One error of one kind, so that a payload with several faults does not end what is said of the others.
        raise CertificateError(error.errors[0].message, where=source, hint=error.errors[0].hint) from None
