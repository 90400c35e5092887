"""The part of the catalogue that is about devices' messages: who signed them, and whose certificate that is.

``catalogue.RULES`` holds these rules too; nobody else reads this module.
"""

from __future__ import annotations

from mdmprofile.catalogue_payloads import DOCS, Rule

_RFC5652 = "https://www.rfc-editor.org/rfc/rfc5652"
_CHECK_IN = f"{DOCS}implementing-device-management"

MESSAGE_RULES: dict[str, Rule] = {
    "message.signers": Rule(
        "error",
        "A message's signature does not have exactly one signer.",
        "refuse the message; a device signs once",
        f"{_RFC5652}#section-5.1",
    ),
    "message.certificate": Rule(
        "error",
        "A message's signature does not carry the signer's certificate.",
        "refuse the message; see whether a proxy cut the header short",
        f"{_RFC5652}#section-5.1",
    ),
    "message.digest": Rule(
        "error",
        "A message's body is not the one that was signed.",
        "refuse the message; see whether a proxy or framework changed the body, such as by decompressing it",
        f"{_RFC5652}#section-5.4",
    ),
    "message.signing-time": Rule(
        "error",
        "A message says that it was signed while the device's certificate was not valid.",
        "check the device's clock, or allow it more with --clock-skew",
        f"{_RFC5652}#section-11.3",
    ),
    "pin.unknown": Rule(
        "error",
        "A message comes from a device that never sent Authenticate.",
        "have the device enroll again, or add its certificate with mdmprofile pins add",
        _CHECK_IN,
    ),
    "pin.mismatch": Rule(
        "error",
        "A message is signed with another certificate than the one that the device authenticated with.",
        "have the device enroll again; only Authenticate moves a pin",
        _CHECK_IN,
    ),
    "pin.taken": Rule(
        "error",
        "A device authenticates with a certificate that belongs to another device.",
        "give each device an identity of its own; free a certificate with mdmprofile pins remove",
        _CHECK_IN,
    ),
}
