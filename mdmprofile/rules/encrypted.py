"""Profiles whose payloads are encrypted: the CMS structure, its recipients and its cipher.

https://developer.apple.com/documentation/devicemanagement/toplevel
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mdmprofile.crowd import count_elements
from mdmprofile.errors import PARSER_ERRORS
from mdmprofile.findings import Finding, Severity, finding
from mdmprofile.rules.examined import Examined
from mdmprofile.rules.registry import FILE, rule
from mdmprofile.rules.signature import is_der

_KEY = "EncryptedPayloadContent"
_CIPHERS = ("aes128_cbc", "aes192_cbc", "aes256_cbc")
_RSA = ("rsaes_pkcs1v15", "rsaes_oaep")
# Far more than the recipients of any profile; elements cost more memory than their bytes once they are parsed.
_MAX_RECIPIENT_BYTES = 256 * 1024
_MAX_OID_BYTES = 64


@rule("encryption.not-judged", "encryption.beside-payloads", "profile.missing-key", "profile.value", on=FILE)
def around(examined: Examined) -> Iterable[Finding]:
    """The keys around the encrypted payloads agree with each other."""
    top = examined.profile.plist
    said = top.get("IsEncrypted")
    if _KEY not in top:
        if said is True:
            yield finding("profile.missing-key", f"IsEncrypted is true, and {_KEY} is missing", where=_KEY)
        return
    yield finding("encryption.not-judged", "the payloads are encrypted, so they were not judged", where=_KEY)
    if "PayloadContent" in top:
        message = f"PayloadContent stands beside {_KEY}"
        yield finding("encryption.beside-payloads", message, where="PayloadContent")
    if said is False:
        message = f"IsEncrypted is false although there is {_KEY}"
        yield finding("profile.value", message, where="IsEncrypted", severity=Severity.WARNING)


@rule("encryption.content", "encryption.recipient", "encryption.cipher", on=FILE)
def inside(examined: Examined) -> Iterable[Finding]:
    """CMS EnvelopedData in DER, for certificates with RSA keys, with AES in CBC mode."""
    content = examined.profile.plist.get(_KEY)
    if _KEY not in examined.profile.plist:
        return
    if not isinstance(content, bytes):
        yield finding("encryption.content", f"{_KEY} is no data", where=_KEY)
        return
    try:
        enveloped = _enveloped(content)
        recipients = [_recipient(each) for each in enveloped["recipient_infos"]]
        cipher = _name(enveloped["encrypted_content_info"]["content_encryption_algorithm"]["algorithm"])
    except PARSER_ERRORS:
        yield finding("encryption.content", f"{_KEY} is no intact CMS EnvelopedData", where=_KEY)
        return
    if not is_der(content):
        yield finding("encryption.content", f"{_KEY} is BER, not DER", where=_KEY)
    if not recipients:
        yield finding("encryption.recipient", "there is no recipient", where=_KEY)
    for number, kind in enumerate(recipients, 1):
        if kind not in _RSA:
            yield finding("encryption.recipient", f"recipient {number} is of kind {kind}, not RSA", where=_KEY)
    if cipher not in _CIPHERS:
        yield finding("encryption.cipher", f"the cipher is {cipher}", where=_KEY)


def _enveloped(content: bytes) -> Any:  # noqa: ANN401 - asn1crypto has no types
    from asn1crypto import cms  # noqa: PLC0415 - for encrypted profiles only

    count_elements(content)
    info = cms.ContentInfo.load(content, strict=True)
    if _name(info["content_type"]) != "enveloped_data":
        raise ValueError("another type")
    enveloped = info["content"]
    if len(enveloped["recipient_infos"].contents or b"") > _MAX_RECIPIENT_BYTES:
        raise ValueError("too many recipients")
    return enveloped


def _recipient(info: Any) -> str:  # noqa: ANN401
    """How the key reaches a recipient: the RSA scheme, or what there is instead of RSA."""
    return _name(info.chosen["key_encryption_algorithm"]["algorithm"]) if info.name == "ktri" else str(info.name)


def _name(oid: Any) -> str:  # noqa: ANN401
    """What an object identifier stands for, unless it is absurdly long: reading one is quadratic."""
    if len(oid.contents) > _MAX_OID_BYTES:
        raise ValueError("an object identifier is too long")
    return str(oid.native)
