"""The documents that a server publishes, read: MDMServiceConfig and the anchor certificates, whoever made them.

https://developer.apple.com/documentation/devicemanagement/providing-information-about-your-device-management-service
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from typing import Any

from mdmprofile.certificates import Certificate
from mdmprofile.containers import MAX_IN_ONE_FILE
from mdmprofile.errors import CertificateError, DocumentError
from mdmprofile.findings import Finding, finding

SERVICE_PATH, DISCOVERY_PATH = "/MDMServiceConfig", "/.well-known/com.apple.remotemanagement"
TRUST_PROFILE, ENROLLMENT, ANCHORS = "trust_profile_url", "dep_enrollment_url", "dep_anchor_certs_url"
JSON_TYPE, PROFILE_TYPE = "application/json", "application/x-apple-aspen-config"
_ADVICE = "publish what mdmprofile build wrote; mdmprofile trust --snippet has the web server's configuration"
URLS = (ENROLLMENT, ANCHORS, TRUST_PROFILE)


def judge_content_type(told: str, expected: str, where: str) -> Iterable[Finding]:
    """The finding that a document comes as something else; ``told`` is its Content-Type header."""
    if told.partition(";")[0].strip().lower() != expected:
        message = f"the content type is {told or 'none'} instead of {expected}"
        yield finding("service.content-type", message, where=where)


def read_json_object(data: bytes, *, source: str) -> dict[str, Any]:
    """A JSON object; raises ``DocumentError`` that says what the bytes are instead."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        kind = "a web page" if data.lstrip()[:1] == b"<" else "no JSON"
        raise DocumentError(f"is {kind} where a JSON object belongs", where=source, hint=_ADVICE) from None
    if not isinstance(found, dict):
        raise DocumentError("is JSON, but no object", where=source, hint=_ADVICE)
    return found


def read_service_config(data: bytes, *, source: str) -> dict[str, str]:
    """The URLs of ``/MDMServiceConfig`` by Apple's names; other keys are left out.

    Raises ``DocumentError`` for anything but a JSON object whose URLs are text.
    """
    found = read_json_object(data, source=source)
    urls = {name: found[name] for name in URLS if name in found}
    wrong = [name for name, url in urls.items() if not isinstance(url, str)]
    if wrong:
        raise DocumentError(f"has no text as {wrong[0]}", where=source, hint=_ADVICE)
    return urls


def read_anchors(data: bytes, *, source: str) -> tuple[Certificate, ...]:
    """The certificates of the anchors' document: a JSON array of base64 DER, wrapped or not; none in an empty one.

    Raises ``CertificateError``.
    """
    if not data.strip():
        return ()
    try:
        entries = json.loads(data)
        ders = [base64.b64decode("".join(each.split()), validate=True) for each in entries]
    except (ValueError, TypeError, AttributeError, RecursionError, binascii.Error):
        raise CertificateError("is not a JSON array of base64 certificates", where=source) from None
    if len(ders) > MAX_IN_ONE_FILE:
        raise CertificateError(f"holds more than {MAX_IN_ONE_FILE} certificates", where=source)
    return tuple(Certificate(der, f"{source} #{number}") for number, der in enumerate(ders, 1))
