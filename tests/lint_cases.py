"""Files that break one rule of lint each, and files near them that do not: for the tests of rules and registry."""

from __future__ import annotations

import plistlib
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from asn1crypto import core
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat, pkcs7, pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mdmprofile.certificates import Identity
from mdmprofile.cms.sign import sign
from pki import DAY, NOW, Entity, ec_key, intermediate_ca, issue, root_ca, rsa_key, server_leaf
from profiles import SCEP_UUID, Change, Plist, acme, both, drop, enrollment, insert, payload, put

TOP, SCEP, MDM = "PayloadContent", "PayloadContent[2].PayloadContent", "PayloadContent[3]"
ROOT, BELOW = "PayloadContent[0]", "PayloadContent[1]"
BELOW_UUID = "00000000-0000-4000-8000-000000000004"
MORE_UUID = "00000000-0000-4000-8000-000000000005"
PASSWORD = "secret"
INFO, WARNING, ERROR = "info", "warning", "error"

Found = set[tuple[str, str, str]]
Make = Callable[[], bytes]


class Case(NamedTuple):
    """A file, what it is said to be, and everything that lint finds in it: rule, severity, where."""

    make: Make
    found: Found
    kind: str = "auto"


class Authorities(NamedTuple):
    """One PKI for all cases."""

    root: Entity
    below: Entity
    signer: Entity
    server: Entity

    @property
    def identity(self) -> Identity:
        """The signer with its intermediate, ready to sign."""
        return Identity(self.signer.ours, self.signer.key, (self.below.ours,))


@cache
def pki() -> Authorities:
    """A root, an intermediate, a profile signer and a server below it."""
    root = root_ca()
    below = intermediate_ca(root)
    return Authorities(root, below, issue("Signer", below, end=NOW + 700 * DAY), server_leaf(below))


def good() -> Plist:
    """A profile that lint finds nothing in, once it is signed."""
    plist = enrollment()
    content = plist["PayloadContent"]
    content[0]["PayloadContent"] = pki().root.der
    content[1]["PayloadContent"]["KeyIsExtractable"] = False
    content.insert(1, payload("com.apple.security.pkcs1", BELOW_UUID, PayloadContent=pki().below.der))
    return plist


def with_acme() -> Plist:
    """The same with an ACME identity whose key every Mac can make."""
    plist = good()
    plist["PayloadContent"][2] = acme() | {"HardwareBound": False}
    return plist


def trust_profile() -> Plist:
    """A profile of one root."""
    return good() | {"PayloadContent": [good()["PayloadContent"][0]]}


def signed(plist: Plist, *, by: Identity | None = None, binary: bool = False) -> bytes:
    """The profile as a file."""
    form = plistlib.FMT_BINARY if binary else plistlib.FMT_XML
    return sign(plistlib.dumps(plist, fmt=form), by or pki().identity)


def changed(change: Change, base: Callable[[], Plist] = good) -> Make:
    """A signed profile with one thing changed."""

    def make() -> bytes:
        plist = base()
        change(plist)
        return signed(plist)

    return make


def request() -> Change:
    """Make a profile the first one of an over-the-air enrollment."""
    content = {"URL": "https://mdm.example.com/ota", "DeviceAttributes": ["UDID"], "Challenge": "who are you"}
    return both(put("PayloadType", "Profile Service"), put(TOP, content), put("ConfirmInstallation", True))


def holding(make: Callable[[], bytes], kind: str = "com.apple.security.pkcs1", **keys: Any) -> Make:
    """The good profile with one more certificate payload before the identity."""

    def change(plist: Plist) -> None:
        insert(2, payload(kind, MORE_UUID, PayloadContent=make(), **keys))(plist)

    return changed(change)


def pinning(make: Callable[[], bytes]) -> Make:
    """The good profile, pinned to one more certificate."""

    def change(plist: Plist) -> None:
        insert(2, payload("com.apple.security.pkcs1", MORE_UUID, PayloadContent=make()))(plist)
        plist["PayloadContent"][4]["ServerURLPinningCertificateUUIDs"] = [MORE_UUID]

    return changed(change)


def leaf(*, key: Any = None, days: int = 397, names: bool = True, usage: bool = True) -> bytes:
    """A server's certificate with or without what devices ask of one."""
    extensions: list[x509.ExtensionType] = []
    if names:
        extensions.append(x509.SubjectAlternativeName([x509.DNSName("mdm.example.com")]))
    if usage:
        extensions.append(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]))
    end = NOW - DAY + days * DAY
    return issue("mdm.example.com", pki().below, key=key, end=end, extensions=extensions).der


def sha1_leaf() -> bytes:
    """A server's certificate that says it is signed with SHA-1; cryptography makes none, so its bytes are changed."""
    return _sha1(leaf())


def _sha1(der: bytes) -> bytes:
    """The certificate with another signature algorithm in it, which no longer verifies."""
    return der.replace(bytes.fromhex("06092a864886f70d01010b"), bytes.fromhex("06092a864886f70d010105"))


def identity_p12(
    password: str = PASSWORD, *, legacy: bool = True, ca: bool = False, end: datetime = NOW + 365 * DAY, **more: Any
) -> bytes:
    """A PKCS#12 identity, encrypted so that every Apple release imports it unless told otherwise."""
    entity = issue("Device", pki().below, end=end, ca=ca, **more)
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password and legacy:
        encryption = (
            PrivateFormat.PKCS12.encryption_builder()
            .kdf_rounds(2048)
            .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
            .hmac_hash(hashes.SHA1())  # noqa: S303 - what old systems import
            .build(password.encode())
        )
    elif password:
        encryption = serialization.BestAvailableEncryption(password.encode())
    return pkcs12.serialize_key_and_certificates(b"x", entity.key, entity.certificate, None, encryption)


def two_keys() -> bytes:
    """A PKCS#12 with two private keys: the bags of one file put into another."""
    from asn1crypto import pkcs12 as structure  # noqa: PLC0415 - one case

    first, second = (structure.Pfx.load(identity_p12()) for _ in range(2))
    merged = [*first.authenticated_safe, *second.authenticated_safe]
    safe = structure.AuthenticatedSafe(merged).dump()
    first["auth_safe"]["content"] = core.OctetString(safe)
    return bytes(first.dump(force=True))


def with_p12(data: Callable[[], bytes], **keys: Any) -> Make:
    """The good profile with a PKCS#12 identity instead of SCEP."""

    def change(plist: Plist) -> None:
        entry = payload("com.apple.security.pkcs12", SCEP_UUID, PayloadContent=data(), **keys)
        plist["PayloadContent"][2] = entry

    return changed(change)


def encrypted(data: Callable[[], object], **keys: Any) -> Make:
    """A profile whose payloads are inside EncryptedPayloadContent."""

    def make() -> bytes:
        plist = good()
        del plist["PayloadContent"]
        return signed(plist | {"EncryptedPayloadContent": data()} | keys)

    return make


def enveloped() -> bytes:
    """EnvelopedData for an RSA recipient, with AES."""
    builder = pkcs7.PKCS7EnvelopeBuilder().set_data(b"<plist/>").set_content_encryption_algorithm(AES256)
    builder = builder.add_recipient(issue("Device", key=rsa_key()).certificate)
    return builder.encrypt(Encoding.DER, [pkcs7.PKCS7Options.Binary])


def triple_des() -> bytes:
    """EnvelopedData that names triple DES as its cipher."""
    aes, des = bytes.fromhex("060960864801650304012a"), bytes.fromhex("0609608648016503040114")
    return enveloped().replace(aes, des)


def wrong_key_scheme() -> bytes:
    """EnvelopedData whose key reached the recipient with something that is not RSA."""
    data = enveloped()
    rsa_encryption, other = bytes.fromhex("06092a864886f70d010101"), bytes.fromhex("06092a864886f70d01010b")
    place = data.rindex(rsa_encryption)
    return data[:place] + other + data[place + len(other) :]


def rewrapped(data: bytes) -> bytes:
    """The same structure with an indefinite length outside, as streaming tools write it."""
    header = 2 + (data[1] & 0x7F)
    return b"\x30\x80" + data[header:] + b"\x00\x00"


def cut_signers(make: Make, times: int) -> bytes:
    """The signed file with its signer named ``times`` times."""
    from asn1crypto import cms  # noqa: PLC0415 - one case

    info = cms.ContentInfo.load(make())
    infos = info["content"]["signer_infos"]
    info["content"]["signer_infos"] = [infos[0]] * times
    return bytes(info.dump(force=True))


def sha1_signer(data: bytes) -> bytes:
    """The signed file with SHA-1 named as its digest."""
    from asn1crypto import cms  # noqa: PLC0415 - one case

    info = cms.ContentInfo.load(data)
    info["content"]["signer_infos"][0]["digest_algorithm"] = {"algorithm": "sha1"}
    return bytes(info.dump(force=True))


def ca(common_name: str, issuer: Entity | None = None, **keys: Any) -> Entity:
    """A CA, an intermediate below the root unless it issues itself."""
    return issue(common_name, issuer, ca=True, **keys)


def two_below(top: Entity) -> tuple[Entity, Entity]:
    """A CA and one below it, the lower first."""
    return ca("Lower", top, key=ec_key()), top


def nameless_root() -> bytes:
    """A root that has an organization and no common name."""
    return ca(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example")])).der  # type: ignore[arg-type]  # a name is as good as a text


def several(*entities: Callable[[], Sequence[Entity]]) -> Change:
    """A change that puts these CAs before the identity, each into a pkcs1 payload of its own."""

    def change(plist: Plist) -> None:
        for number, entity in enumerate(entity for each in entities for entity in each()):
            uuid = f"00000000-0000-4000-8000-0000000001{number:02}"
            insert(2, payload("com.apple.security.pkcs1", uuid, PayloadContent=entity.der))(plist)

    return change


def signed_as(signer: Callable[[], Identity]) -> Make:
    """The good profile, signed by somebody else."""
    return lambda: signed(good(), by=signer())


def _identity(entity: Entity, *chain: Entity) -> Identity:
    return Identity(entity.ours, entity.key, tuple(each.ours for each in chain))


def weak_root() -> bytes:
    """A root with a key that devices refuse for TLS."""
    return ca("Weak", key=rsa.generate_private_key(65537, 1024)).der  # noqa: S505 - that it is weak is the point


def small_curve() -> bytes:
    """A root on a curve below 256 bits."""
    return ca("Small", key=ec.generate_private_key(ec.SECP224R1())).der


WIFI = payload(
    "com.apple.wifi.managed", "00000000-0000-4000-8000-000000000020", PayloadCertificateAnchorUUID=[MORE_UUID]
)
MORE = "PayloadContent[2]"

BROKEN: dict[str, Case] = {
    # ------------------------------------------------------------ keys and payloads
    "no payloads": Case(changed(drop(TOP)), {("profile.missing-key", ERROR, TOP)}),
    "payloads as text": Case(changed(put(TOP, "x")), {("profile.value", ERROR, TOP)}),
    "UUID without hyphens": Case(
        changed(put(f"{BELOW}.PayloadUUID", "0" * 32)), {("profile.uuid-format", WARNING, f"{BELOW}.PayloadUUID")}
    ),
    "identity UUID of another form": Case(
        changed(both(put("PayloadContent[2].PayloadUUID", "device"), put(f"{MDM}.IdentityCertificateUUID", "device"))),
        {
            ("profile.uuid-format", WARNING, "PayloadContent[2].PayloadUUID"),
            ("profile.uuid-format", ERROR, f"{MDM}.IdentityCertificateUUID"),
        },
    ),
    "misspelt MDM key": Case(
        changed(put(f"{MDM}.CheckinURLs", "x")), {("profile.unknown-key", WARNING, f"{MDM}.CheckinURLs")}
    ),
    "key in other letters": Case(
        changed(put(f"{MDM}.signmessage", True)), {("profile.unknown-key", WARNING, f"{MDM}.signmessage")}
    ),
    "misspelt top-level key": Case(
        changed(put("PayloadOrganisation", "x")), {("profile.unknown-key", WARNING, "PayloadOrganisation")}
    ),
    "key of nobody": Case(
        changed(put(f"{MDM}.VendorSetting", 1)), {("profile.unknown-key", INFO, f"{MDM}.VendorSetting")}
    ),
    "SCEP key outside its dictionary": Case(
        changed(put("PayloadContent[2].Challenge", "x")),
        {("profile.unknown-key", WARNING, "PayloadContent[2].Challenge")},
    ),
    "flag a text": Case(changed(put(f"{MDM}.SignMessage", "true")), {("profile.value", ERROR, f"{MDM}.SignMessage")}),
    "flag a number": Case(
        changed(put(f"{MDM}.CheckOutWhenRemoved", 1)), {("profile.value", ERROR, f"{MDM}.CheckOutWhenRemoved")}
    ),
    "number a flag": Case(
        changed(both(put(f"{MDM}.RequiredAppIDForMDM", True))),
        {
            ("profile.value", ERROR, f"{MDM}.RequiredAppIDForMDM"),
            ("mdm.enrollment-mode", WARNING, f"{MDM}.RequiredAppIDForMDM"),
        },
    ),
    "display name a number": Case(
        changed(put("PayloadDisplayName", 7)), {("profile.value", ERROR, "PayloadDisplayName")}
    ),
    "removal date a text": Case(changed(put("RemovalDate", "2031-01-01")), {("profile.value", ERROR, "RemovalDate")}),
    "SCEP name a number": Case(changed(put(f"{SCEP}.Name", 1)), {("profile.value", ERROR, f"{SCEP}.Name")}),
    "payload of another kind": Case(
        changed(insert(3, WIFI)),
        {
            ("profile.unknown-payload", INFO, "PayloadContent[3]"),
            ("profile.unneeded-payload", INFO, "PayloadContent[3]"),
        },
    ),
    "misspelt payload type": Case(
        changed(insert(3, WIFI | {"PayloadType": "com.apple.security.sceps"})),
        {
            ("profile.unknown-payload", WARNING, "PayloadContent[3]"),
            ("profile.unneeded-payload", INFO, "PayloadContent[3]"),
        },
    ),
    "removed already": Case(
        changed(put("RemovalDate", datetime(2031, 2, 1))),  # noqa: DTZ001 - as a property list has it
        {("profile.date-past", ERROR, "RemovalDate")},
    ),
    "expired already": Case(
        changed(put("PayloadExpirationDate", datetime(2031, 2, 1))),  # noqa: DTZ001
        {("profile.date-past", ERROR, "PayloadExpirationDate")},
    ),
    "removed at once": Case(
        changed(put("DurationUntilRemoval", 0)), {("profile.date-past", ERROR, "DurationUntilRemoval")}
    ),
    "binary": Case(lambda: signed(good(), binary=True), {("profile.binary", INFO, "")}),
    "request for a profile": Case(changed(request()), {("profile.service-request", INFO, TOP)}),
    "request without URL": Case(
        changed(both(request(), put(TOP, {"DeviceAttributes": ["UDID"]}))),
        {
            ("profile.service-request", INFO, TOP),
            ("profile.missing-key", ERROR, f"{TOP}.URL"),
        },
    ),
    "request with a misspelt key": Case(
        changed(both(request(), put(f"{TOP}.DeviceAttribute", ["UDID"]))),
        {
            ("profile.service-request", INFO, TOP),
            ("profile.unknown-key", WARNING, f"{TOP}.DeviceAttribute"),
        },
    ),
    "version that is no whole number": Case(
        changed(put(f"{MDM}.PayloadVersion", 1.0)), {("profile.value", WARNING, f"{MDM}.PayloadVersion")}
    ),
    "version that is text": Case(
        changed(put(f"{MDM}.PayloadVersion", "1")), {("profile.value", ERROR, f"{MDM}.PayloadVersion")}
    ),
    # ------------------------------------------------------------ identities
    "two identities": Case(
        changed(insert(2, good()["PayloadContent"][2] | {"PayloadUUID": MORE_UUID, "PayloadIdentifier": "b"})),
        {("identity.multiple", WARNING, "PayloadContent[2]")},
    ),
    "SCEP key may leave the Mac": Case(
        changed(put(f"{SCEP}.KeyIsExtractable", True)), {("scep.extractable", WARNING, f"{SCEP}.KeyIsExtractable")}
    ),
    "SCEP says nothing of it": Case(
        changed(drop(f"{SCEP}.KeyIsExtractable")), {("scep.extractable", INFO, f"{SCEP}.KeyIsExtractable")}
    ),
    "SCEP key in other letters": Case(
        changed(put(f"{SCEP}.key_type", "RSA")), {("scep.misspelt-key", ERROR, f"{SCEP}.key_type")}
    ),
    "SCEP key misspelt otherwise": Case(
        changed(put(f"{SCEP}.Chalenge", "x")), {("scep.misspelt-key", ERROR, f"{SCEP}.Chalenge")}
    ),
    "SCEP alternative names an array": Case(
        changed(put(f"{SCEP}.SubjectAltName", ["x"])), {("scep.value", ERROR, f"{SCEP}.SubjectAltName")}
    ),
    "SCEP DNS names with a number": Case(
        changed(put(f"{SCEP}.SubjectAltName", {"dNSName": ["a", 1]})),
        {("scep.value", ERROR, f"{SCEP}.SubjectAltName.dNSName")},
    ),
    "SCEP principal names": Case(
        changed(put(f"{SCEP}.SubjectAltName", {"ntPrincipalName": ["a", "b"]})),
        {("scep.value", ERROR, f"{SCEP}.SubjectAltName.ntPrincipalName")},
    ),
    "ACME alternative name a number": Case(
        changed(put("PayloadContent[2].SubjectAltName", {"rfc822Name": 1}), with_acme),
        {("acme.value", ERROR, "PayloadContent[2].SubjectAltName.rfc822Name")},
    ),
    "ACME common name over 64 bytes": Case(
        changed(put("PayloadContent[2].Subject", [[["CN", "x" * 65]]]), with_acme),
        {("scep.common-name", WARNING, "PayloadContent[2].Subject")},
    ),
    "ACME key bound to hardware": Case(
        changed(put("PayloadContent[2].HardwareBound", True), with_acme),
        {("acme.macos-13", INFO, "PayloadContent[2].HardwareBound")},
    ),
    "PKCS#12": Case(with_p12(identity_p12), {("identity.shared", INFO, MORE)}),
    "PKCS#12 with its password": Case(
        with_p12(identity_p12, Password="secret"),
        {("identity.shared", INFO, MORE), ("pkcs12.password-embedded", INFO, f"{MORE}.Password")},
    ),
    "PKCS#12 with another password": Case(
        with_p12(identity_p12, Password="other"),
        {
            ("identity.shared", INFO, MORE),
            ("pkcs12.password-embedded", INFO, f"{MORE}.Password"),
            ("pkcs12.unreadable", ERROR, f"{MORE}.PayloadContent"),
        },
    ),
    "PKCS#12 without password": Case(
        with_p12(lambda: identity_p12(""), Password=""),
        {("identity.shared", INFO, MORE), ("pkcs12.empty-password", WARNING, f"{MORE}.Password")},
    ),
    "PKCS#12 of today": Case(
        with_p12(lambda: identity_p12(legacy=False)),
        {("identity.shared", INFO, MORE), ("pkcs12.encryption", INFO, MORE)},
    ),
    "PKCS#12 of two keys": Case(
        with_p12(two_keys), {("identity.shared", INFO, MORE), ("pkcs12.several", WARNING, MORE)}
    ),
    "PKCS#12 of a certificate alone": Case(
        with_p12(
            lambda: pkcs12.serialize_key_and_certificates(
                b"x", None, None, [pki().root.certificate], serialization.NoEncryption()
            ),
            Password="",
        ),
        {
            ("identity.shared", INFO, MORE),
            ("pkcs12.empty-password", WARNING, f"{MORE}.Password"),
            ("pkcs12.no-identity", ERROR, f"{MORE}.PayloadContent"),
        },
    ),
    "PKCS#12 that is a certificate": Case(
        with_p12(lambda: pki().root.der),
        {("identity.shared", INFO, MORE), ("pkcs12.unreadable", ERROR, f"{MORE}.PayloadContent")},
    ),
    "PKCS#12 that has expired": Case(
        with_p12(lambda: identity_p12("", end=NOW - DAY / 2), Password=""),
        {
            ("identity.shared", INFO, MORE),
            ("pkcs12.empty-password", WARNING, f"{MORE}.Password"),
            ("expiry.expired", ERROR, MORE),
        },
    ),
    "PKCS#12 of tomorrow": Case(
        with_p12(lambda: identity_p12("", start=NOW + DAY), Password=""),
        {
            ("identity.shared", INFO, MORE),
            ("pkcs12.empty-password", WARNING, f"{MORE}.Password"),
            ("expiry.not-yet-valid", WARNING, MORE),
        },
    ),
    "PKCS#12 for servers": Case(
        with_p12(
            lambda: identity_p12("", extensions=[x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])]), Password=""
        ),
        {
            ("identity.shared", INFO, MORE),
            ("pkcs12.empty-password", WARNING, f"{MORE}.Password"),
            ("identity.no-client-auth", WARNING, MORE),
        },
    ),
    "PKCS#12 after PKCS#12": Case(
        lambda: signed(
            good()
            | {
                "PayloadContent": [
                    payload("com.apple.security.pkcs12", f"00000000-0000-4000-8000-00000000003{n}", PayloadContent=p12)
                    for p12 in [identity_p12()]
                    for n in range(5)
                ]
            }
        ),
        {("pkcs12.not-opened", INFO, "PayloadContent[4]")},
    ),
    # ------------------------------------------------------------ certificates
    "no data": Case(
        changed(drop(f"{ROOT}.PayloadContent")),
        {
            ("profile.certificate-unreadable", ERROR, f"{ROOT}.PayloadContent"),
            ("chain.incomplete", WARNING, BELOW),
        },
    ),
    "no certificate": Case(
        changed(put(f"{ROOT}.PayloadContent", b"junk")),
        {
            ("profile.certificate-unreadable", ERROR, f"{ROOT}.PayloadContent"),
            ("chain.incomplete", WARNING, BELOW),
        },
    ),
    "PKCS#12 in a certificate payload": Case(
        holding(identity_p12), {("profile.certificate-unreadable", ERROR, f"{MORE}.PayloadContent")}
    ),
    "PEM in a payload for DER": Case(
        holding(lambda: ca("Other", pki().root).pem), {("profile.certificate-encoding", WARNING, MORE)}
    ),
    "DER in a payload for PEM": Case(
        holding(lambda: ca("Other", pki().root).der, "com.apple.security.pem"),
        {("profile.certificate-encoding", WARNING, MORE)},
    ),
    "several in one payload": Case(
        holding(lambda: ca("Other", pki().root).pem + ca("Third", pki().root).pem, "com.apple.security.pem"),
        {("profile.certificate-several", WARNING, MORE)},
    ),
    "private key in a payload": Case(
        holding(lambda: ca("Other", pki().root).pem + ec_pem(), "com.apple.security.pem"),
        {("profile.private-key", ERROR, MORE)},
    ),
    "intermediate as root": Case(
        holding(lambda: ca("Other", pki().root).der, "com.apple.security.root"),
        {("profile.certificate-type", WARNING, MORE)},
    ),
    "root as intermediate": Case(holding(lambda: root_ca("Other").der), {("profile.certificate-type", WARNING, MORE)}),
    "leaf as root": Case(
        holding(lambda: pki().server.der, "com.apple.security.root"), {("chain.leaf-in-trust", ERROR, MORE)}
    ),
    "leaf beside MDM": Case(holding(lambda: pki().server.der), {("chain.leaf-in-trust", WARNING, MORE)}),
    "same certificate twice": Case(holding(lambda: pki().below.der), {("chain.duplicate", INFO, MORE)}),
    "expired intermediate": Case(
        holding(lambda: ca("Other", pki().root, start=NOW - 9 * DAY, end=NOW - DAY).der),
        {("expiry.expired", ERROR, MORE)},
    ),
    "intermediate of tomorrow": Case(
        holding(lambda: ca("Other", pki().root, start=NOW + DAY).der), {("expiry.not-yet-valid", WARNING, MORE)}
    ),
    "no root": Case(
        holding(lambda: ca("Other", root_ca("Unknown"), key=ec_key()).der), {("chain.incomplete", WARNING, MORE)}
    ),
    "intermediate that says it is signed with SHA-1": Case(
        holding(lambda: _sha1(ca("Other", pki().root, key=ec_key()).der)),
        {("chain.weak-signature", WARNING, MORE), ("chain.bad-signature", ERROR, MORE)},
    ),
    "two below a root that is not there": Case(
        changed(several(lambda: two_below(ca("Upper", root_ca("Unknown"), key=ec_key())))),
        {("chain.incomplete", WARNING, "PayloadContent[2]")},
    ),
    "issuer renewed with another key": Case(
        holding(lambda: ca("Other", root_ca("Test Root", key=ec_key())).der), {("chain.bad-signature", ERROR, MORE)}
    ),
    "CA that may not sign": Case(
        holding(lambda: ca("Other", pki().root, key_cert_sign=False).der), {("chain.key-usage", ERROR, MORE)}
    ),
    "too many CAs below": Case(
        changed(several(lambda: two_below(ca("Upper", pki().root, path_length=0)))),
        {("chain.path-length", ERROR, "PayloadContent[2]")},
    ),
    "root with a short RSA key": Case(
        holding(weak_root, "com.apple.security.root"), {("chain.weak-key", WARNING, MORE)}
    ),
    "root on a small curve": Case(holding(small_curve, "com.apple.security.root"), {("chain.weak-key", WARNING, MORE)}),
    "pinned server with a short key": Case(
        pinning(lambda: leaf(key=rsa.generate_private_key(65537, 1024))),  # noqa: S505
        {("tls.weak-key", ERROR, MORE)},
    ),
    "pinned server with SHA-1": Case(pinning(sha1_leaf), {("tls.weak-signature", ERROR, MORE)}),
    "pinned server without a name": Case(pinning(lambda: leaf(names=False)), {("tls.hostname", ERROR, MORE)}),
    "pinned server without usage": Case(pinning(lambda: leaf(usage=False)), {("tls.eku", ERROR, MORE)}),
    "pinned server valid too long": Case(pinning(lambda: leaf(days=826)), {("tls.validity", ERROR, MORE)}),
    # ------------------------------------------------------------ trust profiles
    "root without MDM": Case(lambda: signed(trust_profile()), {("trust.user-switch", INFO, ROOT)}),
    "root without a name": Case(
        lambda: signed(_replaced(trust_profile(), nameless_root())),
        {("trust.user-switch", INFO, ROOT), ("trust.no-common-name", INFO, ROOT)},
    ),
    "roots and others": Case(
        lambda: signed(good() | {"PayloadContent": good()["PayloadContent"][:2]}),
        {("trust.user-switch", INFO, ROOT), ("trust.not-root", WARNING, BELOW)},
    ),
    "trust profile with another": Case(
        lambda: signed(good() | {"PayloadContent": good()["PayloadContent"][:2]}),
        {("trust.user-switch", INFO, ROOT), ("trust.not-root", ERROR, BELOW)},
        "trust",
    ),
    "trust profile of an intermediate": Case(
        lambda: signed(_replaced(trust_profile(), pki().below.der)),
        {
            ("trust.not-root", ERROR, ROOT),
            ("profile.certificate-type", WARNING, ROOT),
            ("chain.incomplete", WARNING, ROOT),
        },
        "trust",
    ),
    "trust profile of nothing": Case(
        lambda: signed(good() | {"PayloadContent": []}), {("trust.empty", ERROR, TOP)}, "trust"
    ),
    "enrollment profile of nothing": Case(
        lambda: signed(good() | {"PayloadContent": []}),
        {("mdm.missing-key", ERROR, TOP), ("identity.missing", ERROR, TOP)},
        "enrollment",
    ),
    # ------------------------------------------------------------ signatures
    "not signed": Case(lambda: plistlib.dumps(good()), {("signing.unsigned", INFO, "")}),
    "tampered with": Case(
        lambda: signed(good()).replace(b"com.example.mdm<", b"com.example.mdx<"),
        {("signature.invalid", ERROR, "signature")},
    ),
    "two signers": Case(lambda: cut_signers(lambda: signed(good()), 2), {("signature.invalid", ERROR, "signature")}),
    "no signer": Case(lambda: cut_signers(lambda: signed(good()), 0), {("signature.invalid", ERROR, "signature")}),
    "digest SHA-1": Case(
        lambda: sha1_signer(signed(good())),
        {("signature.invalid", ERROR, "signature"), ("signature.weak-digest", ERROR, "signature")},
    ),
    "streamed": Case(lambda: rewrapped(signed(good())), {("signing.not-der", INFO, "signature")}),
    "signer's intermediate not embedded": Case(
        signed_as(lambda: _identity(pki().signer)), {("signing.chain-incomplete", WARNING, "signature")}
    ),
    "signer expired": Case(
        signed_as(lambda: _identity(issue("Over", pki().below, start=NOW - 9 * DAY, end=NOW - DAY), pki().below)),
        {("expiry.expired", WARNING, "signature")},
    ),
    "signer of tomorrow": Case(
        signed_as(lambda: _identity(issue("Early", pki().below, start=NOW + DAY), pki().below)),
        {("expiry.not-yet-valid", WARNING, "signature")},
    ),
    # ------------------------------------------------------------ encryption
    "encrypted": Case(
        encrypted(enveloped, IsEncrypted=True), {("encryption.not-judged", INFO, "EncryptedPayloadContent")}
    ),
    "encrypted beside payloads": Case(
        lambda: signed(good() | {"EncryptedPayloadContent": enveloped()}),
        {
            ("encryption.not-judged", INFO, "EncryptedPayloadContent"),
            ("encryption.beside-payloads", ERROR, "PayloadContent"),
        },
    ),
    "encrypted and denied": Case(
        encrypted(enveloped, IsEncrypted=False),
        {
            ("encryption.not-judged", INFO, "EncryptedPayloadContent"),
            ("profile.value", WARNING, "IsEncrypted"),
        },
    ),
    "said to be encrypted": Case(
        changed(put("IsEncrypted", True)), {("profile.missing-key", ERROR, "EncryptedPayloadContent")}
    ),
    **{
        f"encrypted {name}": Case(
            encrypted(data),
            {("encryption.not-judged", INFO, "EncryptedPayloadContent"), (rule, ERROR, "EncryptedPayloadContent")},
        )
        for name, data, rule in (
            ("as text", lambda: "x", "encryption.content"),
            ("as junk", lambda: b"junk", "encryption.content"),
            ("as signed data", lambda: signed(good()), "encryption.content"),
            ("in BER", lambda: rewrapped(enveloped()), "encryption.content"),
            ("for a key that is not RSA", wrong_key_scheme, "encryption.recipient"),
            ("with triple DES", triple_des, "encryption.cipher"),
        )
    },
}


def ec_pem() -> bytes:
    """A private key in PEM."""
    return ec_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, serialization.NoEncryption())


def _replaced(plist: Plist, der: bytes) -> Plist:
    plist["PayloadContent"][0]["PayloadContent"] = der
    return plist


# Near the broken ones, and in order.
KEPT: dict[str, Case] = {
    name: Case(make, set(), kind)
    for name, make, kind in (
        ("everything in order", lambda: signed(good()), "auto"),
        ("an enrollment profile", lambda: signed(good()), "enrollment"),
        ("ACME", lambda: signed(with_acme()), "auto"),
        (
            "ACME for iPhones",
            changed(both(put("PayloadContent[2].HardwareBound", True), put("TargetDeviceType", 1)), with_acme),
            "auto",
        ),
        ("old keys", changed(both(put("PayloadEnabled", True), put(f"{MDM}.PayloadEnabled", True))), "auto"),
        ("removal forbidden", changed(put("PayloadRemovalDisallowed", True)), "auto"),
        ("consent", changed(put("ConsentText", {"default": "x"})), "auto"),
        ("removed later", changed(put("RemovalDate", datetime(2032, 1, 1))), "auto"),  # noqa: DTZ001
        ("removed after an hour", changed(put("DurationUntilRemoval", 3600.5)), "auto"),
        (
            "removal password",
            changed(insert(3, payload("com.apple.profileRemovalPassword", MORE_UUID, RemovalPassword="x"))),
            "auto",
        ),
        (
            "alternative names",
            changed(put(f"{SCEP}.SubjectAltName", {"dNSName": ["a", "b"], "ntPrincipalName": "x"})),
            "auto",
        ),
        ("root in PEM", holding(lambda: root_ca("Other").pem, "com.apple.security.pem"), "auto"),
        ("pinned server", pinning(lambda: pki().server.der), "auto"),
        ("pinned server valid for 825 days", pinning(lambda: leaf(days=825)), "auto"),
        ("signed by the root", signed_as(lambda: _identity(issue("Signer", pki().root))), "auto"),
        ("signed by itself", signed_as(lambda: _identity(issue("Signer"))), "auto"),
    )
}  # fmt: skip
