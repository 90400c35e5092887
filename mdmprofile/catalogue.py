"""The catalogue of every rule: id, severity, what it is about, what to do, and where it is written."""

from __future__ import annotations

from mdmprofile.catalogue_delivery import DELIVERY_RULES
from mdmprofile.catalogue_devices import DEVICE_RULES
from mdmprofile.catalogue_live import LIVE_RULES
from mdmprofile.catalogue_messages import MESSAGE_RULES
from mdmprofile.catalogue_payloads import DOCS as _DOCS
from mdmprofile.catalogue_payloads import PAYLOAD_RULES, Rule
from mdmprofile.catalogue_payloads import RFC5280 as _RFC5280
from mdmprofile.catalogue_replacement import REPLACEMENT_RULES

_MDM = f"{_DOCS}mdm"
_TOP = f"{_DOCS}toplevel"
_SCEP = f"{_DOCS}scep"
_SERVICE = f"{_DOCS}providing-information-about-your-device-management-service"
_DEPLOY = "https://support.apple.com/guide/deployment/"
_DISTRIBUTE = f"{_DEPLOY}distribute-certificates-depcdc9a6a3f/web"
_SIGNING = f"{_DOCS}configuring-multiple-devices-using-profiles"
_PUSH = "https://support.apple.com/guide/deployment/configure-devices-to-work-with-apns-dep2de55389a/web"
_RFC5652 = "https://www.rfc-editor.org/rfc/rfc5652"

RULES: dict[str, Rule] = (
    {
        "expiry.expired": Rule(
            "error",
            "A certificate has expired.",
            "renew it, then build and install a new profile where it is baked in",
            _DISTRIBUTE,
        ),
        "expiry.before-replacement": Rule(
            "warning",
            "Something baked into the profile ends before the planned replacement plus its margin.",
            "replace the profile earlier, or renew the certificate and build again",
            _DISTRIBUTE,
        ),
        "expiry.soon": Rule("warning", "A certificate ends within --warn.", "plan its renewal now", _DISTRIBUTE),
        "expiry.critical": Rule(
            "error", "A certificate ends within --critical.", "renew it now, before devices are lost", _DISTRIBUTE
        ),
        "expiry.not-yet-valid": Rule(
            "warning",
            "A certificate is not valid yet.",
            "check the clock of the issuer, or wait before you install the profile",
            f"{_RFC5280}#section-4.1.2.5",
        ),
        "expiry.identity-unknown": Rule(
            "info",
            "The issuer's validity for the device identity is not known, so its end cannot be judged.",
            'set identity.validity to what the issuer grants, for example "365d"',
            _SCEP,
        ),
        "plan.replacement-past": Rule(
            "warning",
            "The planned replacement date has passed.",
            "set replace_on to the date of the next replacement",
            "mdmprofile",
        ),
        "config.unfilled": Rule(
            "warning",
            "A template in the config has a variable that is not known, so its key was left out of the judgement.",
            "give it with --var NAME=VALUE",
            "mdmprofile",
        ),
        "chain.incomplete": Rule(
            "error",
            "An issuer is missing, so a device cannot follow the chain to a root.",
            "add the missing certificate to trust.certificates",
            _DISTRIBUTE,
        ),
        "chain.leaf-in-trust": Rule(
            "error",
            "A certificate that is not a CA is among the trust certificates.",
            "take it out of trust.certificates; the server's own belongs in trust.server_certificate",
            _DISTRIBUTE,
        ),
        "chain.bad-signature": Rule(
            "error",
            "A certificate names an issuer that did not sign it.",
            "the issuer was probably renewed with a new key; use the certificate that really signed",
            f"{_RFC5280}#section-6.1.3",
        ),
        "chain.path-length": Rule(
            "error",
            "A CA has more CAs below it than its pathLenConstraint allows.",
            "have the CA reissued with a larger pathLenConstraint, or drop a level",
            f"{_RFC5280}#section-4.2.1.9",
        ),
        "chain.key-usage": Rule(
            "error",
            "A CA has a keyUsage without keyCertSign, so what it issued is not trusted.",
            "have the CA reissued with keyCertSign",
            f"{_RFC5280}#section-4.2.1.3",
        ),
        "chain.weak-signature": Rule(
            "warning",
            "An intermediate is signed with SHA-1 or older, which Apple's devices refuse for TLS.",
            "have it reissued with SHA-256",
            "https://support.apple.com/103769",
        ),
        "chain.duplicate": Rule(
            "info", "A certificate was given more than once; it is embedded once.", "remove the copy", "mdmprofile"
        ),
        "chain.unrelated": Rule(
            "warning",
            "A CA certificate is on no path from the server's certificate.",
            "remove it, unless it is the next CA of a planned rollover",
            _MDM,
        ),
        "chain.server-unknown": Rule(
            "info",
            "No server certificate was given, so nobody checked that the chain leads from it to a root.",
            "set trust.server_certificate; it is judged, never embedded",
            _DISTRIBUTE,
        ),
        "trust.not-root": Rule(
            "error", "A trust profile holds something other than a root.", "keep roots only", _SERVICE
        ),
        "trust.empty": Rule(
            "error",
            "A trust profile holds no root.",
            "add the root, or publish no trust profile where the server's certificate is publicly trusted",
            _SERVICE,
        ),
        "trust.url-scheme": Rule("error", "A URL that devices fetch is not https.", "use an https:// URL", _SERVICE),
        "trust.urls-incomplete": Rule(
            "error",
            "MDMServiceConfig has one of enrollment_url and anchor_certs_url without the other.",
            "set both trust.enrollment_url and trust.anchor_certs_url, or neither",
            _SERVICE,
        ),
        "trust.public-unused": Rule(
            "info",
            "With trust.public nothing is embedded and no trust profile is published.",
            "remove trust.public where the server certificate comes from a private CA",
            _SERVICE,
        ),
        "trust.not-public": Rule(
            "warning",
            "trust.public is set, but the server certificate does not lead to a public root.",
            "remove trust.public and set trust.certificates, or add the served intermediates to server_certificate",
            _SERVICE,
        ),
        "mdm.missing-key": Rule("error", "The MDM payload lacks a required key.", "set it", _MDM),
        "mdm.topic-prefix": Rule(
            "error",
            "The topic does not begin with com.apple.mgmt.",
            "use the UID of the push certificate's subject",
            _MDM,
        ),
        "mdm.topic-mismatch": Rule(
            "error",
            "The topic is not the one in the push certificate.",
            "remove server.topic, or use the push certificate that belongs to it",
            _MDM,
        ),
        "mdm.url-scheme": Rule(
            "error", "ServerURL or CheckInURL is not https.", "devices refuse anything but an https:// URL", _MDM
        ),
        "mdm.access-rights": Rule(
            "error", "AccessRights is a combination that devices refuse.", "use all (8191) or add the right", _MDM
        ),
        "mdm.identity-reference": Rule(
            "error",
            "IdentityCertificateUUID names no identity payload of this profile.",
            "point it at the ACME, SCEP or PKCS#12 payload",
            _MDM,
        ),
        "mdm.pinning-reference": Rule(
            "error",
            "A pinning UUID names no certificate payload of this profile.",
            "embed the pinned certificate",
            _MDM,
        ),
        "mdm.multiple": Rule("error", "The profile has more than one MDM payload.", "keep one", _MDM),
        "mdm.capabilities": Rule(
            "error", "ServerCapabilities repeats a value or holds an unknown one.", "fix the list", _MDM
        ),
        "mdm.no-per-user-connections": Rule(
            "warning",
            "Without per-user-connections Macs and Shared iPads cannot be managed, and it cannot be added later.",
            "add com.apple.mdm.per-user-connections to ServerCapabilities",
            _MDM,
        ),
        "mdm.enrollment-mode": Rule(
            "warning",
            "EnrollmentMode and the account keys belong to account-driven enrollment only.",
            "remove them from a hand-installed or automated enrollment profile",
            "observed",
        ),
        "mdm.removed-key": Rule(
            "warning",
            "ManagedAppleID was removed in iOS 18 and macOS 15.",
            "use account-driven enrollment with AssignedManagedAppleID",
            _MDM,
        ),
        "mdm.sign-message-cost": Rule(
            "info",
            "SignMessage adds about 2 KB to every message.",
            "leave it off unless a proxy hides the client certificate",
            _MDM,
        ),
        "signing.unsigned": Rule(
            "warning",
            "No signer is configured, so devices show the profile as not signed.",
            "set signing.certificate and signing.key",
            _SIGNING,
        ),
        "signing.key-mismatch": Rule(
            "error",
            "The signer's key does not belong to its certificate.",
            "use the key that the certificate was issued for",
            f"{_RFC5652}#section-5.3",
        ),
        "signing.chain-incomplete": Rule(
            "warning",
            "The signer's issuers do not lead to a root, so devices may show the profile as unverified.",
            "add the signer's intermediates to signing.chain",
            "observed",
        ),
        "signing.not-judged": Rule(
            "info",
            "The signer's certificate is on a token, or comes from a command, and was not looked at.",
            "name it with signing.certificate, or check the signed profile",
            "observed",
        ),
        "signature.missing": Rule("error", "The file is not signed.", "sign it with mdmprofile sign", _SIGNING),
        "signature.invalid": Rule(
            "error",
            "The signature does not match the content: it was changed, or the signature is broken.",
            "do not install it; get the file again from where it was made",
            f"{_RFC5652}#section-5.6",
        ),
        "signature.untrusted": Rule(
            "error",
            "The signer does not lead to a trusted certificate.",
            "give the signer's root with --trust",
            _SIGNING,
        ),
        "signature.trust-not-judged": Rule(
            "info",
            "Who signed was checked, not whether to trust them.",
            "give the roots you trust with --trust",
            _SIGNING,
        ),
        "signature.weak-digest": Rule("error", "The signature uses MD5 or SHA-1.", "sign again with SHA-256", _SIGNING),
        "encryption.first-enrollment": Rule(
            "warning",
            "An encrypted enrollment profile needs a recipient's key that is on the device before it is enrolled.",
            "use it to replace the profile of devices that have the key; enroll new ones with an unencrypted profile",
            "observed",
        ),
        "encryption.recipient-ca": Rule(
            "warning",
            "A profile is encrypted for a CA instead of a device.",
            "give the certificate whose key is on the device",
            _TOP,
        ),
        "encryption.key-usage": Rule(
            "warning",
            "A recipient's keyUsage has no keyEncipherment, so a strict receiver does not decrypt with its key.",
            "have it reissued with keyEncipherment; for SCEP, set identity.key_usage to 5",
            f"{_RFC5280}#section-4.2.1.3",
        ),
        "encryption.weak-key": Rule(
            "warning",
            "A recipient's RSA key is shorter than 2048 bits.",
            "have it reissued with 2048 bits or more",
            "https://www.rfc-editor.org/rfc/rfc8017",
        ),
        "signature.unusual-algorithm": Rule(
            "info",
            "The signature is intact, but RSA-PSS and Ed25519 are not what profiles are signed with.",
            "sign again with RSA PKCS#1 v1.5 or ECDSA if devices show the profile as unverified",
            f"{_RFC5652}#section-5.3",
        ),
        "push.no-topic": Rule(
            "error",
            "The push certificate's subject has no UID, so it names no topic.",
            "use the certificate from Apple's Push Certificates Portal",
            _PUSH,
        ),
        "expiry.identity-assumed": Rule(
            "info",
            "The end of a device identity is counted from a day on which nobody said that the profile was sent.",
            "for devices that have the profile, plan the signed file that was sent to them",
            _SCEP,
        ),
        "plan.too-late": Rule(
            "error",
            "The server's CA ends before every device can have the profile with the next one.",
            "send that profile now, and have devices that do not get it in time enroll again",
            "mdmprofile",
        ),
    }
    | PAYLOAD_RULES
    | REPLACEMENT_RULES
    | DEVICE_RULES
    | LIVE_RULES
    | MESSAGE_RULES
    | DELIVERY_RULES
)
