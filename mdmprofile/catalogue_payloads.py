"""The part of the catalogue that is about a profile's content: keys, payloads, identities, certificates inside.

``catalogue.RULES`` holds these rules too; nobody else reads this module.
"""

from __future__ import annotations

from typing import NamedTuple

DOCS = "https://developer.apple.com/documentation/devicemanagement/"
RFC5280 = "https://www.rfc-editor.org/rfc/rfc5280"
_MDM = f"{DOCS}mdm"
_TOP = f"{DOCS}toplevel"
_COMMON = f"{DOCS}commonpayloadkeys"
_ROOT = f"{DOCS}certificateroot"
_PEM = f"{DOCS}certificatepem"
_SCEP = f"{DOCS}scep"
_ACME = f"{DOCS}acmecertificate"
_PKCS12 = f"{DOCS}certificatepkcs12"
_TLS = "https://support.apple.com/103769"
_FULL_TRUST = "https://support.apple.com/102390"
_OTA = "https://developer.apple.com/library/archive/documentation/NetworkingInternet/Conceptual/iPhoneOTAConfiguration/"
_RFC5652 = "https://www.rfc-editor.org/rfc/rfc5652"


class Rule(NamedTuple):
    """One rule of the catalogue.

    ``source`` is where it is written: an Apple URL, an RFC, ``observed`` for what people saw devices do, or
    ``mdmprofile`` for what concerns this program alone.
    """

    severity: str
    about: str
    hint: str
    source: str


PAYLOAD_RULES: dict[str, Rule] = {
    "identity.missing": Rule("error", "The profile has no identity payload.", "add ACME, SCEP or PKCS#12", _MDM),
    "identity.shared": Rule(
        "warning",
        "One PKCS#12 identity in a profile that is not for one device.",
        "issue one per device, or set identity.single_device where this profile is for one",
        _PKCS12,
    ),
    "identity.no-client-auth": Rule(
        "warning",
        "The identity certificate has an extendedKeyUsage without clientAuth.",
        "have it reissued for clientAuth",
        f"{RFC5280}#section-4.2.1.12",
    ),
    "pkcs12.unreadable": Rule(
        "error",
        "A PKCS#12 payload cannot be opened with the password it carries.",
        "embed the right password, or build the payload again",
        _PKCS12,
    ),
    "pkcs12.empty-password": Rule(
        "warning", "An empty PKCS#12 password is not portable.", "set a password", "observed"
    ),
    "pkcs12.encryption": Rule(
        "info",
        "The PKCS#12 is not in the encryption that every Apple release imports.",
        "export it with PBE-SHA1-3DES and an HMAC-SHA1 MAC (openssl pkcs12 -export -legacy)",
        "observed",
    ),
    "profile.missing-key": Rule("error", "A required key is missing.", "add it", _COMMON),
    "profile.value": Rule("error", "A key has a value that Apple does not allow.", "correct it", _COMMON),
    "profile.service-request": Rule(
        "info",
        "A Profile Service request: it holds the address where a device gets its real profile, and no payloads.",
        "judge the profile that the server answers with",
        _OTA,
    ),
    "profile.payload-order": Rule(
        "warning",
        "A certificate or identity payload stands after the MDM payload.",
        "put it before the MDM payload, so that it installs first",
        _MDM,
    ),
    "profile.duplicate-uuid": Rule("error", "Two payloads have the same PayloadUUID.", "give each its own", _COMMON),
    "profile.duplicate-identifier": Rule(
        "error", "Two payloads have the same PayloadIdentifier.", "give each its own", _COMMON
    ),
    "profile.date-past": Rule(
        "error",
        "RemovalDate or PayloadExpirationDate has passed.",
        "set a date in the future or remove it",
        _TOP,
    ),
    "profile.removal-before-replacement": Rule(
        "warning",
        "The profile removes itself before the planned replacement.",
        "remove removal_date or duration_until_removal: without the profile the device is not managed",
        _TOP,
    ),
    "profile.certificate-unreadable": Rule(
        "error", "A certificate payload holds no certificate.", "replace its content", _COMMON
    ),
    "profile.user-scope": Rule(
        "warning",
        "In User scope a hand-installed enrollment also makes the installing user a managed user.",
        "use System, which is what enrollment profiles are sent with",
        "observed",
    ),
    "profile.kept-identifier": Rule(
        "info",
        "The identifier of the replaced profile is kept instead of the configured one.",
        "set profile.identifier to it",
        _TOP,
    ),
    "scep.misspelt-key": Rule(
        "error",
        "A SCEP key is misspelt and ignored by devices.",
        "write it as Apple does; Key Type and Key Usage have a space",
        _SCEP,
    ),
    "scep.weak-key": Rule("warning", "Keysize is 1024 or absent, which means 1024.", "set Keysize to 2048", _SCEP),
    "scep.value": Rule("error", "A SCEP key has a value that Apple does not allow.", "correct it", _SCEP),
    "scep.url": Rule("error", "The SCEP URL is not an http or https URL.", "set the SCEP server's URL", _SCEP),
    "scep.no-fingerprint": Rule(
        "warning",
        "SCEP over http without CAFingerprint: anybody on the way can answer for the CA.",
        "use https, or embed CAFingerprint, the SHA-1 of the CA's certificate",
        _SCEP,
    ),
    "scep.common-name": Rule("warning", "A common name over 64 bytes is cut.", "shorten it", f"{RFC5280}#appendix-A.1"),
    "acme.value": Rule("error", "An ACME key has a value that Apple does not allow.", "correct it", _ACME),
    "acme.url-scheme": Rule("error", "DirectoryURL is not https.", "use an https:// URL", _ACME),
    "acme.key": Rule(
        "error", "KeyType, KeySize, HardwareBound and Attest contradict each other.", "correct them", _ACME
    ),
    "identity.multiple": Rule(
        "warning",
        "An enrollment profile has more than one identity payload; Apple asks for one.",
        "keep the one that the MDM payload refers to, and send the others after the enrollment",
        _MDM,
    ),
    "pkcs12.no-identity": Rule(
        "error",
        "A PKCS#12 payload holds no private key with its certificate.",
        "export the certificate together with its private key",
        _PKCS12,
    ),
    "pkcs12.several": Rule(
        "warning",
        "A PKCS#12 payload holds several private keys; Apple allows one identity a payload.",
        "make a payload of each",
        _PKCS12,
    ),
    "pkcs12.password-embedded": Rule(
        "info",
        "The password stands beside the identity it protects, so whoever reads the profile has the private key.",
        "leave the password out, or use ACME or SCEP",
        _PKCS12,
    ),
    "pkcs12.not-opened": Rule(
        "info",
        "A profile has more PKCS#12 payloads than are opened to be judged.",
        "look at each with openssl pkcs12",
        "mdmprofile",
    ),
    "profile.uuid-format": Rule(
        "warning",
        "A UUID is not written 8-4-4-4-12.",
        "make one with uuidgen, and change it wherever it is referred to",
        _COMMON,
    ),
    "profile.unknown-key": Rule(
        "warning",
        "A key that Apple does not document for this payload, so devices ignore it; information when none is like it.",
        "remove it, or write the key that was meant",
        _TOP,
    ),
    "profile.unknown-payload": Rule(
        "info",
        "A payload of a type that is not known here, so its keys were not judged.",
        "compare its keys with Apple's documentation",
        _COMMON,
    ),
    "profile.unneeded-payload": Rule(
        "info",
        "An enrollment profile holds payloads that are not needed to enroll.",
        "send them over MDM after the enrollment, where they can be changed without replacing this profile",
        _MDM,
    ),
    "profile.binary": Rule(
        "info",
        "The profile is a binary property list; Apple documents XML.",
        "convert it with plutil -convert xml1, then sign it again",
        _TOP,
    ),
    "profile.certificate-type": Rule(
        "warning",
        "A certificate is in a payload of the wrong type.",
        "roots belong in com.apple.security.root, other certificates in com.apple.security.pkcs1",
        _ROOT,
    ),
    "profile.certificate-encoding": Rule(
        "warning",
        "A certificate is PEM in a payload for DER, or the other way round.",
        "root and pkcs1 payloads take DER, pem payloads take PEM",
        _PEM,
    ),
    "profile.certificate-several": Rule(
        "warning",
        "A certificate payload holds several certificates where devices expect one.",
        "make a payload of each",
        _PEM,
    ),
    "profile.private-key": Rule(
        "error",
        "A private key is in a payload for certificates, where everybody who has the profile can read it.",
        "take the key out, and replace it and its certificate: it is no secret any more",
        _PEM,
    ),
    "scep.extractable": Rule(
        "warning",
        "On a Mac the private key can be exported; information where KeyIsExtractable is absent, which means true.",
        "set KeyIsExtractable to false, so that the key exists on the device only",
        _SCEP,
    ),
    "acme.macos-13": Rule(
        "info",
        "macOS 13 takes an ACME payload only with HardwareBound and Attest false.",
        "send Macs on macOS 13 another profile",
        _ACME,
    ),
    "chain.weak-key": Rule(
        "warning",
        "A CA has an RSA key under 2048 bits or an EC key under 256, which Apple's devices refuse for TLS.",
        "have it reissued with a longer key",
        _TLS,
    ),
    "trust.user-switch": Rule(
        "info",
        "A root of a profile without MDM payload is not fully trusted by iOS until the user switches it on.",
        "put it into the enrollment profile, or install this profile over MDM or Configurator",
        _FULL_TRUST,
    ),
    "trust.no-common-name": Rule(
        "info",
        "A root without a common name may be missing from the list where the user switches trust on.",
        "install it over MDM, or have the root reissued with a common name",
        "observed",
    ),
    "signing.not-der": Rule(
        "info",
        "The signature is BER; Apple documents DER.",
        "sign it again without streaming (openssl cms without -stream, or mdmprofile sign --resign)",
        f"{_RFC5652}#section-10",
    ),
    "encryption.content": Rule(
        "error",
        "EncryptedPayloadContent is not CMS EnvelopedData in DER.",
        "encrypt the PayloadContent array again",
        _TOP,
    ),
    "encryption.recipient": Rule(
        "error",
        "An encrypted profile is for a recipient that devices cannot be: not a certificate with an RSA key.",
        "encrypt it for the device's RSA certificate",
        _TOP,
    ),
    "encryption.cipher": Rule(
        "error",
        "An encrypted profile uses another cipher than AES in CBC mode.",
        "encrypt it with AES-256-CBC",
        _TOP,
    ),
    "encryption.beside-payloads": Rule(
        "error",
        "A profile has EncryptedPayloadContent and PayloadContent, so the payloads are readable or contradict it.",
        "remove PayloadContent",
        _TOP,
    ),
    "encryption.not-judged": Rule(
        "info",
        "The payloads are encrypted, so only the outside was judged.",
        "decrypt it first; only a device that has the recipient's key already can install it",
        _TOP,
    ),
}
